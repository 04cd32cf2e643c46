import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { UserError } from "../../common/errors.ts";
import { openSource } from "./file-source.ts";

const scratch = mkdtempSync(join(tmpdir(), "file-source-"));
afterAll(() => rmSync(scratch, { recursive: true }));

it("reads stretches of a file, fewer bytes at its end and none beyond", async () => {
  const path = join(scratch, "bytes");
  writeFileSync(
    path,
    Uint8Array.from({ length: 100 }, (_, i) => i),
  );
  const { source, close } = await openSource(path);
  expect(source).toMatchObject({ name: path, sizeBytes: 100, seekable: true });
  expect([...(await source.read(10, 3))]).toEqual([10, 11, 12]);
  expect([...(await source.read(98, 5))]).toEqual([98, 99]);
  expect([...(await source.read(100, 5))]).toEqual([]);
  expect([...(await source.read(1e15, 5))]).toEqual([]);
  await close();
});

it("refuses what cannot be a recording, and says why", async () => {
  symlinkSync("circle", join(scratch, "circle"));
  const refused: readonly [string, RegExp][] = [
    [join(scratch, "missing"), /there is no such file/],
    [scratch, /is a directory; perf\.data directories \(perf record --threads\)/],
    [join(scratch, "bytes", "below"), /not a directory/],
    [join(scratch, "circle"), /circle/],
    [join(scratch, "x".repeat(300)), /name is too long/],
  ];
  for (const [path, why] of refused) {
    const error = await openSource(path).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(UserError);
    expect((error as UserError).what).toMatch(why);
    expect((error as UserError).remedy).toContain("perf record");
  }
});
