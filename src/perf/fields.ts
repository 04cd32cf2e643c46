/** Reads the fields of C structures as the recording machine wrote them: its byte order, any alignment. */

const utf8 = new TextDecoder("utf-8");

/** A stretch of bytes in one byte order. Reading past its end throws RangeError; callers check sizes first. */
export class Fields {
  readonly bytes: Uint8Array;
  readonly littleEndian: boolean;
  readonly #view: DataView;

  constructor(bytes: Uint8Array, littleEndian: boolean) {
    this.bytes = bytes;
    this.littleEndian = littleEndian;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get lengthBytes(): number {
    return this.bytes.length;
  }

  /** The bytes from `from` up to `to`, as fields of their own. */
  within(from: number, to: number): Fields {
    return new Fields(this.bytes.subarray(from, to), this.littleEndian);
  }

  u16(at: number): number {
    return this.#view.getUint16(at, this.littleEndian);
  }

  u32(at: number): number {
    return this.#view.getUint32(at, this.littleEndian);
  }

  i32(at: number): number {
    return this.#view.getInt32(at, this.littleEndian);
  }

  /** The upper half of a u64. */
  high32(at: number): number {
    return this.#view.getUint32(this.littleEndian ? at + 4 : at, this.littleEndian);
  }

  /** The lower half of a u64. */
  low32(at: number): number {
    return this.#view.getUint32(this.littleEndian ? at : at + 4, this.littleEndian);
  }

  /** A u64 as a number: exact below 2^53, which holds for every size, offset and id in an undamaged file. */
  u64(at: number): number {
    return this.high32(at) * 0x1_0000_0000 + this.low32(at);
  }

  /** The text from `at` to its NUL, or to `limitBytes` or the end of the bytes where there is none. */
  text(at: number, limitBytes: number): string {
    const end = Math.min(at + limitBytes, this.bytes.length);
    let stop = at;
    while (stop < end && this.bytes[stop] !== 0) stop++;
    return utf8.decode(this.bytes.subarray(at, stop));
  }
}
