import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, describe, expect, it } from "vitest";
import { writeFdt } from "../../board/fdt.ts";
import { UserError } from "../../common/errors.ts";
import { readDeviceTree, readInitrd, readKernel } from "./boot-files.ts";

const scratch = mkdtempSync(join(tmpdir(), "boot-files-"));
afterAll(() => rmSync(scratch, { recursive: true }));
mkdirSync(join(scratch, "folder"));

const stored = (name: string, bytes: Uint8Array | string): string => {
  const path = join(scratch, name);
  writeFileSync(path, bytes);
  return path;
};
const text = (of: string): Uint8Array => new TextEncoder().encode(of);

const image = new Uint8Array(100_000).map((_, i) => i % 251);
new DataView(image.buffer).setUint32(56, 0x644d_5241, true);
image.fill(0, 8, 32);

const tree = writeFdt({ properties: { model: "m" } });

/** A frame of one raw block, the first bytes of `image`, and the checksum of others. */
function flippedZstd(): Uint8Array {
  const [bytes, checksum] = [100, [1, 2, 3, 4]];
  return Uint8Array.of(
    0x28,
    0xb5,
    0x2f,
    0xfd,
    0x24,
    bytes,
    (bytes << 3) | 1,
    bytes >> 5,
    0,
    ...image.subarray(0, bytes),
    ...checksum,
  );
}

/** 10,000 blocks that repeat a zero 128 Ki times: 40 KB for more than a GiB. */
function zstdBomb(): Uint8Array {
  const block = [2, 0, 0x10, 0];
  return Uint8Array.of(
    0x28,
    0xb5,
    0x2f,
    0xfd,
    0,
    0x38,
    ...Array.from({ length: 10_000 }, () => block).flat(),
    3,
    0,
    0,
    0,
  );
}

async function bytesOf(path: string): Promise<Buffer> {
  const kernel = await readKernel(path);
  if (kernel.kind !== "image") throw new Error("it is no Image");
  return Buffer.from(kernel.bytes);
}

/** drivers/firmware/efi/libstub/zboot-header.S: offset and size of what is packed, and how. */
function zboot(how: string, packed: Uint8Array): Uint8Array {
  const file = new Uint8Array(64 + packed.length + 8);
  file.set(text("MZ\0\0zimg"));
  new DataView(file.buffer).setUint32(8, 64, true);
  new DataView(file.buffer).setUint32(12, packed.length, true);
  file.set(text(`${how}\0`), 24);
  file.set(packed, 64);
  return file;
}

describe("a kernel", () => {
  it.each([
    ["raw", image],
    ["gzip", gzipSync(image)],
    ["zboot", zboot("gzip", gzipSync(image))],
    ["zboot.gz", gzipSync(zboot("gzip", gzipSync(image)))],
  ])("is taken %s", async (name, bytes) => {
    expect((await bytesOf(stored(name, bytes))).equals(image)).toBe(true);
  });

  const haveXz = spawnSync("xz", ["--version"]).status === 0;
  if (!haveXz) console.log("xz is missing, so no kernel is packed with it: apt-get install xz-utils");
  it.skipIf(!haveXz)("is taken packed with xz, alone and in an EFI zboot file", async () => {
    const packed = spawnSync("xz", ["-c"], { input: image }).stdout;
    expect((await bytesOf(stored("xz", packed))).equals(image)).toBe(true);
    for (const how of ["xzkern", "xz"])
      expect((await bytesOf(stored(how, zboot(how, packed)))).equals(image)).toBe(true);
    await expect(readKernel(stored("cut.xz", packed.subarray(0, 60)))).rejects.toThrow(UserError);
  });

  const haveZstd = spawnSync("zstd", ["--version"]).status === 0;
  if (!haveZstd) console.log("zstd is missing, so no kernel is packed with it: apt-get install zstd");
  it.skipIf(!haveZstd)("is taken packed with zstd, and refused where it is cut short", async () => {
    const packed = spawnSync("zstd", ["-c"], { input: image }).stdout;
    expect((await bytesOf(stored("zstd", packed))).equals(image)).toBe(true);
    for (const how of ["zstd", "zstd22"])
      expect((await bytesOf(stored(how, zboot(how, packed)))).equals(image)).toBe(true);
    for (const bytes of [packed.length - 1, packed.length - 5, packed.length >> 1, 5])
      await expect(readKernel(stored("cut.zst", packed.subarray(0, bytes)))).rejects.toThrow(UserError);
  });

  it.each([
    ["cut.gz", gzipSync(image).subarray(0, -9), /cut\.gz: it is damaged/],
    [
      "flipped.gz",
      gzipSync(image).map((byte, i) => (i === 300 ? byte ^ 0xff : byte)),
      /flipped\.gz: it is damaged/,
    ],
    ["text.gz", gzipSync("hello"), /text\.gz: not an arm64 Image.* it is a text/],
    ["program", text("\u007fELF".padEnd(100)), /program: a 32-bit ELF program/],
    ["lzo.zboot", zboot("lzo", image), /lzo\.zboot: is packed with lzo/],
    ["cut.zboot", zboot("gzip", gzipSync(image)).subarray(0, 500), /cut\.zboot: cut short: 500 of/],
    ["flipped.zst", flippedZstd(), /flipped\.zst: it is damaged \(.*checksum/],
    ["bomb.zst", zstdBomb(), /bomb\.zst: it is damaged \(it unpacks to more than/],
  ])("is refused: %s", async (name, bytes, message) => {
    const path = stored(name, bytes);
    await expect(readKernel(path)).rejects.toThrow(UserError);
    await expect(readKernel(path)).rejects.toThrow(message);
  });
});

it.each([
  ["cpio", text("070701")],
  ["words", text("no archive")],
  ["nothing", new Uint8Array()],
])("a RAM disk is taken as it is: %s", (name, bytes) => {
  expect(new Uint8Array(readInitrd(stored(name, bytes)))).toEqual(bytes);
});

describe("a device tree", () => {
  it("is taken as it is", () => {
    expect(new Uint8Array(readDeviceTree(stored("tree.dtb", tree)))).toEqual(tree);
  });

  it.each([
    [
      "tree.dts",
      text('/dts-v1/;\n/ { model = "m"; };\n'.padEnd(80)),
      /--dtb .*tree\.dts: at offset 0x0: no device/,
    ],
    ["cut.dtb", tree.subarray(0, -1), /--dtb .*cut\.dtb: at offset 0x4: .*cut short/],
  ])("is refused: %s", (name, bytes, message) => {
    const path = stored(name, bytes);
    expect(() => readDeviceTree(path)).toThrow(UserError);
    expect(() => readDeviceTree(path)).toThrow(message);
  });
});

it.each([
  ["--kernel", readKernel],
  ["--initrd", readInitrd],
  ["--dtb", readDeviceTree],
] as const)("%s names a file that can be read", async (option, read) => {
  const said = async (path: string): Promise<string> => {
    try {
      await read(path);
    } catch (error) {
      expect(error).toBeInstanceOf(UserError);
      return (error as UserError).what;
    }
    return "";
  };
  expect(await said(join(scratch, "missing"))).toBe(
    `${option} ${join(scratch, "missing")}: there is no such file`,
  );
  expect(await said(join(scratch, "folder"))).toBe(`${option} ${join(scratch, "folder")}: it is a directory`);
});
