/** Cuts a stream of bytes into records. */
import { Fields } from "./fields.ts";
import { MAX_RECORD_BYTES, RECORD_HEADER_BYTES } from "./format.ts";

/** Where the bytes stop being records, and why. */
export interface Damage {
  readonly offset: number;
  readonly what: string;
}

/** Gets one whole record at `at` of `fields`; may call `skip` for raw bytes that follow it. */
export type OnRecord = (fields: Fields, at: number, type: number, misc: number, sizeBytes: number) => void;

export class RecordSplitter {
  /** Set once the bytes cannot be followed any further: nothing is read after that. */
  damage: Damage | undefined;
  readonly littleEndian: boolean;
  readonly #onRecord: OnRecord;
  #buffer: Uint8Array;
  #fields: Fields;
  #filled = 0;
  #skipBytes = 0;
  /** Offset in the stream of the first byte in the buffer. */
  #offset: number;
  #recordOffset: number;

  constructor(littleEndian: boolean, startOffset: number, onRecord: OnRecord) {
    this.littleEndian = littleEndian;
    this.#onRecord = onRecord;
    this.#offset = startOffset;
    this.#recordOffset = startOffset;
    this.#buffer = new Uint8Array(MAX_RECORD_BYTES + 1);
    this.#fields = new Fields(this.#buffer, littleEndian);
  }

  /** Offset in the stream of the record being looked at, or of the first one not yet complete. */
  get recordOffset(): number {
    return this.#recordOffset;
  }

  /** Bytes of a record that has not come to its end. */
  get pendingBytes(): number {
    return this.#filled;
  }

  /** Raw bytes that a record announced and that have not come. */
  get pendingSkipBytes(): number {
    return this.#skipBytes;
  }

  /** After the current record come `bytes` bytes that are no records. */
  skip(bytes: number): void {
    this.#skipBytes += bytes;
  }

  /** `bytes` of the announced raw bytes were gone past without being pushed. */
  skipped(bytes: number): void {
    this.#skipBytes -= bytes;
    this.#offset += bytes;
    this.#recordOffset = this.#offset;
  }

  push(chunk: Uint8Array): void {
    if (this.damage !== undefined) return;
    const needed = this.#filled + chunk.length;
    if (needed > this.#buffer.length) {
      const larger = new Uint8Array(needed);
      larger.set(this.#buffer.subarray(0, this.#filled));
      this.#buffer = larger;
      this.#fields = new Fields(larger, this.littleEndian);
    }
    this.#buffer.set(chunk, this.#filled);
    this.#filled = needed;
    this.#split();
  }

  #split(): void {
    let at = 0;
    for (;;) {
      if (this.#skipBytes > 0) {
        const step = Math.min(this.#skipBytes, this.#filled - at);
        this.#skipBytes -= step;
        at += step;
      }
      this.#recordOffset = this.#offset + at;
      if (this.#filled - at < RECORD_HEADER_BYTES) break;
      const sizeBytes = this.#fields.u16(at + 6);
      if (sizeBytes < RECORD_HEADER_BYTES) {
        this.damage = {
          offset: this.#recordOffset,
          what: `a record of ${sizeBytes} bytes, less than its own header`,
        };
        break;
      }
      if (this.#filled - at < sizeBytes) break;
      this.#onRecord(this.#fields, at, this.#fields.u32(at), this.#fields.u16(at + 4), sizeBytes);
      if (this.damage !== undefined) break;
      at += sizeBytes;
    }
    this.#buffer.copyWithin(0, at, this.#filled);
    this.#filled -= at;
    this.#offset += at;
  }
}
