/** For tests: guest memory, and a driver that does what Linux's virtio_mmio.c and virtio_ring.c do. */
import { FEATURE } from "./device.ts";
import { type GuestMemory, u16At, u16Bytes, u32At, u32Bytes } from "./memory.ts";
import type { VirtioMmio } from "./mmio.ts";

export const RAM_BASE = 0x4000_0000;

/** Memory at RAM_BASE. `accesses` counts, so that a test can bound the work of a device. */
export class Ram implements GuestMemory {
  readonly bytes: Uint8Array;
  accesses = 0;

  constructor(bytes: number) {
    this.bytes = new Uint8Array(bytes);
  }

  read(ipa: number, bytes: number): Uint8Array | undefined {
    this.accesses++;
    const at = ipa - RAM_BASE;
    return at >= 0 && at + bytes <= this.bytes.length ? this.bytes.slice(at, at + bytes) : undefined;
  }

  write(ipa: number, data: Uint8Array): boolean {
    this.accesses++;
    const at = ipa - RAM_BASE;
    if (at < 0 || at + data.length > this.bytes.length) return false;
    this.bytes.set(data, at);
    return true;
  }
}

export const REG = {
  magic: 0x000,
  version: 0x004,
  deviceId: 0x008,
  deviceFeatures: 0x010,
  deviceFeaturesSel: 0x014,
  driverFeatures: 0x020,
  driverFeaturesSel: 0x024,
  queueSel: 0x030,
  queueNumMax: 0x034,
  queueNum: 0x038,
  queueReady: 0x044,
  queueNotify: 0x050,
  interruptStatus: 0x060,
  interruptAck: 0x064,
  status: 0x070,
  queueDesc: 0x080,
  queueDriver: 0x090,
  queueDevice: 0x0a0,
  configGeneration: 0x0fc,
  config: 0x100,
} as const;

/** Bytes of the rings of a queue of 256 entries at most, and of one indirect table for each. */
const QUEUE_BYTES = 0x10_000;
const INDIRECT_ENTRIES = 8;
const NEXT = 1;
const WRITE = 2;
const INDIRECT = 4;

export interface Buffer {
  readonly ipa: number;
  readonly bytes: number;
  readonly write: boolean;
}

/** One queue as the driver keeps it. */
class DriverQueue {
  readonly base: number;
  readonly size: number;
  readonly #ram: Ram;
  readonly #eventIndex: boolean;
  readonly #indirect: boolean;
  readonly #free: number[];
  readonly #used = new Map<number, number[]>();
  #available = 0;
  #seen = 0;

  constructor(ram: Ram, base: number, size: number, eventIndex: boolean, indirect: boolean) {
    this.#ram = ram;
    this.base = base;
    this.size = size;
    this.#eventIndex = eventIndex;
    this.#indirect = indirect;
    this.#free = Array.from({ length: size }, (_, i) => i);
    ram.bytes.fill(0, base - RAM_BASE, base - RAM_BASE + QUEUE_BYTES);
  }

  get descriptors(): number {
    return this.base;
  }
  get availableRing(): number {
    return this.base + 0x2000;
  }
  get usedRing(): number {
    return this.base + 0x3000;
  }
  get free(): number {
    return this.#free.length;
  }

  #u16(ipa: number): number {
    return u16At(this.#ram.bytes, ipa - RAM_BASE);
  }

  #describe(at: number, { ipa, bytes, write }: Buffer, flags: number, next: number): void {
    this.#ram.write(at, u32Bytes(ipa));
    this.#ram.write(at + 4, u32Bytes(Math.floor(ipa / 2 ** 32)));
    this.#ram.write(at + 8, u32Bytes(bytes));
    this.#ram.write(at + 12, u16Bytes(flags | (write ? WRITE : 0)));
    this.#ram.write(at + 14, u16Bytes(next));
  }

  /** virtqueue_add and virtqueue_kick_prepare: whether the device wants to be told. */
  add(buffers: readonly Buffer[]): { head: number; kick: boolean } {
    const wanted = this.#indirect && buffers.length > 1 ? 1 : buffers.length;
    const indexes = this.#free.splice(0, wanted);
    if (indexes.length < wanted) throw new Error("the queue is full");
    const head = indexes[0] ?? 0;
    if (wanted < buffers.length) {
      const table = this.base + 0x4000 + head * 16 * INDIRECT_ENTRIES;
      for (const [i, buffer] of buffers.entries())
        this.#describe(table + 16 * i, buffer, i < buffers.length - 1 ? NEXT : 0, i + 1);
      this.#describe(
        this.base + 16 * head,
        { ipa: table, bytes: 16 * buffers.length, write: false },
        INDIRECT,
        0,
      );
    } else
      for (const [i, buffer] of buffers.entries())
        this.#describe(
          this.base + 16 * (indexes[i] ?? 0),
          buffer,
          i < buffers.length - 1 ? NEXT : 0,
          indexes[i + 1] ?? 0,
        );
    this.#used.set(head, indexes);
    const old = this.#available;
    this.#ram.write(this.availableRing + 4 + 2 * (old % this.size), u16Bytes(head));
    this.#available = (old + 1) & 0xffff;
    this.#ram.write(this.availableRing + 2, u16Bytes(this.#available));
    const kick = this.#eventIndex
      ? this.#u16(this.usedRing + 4 + 8 * this.size) === old
      : (this.#u16(this.usedRing) & 1) === 0;
    return { head, kick };
  }

  /** virtqueue_get_buf: the next chain that the device has given back. */
  take(): { head: number; bytes: number } | undefined {
    if (this.#u16(this.usedRing + 2) === this.#seen) return undefined;
    const at = this.usedRing - RAM_BASE + 4 + 8 * (this.#seen % this.size);
    const head = u32At(this.#ram.bytes, at);
    const bytes = u32At(this.#ram.bytes, at + 4);
    this.#seen = (this.#seen + 1) & 0xffff;
    // used_event: interrupt me for the next one.
    if (this.#eventIndex) this.#ram.write(this.availableRing + 4 + 2 * this.size, u16Bytes(this.#seen));
    const indexes = this.#used.get(head);
    if (indexes === undefined) throw new Error(`the device gave back ${head}, which it did not have`);
    this.#used.delete(head);
    this.#free.push(...indexes);
    return { head, bytes };
  }
}

export interface DriverOptions {
  readonly features?: bigint;
  readonly eventIndex?: boolean;
  readonly indirect?: boolean;
  /** Entries of the queues; the most that the device has by default. */
  readonly queueSize?: number;
}

/** A driver for any device; the tests of a device put its requests into the queues. */
export class Driver {
  readonly ram: Ram;
  readonly mmio: Pick<VirtioMmio, "read" | "write">;
  queues: DriverQueue[] = [];
  kicks = 0;
  #heap: number;

  constructor(mmio: Pick<VirtioMmio, "read" | "write">, ram: Ram) {
    this.mmio = mmio;
    this.ram = ram;
    this.#heap = RAM_BASE;
  }

  get(register: number): number {
    return Number(this.mmio.read(register, 4));
  }

  set(register: number, value: number): void {
    this.mmio.write(register, 4, BigInt(value >>> 0));
  }

  get offered(): bigint {
    this.set(REG.deviceFeaturesSel, 1);
    const high = BigInt(this.get(REG.deviceFeatures));
    this.set(REG.deviceFeaturesSel, 0);
    return (high << 32n) | BigInt(this.get(REG.deviceFeatures));
  }

  /** From reset to DRIVER_OK, in the order of virtio_dev_probe. Whether the device took the features. */
  start({ features = 0n, eventIndex = true, indirect = true, queueSize }: DriverOptions = {}): boolean {
    this.set(REG.status, 0);
    this.set(REG.status, 1);
    this.set(REG.status, 3);
    const wanted =
      FEATURE.VERSION_1 |
      features |
      (eventIndex ? FEATURE.EVENT_IDX : 0n) |
      (indirect ? FEATURE.INDIRECT_DESC : 0n);
    this.set(REG.driverFeaturesSel, 1);
    this.set(REG.driverFeatures, Number(wanted >> 32n));
    this.set(REG.driverFeaturesSel, 0);
    this.set(REG.driverFeatures, Number(wanted & 0xffff_ffffn));
    this.set(REG.status, 3 | 8);
    if ((this.get(REG.status) & 8) === 0) return false;
    this.queues = [];
    this.#heap = RAM_BASE;
    for (let i = 0; ; i++) {
      this.set(REG.queueSel, i);
      const most = this.get(REG.queueNumMax);
      if (most === 0) break;
      const queue = new DriverQueue(
        this.ram,
        this.allocate(QUEUE_BYTES),
        queueSize ?? most,
        eventIndex,
        indirect,
      );
      this.set(REG.queueNum, queue.size);
      for (const [register, ipa] of [
        [REG.queueDesc, queue.descriptors],
        [REG.queueDriver, queue.availableRing],
        [REG.queueDevice, queue.usedRing],
      ] as const) {
        this.set(register, ipa);
        this.set(register + 4, Math.floor(ipa / 2 ** 32));
      }
      this.set(REG.queueReady, 1);
      this.queues.push(queue);
    }
    this.set(REG.status, 3 | 8 | 4);
    return (this.get(REG.status) & 0x40) === 0;
  }

  allocate(bytes: number): number {
    const at = this.#heap;
    this.#heap += Math.ceil(bytes / 4096) * 4096;
    if (this.#heap > RAM_BASE + this.ram.bytes.length) throw new Error("no memory is left");
    return at;
  }

  queue(index: number): DriverQueue {
    const queue = this.queues[index];
    if (queue === undefined) throw new Error(`no queue ${index}`);
    return queue;
  }

  /** A buffer that the device reads. */
  out(data: Uint8Array): Buffer {
    const ipa = this.allocate(data.length);
    this.ram.write(ipa, data);
    return { ipa, bytes: data.length, write: false };
  }

  /** A buffer that the device writes. */
  in(bytes: number): Buffer {
    return { ipa: this.allocate(bytes), bytes, write: true };
  }

  /** Puts a chain into a queue, and tells the device if it wants to know. */
  add(index: number, buffers: readonly Buffer[]): number {
    const { head, kick } = this.queue(index).add(buffers);
    if (kick) {
      this.kicks++;
      this.set(REG.queueNotify, index);
    }
    return head;
  }

  /** A request and its reply: what the device wrote, which must be there at once. */
  request(index: number, buffers: readonly Buffer[]): Uint8Array {
    const mark = this.add(index, buffers);
    const used = this.queue(index).take();
    if (used?.head !== mark) throw new Error("the device did not answer");
    return this.contents(
      buffers.filter(({ write }) => write),
      used.bytes,
    );
  }

  contents(buffers: readonly Buffer[], bytes: number): Uint8Array {
    const all = buffers.flatMap((buffer) => [...(this.ram.read(buffer.ipa, buffer.bytes) ?? [])]);
    return Uint8Array.from(all.slice(0, bytes));
  }
}
