/** 9P2000.L on the wire: message types (Linux, include/net/9p/9p.h), a reader and a writer of fields. */
import { concat } from "../../../common/bytes.ts";
import { u16At, u16Bytes, u32At, u32Bytes } from "../memory.ts";

/** Types of requests; a reply's is one more. */
export const T = {
  STATFS: 8,
  LOPEN: 12,
  LCREATE: 14,
  SYMLINK: 16,
  MKNOD: 18,
  RENAME: 20,
  READLINK: 22,
  GETATTR: 24,
  SETATTR: 26,
  XATTRWALK: 30,
  XATTRCREATE: 32,
  READDIR: 40,
  FSYNC: 50,
  LOCK: 52,
  GETLOCK: 54,
  LINK: 70,
  MKDIR: 72,
  RENAMEAT: 74,
  UNLINKAT: 76,
  VERSION: 100,
  AUTH: 102,
  ATTACH: 104,
  FLUSH: 108,
  WALK: 110,
  READ: 116,
  WRITE: 118,
  CLUNK: 120,
  REMOVE: 122,
} as const;
export const RLERROR = 7;
/** Size, type and tag. */
export const HEADER_BYTES = 7;
export const QID_BYTES = 13;

/** Fields of a message. Past its end, fields are empty and `malformed` is set. */
export class MessageReader {
  readonly #bytes: Uint8Array;
  #at = HEADER_BYTES;
  malformed = false;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  bytes(count: number): Uint8Array {
    if (this.#at + count > this.#bytes.length) {
      this.malformed = true;
      return new Uint8Array(0);
    }
    this.#at += count;
    return this.#bytes.subarray(this.#at - count, this.#at);
  }

  u8(): number {
    return this.bytes(1)[0] ?? 0;
  }

  u16(): number {
    return u16At(this.bytes(2), 0);
  }

  u32(): number {
    return u32At(this.bytes(4), 0);
  }

  u64(): bigint {
    const bytes = this.bytes(8);
    return (BigInt(u32At(bytes, 4)) << 32n) | BigInt(u32At(bytes, 0));
  }

  /** A string's bytes, a character for each: names of files need not be UTF-8. */
  text(): string {
    let text = "";
    for (const byte of this.bytes(this.u16())) text += String.fromCharCode(byte);
    return text;
  }
}

/** The type, version and inode of a file (qid). */
export interface Qid {
  readonly type: number;
  readonly version: number;
  readonly path: bigint;
}

/** The body of a reply, field by field. */
export class MessageWriter {
  readonly #parts: Uint8Array[] = [];

  bytes(bytes: Uint8Array): this {
    this.#parts.push(bytes);
    return this;
  }

  u8(value: number): this {
    return this.bytes(Uint8Array.of(value));
  }

  u16(value: number): this {
    return this.bytes(u16Bytes(value));
  }

  u32(value: number): this {
    return this.bytes(u32Bytes(value));
  }

  u64(value: bigint): this {
    return this.u32(Number(value & 0xffff_ffffn)).u32(Number((value >> 32n) & 0xffff_ffffn));
  }

  /** A string of bytes, a character for each. */
  text(value: string): this {
    return this.u16(value.length).bytes(Uint8Array.from(value, (byte) => byte.charCodeAt(0)));
  }

  qid({ type, version, path }: Qid): this {
    return this.u8(type).u32(version).u64(path);
  }

  body(): Uint8Array {
    return concat(this.#parts);
  }

  /** The whole message. */
  message(type: number, tag: number): Uint8Array {
    const body = this.body();
    return concat([u32Bytes(HEADER_BYTES + body.length), Uint8Array.of(type), u16Bytes(tag), body]);
  }
}
