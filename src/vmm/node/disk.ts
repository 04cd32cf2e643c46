/** A raw image file as a disk of the machine. */
import { closeSync, fdatasyncSync, fstatSync, openSync, readSync, writeSync } from "node:fs";
import { type Disk, DiskError, SECTOR_BYTES } from "../../board/virtio/block.ts";
import { UserError } from "../../common/errors.ts";
import { refuseLfsPointer } from "../../common/lfs.ts";
import { formatOf, HEAD_BYTES, TAIL_BYTES } from "../file-formats.ts";
import type { DiskMode } from "../machine-config.ts";
import { IS_DIRECTORY, IS_EMPTY, whyUnreadable } from "./read-file.ts";

export interface DiskOptions {
  /** By default "writable". */
  readonly mode?: DiskMode;
  /** Takes a file as raw whatever it looks like. */
  readonly raw?: boolean;
}

/** What a snapshot has of its own: blocks of BLOCK_BYTES each, as base64, by their number. */
export interface SnapshotState {
  readonly blocks: readonly (readonly [number, string])[];
}

/** A disk that holds a file open until `close`. */
export interface OpenedDisk {
  readonly disk: Disk;
  readonly mode: DiskMode;
  /** The same for two names of one file. */
  readonly identity: string;
  /** What was written to a snapshot; undefined for a disk that writes to its file. */
  save(): SnapshotState | undefined;
  restore(state: SnapshotState): void;
  close(): void;
}

const BLOCK_BYTES = 64 * 1024;

const MAKE_ONE = (path: string): string => `Make one with \`truncate -s 1G ${path}\``;

const codeOf = (error: unknown): string =>
  error instanceof Error && "code" in error ? String(error.code) : String(error);

/** A call to the host's file; if it fails, the medium has. */
function onMedium<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw new DiskError(`the image file: ${codeOf(error)}`, { cause: error });
  }
}

function cannotOpen(path: string, error: unknown, writable: boolean): UserError {
  switch (codeOf(error)) {
    case "ENOENT":
      return new UserError(
        `${path}: ${whyUnreadable(error)}`,
        `${MAKE_ONE(path)}, or name an image that exists`,
      );
    case "EISDIR":
      return isDirectory(path);
    case "EACCES":
    case "EPERM":
    case "EROFS":
      return new UserError(
        `${path}: you may not ${writable ? "read and write" : "read"} it`,
        writable
          ? `Change its permissions, or use it as ${path},snapshot or ${path},readonly: then it need not be written to`
          : "Change its permissions",
      );
    default:
      return new UserError(`${path}: ${whyUnreadable(error)}`);
  }
}

const isDirectory = (path: string): UserError =>
  new UserError(`${path}: ${IS_DIRECTORY}, not an image`, "Share a directory instead of using it as a disk");

/** The file below a disk: whole stretches at byte offsets. */
interface Medium {
  read(atByte: number, bytes: number): Uint8Array;
  write(atByte: number, data: Uint8Array): void;
}

function fileMedium(fd: number): Medium {
  return {
    read: (atByte, bytes) => {
      const data = new Uint8Array(bytes);
      for (let done = 0; done < bytes; ) {
        const count = onMedium(() => readSync(fd, data, done, bytes - done, atByte + done));
        // Cut shorter while the machine runs: what is not there is zeroes.
        if (count === 0) break;
        done += count;
      }
      return data;
    },
    write: (atByte, data) => {
      for (let done = 0; done < data.length; )
        done += onMedium(() => writeSync(fd, data, done, data.length - done, atByte + done));
    },
  };
}

/** Stretches of blocks, each within one. */
function* blocksOf(atByte: number, bytes: number): Generator<{ block: number; from: number; bytes: number }> {
  for (let done = 0; done < bytes; ) {
    const from = (atByte + done) % BLOCK_BYTES;
    const count = Math.min(BLOCK_BYTES - from, bytes - done);
    yield { block: Math.floor((atByte + done) / BLOCK_BYTES), from, bytes: count };
    done += count;
  }
}

/** Copies a block of `below` when it is first written to. */
class Snapshot implements Medium {
  readonly #below: Medium;
  readonly #blocks = new Map<number, Uint8Array>();

  constructor(below: Medium) {
    this.#below = below;
  }

  read(atByte: number, bytes: number): Uint8Array {
    const data = this.#below.read(atByte, bytes);
    let done = 0;
    for (const part of blocksOf(atByte, bytes)) {
      const own = this.#blocks.get(part.block);
      if (own !== undefined) data.set(own.subarray(part.from, part.from + part.bytes), done);
      done += part.bytes;
    }
    return data;
  }

  write(atByte: number, data: Uint8Array): void {
    let done = 0;
    for (const { block, from, bytes } of blocksOf(atByte, data.length)) {
      let own = this.#blocks.get(block);
      if (own === undefined) {
        own = this.#below.read(block * BLOCK_BYTES, BLOCK_BYTES);
        this.#blocks.set(block, own);
      }
      own.set(data.subarray(done, done + bytes), from);
      done += bytes;
    }
  }

  save(): SnapshotState {
    return {
      blocks: [...this.#blocks].map(([block, data]) => [block, Buffer.from(data).toString("base64")]),
    };
  }

  restore({ blocks }: SnapshotState): void {
    this.#blocks.clear();
    for (const [block, data] of blocks) this.#blocks.set(block, new Uint8Array(Buffer.from(data, "base64")));
  }
}

/** Up to `bytes` bytes of a file from an offset. */
function bytesAt(fd: number, atByte: number, bytes: number): Uint8Array {
  const data = new Uint8Array(bytes);
  return data.subarray(0, readSync(fd, data, 0, bytes, atByte));
}

/** Refuses what a raw image cannot be: a guest that wrote to it would damage it. */
function checkFormat(fd: number, path: string, sizeBytes: number): void {
  const head = bytesAt(fd, 0, HEAD_BYTES);
  refuseLfsPointer(path, head);
  const tail = bytesAt(fd, Math.max(0, sizeBytes - TAIL_BYTES), TAIL_BYTES);
  const format = formatOf(head, tail);
  if (format === undefined) return;
  const convert =
    format.toRaw === undefined
      ? "Give a raw image"
      : `Make a raw image of it: ${format.toRaw.replace("FILE", path).replace("RAW", "disk.img")}`;
  throw new UserError(
    `${path}: it is ${format.name}, and not a raw image`,
    `${convert}; or, if the guest is to have these bytes as they are, say ${path},format=raw`,
  );
}

/**
 * Opens a raw image.
 *
 * @throws UserError if it is missing, a directory, empty, in another format, or not made of whole sectors
 */
export function openDisk(path: string, { mode = "writable", raw = false }: DiskOptions = {}): OpenedDisk {
  const writable = mode === "writable";
  let fd: number;
  try {
    fd = openSync(path, writable ? "r+" : "r");
  } catch (error) {
    throw cannotOpen(path, error, writable);
  }
  try {
    const status = fstatSync(fd);
    if (status.isDirectory()) throw isDirectory(path);
    if (!status.isFile())
      throw new UserError(`${path}: it is not a regular file`, "Copy it to an image file");
    if (status.size === 0) throw new UserError(`${path}: ${IS_EMPTY}`, MAKE_ONE(path));
    if (!raw) checkFormat(fd, path, status.size);
    if (status.size % SECTOR_BYTES !== 0)
      throw new UserError(
        `${path}: ${status.size} ${status.size === 1 ? "byte is" : "bytes are"} not whole sectors of ${SECTOR_BYTES} bytes`,
        `A raw image is made of sectors. If it is one, fill it up with \`truncate -s %${SECTOR_BYTES} ${path}\``,
      );
    return opened(fd, status.size / SECTOR_BYTES, mode, `${status.dev}:${status.ino}`);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

function opened(fd: number, sectors: number, mode: DiskMode, identity: string): OpenedDisk {
  const file = fileMedium(fd);
  const own = mode === "snapshot" ? new Snapshot(file) : undefined;
  const medium = own ?? file;
  return {
    disk: {
      sectors,
      readOnly: mode === "readonly",
      read: (sector, count) => medium.read(sector * SECTOR_BYTES, count * SECTOR_BYTES),
      write: (sector, bytes) => medium.write(sector * SECTOR_BYTES, bytes),
      flush: () => {
        if (mode === "writable") onMedium(() => fdatasyncSync(fd));
      },
    },
    mode,
    identity,
    save: () => own?.save(),
    restore: (state) => own?.restore(state),
    close: () => closeSync(fd),
  };
}
