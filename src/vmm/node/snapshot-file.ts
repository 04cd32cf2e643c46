/**
 * A saved machine as a file: a line that names it, the format's number, a checksum, and a body with the state as packed JSON
 * and every page that is not zeros.
 */
import { promisify } from "node:util";
import { crc32, gunzip, gunzipSync, gzipSync } from "node:zlib";
import { PAGE_BYTES } from "../../common/address.ts";
import { counted } from "../../common/counts.ts";
import { UserError } from "../../common/errors.ts";
import type { AgentState } from "../agent.ts";
import type { MachineConfig } from "../machine-config.ts";
import type { SavedPage, VirtualMachineState } from "../virtual-machine.ts";
import type { SnapshotState } from "./disk.ts";
import { readWhole } from "./read-file.ts";

const MAGIC = "spevisor snapshot\n";
const FORMAT = 3;
const CHECKSUM_BYTES = 4;
const HEADER_BYTES = MAGIC.length + 4 + CHECKSUM_BYTES;
/** A state's JSON has a few MiB, and its pages are a machine's memory. */
const MOST_HEAD_BYTES = 256 * 1024 ** 2;
const MOST_PAGES_BYTES = 4 * 1024 ** 3;
/** Fast: three quarters of what there is to save are found by the lightest compression. */
const LEVEL = 1;
const PAGE_WORDS = PAGE_BYTES / 4;

/**
 * How the pages of a file are packed: gzip makes a third of them and takes a second, and most of one again whenever the file
 * is opened.
 */
export type Packing = "gzip" | "none";

export interface Snapshot {
  readonly config: MachineConfig;
  /** The host's side of the conversation with the guest's first process, where that takes orders. */
  readonly agent?: AgentState | undefined;
  /** By disk: what its file does not have. */
  readonly disks?: readonly (SnapshotState | null)[] | undefined;
  readonly state: VirtualMachineState;
  readonly pages: readonly SavedPage[];
}

interface Head {
  /** What wrote it: a state means something to the same code only. */
  readonly build: string;
  readonly config: MachineConfig;
  readonly agent?: AgentState | undefined;
  readonly disks?: readonly (SnapshotState | null)[] | undefined;
  readonly state: VirtualMachineState;
  readonly packing: Packing;
  /** Whose content follows. */
  readonly frames: readonly number[];
  /** Pages that are one word over and over: Linux fills what it frees of its initial RAM disk, some thousand pages, with 0xCC. */
  readonly filled: readonly (readonly [frame: number, word: number])[];
}

/** A snapshot whose pages are still being unpacked. */
export interface OpenedSnapshot {
  readonly config: MachineConfig;
  readonly agent: AgentState | undefined;
  readonly disks: readonly (SnapshotState | null)[];
  readonly state: VirtualMachineState;
  /** To be taken once; the words of each are good until the next. */
  readonly pages: Promise<Iterable<SavedPage>>;
}

const gunzipped = promisify(gunzip);

/** Zeros between head and pages, whose words lie at multiples of four bytes of the file. */
const padding = (headBytes: number): number => -(HEADER_BYTES + 4 + headBytes) & 3;

/** The file's bytes: magic, format, checksum of the rest, length of the packed head, head, zeros, pages. */
export function encodeSnapshot(snapshot: Snapshot, build: string, packing: Packing = "gzip"): Uint8Array {
  const { config, agent, disks, state, pages } = snapshot;
  const contents: Uint8Array[] = [];
  const frames: number[] = [];
  const filled: [frame: number, word: number][] = [];
  for (const { frame, words } of pages) {
    const first = words[0]!;
    if (words.every((word) => word === first)) filled.push([frame, first]);
    else {
      frames.push(frame);
      contents.push(new Uint8Array(words.buffer, words.byteOffset, PAGE_BYTES));
    }
  }
  const head: Head = { build, config, agent, disks, state, packing, frames, filled };
  const json = gzipSync(JSON.stringify(head));
  const headBytes = Buffer.alloc(4);
  headBytes.writeUInt32LE(json.length);
  const packed = packing === "none" ? contents : [gzipSync(Buffer.concat(contents), { level: LEVEL })];
  const body = [headBytes, json, Buffer.alloc(padding(json.length)), ...packed];
  const numbers = Buffer.alloc(8);
  numbers.writeUInt32LE(FORMAT, 0);
  numbers.writeUInt32LE(
    body.reduce((sum, piece) => crc32(piece, sum), 0),
    4,
  );
  return Buffer.concat([Buffer.from(MAGIC, "latin1"), numbers, ...body]);
}

/** Throws UserError for a file that is none, is damaged, or was written by another version. */
export function openSnapshot(path: string, build: string): OpenedSnapshot {
  const refuse = (what: string, remedy: string): never => {
    throw new UserError(`--snapshot ${path}: ${what}`, remedy);
  };
  const make = "Make one with --save-snapshot";
  const file = readWhole(path, `--snapshot ${path}`, make);
  if (file.subarray(0, MAGIC.length).toString("latin1") !== MAGIC)
    return refuse("no snapshot of spevisor's", make);
  const again = "Save it again: a snapshot is good for the version that wrote it";
  if (file.length < HEADER_BYTES + 4) return refuse(`cut short after ${counted(file.length, "byte")}`, again);
  const format = file.readUInt32LE(MAGIC.length);
  if (format !== FORMAT) return refuse(`format ${format}, and this version reads format ${FORMAT}`, again);
  const body = file.subarray(HEADER_BYTES);
  if (crc32(body) !== file.readUInt32LE(MAGIC.length + 4))
    return refuse(
      `damaged, or cut short: its ${body.length} bytes do not have the checksum that it names`,
      "Copy it again, or save it again",
    );
  // A checksum that is right says that nothing was damaged, and not that no one meant harm.
  const unsound = (error: unknown): never =>
    refuse(`no machine is in it (${error instanceof Error ? error.message : String(error)})`, again);
  const headBytes = body.readUInt32LE(0);
  let head: Head;
  try {
    const json = gunzipSync(body.subarray(4, 4 + headBytes), { maxOutputLength: MOST_HEAD_BYTES });
    head = JSON.parse(json.toString("utf8")) as Head;
  } catch (error) {
    return unsound(error);
  }
  if (head.build !== build) return refuse(`written by another version (${head.build})`, again);
  const { frames, filled, packing } = head;
  const pagesBytes = frames.length * PAGE_BYTES;
  if (pagesBytes > MOST_PAGES_BYTES) return unsound(`${frames.length} pages`);
  const pages = unpacked(body.subarray(4 + headBytes + padding(headBytes)), packing, pagesBytes)
    .catch(unsound)
    .then((contents) =>
      contents.length !== pagesBytes
        ? unsound(`${contents.length} bytes in ${frames.length} pages`)
        : savedPages(contents, frames, filled),
    );
  // Who finds something else wrong with it does not wait for them.
  pages.catch(() => undefined);
  return { config: head.config, agent: head.agent, disks: head.disks ?? [], state: head.state, pages };
}

async function unpacked(bytes: Buffer, packing: Packing, pagesBytes: number): Promise<Buffer> {
  if (packing === "none") return bytes;
  // In one piece: pieces would be put together once more.
  const most = Math.max(64, pagesBytes);
  return gunzipped(bytes, { chunkSize: most, maxOutputLength: most });
}

function* savedPages(contents: Buffer, frames: Head["frames"], filled: Head["filled"]): Generator<SavedPage> {
  for (const [i, frame] of frames.entries()) {
    const words = new Uint32Array(contents.buffer, contents.byteOffset + i * PAGE_BYTES, PAGE_WORDS);
    yield { frame, words };
  }
  const words = new Uint32Array(PAGE_WORDS);
  for (const [frame, word] of filled) yield { frame, words: words.fill(word) };
}
