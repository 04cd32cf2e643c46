/** Bytes in the making: a buffer that grows, with LEB128 numbers. */

import { BrokenInvariant, invariant } from "../common/errors.ts";
import { MAX_U32 } from "./types.ts";

const floatView = new DataView(new ArrayBuffer(8));

/** Bytes that there is always room for beyond `limit`: more than an instruction without a list takes. */
const SLACK = 32;

/**
 * A growing byte buffer. The opN methods write one instruction each. A translator spends its time in them: they
 * compare once, with a limit that leaves room for any instruction, and numbers of one byte go first.
 */
export class ByteWriter {
  declare bytes: Uint8Array;
  /** Where the next byte goes: how many there are. */
  pos = 0;
  /** Up to here an instruction has room without asking. */
  declare private limit: number;

  /** Writes into `buffer` until it needs more room. */
  constructor(buffer: Uint8Array = new Uint8Array(256)) {
    this.bytes = buffer;
    this.limit = buffer.length - SLACK;
  }

  /** Makes room for `count` more bytes. */
  reserve(count: number): void {
    if (this.pos + count > this.limit) this.grow(count);
  }

  private grow(count: number): void {
    const needed = this.pos + count + SLACK;
    if (needed > MAX_U32) throw new BrokenInvariant(`a module has fewer than 2^32 bytes, not ${needed}`);
    const bigger = new Uint8Array(Math.min(Math.max(this.bytes.length * 2, needed), MAX_U32));
    bigger.set(this.bytes.subarray(0, this.pos));
    this.bytes = bigger;
    this.limit = bigger.length - SLACK;
  }

  byte(value: number): void {
    this.op1(value);
  }

  append(bytes: Uint8Array): void {
    this.reserve(bytes.length);
    this.bytes.set(bytes, this.pos);
    this.pos += bytes.length;
  }

  op1(a: number): void {
    const at = this.pos;
    if (at > this.limit) this.grow(1);
    this.bytes[at] = a;
    this.pos = at + 1;
  }

  op2(a: number, b: number): void {
    const at = this.pos;
    if (at > this.limit) this.grow(2);
    const { bytes } = this;
    bytes[at] = a;
    bytes[at + 1] = b;
    this.pos = at + 2;
  }

  op3(a: number, b: number, c: number): void {
    const at = this.pos;
    if (at > this.limit) this.grow(3);
    const { bytes } = this;
    bytes[at] = a;
    bytes[at + 1] = b;
    bytes[at + 2] = c;
    this.pos = at + 3;
  }

  /** An opcode of one byte and an unsigned number below 2^32. */
  op1U32(a: number, value: number): void {
    if (value < 0x80) {
      this.op2(a, value);
      return;
    }
    this.op1(a);
    this.u32Unreserved(value);
  }

  /** An opcode of one byte and a signed 32-bit number. */
  op1S32(a: number, value: number): void {
    if (value < 64 && value >= -64) {
      this.op2(a, value & 0x7f);
      return;
    }
    this.op1(a);
    this.s32Unreserved(value);
  }

  /** An opcode of one byte and a signed 64-bit number from its halves, both taken modulo 2^32. */
  op1S64(a: number, low: number, high: number): void {
    let lo = low | 0;
    let hi = high | 0;
    this.op1(a);
    if (hi === lo >> 31) {
      this.s32Unreserved(lo);
      return;
    }
    const { bytes } = this;
    let { pos } = this;
    for (;;) {
      const group = lo & 0x7f;
      lo = (lo >>> 7) | (hi << 25);
      hi >>= 7;
      const sign = (group << 25) >> 31;
      if (lo === sign && hi === sign) {
        bytes[pos++] = group;
        break;
      }
      bytes[pos++] = group | 0x80;
    }
    this.pos = pos;
  }

  /** An opcode of one byte with the alignment and offset of a load or store. */
  op1Memarg(a: number, alignLog2: number, offset: number): void {
    if (offset < 0x80) {
      this.op3(a, alignLog2, offset);
      return;
    }
    this.op2(a, alignLog2);
    this.u32Unreserved(offset);
  }

  /** An opcode of two bytes with the alignment and offset of a load or store. */
  op2Memarg(a: number, b: number, alignLog2: number, offset: number): void {
    this.op3(a, b, alignLog2);
    this.u32Unreserved(offset);
  }

  u32(value: number): void {
    invariant(value >>> 0 === value, `${value} is no unsigned 32-bit number`);
    this.reserve(5);
    this.u32Unreserved(value);
  }

  /** A number within an instruction: op1 and its like have made room for the whole. */
  private u32Unreserved(value: number): void {
    const { bytes } = this;
    let { pos } = this;
    let rest = value;
    while (rest >= 0x80) {
      bytes[pos++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    bytes[pos++] = rest;
    this.pos = pos;
  }

  private s32Unreserved(value: number): void {
    const { bytes } = this;
    let { pos } = this;
    let rest = value;
    while (rest < -64 || rest > 63) {
      bytes[pos++] = (rest & 0x7f) | 0x80;
      rest >>= 7;
    }
    bytes[pos++] = rest & 0x7f;
    this.pos = pos;
  }

  /** A block type or heap type that is an index: a signed 33-bit number, here never negative. */
  s33(index: number): void {
    this.reserve(5);
    const { bytes } = this;
    let { pos } = this;
    let rest = index;
    while (rest > 63) {
      bytes[pos++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    bytes[pos++] = rest;
    this.pos = pos;
  }

  /** Four little-endian bytes of `value` modulo 2^32. */
  word(value: number): void {
    this.reserve(4);
    const { bytes, pos } = this;
    bytes[pos] = value;
    bytes[pos + 1] = value >>> 8;
    bytes[pos + 2] = value >>> 16;
    bytes[pos + 3] = value >>> 24;
    this.pos = pos + 4;
  }

  f32(value: number): void {
    floatView.setFloat32(0, value, true);
    this.word(floatView.getInt32(0, true));
  }

  f64(value: number): void {
    floatView.setFloat64(0, value, true);
    this.word(floatView.getInt32(0, true));
    this.word(floatView.getInt32(4, true));
  }

  /** A length and the UTF-8 bytes of `text`. Most names are ASCII and short, for which an encoder is slow. */
  name(text: string): void {
    const at = this.pos;
    this.u32(text.length);
    this.reserve(text.length);
    for (let i = 0; i < text.length; i++) {
      const unit = text.charCodeAt(i);
      if (unit >= 0x80) {
        this.pos = at;
        const bytes = new TextEncoder().encode(text);
        this.u32(bytes.length);
        this.append(bytes);
        return;
      }
      this.bytes[this.pos++] = unit;
    }
  }

  /** Writes `value` as five bytes at `at`: a size that was not known when its place was left. */
  patchU32(at: number, value: number): void {
    const { bytes } = this;
    bytes[at] = (value & 0x7f) | 0x80;
    bytes[at + 1] = ((value >>> 7) & 0x7f) | 0x80;
    bytes[at + 2] = ((value >>> 14) & 0x7f) | 0x80;
    bytes[at + 3] = ((value >>> 21) & 0x7f) | 0x80;
    bytes[at + 4] = value >>> 28;
  }
}
