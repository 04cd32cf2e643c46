import { spawnSync } from "node:child_process";
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
  const { disk, save, close } = openDisk(path, { mode: "snapshot" });
  disk.write(127, filled(1024, 0xaa));
  disk.write(299, filled(512, 0xbb));
  disk.flush();
  expect([...new Set(disk.read(126, 4))]).toEqual([126, 0xaa, 129]);
  expect([...new Set(disk.read(298, 2))]).toEqual([298 & 0xff, 0xbb]);
  expect(readFileSync(path).equals(before)).toBe(true);
  const copy = openDisk(path, { mode: "snapshot" });
  copy.restore(JSON.parse(JSON.stringify(save())));
  expect(copy.disk.read(0, SECTORS)).toEqual(disk.read(0, SECTORS));
  copy.close();
  close();
});

it("needs no permission to write for a snapshot or a read-only disk", () => {
  const path = image("locked");
  chmodSync(path, 0o444);
  const snapshot = openDisk(path, { mode: "snapshot" });
  snapshot.disk.write(0, filled(512, 1));
  snapshot.close();
  const { disk, close } = openDisk(path, { mode: "readonly" });
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

const refusal = (path: string): UserError | undefined => {
  try {
    openDisk(path).close();
  } catch (error) {
    if (error instanceof UserError) return error;
    throw error;
  }
  return undefined;
};

/** A file of two sectors with these bytes at an offset. */
const withMagic = (name: string, magic: string, at = 0): string => {
  const path = join(scratch, name);
  const bytes = Buffer.alloc(1024);
  bytes.write(magic, at, "latin1");
  writeFileSync(path, bytes);
  return path;
};

it.each([
  [
    "qcow2",
    "QFI\xfb\0\0\0\x03",
    0,
    /a qcow2 image.*raw/,
    /qemu-img convert -f qcow2 -O raw .*qcow2 disk\.img/,
  ],
  ["qcow", "QFI\xfb\0\0\0\x01", 0, /a qcow image/, /-f qcow /],
  ["qed", "QED\0", 0, /a QED image/, /-f qed/],
  ["vmdk", "KDMV", 0, /a VMDK image/, /-f vmdk/],
  ["vmdk.txt", "# Disk DescriptorFile", 0, /a VMDK image/, /-f vmdk/],
  ["vhd", "conectix", 0, /a VHD image/, /-f vpc/],
  ["fixed.vhd", "conectix", 512, /a VHD image/, /-f vpc/],
  ["vhdx", "vhdxfile", 0, /a VHDX image/, /-f vhdx/],
  ["vdi", "\x7f\x10\xda\xbe", 0x40, /a VDI image/, /-f vdi/],
  ["hdd", "WithouFreSpacExt", 0, /a Parallels image/, /-f parallels/],
  ["dmg", "koly", 512, /a DMG image/, /-f dmg/],
  ["gz", "\x1f\x8b", 0, /packed with gzip/, /gzip -dc .*gz >disk\.img/],
  ["xz", "\xfd7zXZ\0", 0, /packed with xz/, /xz -dc/],
  ["zst", "\x28\xb5\x2f\xfd", 0, /packed with zstd/, /zstd -dc/],
  ["tar", "ustar", 257, /a tar archive/, /format=raw/],
  ["lfs", "version https://git-lfs.github.com/spec/v1\n", 0, /a Git LFS pointer/, /git lfs pull/],
  ["html", "<!DOCTYPE html>", 0, /a web page/, /Give a raw image/],
] as const)("refuses by name what is not raw: %s", (name, magic, at, what, remedy) => {
  const path = withMagic(name, magic, at);
  const before = readFileSync(path);
  expect(refusal(path)?.what).toMatch(what);
  expect(refusal(path)?.remedy).toMatch(remedy);
  expect(readFileSync(path).equals(before)).toBe(true);
  openDisk(path, { raw: true }).close();
});

it("takes what is a disk as it is: LUKS, ISO 9660, a partition table", () => {
  for (const [name, magic, at] of [
    ["luks", "LUKS\xba\xbe", 0],
    ["mbr", "\x55\xaa", 510],
    ["gpt", "EFI PART", 512],
  ] as const)
    expect(refusal(withMagic(name, magic, at))).toBeUndefined();
});

const haveQemuImg = spawnSync("qemu-img", ["--version"]).status === 0;
if (!haveQemuImg) console.log("disk.test.ts: images of QEMU's skipped, needs: apt-get install qemu-utils");
it.skipIf(!haveQemuImg).each(["qcow2", "qcow", "qed", "vmdk", "vpc", "vhdx", "vdi", "parallels"])(
  "refuses an image that qemu-img made: %s",
  (format) => {
    const path = join(scratch, `made.${format}`);
    const made = spawnSync("qemu-img", ["create", "-q", "-f", format, path, "8M"], { encoding: "utf8" });
    expect(made.stderr).toBe("");
    expect(refusal(path)?.remedy).toContain(`qemu-img convert -f ${format} -O raw`);
  },
);
