/** One wording for what is wrong with a file of the user's, whatever it is for. */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { UserError } from "../../common/errors.ts";
import { readRecording } from "../../perf/reader.ts";
import { readDeviceTree, readInitrd, readKernel } from "./boot-files.ts";
import { openDisk } from "./disk.ts";
import { openSource } from "./file-source.ts";
import { openSnapshot } from "./snapshot-file.ts";

const scratch = mkdtempSync(join(tmpdir(), "read-file-"));
afterAll(() => rmSync(scratch, { recursive: true }));
const at = (name: string): string => join(scratch, name);

const POINTER = `version https://git-lfs.github.com/spec/v1
oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393
size 12345
`;
mkdirSync(at("folder"));
writeFileSync(at("empty"), "");
writeFileSync(at("pointer"), POINTER);
// A pointer of whole sectors is one, too.
writeFileSync(at("padded"), POINTER.padEnd(512, "\n"));
symlinkSync("circle", at("circle"));

async function readPerfData(path: string): Promise<void> {
  const opened = await openSource(path);
  const nothing = (): void => {};
  const sink = {
    taskIn: nothing,
    taskOut: nothing,
    cpuIn: nothing,
    cpuOut: nothing,
    comm: nothing,
    fork: nothing,
    exit: nothing,
    lost: nothing,
  };
  await readRecording(opened.source, sink).finally(opened.close);
}

const READERS: [string, (path: string) => unknown][] = [
  ["a recording", readPerfData],
  ["--kernel", readKernel],
  ["--initrd", readInitrd],
  ["--dtb", readDeviceTree],
  ["--snapshot", (path) => openSnapshot(path, "build")],
  ["--disk", (path) => openDisk(path)],
];

describe.each(READERS)("%s", (option, read) => {
  it.each<[string, RegExp]>([
    ["missing", /missing: there is no such file$/],
    ["folder", /folder: it is a directory($|[;,] )/],
    ["empty", /empty: it is empty$/],
    ["empty/below", /below: part of its path is not a directory$/],
    ["circle", /circle: its symbolic links go in a circle$/],
    ["pointer", /pointer: it is a Git LFS pointer/],
    ["padded", /padded: it is a Git LFS pointer/],
  ])("is refused where it is %s", async (name, what) => {
    // A RAM disk may be any bytes: none, too.
    if (option === "--initrd" && name === "empty") return;
    const error: unknown = await Promise.resolve()
      .then(() => read(at(name)))
      .catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(UserError);
    expect((error as UserError).what).toMatch(what);
    if (what.source.includes("LFS")) expect((error as UserError).remedy).toBe("Fetch the file: git lfs pull");
  });
});
