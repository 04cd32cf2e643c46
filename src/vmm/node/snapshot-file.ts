/**
 * A saved machine as a file: a line that names it, the format's number, a checksum, and a compressed body with the state as
 * JSON and every page that is not zeros.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { promisify } from "node:util";
import { gunzip, gunzipSync, gzipSync } from "node:zlib";
import { PAGE_BYTES } from "../../common/address.ts";
import { UserError } from "../../common/errors.ts";
import type { SavedPage, VirtualMachineState } from "../virtual-machine.ts";

const MAGIC = "spevisor snapshot\n";
const FORMAT = 2;
const CHECKSUM_BYTES = 32;
const HEADER_BYTES = MAGIC.length + 4 + CHECKSUM_BYTES;
/** Fast: three quarters of what there is to save are found by the lightest compression. */
const LEVEL = 1;

/** What a machine was made with, as far as it must be made alike to take a state. */
export interface MachineConfig {
  readonly cpus: number;
  readonly memoryBytes: number;
  readonly policy: string;
  readonly profile: string;
  readonly seed: number;
  readonly startSeconds: number;
  /** Tags of shares, and ids of disks, in order. */
  readonly shares: readonly string[];
  readonly disks: readonly string[];
  /** Whether its first process is spevisor's own, which takes orders. */
  readonly agent: boolean;
}

export interface Snapshot {
  readonly config: MachineConfig;
  readonly state: VirtualMachineState;
  readonly pages: readonly SavedPage[];
}

interface Head {
  /** What wrote it: a state means something to the same code only. */
  readonly build: string;
  readonly config: MachineConfig;
  readonly state: VirtualMachineState;
  readonly frames: readonly number[];
}

/** A snapshot whose pages are still being unpacked. */
export interface OpenedSnapshot {
  readonly config: MachineConfig;
  readonly state: VirtualMachineState;
  readonly pages: Promise<readonly SavedPage[]>;
}

const gunzipped = promisify(gunzip);

/** The file's bytes: magic, format, checksum of the rest, length of the packed head, head, pages. */
export function encodeSnapshot({ config, state, pages }: Snapshot, build: string): Uint8Array {
  const head: Head = { build, config, state, frames: pages.map(({ frame }) => frame) };
  const json = gzipSync(JSON.stringify(head));
  const contents = pages.map(({ words }) => new Uint8Array(words.buffer, words.byteOffset, PAGE_BYTES));
  const numbers = Buffer.alloc(8);
  numbers.writeUInt32LE(FORMAT, 0);
  numbers.writeUInt32LE(json.length, 4);
  const body = Buffer.concat([
    numbers.subarray(4),
    json,
    gzipSync(Buffer.concat(contents), { level: LEVEL }),
  ]);
  const sum = createHash("sha256").update(body).digest();
  return Buffer.concat([Buffer.from(MAGIC, "latin1"), numbers.subarray(0, 4), sum, body]);
}

/** Throws UserError for a file that is none, is damaged, or was written by another version. */
export function openSnapshot(path: string, build: string): OpenedSnapshot {
  const refuse = (what: string, remedy: string): never => {
    throw new UserError(`--snapshot ${path}: ${what}`, remedy);
  };
  let file: Buffer;
  try {
    file = readFileSync(path);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : String(error);
    return refuse(
      code === "ENOENT" ? "there is no such file" : `it cannot be read (${code})`,
      "Make one with --save-snapshot",
    );
  }
  if (file.subarray(0, MAGIC.length).toString("latin1") !== MAGIC)
    return refuse("no snapshot of spevisor's", "Make one with --save-snapshot");
  const again = "Save it again: a snapshot is good for the version that wrote it";
  if (file.length < HEADER_BYTES + 4) return refuse(`cut short after ${file.length} bytes`, again);
  const format = file.readUInt32LE(MAGIC.length);
  if (format !== FORMAT) return refuse(`format ${format}, and this version reads format ${FORMAT}`, again);
  const body = file.subarray(HEADER_BYTES);
  if (
    !createHash("sha256")
      .update(body)
      .digest()
      .equals(file.subarray(MAGIC.length + 4, HEADER_BYTES))
  )
    return refuse(
      `damaged, or cut short: its ${body.length} bytes do not have the checksum that it names`,
      "Copy it again, or save it again",
    );
  const headBytes = body.readUInt32LE(0);
  const head = JSON.parse(gunzipSync(body.subarray(4, 4 + headBytes)).toString("utf8")) as Head;
  if (head.build !== build) return refuse(`written by another version (${head.build})`, again);
  const pages = gunzipped(body.subarray(4 + headBytes), {
    // In one piece: pieces would be put together once more.
    chunkSize: Math.max(64, head.frames.length * PAGE_BYTES),
  }).then((contents) =>
    head.frames.map((frame, i) => ({
      frame,
      words: new Uint32Array(contents.buffer, contents.byteOffset + i * PAGE_BYTES, PAGE_BYTES / 4),
    })),
  );
  return { config: head.config, state: head.state, pages };
}
