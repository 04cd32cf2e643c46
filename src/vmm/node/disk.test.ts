import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { UserError } from "../../common/errors.ts";
import { openDisk } from "./disk.ts";

const scratch = mkdtempSync(join(tmpdir(), "disk-"));
afterAll(() => rmSync(scratch, { recursive: true }));

const SECTORS = 300;
const image = (name: string): string => {
  const path = join(scratch, name);
  writeFileSync(
    path,
    Uint8Array.from({ length: SECTORS * 512 }, (_, i) => i >> 9),
  );
  return path;
};
const filled = (bytes: number, value: number): Uint8Array => new Uint8Array(bytes).fill(value);

it("reads and writes an image file", () => {
  const path = image("plain");
  const { disk, save, close } = openDisk(path);
  expect([disk.sectors, disk.readOnly]).toEqual([SECTORS, false]);
  expect([...new Set(disk.read(5, 2))]).toEqual([5, 6]);
  disk.write(299, filled(512, 7));
  disk.flush();
  expect(save()).toBeUndefined();
  close();
  expect(readFileSync(path).at(-1)).toBe(7);
});

it("keeps writes of a snapshot in memory, over its blocks' borders and at the image's end", () => {
  const path = image("snapshot");
  const before = readFileSync(path);
  const { disk, save, close } = openDisk(path, { snapshot: true });
  disk.write(127, filled(1024, 0xaa));
  disk.write(299, filled(512, 0xbb));
  disk.flush();
  expect([...new Set(disk.read(126, 4))]).toEqual([126, 0xaa, 129]);
  expect([...new Set(disk.read(298, 2))]).toEqual([298 & 0xff, 0xbb]);
  expect(readFileSync(path).equals(before)).toBe(true);
  const copy = openDisk(path, { snapshot: true });
  copy.restore(JSON.parse(JSON.stringify(save())));
  expect(copy.disk.read(0, SECTORS)).toEqual(disk.read(0, SECTORS));
  copy.close();
  close();
});

it("needs no permission to write for a snapshot or a read-only disk", () => {
  const path = image("locked");
  chmodSync(path, 0o444);
  const snapshot = openDisk(path, { snapshot: true });
  snapshot.disk.write(0, filled(512, 1));
  snapshot.close();
  const { disk, close } = openDisk(path, { readOnly: true });
  expect(disk.readOnly).toBe(true);
  disk.flush();
  close();
});

it("refuses what is no image, and says what to do", () => {
  writeFileSync(join(scratch, "odd"), filled(1000, 0));
  writeFileSync(join(scratch, "empty"), "");
  for (const [name, what, remedy] of [
    ["missing", /there is no such file/, /truncate -s 1G/],
    [".", /is a directory/, /Share a directory/],
    ["odd", /1000 bytes are not whole sectors/, /truncate -s %512/],
    ["empty", /it is empty/, /truncate -s 1G/],
  ] as const) {
    let error: unknown;
    try {
      openDisk(join(scratch, name));
    } catch (caught) {
      error = caught;
    }
    expect(error).toBeInstanceOf(UserError);
    expect((error as UserError).what).toMatch(what);
    expect((error as UserError).remedy).toMatch(remedy);
  }
});
