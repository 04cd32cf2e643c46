/**
 * What a 9P client asks of a fid's file, carried out on a file system: each request with its answer. A fid is a file, and not
 * the name it was found by (see server.ts).
 */
import { attributesReply, qidOf, readChanges } from "./attributes.ts";
import type { Fid, Fids } from "./fids.ts";
import {
  type Attributes,
  Failure,
  type FileSystem,
  type Handle,
  MODE,
  type OpenMode,
  type Path,
  type Result,
} from "./file-system.ts";
import { HEADER_BYTES, type MessageReader, MessageWriter, QID_BYTES } from "./messages.ts";
import { below, MOST_NAME_BYTES } from "./names.ts";

/** Bytes of a message at most; Linux asks for 128 KiB unless its `msize` option says otherwise. */
export const MOST_MESSAGE_BYTES = 512 * 1024;
/** Names that open directories have ready before one more is refused: a client could open a large one again and again. */
const MOST_NAMES = 2 ** 20;
/** Size, type and tag, and a count: what comes before the data of a reply. */
const DATA_HEADER_BYTES = HEADER_BYTES + 4;
/** Open flags (P9_DOTL_*). */
const OPEN = { ACCESS: 3, WRITE: 1, READ_WRITE: 2, EXCLUSIVE: 0o200, TRUNCATE: 0o1000 } as const;
/** File types of directory entries (include/linux/fs_types.h) are the type bits of a mode. */
const ENTRY_TYPE_SHIFT = 12;

const TO_WRITE: OpenMode = { read: false, write: true, truncate: false, exclusive: false };

/** The body of a reply, or why there is none. */
export type Answer = Result<MessageWriter>;

const openMode = (flags: number): OpenMode => ({
  read: (flags & OPEN.ACCESS) !== OPEN.WRITE,
  write: (flags & OPEN.ACCESS) === OPEN.WRITE || (flags & OPEN.ACCESS) === OPEN.READ_WRITE,
  truncate: (flags & OPEN.TRUNCATE) !== 0,
  exclusive: (flags & OPEN.EXCLUSIVE) !== 0,
});

export class P9Files {
  readonly #fileSystem: FileSystem;
  readonly #fids: Fids;
  /** Bytes of a message at most, as client and server have agreed. */
  messageBytes = MOST_MESSAGE_BYTES;

  constructor(fileSystem: FileSystem, fids: Fids) {
    this.#fileSystem = fileSystem;
    this.#fids = fids;
  }

  statFs(): Answer {
    const space = this.#fileSystem.space();
    if (space instanceof Failure) return space;
    return new MessageWriter()
      .u32(Number(BigInt.asUintN(32, space.type)))
      .u32(Number(BigInt.asUintN(32, space.blockBytes)))
      .u64(space.blocks)
      .u64(space.freeBlocks)
      .u64(space.availableBlocks)
      .u64(space.files)
      .u64(space.freeFiles)
      .u64(0n)
      .u32(MOST_NAME_BYTES);
  }

  open(fid: Fid, flags: number, r: MessageReader): Answer {
    if (r.malformed) return new Failure("EPROTO");
    if (fid.mode !== undefined) return new Failure("EBADF");
    const mode = openMode(flags);
    const other = fid.nameless ? this.#fids.opened(fid.inode) : undefined;
    if (fid.nameless && other === undefined) return new Failure("ENOENT");
    const fs = this.#fileSystem;
    return this.#opened(fid, mode, other === undefined ? fs.open(fid.path, mode) : fs.reopen(other, mode));
  }

  /** A fid has been opened: the answer. */
  #opened(fid: Fid, mode: OpenMode, handle: Result<Handle>): Answer {
    if (handle instanceof Failure) return handle;
    const found = this.#fileSystem.attributesOf(handle);
    if (found instanceof Failure) {
      this.#fileSystem.close(handle);
      return found;
    }
    const names = (found.mode & MODE.TYPE) === MODE.DIRECTORY ? [] : undefined;
    Object.assign(fid, { handle, mode, names, inode: found.inode });
    // An I/O unit of 0 leaves it to the size of messages.
    return new MessageWriter().qid(qidOf(found)).u32(0);
  }

  create(fid: Fid, name: string, flags: number, permissions: number, r: MessageReader): Answer {
    if (r.malformed) return new Failure("EPROTO");
    if (fid.mode !== undefined) return new Failure("EBADF");
    const path = below(fid.path, name);
    if (path instanceof Failure) return path;
    const mode = openMode(flags);
    const answer = this.#opened(fid, mode, this.#fileSystem.create(path, mode, permissions & 0o7777));
    // The directory's fid has become the new file's.
    if (!(answer instanceof Failure)) fid.path = path;
    return answer;
  }

  /** Makes something that has a name and a qid. */
  make(directory: Path, name: string, r: MessageReader, make: (path: Path) => Result<void>): Answer {
    if (r.malformed) return new Failure("EPROTO");
    const path = below(directory, name);
    if (path instanceof Failure) return path;
    const failed = make(path);
    if (failed instanceof Failure) return failed;
    const made = this.#fileSystem.attributes(path);
    return made instanceof Failure ? made : new MessageWriter().qid(qidOf(made));
  }

  renameTo(from: Path, directory: number, name: string, r: MessageReader): Answer {
    const into = this.#fids.get(directory);
    if (r.malformed) return new Failure("EPROTO");
    if (into instanceof Failure) return into;
    if (into.nameless) return new Failure("ENOENT");
    const to = below(into.path, name);
    if (to instanceof Failure) return to;
    if (from.length === 0) return new Failure("EBUSY");
    const [moving, replaced] = [this.#fileSystem.attributes(from), this.#fileSystem.attributes(to)];
    // rename(2): nothing happens where both are names of one file. A name of another case may be the only one.
    if (!(moving instanceof Failure || replaced instanceof Failure))
      if (moving.inode === replaced.inode && (moving.links > 1n || String(from) === String(to)))
        return new MessageWriter();
    const failed = this.#fileSystem.rename(from, to);
    if (failed instanceof Failure) return failed;
    this.#fids.moved(from, to);
    return new MessageWriter();
  }

  link(directory: Path, existing: number, name: string, r: MessageReader): Answer {
    const fid = this.#fids.get(existing);
    if (r.malformed) return new Failure("EPROTO");
    if (fid instanceof Failure) return fid;
    if (fid.nameless) return new Failure("ENOENT");
    const to = below(directory, name);
    return to instanceof Failure ? to : done(this.#fileSystem.link(fid.path, to));
  }

  /** The fid is gone afterwards, even if the file is not. */
  remove(number: number, fid: Fid): Answer {
    const { path, nameless } = fid;
    this.#fids.drop(number);
    if (nameless) return new Failure("ENOENT");
    const found = path.length === 0 ? new Failure("EBUSY") : this.#fileSystem.attributes(path);
    if (found instanceof Failure) return found;
    return this.removeAt(path, (found.mode & MODE.TYPE) === MODE.DIRECTORY);
  }

  removeAt(path: Path, directory: boolean): Answer {
    const fs = this.#fileSystem;
    const failed = directory ? fs.removeDirectory(path) : fs.removeFile(path);
    if (failed instanceof Failure) return failed;
    this.#fids.removed(path);
    return new MessageWriter();
  }

  /** A fid's file: what is at its path, if that is the file, or else what is open of it. */
  #fileOf(fid: Fid): Result<{ readonly found: Attributes; readonly handle: Handle | undefined }> {
    const there = fid.nameless ? new Failure("ENOENT") : this.#fileSystem.attributes(fid.path);
    const isIt = !(there instanceof Failure) && there.inode === fid.inode;
    const handle = fid.handle ?? (isIt ? undefined : this.#fids.opened(fid.inode));
    const found = handle === undefined ? there : this.#fileSystem.attributesOf(handle);
    return found instanceof Failure ? found : { found, handle };
  }

  getAttributes(fid: Fid): Answer {
    const file = this.#fileOf(fid);
    return file instanceof Failure ? file : attributesReply(file.found);
  }

  setAttributes(fid: Fid, r: MessageReader): Answer {
    const { sizeBytes, ...others } = readChanges(r);
    if (r.malformed) return new Failure("EPROTO");
    const file = this.#fileOf(fid);
    if (file instanceof Failure) return file;
    const { handle } = file;
    const fs = this.#fileSystem;
    const all = sizeBytes === undefined ? others : { ...others, sizeBytes };
    if (handle === undefined) return done(fs.setAttributes(fid.path, all));
    if (sizeBytes !== undefined) {
      const failed = this.#truncate(fid, handle, sizeBytes);
      if (failed instanceof Failure) return failed;
    }
    return done(fs.setAttributesOf(handle, others));
  }

  /** Who has the file open for writing may truncate it, whatever its mode is now; others as its mode lets them. */
  #truncate(fid: Fid, handle: Handle, sizeBytes: bigint): Result<void> {
    const fs = this.#fileSystem;
    const own = fid.mode?.write === true ? fid.handle : this.#fids.opened(fid.inode, true);
    if (own !== undefined) return fs.setAttributesOf(own, { sizeBytes });
    const opened = fs.reopen(handle, TO_WRITE);
    if (opened instanceof Failure) return opened;
    const outcome = fs.setAttributesOf(opened, { sizeBytes });
    fs.close(opened);
    return outcome;
  }

  /** Bytes of data that a reply has room for. */
  #room(count: number): number {
    return Math.min(count, this.messageBytes - DATA_HEADER_BYTES);
  }

  /** Entries from a cookie on: the cookie of an entry is its place in the list, from 1 on. */
  readDirectory(fid: Fid, offset: number, count: number, r: MessageReader): Answer {
    if (r.malformed) return new Failure("EPROTO");
    if (fid.names === undefined) return new Failure("EBADF");
    if (offset === 0) {
      fid.names = [];
      if (this.#fids.names > MOST_NAMES) return new Failure("ENOMEM");
      const names = this.#fileSystem.list(fid.path);
      if (names instanceof Failure) return names;
      fid.names = [".", "..", ...names];
    }
    const room = this.#room(count);
    const data = new MessageWriter();
    let used = 0;
    for (let i = offset; i < fid.names.length; i++) {
      const name = fid.names[i] ?? "";
      const bytes = QID_BYTES + 8 + 1 + 2 + name.length;
      if (used + bytes > room) break;
      const path = name === "." ? fid.path : name === ".." ? fid.path.slice(0, -1) : [...fid.path, name];
      const found = this.#fileSystem.attributes(path);
      // Gone since the list was made.
      if (found instanceof Failure) continue;
      data
        .qid(qidOf(found))
        .u64(BigInt(i + 1))
        .u8(found.mode >> ENTRY_TYPE_SHIFT)
        .text(name);
      used += bytes;
    }
    return new MessageWriter().u32(used).bytes(data.body());
  }

  read(fid: Fid, offset: number, count: number, r: MessageReader): Answer {
    if (r.malformed) return new Failure("EPROTO");
    if (fid.names !== undefined) return new Failure("EISDIR");
    if (fid.handle === undefined || fid.mode?.read !== true) return new Failure("EBADF");
    if (!Number.isSafeInteger(offset)) return new Failure("EINVAL");
    const data = this.#fileSystem.read(fid.handle, offset, this.#room(count));
    return data instanceof Failure ? data : new MessageWriter().u32(data.length).bytes(data);
  }

  write(fid: Fid, offset: number, data: Uint8Array, r: MessageReader): Answer {
    if (r.malformed) return new Failure("EPROTO");
    if (fid.handle === undefined || fid.mode?.write !== true) return new Failure("EBADF");
    if (!Number.isSafeInteger(offset + data.length)) return new Failure("EFBIG");
    const written = this.#fileSystem.write(fid.handle, offset, data);
    return written instanceof Failure ? written : new MessageWriter().u32(written);
  }
}

/** The empty reply, or the failure. */
export function done(outcome: Result<unknown>): Answer {
  return outcome instanceof Failure ? outcome : new MessageWriter();
}
