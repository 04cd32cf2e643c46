/**
 * A saved machine as a file: a line that names it, the format's number, a checksum, and a compressed body with the state as
 * JSON and every page that is not zeros.
 */
import { createHash } from "node:crypto";
import { promisify } from "node:util";
import { gunzip, gunzipSync, gzipSync } from "node:zlib";
import { PAGE_BYTES } from "../../common/address.ts";
import { counted } from "../../common/counts.ts";
import { UserError } from "../../common/errors.ts";
import type { AgentState } from "../agent.ts";
import type { MachineConfig } from "../machine-config.ts";
import type { SavedPage, VirtualMachineState } from "../virtual-machine.ts";
import type { SnapshotState } from "./disk.ts";
import { readWhole } from "./read-file.ts";

const MAGIC = "spevisor snapshot\n";
const FORMAT = 2;
const CHECKSUM_BYTES = 32;
const HEADER_BYTES = MAGIC.length + 4 + CHECKSUM_BYTES;
/** A state's JSON has a few MiB, and its pages are a machine's memory. */
const MOST_HEAD_BYTES = 256 * 1024 ** 2;
const MOST_PAGES_BYTES = 4 * 1024 ** 3;
/** Fast: three quarters of what there is to save are found by the lightest compression. */
const LEVEL = 1;

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
  readonly frames: readonly number[];
}

/** A snapshot whose pages are still being unpacked. */
export interface OpenedSnapshot {
  readonly config: MachineConfig;
  readonly agent: AgentState | undefined;
  readonly disks: readonly (SnapshotState | null)[];
  readonly state: VirtualMachineState;
  readonly pages: Promise<readonly SavedPage[]>;
}

const gunzipped = promisify(gunzip);

/** The file's bytes: magic, format, checksum of the rest, length of the packed head, head, pages. */
export function encodeSnapshot({ config, agent, disks, state, pages }: Snapshot, build: string): Uint8Array {
  const head: Head = { build, config, agent, disks, state, frames: pages.map(({ frame }) => frame) };
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
  const make = "Make one with --save-snapshot";
  const file = readWhole(path, `--snapshot ${path}`, make);
  if (file.subarray(0, MAGIC.length).toString("latin1") !== MAGIC)
    return refuse("no snapshot of spevisor's", make);
  const again = "Save it again: a snapshot is good for the version that wrote it";
  if (file.length < HEADER_BYTES + 4) return refuse(`cut short after ${counted(file.length, "byte")}`, again);
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
  const pagesBytes = head.frames.length * PAGE_BYTES;
  if (pagesBytes > MOST_PAGES_BYTES) return unsound(`${head.frames.length} pages`);
  // In one piece: pieces would be put together once more.
  const options = { chunkSize: Math.max(64, pagesBytes), maxOutputLength: Math.max(64, pagesBytes) };
  const pages = gunzipped(body.subarray(4 + headBytes), options)
    .catch(unsound)
    .then((contents) =>
      contents.length !== pagesBytes
        ? unsound(`${contents.length} bytes in ${head.frames.length} pages`)
        : head.frames.map((frame, i) => ({
            frame,
            words: new Uint32Array(contents.buffer, contents.byteOffset + i * PAGE_BYTES, PAGE_BYTES / 4),
          })),
    );
  // Who finds something else wrong with it does not wait for them.
  pages.catch(() => undefined);
  return { config: head.config, agent: head.agent, disks: head.disks ?? [], state: head.state, pages };
}
