/**
 * perf's AUX ring buffer, as far as arm_spe_pmu and its reader move it (kernel/events/ring_buffer.c:
 * perf_aux_output_begin, perf_aux_output_end; drivers/perf/arm_spe_pmu.c: arm_spe_pmu_next_off).
 *
 * Head, tail and wake-up point run free; an offset is one of them modulo the buffer's size.
 */
import { PAGE_BYTES } from "../common/address.ts";

export interface AuxOptions {
  readonly bytes: number;
  /** perf record -S: old records are overwritten, the reader takes them on a signal. */
  readonly snapshot: boolean;
  /** attr.aux_watermark; 0: half the buffer. */
  readonly watermarkBytes: number;
  /** PMSIDR_EL1.MaxSize in bytes. */
  readonly maxRecordBytes: number;
  /** PMBIDR_EL1.Align in bytes; absent: 64. */
  readonly alignBytes?: number;
}

/** Where the SPU may write next, as offsets into the buffer. */
export interface AuxWindow {
  readonly headBytes: number;
  /** 0: nowhere, though perf had space for the driver's handle when it asked: what was left is padding now. */
  readonly limitBytes: number;
}

/** How far perf's reader has read where a window is opened: bytes ever written to the buffer, and of those read. */
export interface AuxReading {
  readonly head: number;
  readonly tail: number;
}

export interface AuxBufferState {
  readonly head: number;
  readonly tail: number;
  readonly wakeup: number;
  readonly handle: number;
  readonly paddedPastWakeup: boolean;
  readonly paddedBytes: number;
}

export class AuxBuffer {
  readonly #options: AuxOptions;
  readonly #watermark: number;
  readonly #align: number;
  /** rb->aux_head: bytes ever committed (in snapshot mode, the offset). */
  head = 0;
  /** user_page->aux_tail: bytes ever read. */
  tail = 0;
  /** rb->aux_wakeup. */
  #wakeup = 0;
  /** handle->head: where the open handle stands. */
  #handle = 0;
  /** Padding went past the wake-up point: the reader is to be woken. */
  #paddedPastWakeup = false;
  /** Zero bytes that the driver wrote: up to the alignment, to fill an end shorter than a record, or what was left. */
  paddedBytes = 0;

  constructor(options: AuxOptions) {
    this.#options = options;
    this.#watermark = options.watermarkBytes === 0 ? options.bytes / 2 : options.watermarkBytes;
    this.#align = options.alignBytes ?? 64;
  }

  get bytes(): number {
    return this.#options.bytes;
  }

  /**
   * Opens a handle and says where records may go.
   * @returns undefined where perf gives none (perf_aux_output_begin): the reader has not caught up
   */
  begin(): AuxWindow | undefined {
    const { bytes, snapshot, maxRecordBytes } = this.#options;
    this.#handle = this.head;
    if (snapshot) return this.#snapshotWindow();
    if (this.#space() === 0) return undefined;
    let limit = this.#limit();
    let headBytes = this.#handle % bytes;
    if (limit !== undefined && limit - headBytes < maxRecordBytes) {
      this.#pad(limit - headBytes);
      limit = this.#limit();
      headBytes = this.#handle % bytes;
    }
    return { headBytes, limitBytes: limit ?? 0 };
  }

  /**
   * Closes the handle with PMBPTR_EL1 at an offset (one past the last record; the buffer's size if it is full).
   * @returns whether the reader is to be woken
   */
  end(pointerBytes: number): boolean {
    const { bytes, snapshot } = this.#options;
    if (snapshot) {
      this.head = pointerBytes % bytes;
      return false;
    }
    const headBytes = this.#handle % bytes;
    this.head = this.#handle + (pointerBytes - headBytes);
    this.#handle = this.head;
    const padded = this.#paddedPastWakeup;
    this.#paddedPastWakeup = false;
    return this.#passesWakeup() || padded;
  }

  save(): AuxBufferState {
    return {
      head: this.head,
      tail: this.tail,
      wakeup: this.#wakeup,
      handle: this.#handle,
      paddedPastWakeup: this.#paddedPastWakeup,
      paddedBytes: this.paddedBytes,
    };
  }

  restore(state: AuxBufferState): void {
    this.head = state.head;
    this.tail = state.tail;
    this.#wakeup = state.wakeup;
    this.#handle = state.handle;
    this.#paddedPastWakeup = state.paddedPastWakeup;
    this.paddedBytes = state.paddedBytes;
  }

  /** rb_need_aux_wakeup. */
  #passesWakeup(): boolean {
    if (this.head - this.#wakeup < this.#watermark) return false;
    this.#wakeup = this.head - (this.head % this.#watermark);
    return true;
  }

  /** The reader has taken everything up to the head. */
  consume(): void {
    this.tail = this.head;
  }

  /** The reader has taken so many bytes since the buffer was mapped, as far as there are as many. */
  consumeTo(bytes: number): void {
    this.tail = Math.max(this.tail, Math.min(this.head, bytes));
  }

  /** handle->size: free bytes, one less than the gap (CIRC_SPACE). */
  #space(): number {
    const { bytes } = this.#options;
    return this.#handle - this.tail >= bytes ? 0 : bytes - 1 - (this.#handle - this.tail);
  }

  /** __arm_spe_pmu_next_off. */
  #limit(): number | undefined {
    const { bytes } = this.#options;
    // Without space for a record the driver filled up to the last free byte: the head is aligned again first.
    const over = this.#handle % this.#align;
    if (over > 0) this.#pad(Math.min(this.#align - over, this.#space()));
    const size = this.#space();
    if (size === 0) return undefined;
    const head = this.#handle % bytes;
    const tail = (this.#handle + size) % bytes;
    const wakeupPoint = this.#wakeup + this.#watermark;
    const wakeup = wakeupPoint % bytes;
    let limit = bytes;
    if (head < tail) limit = Math.floor(tail / PAGE_BYTES) * PAGE_BYTES;
    if (wakeupPoint < this.#handle + size && head <= wakeup)
      limit = Math.min(limit, Math.ceil(wakeup / PAGE_BYTES) * PAGE_BYTES);
    if (limit > head) return limit;
    this.#pad(size);
    return undefined;
  }

  /** Half the buffer at most, so that the other half stays readable (arm_spe_pmu_next_snapshot_off). */
  #snapshotWindow(): AuxWindow {
    const { bytes, maxRecordBytes } = this.#options;
    let headBytes = this.#handle % bytes;
    let limitBytes = headBytes < bytes / 2 ? bytes / 2 : bytes;
    if (limitBytes - headBytes < maxRecordBytes) {
      this.#pad(limitBytes - headBytes);
      headBytes = this.#handle % bytes;
      limitBytes = headBytes + bytes / 2;
    }
    return { headBytes, limitBytes };
  }

  /** arm_spe_pmu_pad_buf: zeroes up to the limit and moves the handle there. */
  #pad(bytes: number): void {
    this.paddedBytes += bytes;
    this.#handle += bytes;
    this.head = this.#handle;
    if (!this.#options.snapshot && this.#passesWakeup()) this.#paddedPastWakeup = true;
  }
}
