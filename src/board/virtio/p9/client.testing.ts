/** For tests: a 9P2000.L client that speaks as Linux's net/9p/client.c does. */
import { u16At, u32At } from "../memory.ts";
import { ERRNO } from "./file-system.ts";
import { MessageReader, MessageWriter, type Qid, RLERROR, T } from "./messages.ts";

/** A reply that is an error; `message` is the name of its number. */
export class P9Error extends Error {
  constructor(errno: number) {
    super(Object.entries(ERRNO).find(([, number]) => number === errno)?.[0] ?? `errno ${errno}`);
  }
}

export const FLAGS = { RDONLY: 0, WRONLY: 1, RDWR: 2, EXCL: 0o200, TRUNC: 0o1000 } as const;

export interface Entry {
  readonly name: string;
  readonly type: number;
  readonly cookie: bigint;
  readonly qid: Qid;
}

const writer = (): MessageWriter => new MessageWriter();

export class P9Client {
  readonly #send: (message: Uint8Array) => Uint8Array;
  #tag = 0;
  #fid = 100;

  /** @param send a request, and its reply */
  constructor(send: (message: Uint8Array) => Uint8Array) {
    this.#send = send;
  }

  /** A request; its reply's fields. */
  rpc(type: number, body: MessageWriter): MessageReader {
    this.#tag = (this.#tag + 1) & 0x7fff;
    const tag = type === T.VERSION ? 0xffff : this.#tag;
    const reply = this.#send(body.message(type, tag));
    // p9_parse_header: the size is that of the reply, and the tag the request's.
    if (u32At(reply, 0) !== reply.length)
      throw new Error(`a reply of ${reply.length} bytes says ${u32At(reply, 0)}`);
    if (u16At(reply, 5) !== tag) throw new Error("another request's tag");
    const reader = new MessageReader(reply);
    if (reply[4] === RLERROR) throw new P9Error(reader.u32());
    if (reply[4] !== type + 1) throw new Error(`a reply of type ${reply[4]}`);
    return reader;
  }

  version(messageBytes: number, version = "9P2000.L"): { messageBytes: number; version: string } {
    const reply = this.rpc(T.VERSION, writer().u32(messageBytes).text(version));
    return { messageBytes: reply.u32(), version: reply.text() };
  }

  /** Attaches to the root: its fid. */
  attach(): number {
    const fid = this.#fid++;
    this.rpc(T.ATTACH, writer().u32(fid).u32(0xffff_ffff).text("root").text("").u32(0));
    return fid;
  }

  #qid(reply: MessageReader): Qid {
    return { type: reply.u8(), version: reply.u32(), path: reply.u64() };
  }

  /** A new fid for a path, or undefined if the walk ended before it. */
  tryWalk(from: number, names: readonly string[]): number | undefined {
    const fid = this.#fid++;
    const body = writer().u32(from).u32(fid).u16(names.length);
    for (const name of names) body.text(name);
    return this.rpc(T.WALK, body).u16() === names.length ? fid : undefined;
  }

  walk(from: number, path: string): number {
    const fid = this.tryWalk(from, path === "" ? [] : path.split("/"));
    if (fid === undefined) throw new P9Error(ERRNO.ENOENT);
    return fid;
  }

  open(fid: number, flags: number): Qid {
    return this.#qid(this.rpc(T.LOPEN, writer().u32(fid).u32(flags)));
  }

  /** Makes a file in the directory of a fid, which becomes the file's. */
  create(fid: number, name: string, flags: number, mode = 0o644): Qid {
    return this.#qid(this.rpc(T.LCREATE, writer().u32(fid).text(name).u32(flags).u32(mode).u32(0)));
  }

  read(fid: number, offset: number, count: number): Uint8Array {
    const reply = this.rpc(T.READ, writer().u32(fid).u64(BigInt(offset)).u32(count));
    return reply.bytes(reply.u32()).slice();
  }

  write(fid: number, offset: number, data: Uint8Array): number {
    const body = writer().u32(fid).u64(BigInt(offset)).u32(data.length).bytes(data);
    return this.rpc(T.WRITE, body).u32();
  }

  readDirectory(fid: number, offset = 0n, count = 8192): Entry[] {
    const reply = this.rpc(T.READDIR, writer().u32(fid).u64(offset).u32(count));
    const bytes = reply.u32();
    const entries: Entry[] = [];
    for (let used = 0; used < bytes; ) {
      const qid = this.#qid(reply);
      const cookie = reply.u64();
      const type = reply.u8();
      const name = reply.text();
      entries.push({ name, type, cookie, qid });
      used += 24 + name.length;
    }
    return entries;
  }

  attributes(fid: number) {
    const reply = this.rpc(T.GETATTR, writer().u32(fid).u64(0x7ffn));
    const valid = reply.u64();
    const qid = this.#qid(reply);
    const [mode, uid, gid] = [reply.u32(), reply.u32(), reply.u32()];
    const [links, device, size, blockBytes, blocks] = [0, 0, 0, 0, 0].map(() => reply.u64());
    const times = [0, 0, 0].map(() => [reply.u64(), reply.u64()]);
    return { valid, qid, mode, uid, gid, links, device, size, blockBytes, blocks, times };
  }

  setAttributes(
    fid: number,
    valid: number,
    set: { mode?: number; size?: bigint; mtime?: readonly [bigint, bigint] },
  ): void {
    const [seconds, ns] = set.mtime ?? [0n, 0n];
    const body = writer()
      .u32(fid)
      .u32(valid)
      .u32(set.mode ?? 0)
      .u32(0)
      .u32(0)
      .u64(set.size ?? 0n);
    this.rpc(T.SETATTR, body.u64(0n).u64(0n).u64(seconds).u64(ns));
  }

  makeDirectory(fid: number, name: string, mode = 0o755): Qid {
    return this.#qid(this.rpc(T.MKDIR, writer().u32(fid).text(name).u32(mode).u32(0)));
  }

  makeSymlink(fid: number, name: string, target: string): Qid {
    return this.#qid(this.rpc(T.SYMLINK, writer().u32(fid).text(name).text(target).u32(0)));
  }

  readLink(fid: number): string {
    return this.rpc(T.READLINK, writer().u32(fid)).text();
  }

  link(directory: number, fid: number, name: string): void {
    this.rpc(T.LINK, writer().u32(directory).u32(fid).text(name));
  }

  renameAt(from: number, name: string, to: number, newName: string): void {
    this.rpc(T.RENAMEAT, writer().u32(from).text(name).u32(to).text(newName));
  }

  rename(fid: number, directory: number, name: string): void {
    this.rpc(T.RENAME, writer().u32(fid).u32(directory).text(name));
  }

  unlinkAt(directory: number, name: string, flags = 0): void {
    this.rpc(T.UNLINKAT, writer().u32(directory).text(name).u32(flags));
  }

  remove(fid: number): void {
    this.rpc(T.REMOVE, writer().u32(fid));
  }

  clunk(fid: number): void {
    this.rpc(T.CLUNK, writer().u32(fid));
  }
}
