/**
 * A split virtqueue, the device's side (virtio 1.2, section 2.7). The rings lie in guest memory and may hold anything:
 * what breaks the rules breaks the device (`fail`), and nothing else. A chain has at most as many descriptors as the
 * queue has entries, and at most MOST_CHAIN_BYTES.
 */
import { concat } from "../../common/bytes.ts";
import { type GuestMemory, readAt, u16At, u16Bytes, u32At, u32Bytes, u64At, writeAt } from "./memory.ts";

/** More than any of our devices' drivers asks for: Linux stays below 8.1 MiB (126 segments of 64 KiB each). */
const MOST_CHAIN_BYTES = 16 * 1024 ** 2;

const DESCRIPTOR_BYTES = 16;
const USED_ELEMENT_BYTES = 8;
const DESC = { NEXT: 1, WRITE: 2, INDIRECT: 4 } as const;
const AVAIL_NO_INTERRUPT = 1;
const INDEX_MASK = 0xffff;

interface Segment {
  readonly ipa: number;
  readonly bytes: number;
}

interface Descriptor extends Segment {
  readonly flags: number;
  readonly next: number;
}

/** Buffers of one request: first those to read, then those to write. Offsets run through the buffers of a kind. */
export class Chain {
  /** Index of the first descriptor: names the chain to the driver. */
  readonly head: number;
  readonly readableBytes: number;
  readonly writableBytes: number;
  readonly #memory: GuestMemory;
  readonly #fail: (why: string) => void;
  readonly #readable: readonly Segment[];
  readonly #writable: readonly Segment[];

  constructor(
    head: number,
    readable: readonly Segment[],
    writable: readonly Segment[],
    memory: GuestMemory,
    fail: (why: string) => void,
  ) {
    const sum = (segments: readonly Segment[]): number => segments.reduce((all, { bytes }) => all + bytes, 0);
    this.head = head;
    this.readableBytes = sum(readable);
    this.writableBytes = sum(writable);
    this.#readable = readable;
    this.#writable = writable;
    this.#memory = memory;
    this.#fail = fail;
  }

  /** At most `bytes` bytes from `offset` on; undefined (and the device is broken) where there is no memory. */
  read(offset: number, bytes: number): Uint8Array | undefined {
    const parts: Uint8Array[] = [];
    for (const { ipa, bytes: count } of within(this.#readable, offset, bytes)) {
      const part = readAt(this.#memory, ipa, count);
      if (part === undefined) {
        this.#fail("a buffer is not in memory");
        return undefined;
      }
      parts.push(part);
    }
    return concat(parts);
  }

  /** Writes `data`, or as much as there is room for; false (and the device is broken) where there is no memory. */
  write(offset: number, data: Uint8Array): boolean {
    let done = 0;
    for (const { ipa, bytes } of within(this.#writable, offset, data.length)) {
      if (!writeAt(this.#memory, ipa, data.subarray(done, done + bytes))) {
        this.#fail("a buffer is not in memory");
        return false;
      }
      done += bytes;
    }
    return true;
  }
}

/** The parts of segments that lie in a stretch. */
function* within(segments: readonly Segment[], offset: number, bytes: number): Generator<Segment> {
  let skip = offset;
  let left = bytes;
  for (const segment of segments) {
    if (left <= 0) return;
    const take = Math.min(segment.bytes - skip, left);
    if (take > 0) {
      yield { ipa: segment.ipa + skip, bytes: take };
      left -= take;
    }
    skip = Math.max(0, skip - segment.bytes);
  }
}

/** Where a driver has put a queue, and how far the device has come: plain data. */
export interface QueueState {
  readonly size: number;
  readonly ready: boolean;
  /** Low and high words of the descriptor table, the available ring and the used ring. */
  readonly addresses: readonly number[];
  readonly nextAvailable: number;
  readonly nextUsed: number;
  readonly eventIndex: boolean;
  readonly indirect: boolean;
}

export interface QueueOptions {
  readonly memory: GuestMemory;
  /** Entries; a power of two. */
  readonly maxSize: number;
  /** The driver asked for an interrupt at this point. */
  readonly interrupt: () => void;
  readonly fail: (why: string) => void;
}

export class SplitQueue {
  readonly maxSize: number;
  readonly #memory: GuestMemory;
  readonly #interrupt: () => void;
  readonly #fail: (why: string) => void;
  #descriptors = 0;
  #available = 0;
  #used = 0;
  #state: QueueState;

  constructor({ memory, maxSize, interrupt, fail }: QueueOptions) {
    this.maxSize = maxSize;
    this.#memory = memory;
    this.#interrupt = interrupt;
    // Whatever is left of a batch is not for a broken device.
    this.#fail = (why) => {
      this.stop();
      fail(why);
    };
    this.#state = this.#fresh();
  }

  #fresh(): QueueState {
    return {
      size: this.maxSize,
      ready: false,
      addresses: [0, 0, 0, 0, 0, 0],
      nextAvailable: 0,
      nextUsed: 0,
      eventIndex: false,
      indirect: false,
    };
  }

  get ready(): boolean {
    return this.#state.ready;
  }

  /** Sets the size in entries; only `start` looks whether it may be that. */
  set size(entries: number) {
    this.#state = { ...this.#state, size: entries };
  }

  /** Sets a word of the addresses: low and high of the descriptor table (0, 1), available (2, 3), used ring (4, 5). */
  setAddress(word: number, value: number): void {
    this.#state = { ...this.#state, addresses: this.#state.addresses.with(word, value >>> 0) };
  }

  /** From here on the device uses the rings. A size or an address that no queue may have breaks the device. */
  start(features: { readonly eventIndex: boolean; readonly indirect: boolean }): void {
    const { size } = this.#state;
    this.#state = { ...this.#state, ...features, ready: true, nextAvailable: 0, nextUsed: 0 };
    this.#locate();
    const powerOfTwo = size > 0 && (size & (size - 1)) === 0;
    if (!powerOfTwo || size > this.maxSize) this.#fail(`a queue of ${size} entries`);
    else if (this.#descriptors % 16 !== 0 || this.#available % 2 !== 0 || this.#used % 4 !== 0)
      this.#fail("a ring is not aligned");
  }

  /** The device leaves the rings alone. */
  stop(): void {
    this.#state = { ...this.#state, ready: false };
  }

  reset(): void {
    this.#state = this.#fresh();
    this.#locate();
  }

  #locate(): void {
    const whole = (word: number): number =>
      (this.#state.addresses[word + 1] ?? 0) * 2 ** 32 + (this.#state.addresses[word] ?? 0);
    this.#descriptors = whole(0);
    this.#available = whole(2);
    this.#used = whole(4);
  }

  #readU16(ipa: number): number | undefined {
    const bytes = readAt(this.#memory, ipa, 2);
    if (bytes === undefined) this.#fail("a ring is not in memory");
    return bytes === undefined ? undefined : u16At(bytes, 0);
  }

  #write(ipa: number, data: Uint8Array): boolean {
    const written = writeAt(this.#memory, ipa, data);
    if (!written) this.#fail("a ring is not in memory");
    return written;
  }

  /**
   * The chains that the driver has made available, at most as many as the queue has entries: a ring that lies over
   * another one, so that the device itself would refill it, ends too.
   */
  *chains(): Generator<Chain> {
    for (let left = this.#state.size; left > 0; left--) {
      const chain = this.pop();
      if (chain === undefined) return;
      yield chain;
    }
  }

  /** The next chain that the driver has made available, if any. Each must be given back with `push`. */
  pop(): Chain | undefined {
    const { ready, size, nextAvailable, eventIndex } = this.#state;
    if (!ready) return undefined;
    const index = this.#readU16(this.#available + 2);
    if (index === undefined || index === nextAvailable) return undefined;
    const waiting = (index - nextAvailable) & INDEX_MASK;
    if (waiting > size) {
      this.#fail(`${waiting} chains available in a queue of ${size}`);
      return undefined;
    }
    const head = this.#readU16(this.#available + 4 + 2 * (nextAvailable % size));
    if (head === undefined) return undefined;
    const chain = this.#chainAt(head);
    if (chain === undefined) return undefined;
    const next = (nextAvailable + 1) & INDEX_MASK;
    this.#state = { ...this.#state, nextAvailable: next };
    // avail_event: the driver need only tell us of what comes after all that we know of (2.7.10).
    if (eventIndex && !this.#write(this.#used + 4 + USED_ELEMENT_BYTES * size, u16Bytes(next)))
      return undefined;
    return chain;
  }

  #descriptor(table: number, index: number): Descriptor | undefined {
    const bytes = readAt(this.#memory, table + DESCRIPTOR_BYTES * index, DESCRIPTOR_BYTES);
    if (bytes === undefined) {
      this.#fail("a descriptor is not in memory");
      return undefined;
    }
    return { ipa: u64At(bytes, 0), bytes: u32At(bytes, 8), flags: u16At(bytes, 12), next: u16At(bytes, 14) };
  }

  #chainAt(head: number): Chain | undefined {
    const { size, indirect } = this.#state;
    const readable: Segment[] = [];
    const writable: Segment[] = [];
    let table = this.#descriptors;
    let entries = size;
    let index = head;
    let total = 0;
    let inTable = false;
    const broken = (why: string): undefined => this.#fail(why) as undefined;
    for (let links = 0; ; ) {
      if (index >= entries) return broken(`descriptor ${index} of ${entries}`);
      const descriptor = this.#descriptor(table, index);
      if (descriptor === undefined) return undefined;
      const { ipa, bytes, flags, next } = descriptor;
      if ((flags & DESC.INDIRECT) !== 0) {
        if (!indirect || inTable) return broken("an indirect descriptor where there may be none");
        if ((flags & DESC.NEXT) !== 0) return broken("an indirect descriptor that goes on");
        if (bytes === 0 || bytes % DESCRIPTOR_BYTES !== 0)
          return broken(`an indirect table of ${bytes} bytes`);
        inTable = true;
        table = ipa;
        entries = bytes / DESCRIPTOR_BYTES;
        index = 0;
        continue;
      }
      if (++links > size) return broken("a chain that is longer than its queue, or a loop");
      total += bytes;
      if (total > MOST_CHAIN_BYTES) return broken(`a chain of more than ${MOST_CHAIN_BYTES} bytes`);
      if ((flags & DESC.WRITE) !== 0) writable.push({ ipa, bytes });
      else if (writable.length > 0) return broken("a buffer to read after one to write");
      else readable.push({ ipa, bytes });
      if ((flags & DESC.NEXT) === 0) return new Chain(head, readable, writable, this.#memory, this.#fail);
      index = next;
    }
  }

  /** Gives a chain back, with `writtenBytes` bytes from the start of its writable buffers filled. */
  push(chain: Chain, writtenBytes: number): void {
    const { ready, size, nextUsed } = this.#state;
    if (!ready) return;
    const at = this.#used + 4 + USED_ELEMENT_BYTES * (nextUsed % size);
    const next = (nextUsed + 1) & INDEX_MASK;
    if (!this.#write(at, concat([u32Bytes(chain.head), u32Bytes(writtenBytes)]))) return;
    if (!this.#write(this.#used + 2, u16Bytes(next))) return;
    this.#state = { ...this.#state, nextUsed: next };
    if (this.#wantsInterrupt(nextUsed)) this.#interrupt();
  }

  /** Whether the driver wants to know of the used element that was written at index `at` (2.7.7, 2.7.10). */
  #wantsInterrupt(at: number): boolean {
    const { size, eventIndex } = this.#state;
    if (eventIndex) return this.#readU16(this.#available + 4 + 2 * size) === at;
    return ((this.#readU16(this.#available) ?? AVAIL_NO_INTERRUPT) & AVAIL_NO_INTERRUPT) === 0;
  }

  save(): QueueState {
    return this.#state;
  }

  restore(state: QueueState): void {
    this.#state = state;
    this.#locate();
  }
}
