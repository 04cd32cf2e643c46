import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { concat } from "../../common/bytes.ts";
import { OutDirectory } from "../../vmm/node/out.ts";
import { bytes, END, file } from "../../vmm/tar.testing.ts";
import { OutStream } from "./collect.ts";

const scratch = mkdtempSync(join(tmpdir(), "collect-"));
afterAll(() => rmSync(scratch, { recursive: true }));
let count = 0;
function stream() {
  const folder = join(scratch, `${count++}`);
  const made = new OutStream();
  made.begin(new OutDirectory(folder));
  return { stream: made, files: () => readdirSync(folder).filter((name) => !name.startsWith(".")) };
}
const ARCHIVE = concat([...file("a", "text"), END]);

it("takes an archive, what fills its last record, and how the guest's tar ended, in pieces of any size", () => {
  for (const piece of [1, 100, 1 << 20]) {
    const { stream: taken, files } = stream();
    const all = concat([ARCHIVE, new Uint8Array(4096), bytes("exit 0\n")]);
    for (let at = 0; at < all.length; at += piece) {
      expect(taken.ending).toBeUndefined();
      taken.take(all.subarray(at, at + piece));
    }
    expect([taken.ending, files()]).toEqual(["done", ["a"]]);
  }
});

it("tells of a tar that failed, of damage, and of more than there should be", () => {
  for (const [all, words] of [
    [concat([ARCHIVE, bytes("exit 1\n")]), /could not read all of \/out/],
    [bytes("exit 127\n".padEnd(600)), /damaged: /],
    [concat([ARCHIVE, bytes("x".repeat(100))]), /damaged: something comes after its end/],
  ] as const) {
    const { stream: taken } = stream();
    taken.take(all);
    expect(taken.ending).toMatchObject({ failed: expect.stringMatching(words) });
    taken.take(bytes("more"));
  }
});

it("hears nothing before it was asked", () => {
  const taken = new OutStream();
  taken.take(bytes("x".repeat(2000)));
  expect(taken.ending).toBeUndefined();
});
