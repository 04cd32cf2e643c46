import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crc32, gzipSync } from "node:zlib";
import { afterAll, describe, expect, it } from "vitest";
import { PAGE_BYTES } from "../../common/address.ts";
import { UserError } from "../../common/errors.ts";
import { DEFAULT_HOST, type MachineConfig } from "../machine-config.ts";
import type { VirtualMachineState } from "../virtual-machine.ts";
import { encodeSnapshot, openSnapshot } from "./snapshot-file.ts";

const scratch = mkdtempSync(join(tmpdir(), "snapshot-file-"));
afterAll(() => rmSync(scratch, { recursive: true }));
const path = join(scratch, "a.snapshot");

const config: MachineConfig = {
  cpus: 2,
  memoryBytes: 2 ** 29,
  policy: "adaptive",
  profile: "thread-normal",
  seed: 7,
  startSeconds: 1_767_225_600,
  shares: ["share0"],
  disks: [],
  spe: { version: "1.2", intervalOps: 1024, models: "sampled" },
  clockGHz: 2,
  host: DEFAULT_HOST,
  agent: true,
};
// The file does not look into the state: any JSON will do.
const state = { board: { uart: { received: [1, 2, 3] } } } as unknown as VirtualMachineState;
const page = (frame: number, seed: number) => ({
  frame,
  words: Uint32Array.from({ length: PAGE_BYTES / 4 }, (_, i) => Math.imul(i + seed, 0x9e37_79b1) >>> 0),
});
const pages = [page(3, 1), page(70_000, 2)];
/** One word over and over. */
const filled = (frame: number, word: number) => ({
  frame,
  words: new Uint32Array(PAGE_BYTES / 4).fill(word),
});
const FILE = encodeSnapshot({ config, state, pages }, "build-1");
/** Magic, format, checksum, length of the head, head. */
const PLACE = { magic: 0, format: 18, sum: 22, headBytes: 26, head: 30 };

function refusal(bytes: Uint8Array, build = "build-1"): string {
  writeFileSync(path, bytes);
  try {
    openSnapshot(path, build);
  } catch (error) {
    expect(error).toBeInstanceOf(UserError);
    const { what, remedy } = error as UserError;
    expect(remedy).not.toBe("");
    expect(what.startsWith(`--snapshot ${path}: `)).toBe(true);
    return what.slice(`--snapshot ${path}: `.length);
  }
  return "none";
}

/** The pages of a file, by frame. */
async function pagesOf(bytes: Uint8Array): Promise<ReadonlyMap<number, readonly number[]>> {
  writeFileSync(path, bytes);
  const opened = openSnapshot(path, "build-1");
  expect([opened.config, opened.agent, opened.state]).toEqual([config, undefined, state]);
  const found = new Map<number, readonly number[]>();
  for (const { frame, words } of await opened.pages) found.set(frame, [...words]);
  return found;
}

it.each(["gzip", "none"] as const)("gives back what was put into it (%s)", async (packing) => {
  // Heads of four lengths in a row: where pages begin does not depend on it.
  for (const frame of [7, 77, 777, 7777]) {
    const all = [...pages, filled(5, 0xcccc_cccc), page(frame, 3), filled(6, 1)];
    const bytes = encodeSnapshot({ config, state, pages: all }, "build-1", packing);
    expect(await pagesOf(bytes)).toEqual(new Map(all.map((one) => [one.frame, [...one.words]])));
  }
});

it("has no content of pages that are one word over and over", () => {
  const some = [...pages, ...Array.from({ length: 1000 }, (_, i) => filled(100 + i, 0xcccc_cccc))];
  const bytes = encodeSnapshot({ config, state, pages: some }, "build-1", "none");
  expect(bytes.length).toBeLessThan(4 * PAGE_BYTES);
});

it("may have no pages, and keeps words that lie inside of a larger buffer", async () => {
  for (const packing of ["gzip", "none"] as const)
    expect(await pagesOf(encodeSnapshot({ config, state, pages: [] }, "build-1", packing))).toEqual(
      new Map(),
    );
  const words = Uint32Array.from({ length: PAGE_BYTES }, (_, i) => i).subarray(1024, 2048);
  const bytes = encodeSnapshot({ config, state, pages: [{ frame: 1, words }] }, "build-1");
  expect(await pagesOf(bytes)).toEqual(new Map([[1, [...words]]]));
});

it("is the same bytes for the same machine", () => {
  expect(encodeSnapshot({ config, state, pages }, "build-1")).toEqual(FILE);
});

describe("is refused", () => {
  it.each([
    [0, /it is empty/],
    [PLACE.format - 1, /no snapshot/],
    [PLACE.format, /cut short after 18 bytes/],
    [PLACE.sum + 3, /cut short after 25 bytes/],
    [PLACE.headBytes, /cut short after 26 bytes/],
    [PLACE.headBytes + 3, /cut short after 29 bytes/],
    [PLACE.head, /damaged, or cut short: its 4 bytes/],
    [PLACE.head + 20, /damaged, or cut short/],
    [FILE.length - 5000, /damaged, or cut short/],
    [FILE.length - 1, /damaged, or cut short/],
  ])("cut after %d bytes", (bytes, message) => {
    expect(refusal(FILE.subarray(0, bytes))).toMatch(message);
  });

  it.each([
    ["magic", PLACE.magic + 3, /no snapshot of spevisor's/],
    ["format", PLACE.format, /format 2, and this version reads format 3/],
    ["checksum", PLACE.sum, /damaged/],
    ["checksum's end", PLACE.headBytes - 1, /damaged/],
    ["head's length", PLACE.headBytes + 3, /damaged/],
    ["head", PLACE.head + 15, /damaged/],
    ["pages", FILE.length - 2000, /damaged/],
    ["last byte", FILE.length - 1, /damaged/],
  ])("with a bit turned over in its %s", (_, place, message) => {
    const flipped = Uint8Array.from(FILE);
    flipped[place] = (flipped[place] ?? 0) ^ 1;
    expect(refusal(flipped)).toMatch(message);
  });

  it("with something after it", () => {
    expect(refusal(Uint8Array.of(...FILE, 0))).toMatch(/damaged/);
  });

  /** With a right checksum, whoever made it. */
  const forged = (head: Uint8Array, content: Uint8Array): Uint8Array => {
    const numbers = Buffer.alloc(8);
    numbers.writeUInt32LE(head.length, 4);
    const body = Buffer.concat([
      numbers.subarray(4),
      head,
      Buffer.alloc(-(PLACE.head + head.length) & 3),
      content,
    ]);
    numbers.writeUInt32LE(crc32(body), 0);
    return Buffer.concat([FILE.subarray(0, PLACE.sum), numbers.subarray(0, 4), body]);
  };
  const headOf = (frames: readonly number[], packing = "gzip"): Uint8Array =>
    gzipSync(JSON.stringify({ build: "build-1", config, state, packing, frames, filled: [] }));

  it.each([
    ["is no JSON", gzipSync("{"), /no machine is in it \(.*JSON/],
    ["is not packed", Buffer.from("{}"), /no machine is in it \(incorrect header check/],
    ["unpacks to half a GiB", gzipSync(Buffer.alloc(512 * 1024 ** 2), { level: 1 }), /no machine is in it/],
  ])("whose head %s, whatever its checksum", (_, head, message) => {
    expect(refusal(forged(head, gzipSync("")))).toMatch(message);
  });

  it.each([
    ["fewer", "gzip", Buffer.alloc(PAGE_BYTES), /4096 bytes in 2 pages/],
    ["more", "gzip", Buffer.alloc(100 * PAGE_BYTES), /no machine is in it/],
    ["fewer", "none", Buffer.alloc(PAGE_BYTES), /4096 bytes in 2 pages/],
    ["more", "none", Buffer.alloc(3 * PAGE_BYTES), /12288 bytes in 2 pages/],
  ])("that has %s pages than it says (%s)", async (_, packing, content, message) => {
    writeFileSync(path, forged(headOf([1, 2], packing), packing === "gzip" ? gzipSync(content) : content));
    const opened = openSnapshot(path, "build-1");
    await expect(opened.pages).rejects.toThrow(UserError);
    await expect(opened.pages).rejects.toThrow(message);
  });

  it("of another build, and says which", () => {
    expect(refusal(FILE, "build-2")).toBe("written by another version (build-1)");
  });

  it("where there is none", () => {
    for (const [name, message] of [
      ["missing", /missing: there is no such file/],
      [".", /it is a directory/],
    ] as const)
      expect(() => openSnapshot(join(scratch, name), "build-1")).toThrow(message);
  });
});
