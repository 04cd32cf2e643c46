/**
 * The records of `perf record -z`. All PERF_RECORD_COMPRESSED payloads of a file together are one Zstandard frame
 * that is flushed at the end of each payload and never ended (tools/perf/util/zstd.c; one compressor for the session
 * in builtin-record.c). What comes out is again a stream of records, and one of them may begin in one payload and
 * end in the next.
 */
import { Decompress } from "fzstd";

/**
 * The largest window taken: that of level 19 (8 MiB). perf's own default is level 1 (512 KiB). The library keeps the
 * window in memory and moves it at every block, so a damaged window size must not decide about either.
 */
const WINDOW_LIMIT_BYTES = 8 << 20;
/** Blocks in one payload of at most 64 KiB: a real one has a handful, for a ring buffer's worth of records. */
const BLOCK_LIMIT = 4096;
/** Block_Type and Block_Maximum_Size (RFC 8878, 3.1.1.2). */
const RLE_BLOCK = 1;
const RESERVED_BLOCK = 3;
const BLOCK_BYTES = 128 << 10;
/** What one payload may expand to where the header does not say perf's own limit (its ring buffer's size). */
const EXPANDED_LIMIT_BYTES = 64 << 20;

/** What is wrong with a compressed payload. */
export class DamagedCompression extends Error {
  override readonly name = "DamagedCompression";
}

/**
 * Follows the frame's headers (RFC 8878, 3.1.1) before the library sees them: the window is bounded, and a frame that
 * ends, which would let another one with any window begin, is refused.
 */
class FrameGuard {
  /** Bytes of the header that is being collected; its length is known once its first bytes are. */
  #header: number[] = [];
  #inFrame = false;
  #skipBytes = 0;

  /** @returns how many blocks begin in these bytes */
  follow(bytes: Uint8Array): number {
    let blocks = 0;
    let at = 0;
    while (at < bytes.length) {
      const skip = Math.min(this.#skipBytes, bytes.length - at);
      this.#skipBytes -= skip;
      at += skip;
      if (at === bytes.length) break;
      this.#header.push(bytes[at++] as number);
      if (!this.#inFrame) this.#frameHeader();
      else if (this.#header.length === 3) {
        blocks++;
        this.#blockHeader();
      }
    }
    return blocks;
  }

  #frameHeader(): void {
    const [m0, m1, m2, m3, descriptor, window] = this.#header;
    if (window === undefined || descriptor === undefined) return;
    if (m0 !== 0x28 || m1 !== 0xb5 || m2 !== 0x2f || m3 !== 0xfd)
      throw new DamagedCompression("it does not start a Zstandard frame");
    // perf compresses a stream of unknown length: no single segment, no content size, no dictionary.
    if ((descriptor & 0xeb) !== 0)
      throw new DamagedCompression("a kind of Zstandard frame that perf does not write");
    const base = 2 ** (10 + (window >> 3));
    const windowBytes = base + (base / 8) * (window & 7);
    if (windowBytes > WINDOW_LIMIT_BYTES)
      throw new DamagedCompression(
        `its window is ${windowBytes} bytes; at most ${WINDOW_LIMIT_BYTES} are supported (perf record -z up to level 19)`,
      );
    this.#header = [];
    this.#inFrame = true;
  }

  #blockHeader(): void {
    const [b0, b1, b2] = this.#header as [number, number, number];
    this.#header = [];
    if ((b0 & 1) === 1) throw new DamagedCompression("its Zstandard frame ends, which perf's never does");
    const type = (b0 >> 1) & 3;
    const sizeBytes = (b0 >> 3) | (b1 << 5) | (b2 << 13);
    if (type === RESERVED_BLOCK || sizeBytes > BLOCK_BYTES)
      throw new DamagedCompression("it has a block that Zstandard does not have");
    this.#skipBytes = type === RLE_BLOCK ? 1 : sizeBytes;
  }
}

/** The one Zstandard stream of a recording. */
export class CompressedStream {
  readonly #guard = new FrameGuard();
  readonly #onBytes: (bytes: Uint8Array) => void;
  readonly #decompress: Decompress;
  #expanded: Uint8Array[] = [];
  #expandedBytes = 0;
  #limitBytes = EXPANDED_LIMIT_BYTES;

  /** @param onBytes gets what comes out, in order */
  constructor(onBytes: (bytes: Uint8Array) => void) {
    this.#onBytes = onBytes;
    this.#decompress = new Decompress((bytes) => {
      this.#expandedBytes += bytes.length;
      if (this.#expandedBytes > this.#limitBytes)
        throw new DamagedCompression(`it expands to more than ${this.#limitBytes} bytes`);
      if (bytes.length > 0) this.#expanded.push(bytes);
    });
  }

  /**
   * One payload. What came out before a damage is still passed on.
   *
   * @param mapBytes the size of perf's ring buffer from the header, if known: more than one cannot come out (twice
   *   that is allowed, for what the compressor held back)
   * @throws DamagedCompression; the stream cannot go on after that
   */
  push(payload: Uint8Array, mapBytes: number | undefined): void {
    this.#expanded = [];
    this.#expandedBytes = 0;
    this.#limitBytes =
      mapBytes === undefined || mapBytes === 0
        ? EXPANDED_LIMIT_BYTES
        : Math.min(2 * mapBytes, EXPANDED_LIMIT_BYTES);
    const damage = this.#expand(payload);
    for (const bytes of this.#expanded) this.#onBytes(bytes);
    this.#expanded = [];
    if (damage !== undefined) throw damage;
  }

  #expand(payload: Uint8Array): DamagedCompression | undefined {
    try {
      if (this.#guard.follow(payload) > BLOCK_LIMIT)
        return new DamagedCompression(`it has more than ${BLOCK_LIMIT} blocks`);
      // A copy: the library keeps what it cannot use yet, and the caller's buffer moves on.
      this.#decompress.push(payload.slice());
      return undefined;
    } catch (error) {
      if (error instanceof DamagedCompression) return error;
      return new DamagedCompression(error instanceof Error ? error.message : String(error));
    }
  }
}
