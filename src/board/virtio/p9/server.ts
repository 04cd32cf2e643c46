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
import { qidOf } from "./attributes.ts";
import { type Fid, Fids, type FidsState } from "./fids.ts";
import { Failure, type FileSystem } from "./file-system.ts";
import { type Answer, done, MOST_MESSAGE_BYTES, P9Files } from "./files.ts";
import { HEADER_BYTES, MessageReader, MessageWriter, type Qid, RLERROR, T } from "./messages.ts";
import { below } from "./names.ts";

const LEAST_MESSAGE_BYTES = 4096;
const VERSION = "9P2000.L";
const NO_TAG = 0xffff;
const MOST_WALK_NAMES = 16;
const REMOVE_DIRECTORY = 0x200;
const LOCK_SUCCESS = 0;
const UNLOCKED = 2;

/** A server's state as plain data. */
export interface P9State {
  readonly messageBytes: number;
  readonly fids: FidsState;
}

export class P9Server {
  readonly #fileSystem: FileSystem;
  readonly #fids: Fids;
  readonly #files: P9Files;

  constructor(fileSystem: FileSystem) {
    this.#fileSystem = fileSystem;
    this.#fids = new Fids(fileSystem);
    this.#files = new P9Files(fileSystem, this.#fids);
  }

  /** The reply to a message, which is at most MOST_MESSAGE_BYTES long. */
  answer(message: Uint8Array): Uint8Array {
    const type = message[4] ?? 0;
    const tag = u16At(message, 5);
    const whole =
      message.length >= HEADER_BYTES &&
      message.length <= this.#files.messageBytes &&
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
    return fid instanceof Failure ? fid : this.#ofFid(type, number, fid, r);
  }

  /** A request of a file, whatever its name. */
  #ofFid(type: number, number: number, fid: Fid, r: MessageReader): Answer {
    const fs = this.#fileSystem;
    const files = this.#files;
    switch (type) {
      case T.STATFS:
        return files.statFs();
      case T.LOPEN:
        return files.open(fid, r.u32(), r);
      case T.REMOVE:
        return files.remove(number, fid);
      case T.GETATTR:
        return files.getAttributes(fid);
      case T.SETATTR:
        return files.setAttributes(fid, r);
      case T.READ:
        return files.read(fid, Number(r.u64()), r.u32(), r);
      case T.WRITE: {
        const offset = Number(r.u64());
        return files.write(fid, offset, r.bytes(r.u32()), r);
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
    return fid.nameless ? new Failure("ENOENT") : this.#ofName(type, fid, r);
  }

  /** A request that needs the file's name. */
  #ofName(type: number, fid: Fid, r: MessageReader): Answer {
    const fs = this.#fileSystem;
    const files = this.#files;
    const { path } = fid;
    switch (type) {
      case T.LCREATE:
        return files.create(fid, r.text(), r.u32(), r.u32(), r);
      case T.SYMLINK: {
        const name = r.text();
        const target = r.text();
        return files.make(path, name, r, (made) => fs.makeSymlink(made, target));
      }
      case T.MKDIR: {
        const name = r.text();
        const permissions = r.u32() & 0o7777;
        return files.make(path, name, r, (made) => fs.makeDirectory(made, permissions));
      }
      case T.RENAME:
        return files.renameTo(path, r.u32(), r.text(), r);
      case T.RENAMEAT: {
        const from = below(path, r.text());
        return from instanceof Failure ? from : files.renameTo(from, r.u32(), r.text(), r);
      }
      case T.LINK:
        return files.link(path, r.u32(), r.text(), r);
      case T.UNLINKAT: {
        const gone = below(path, r.text());
        const flags = r.u32();
        if (r.malformed) return new Failure("EPROTO");
        if (gone instanceof Failure) return gone;
        return files.removeAt(gone, (flags & REMOVE_DIRECTORY) !== 0);
      }
      case T.READLINK: {
        const target = fs.readLink(path);
        return target instanceof Failure ? target : new MessageWriter().text(target);
      }
      case T.READDIR:
        return files.readDirectory(fid, Number(r.u64()), r.u32(), r);
      default:
        return new Failure("EOPNOTSUPP");
    }
  }

  #version(messageBytes: number, version: string, r: MessageReader): Answer {
    if (r.malformed || messageBytes < LEAST_MESSAGE_BYTES) return new Failure("EPROTO");
    // A new session: what the old one had in hand is gone.
    this.#fids.clear();
    this.#files.messageBytes = Math.min(messageBytes, MOST_MESSAGE_BYTES);
    return new MessageWriter()
      .u32(this.#files.messageBytes)
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

  /** The client is gone: closes all that it had open. */
  reset(): void {
    this.#fids.clear();
    this.#files.messageBytes = MOST_MESSAGE_BYTES;
  }

  save(): P9State {
    return { messageBytes: this.#files.messageBytes, fids: this.#fids.save() };
  }

  restore(state: P9State): void {
    this.#files.messageBytes = state.messageBytes;
    this.#fids.restore(state.fids);
  }
}
