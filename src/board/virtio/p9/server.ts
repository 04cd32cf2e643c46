/**
 * A 9P2000.L server, as Linux's v9fs uses it (net/9p/client.c has the requests). One message in, one message out;
 * whatever a guest sends gets an answer. Authentication, device nodes and extended attributes are refused.
 *
 * A fid is a file, and not the name it was found by: what the client renames, its fids follow, and a file that has lost
 * its name is reached through what is open of it. Linux asks for much of that with a fid that is not open, since it
 * keeps one for each name that it knows (fs/9p/fid.c, v9fs_fid_find): fstat and fchmod of an open file come with it.
 * What others than the client rename or replace is found by its name when it is opened the next time.
 */
import { u16At, u32At } from "../memory.ts";
import { attributesReply, qidOf, readChanges } from "./attributes.ts";
import { type Fid, Fids, type FidsState } from "./fids.ts";
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
import { HEADER_BYTES, MessageReader, MessageWriter, QID_BYTES, type Qid, RLERROR, T } from "./messages.ts";
import { below, MOST_NAME_BYTES } from "./names.ts";

/** Bytes of a message at most; Linux asks for 128 KiB unless its `msize` option says otherwise. */
export const MOST_MESSAGE_BYTES = 512 * 1024;
const LEAST_MESSAGE_BYTES = 4096;
const VERSION = "9P2000.L";
const NO_TAG = 0xffff;
const MOST_WALK_NAMES = 16;
/** Names that open directories have ready before one more is refused: a client could open a large one again and again. */
const MOST_NAMES = 2 ** 20;
/** Size, type and tag, and a count: what comes before the data of a reply. */
const DATA_HEADER_BYTES = HEADER_BYTES + 4;
/** Open flags (P9_DOTL_*). */
const OPEN = { ACCESS: 3, WRITE: 1, READ_WRITE: 2, EXCLUSIVE: 0o200, TRUNCATE: 0o1000 } as const;
/** File types of directory entries (include/linux/fs_types.h) are the type bits of a mode. */
const ENTRY_TYPE_SHIFT = 12;
const REMOVE_DIRECTORY = 0x200;
const LOCK_SUCCESS = 0;
const UNLOCKED = 2;

const TO_WRITE: OpenMode = { read: false, write: true, truncate: false, exclusive: false };

type Answer = Result<MessageWriter>;

/** A server's state as plain data. */
export interface P9State {
  readonly messageBytes: number;
  readonly fids: FidsState;
}

const openMode = (flags: number): OpenMode => ({
  read: (flags & OPEN.ACCESS) !== OPEN.WRITE,
  write: (flags & OPEN.ACCESS) === OPEN.WRITE || (flags & OPEN.ACCESS) === OPEN.READ_WRITE,
  truncate: (flags & OPEN.TRUNCATE) !== 0,
  exclusive: (flags & OPEN.EXCLUSIVE) !== 0,
});

export class P9Server {
  readonly #fileSystem: FileSystem;
  readonly #fids: Fids;
  #messageBytes = MOST_MESSAGE_BYTES;

  constructor(fileSystem: FileSystem) {
    this.#fileSystem = fileSystem;
    this.#fids = new Fids(fileSystem);
  }

  /** The reply to a message, which is at most MOST_MESSAGE_BYTES long. */
  answer(message: Uint8Array): Uint8Array {
    const type = message[4] ?? 0;
    const tag = u16At(message, 5);
    const whole =
      message.length >= HEADER_BYTES &&
      message.length <= this.#messageBytes &&
      u32At(message, 0) === message.length;
    const answer = whole ? this.#request(type, new MessageReader(message)) : new Failure("EPROTO");
    return answer instanceof Failure
      ? new MessageWriter().u32(answer.errno).message(RLERROR, tag)
      : answer.message(type + 1, type === T.VERSION ? NO_TAG : tag);
  }

  #request(type: number, r: MessageReader): Answer {
    switch (type) {
      case T.VERSION:
        return this.#version(r.u32(), r.text(), r);
      case T.AUTH:
        return new Failure("EOPNOTSUPP");
      case T.FLUSH:
        // Every request is answered before the next is read: there is nothing to wait for.
        return new MessageWriter();
      case T.ATTACH:
        return this.#attach(r.u32(), r);
      case T.WALK:
        return this.#walk(r);
      case T.CLUNK:
        return done(this.#fids.drop(r.u32()));
      case T.MKNOD:
        return new Failure("EPERM");
      case T.XATTRWALK:
      case T.XATTRCREATE:
        return new Failure("EOPNOTSUPP");
    }
    // All others name a fid first.
    const number = r.u32();
    const fid = this.#fids.get(number);
    if (fid instanceof Failure) return fid;
    const fs = this.#fileSystem;
    switch (type) {
      case T.STATFS:
        return this.#statFs();
      case T.LOPEN:
        return this.#open(fid, r.u32(), r);
      case T.REMOVE:
        return this.#remove(number, fid);
      case T.GETATTR:
        return this.#getAttributes(fid);
      case T.SETATTR:
        return this.#setAttributes(fid, r);
      case T.READ:
        return this.#read(fid, Number(r.u64()), r.u32(), r);
      case T.WRITE: {
        const offset = Number(r.u64());
        return this.#write(fid, offset, r.bytes(r.u32()), r);
      }
      case T.FSYNC:
        if (fid.handle !== undefined) return done(fs.sync(fid.handle));
        // What is not open has nothing to write; what is open without a handle was lost.
        return fid.mode !== undefined ? new Failure("EBADF") : new MessageWriter();
      case T.LOCK:
        // One client: its own kernel has settled whose the lock is.
        return new MessageWriter().u8(LOCK_SUCCESS);
      case T.GETLOCK: {
        r.u8();
        const [start, length, process, client] = [r.u64(), r.u64(), r.u32(), r.text()];
        if (r.malformed) return new Failure("EPROTO");
        return new MessageWriter().u8(UNLOCKED).u64(start).u64(length).u32(process).text(client);
      }
    }
    // These need its name.
    if (fid.nameless) return new Failure("ENOENT");
    const { path } = fid;
    switch (type) {
      case T.LCREATE:
        return this.#create(fid, r.text(), r.u32(), r.u32(), r);
      case T.SYMLINK: {
        const name = r.text();
        const target = r.text();
        return this.#make(path, name, r, (made) => fs.makeSymlink(made, target));
      }
      case T.MKDIR: {
        const name = r.text();
        const permissions = r.u32() & 0o7777;
        return this.#make(path, name, r, (made) => fs.makeDirectory(made, permissions));
      }
      case T.RENAME:
        return this.#renameTo(path, r.u32(), r.text(), r);
      case T.RENAMEAT: {
        const from = below(path, r.text());
        return from instanceof Failure ? from : this.#renameTo(from, r.u32(), r.text(), r);
      }
      case T.LINK:
        return this.#link(path, r.u32(), r.text(), r);
      case T.UNLINKAT: {
        const gone = below(path, r.text());
        const flags = r.u32();
        if (r.malformed) return new Failure("EPROTO");
        if (gone instanceof Failure) return gone;
        return this.#removeAt(gone, (flags & REMOVE_DIRECTORY) !== 0);
      }
      case T.READLINK: {
        const target = fs.readLink(path);
        return target instanceof Failure ? target : new MessageWriter().text(target);
      }
      case T.READDIR:
        return this.#readDirectory(fid, Number(r.u64()), r.u32(), r);
      default:
        return new Failure("EOPNOTSUPP");
    }
  }

  #version(messageBytes: number, version: string, r: MessageReader): Answer {
    if (r.malformed || messageBytes < LEAST_MESSAGE_BYTES) return new Failure("EPROTO");
    // A new session: what the old one had in hand is gone.
    this.#fids.clear();
    this.#messageBytes = Math.min(messageBytes, MOST_MESSAGE_BYTES);
    return new MessageWriter()
      .u32(this.#messageBytes)
      .text(version.startsWith(VERSION) ? VERSION : "unknown");
  }

  #attach(number: number, r: MessageReader): Answer {
    if (r.malformed) return new Failure("EPROTO");
    const root = this.#fileSystem.attributes([]);
    if (root instanceof Failure) return root;
    const fid = this.#fids.add(number, { path: [], inode: root.inode, nameless: false });
    return fid instanceof Failure ? fid : new MessageWriter().qid(qidOf(root));
  }

  #walk(r: MessageReader): Answer {
    const from = this.#fids.get(r.u32());
    const number = r.u32();
    const count = r.u16();
    if (count > MOST_WALK_NAMES) return new Failure("EINVAL");
    const names = Array.from({ length: count }, () => r.text());
    if (r.malformed) return new Failure("EPROTO");
    if (from instanceof Failure) return from;
    if (from.nameless && count > 0) return new Failure("ENOENT");
    let { path, inode } = from;
    const qids: Qid[] = [];
    for (const name of names) {
      // The root's parent is the root.
      const next = name === ".." ? path.slice(0, -1) : below(path, name);
      const found = next instanceof Failure ? next : this.#fileSystem.attributes(next);
      if (next instanceof Failure || found instanceof Failure) {
        // A walk that comes to a name that is not there succeeds in part, and leaves the fids alone.
        if (qids.length === 0) return found instanceof Failure ? found : new Failure("ENOENT");
        break;
      }
      path = next;
      inode = found.inode;
      qids.push(qidOf(found));
    }
    if (qids.length === names.length) {
      const itself = this.#fids.get(number);
      if (itself === from && from.mode === undefined) Object.assign(from, { path, inode });
      else {
        const made = this.#fids.add(number, { path, inode, nameless: from.nameless });
        if (made instanceof Failure) return made;
      }
    }
    const writer = new MessageWriter().u16(qids.length);
    for (const qid of qids) writer.qid(qid);
    return writer;
  }

  #statFs(): Answer {
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

  #open(fid: Fid, flags: number, r: MessageReader): Answer {
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

  #create(fid: Fid, name: string, flags: number, permissions: number, r: MessageReader): Answer {
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
  #make(directory: Path, name: string, r: MessageReader, make: (path: Path) => Result<void>): Answer {
    if (r.malformed) return new Failure("EPROTO");
    const path = below(directory, name);
    if (path instanceof Failure) return path;
    const failed = make(path);
    if (failed instanceof Failure) return failed;
    const made = this.#fileSystem.attributes(path);
    return made instanceof Failure ? made : new MessageWriter().qid(qidOf(made));
  }

  #renameTo(from: Path, directory: number, name: string, r: MessageReader): Answer {
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

  #link(directory: Path, existing: number, name: string, r: MessageReader): Answer {
    const fid = this.#fids.get(existing);
    if (r.malformed) return new Failure("EPROTO");
    if (fid instanceof Failure) return fid;
    if (fid.nameless) return new Failure("ENOENT");
    const to = below(directory, name);
    return to instanceof Failure ? to : done(this.#fileSystem.link(fid.path, to));
  }

  /** The fid is gone afterwards, even if the file is not. */
  #remove(number: number, fid: Fid): Answer {
    const { path, nameless } = fid;
    this.#fids.drop(number);
    if (nameless) return new Failure("ENOENT");
    const found = path.length === 0 ? new Failure("EBUSY") : this.#fileSystem.attributes(path);
    if (found instanceof Failure) return found;
    return this.#removeAt(path, (found.mode & MODE.TYPE) === MODE.DIRECTORY);
  }

  #removeAt(path: Path, directory: boolean): Answer {
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

  #getAttributes(fid: Fid): Answer {
    const file = this.#fileOf(fid);
    return file instanceof Failure ? file : attributesReply(file.found);
  }

  #setAttributes(fid: Fid, r: MessageReader): Answer {
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
    return Math.min(count, this.#messageBytes - DATA_HEADER_BYTES);
  }

  /** Entries from a cookie on: the cookie of an entry is its place in the list, from 1 on. */
  #readDirectory(fid: Fid, offset: number, count: number, r: MessageReader): Answer {
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

  #read(fid: Fid, offset: number, count: number, r: MessageReader): Answer {
    if (r.malformed) return new Failure("EPROTO");
    if (fid.names !== undefined) return new Failure("EISDIR");
    if (fid.handle === undefined || fid.mode?.read !== true) return new Failure("EBADF");
    if (!Number.isSafeInteger(offset)) return new Failure("EINVAL");
    const data = this.#fileSystem.read(fid.handle, offset, this.#room(count));
    return data instanceof Failure ? data : new MessageWriter().u32(data.length).bytes(data);
  }

  #write(fid: Fid, offset: number, data: Uint8Array, r: MessageReader): Answer {
    if (r.malformed) return new Failure("EPROTO");
    if (fid.handle === undefined || fid.mode?.write !== true) return new Failure("EBADF");
    if (!Number.isSafeInteger(offset + data.length)) return new Failure("EFBIG");
    const written = this.#fileSystem.write(fid.handle, offset, data);
    return written instanceof Failure ? written : new MessageWriter().u32(written);
  }

  /** The client is gone: closes all that it had open. */
  reset(): void {
    this.#fids.clear();
    this.#messageBytes = MOST_MESSAGE_BYTES;
  }

  save(): P9State {
    return { messageBytes: this.#messageBytes, fids: this.#fids.save() };
  }

  restore(state: P9State): void {
    this.#messageBytes = state.messageBytes;
    this.#fids.restore(state.fids);
  }
}

/** The empty reply, or the failure. */
function done(outcome: Result<unknown>): Answer {
  return outcome instanceof Failure ? outcome : new MessageWriter();
}
