/**
 * The virtio transport over MMIO, version 2 (virtio 1.2, section 4.2), as Linux's virtio_mmio drives it. A guest may
 * write anything to any register: at worst the device wants a reset.
 */
import { type DeviceLink, FEATURE, type VirtioDevice } from "./device.ts";
import type { GuestMemory } from "./memory.ts";
import { type QueueState, SplitQueue } from "./queue.ts";

const R = {
  MAGIC: 0x000,
  VERSION: 0x004,
  DEVICE_ID: 0x008,
  VENDOR_ID: 0x00c,
  DEVICE_FEATURES: 0x010,
  DEVICE_FEATURES_SEL: 0x014,
  DRIVER_FEATURES: 0x020,
  DRIVER_FEATURES_SEL: 0x024,
  QUEUE_SEL: 0x030,
  QUEUE_NUM_MAX: 0x034,
  QUEUE_NUM: 0x038,
  QUEUE_READY: 0x044,
  QUEUE_NOTIFY: 0x050,
  INTERRUPT_STATUS: 0x060,
  INTERRUPT_ACK: 0x064,
  STATUS: 0x070,
  QUEUE_DESC_LOW: 0x080,
  QUEUE_DESC_HIGH: 0x084,
  QUEUE_DRIVER_LOW: 0x090,
  QUEUE_DRIVER_HIGH: 0x094,
  QUEUE_DEVICE_LOW: 0x0a0,
  QUEUE_DEVICE_HIGH: 0x0a4,
  SHM_LEN_LOW: 0x0b0,
  SHM_LEN_HIGH: 0x0b4,
  SHM_BASE_LOW: 0x0b8,
  SHM_BASE_HIGH: 0x0bc,
  CONFIG_GENERATION: 0x0fc,
  CONFIG: 0x100,
} as const;

/** Device status bits (2.1). */
const STATUS = { DRIVER_OK: 4, FEATURES_OK: 8, NEEDS_RESET: 0x40 } as const;
const INTERRUPT = { USED: 1, CONFIG: 2 } as const;
/** "virt". */
const MAGIC = 0x7472_6976;
const VERSION = 2;
/** "SPEV": the specification leaves the vendor to us. */
const VENDOR = 0x5645_5053;
const WORD = 0xffff_ffff;
const TRANSPORT_FEATURES = FEATURE.VERSION_1 | FEATURE.EVENT_IDX | FEATURE.INDIRECT_DESC;

/** A transport, its queues and its device as plain data; numbers are registers. */
export interface MmioState<S = unknown> {
  readonly status: number;
  readonly deviceFeaturesSel: number;
  readonly driverFeaturesSel: number;
  /** Low and high word. */
  readonly driverFeatures: readonly [number, number];
  readonly queueSel: number;
  readonly interruptStatus: number;
  readonly generation: number;
  readonly brokenBecause: string | undefined;
  readonly queues: readonly QueueState[];
  readonly device: S;
}

export class VirtioMmio<S = unknown> {
  readonly device: VirtioDevice<S>;
  readonly #irq: (high: boolean) => void;
  readonly #queues: readonly SplitQueue[];
  #status = 0;
  #deviceFeaturesSel = 0;
  #driverFeaturesSel = 0;
  #driverFeatures: [number, number] = [0, 0];
  #queueSel = 0;
  #interruptStatus = 0;
  #generation = 0;
  #brokenBecause: string | undefined;

  /** @param irq told of the interrupt line, which is high while an interrupt is not acknowledged */
  constructor(device: VirtioDevice<S>, memory: GuestMemory, irq: (high: boolean) => void) {
    this.device = device;
    this.#irq = irq;
    const fail = (why: string): void => this.#fail(why);
    const interrupt = (): void => this.#raise(INTERRUPT.USED);
    this.#queues = device.queueSizes.map((maxSize) => new SplitQueue({ memory, maxSize, interrupt, fail }));
    const link: DeviceLink = {
      queues: this.#queues,
      negotiated: () => this.#negotiated,
      configChanged: () => {
        this.#generation = (this.#generation + 1) >>> 0;
        this.#raise(INTERRUPT.CONFIG);
      },
      fail,
    };
    device.attach(link);
  }

  /** What the guest did wrong, if the device waits for a reset. */
  get brokenBecause(): string | undefined {
    return this.#brokenBecause;
  }

  get #offered(): bigint {
    return this.device.features | TRANSPORT_FEATURES;
  }

  get #negotiated(): bigint {
    if ((this.#status & STATUS.FEATURES_OK) === 0) return 0n;
    return (BigInt(this.#driverFeatures[1]) << 32n) | BigInt(this.#driverFeatures[0]);
  }

  #raise(interrupt: number): void {
    this.#interruptStatus |= interrupt;
    this.#irq(true);
  }

  #fail(why: string): void {
    this.#brokenBecause ??= why;
    for (const queue of this.#queues) queue.stop();
    const told = (this.#status & STATUS.NEEDS_RESET) !== 0 || (this.#status & STATUS.DRIVER_OK) === 0;
    this.#status |= STATUS.NEEDS_RESET;
    // A driver that has not started yet reads the status anyway (2.1.2).
    if (!told) this.#raise(INTERRUPT.CONFIG);
  }

  #reset(): void {
    this.#status = 0;
    this.#deviceFeaturesSel = 0;
    this.#driverFeaturesSel = 0;
    this.#driverFeatures = [0, 0];
    this.#queueSel = 0;
    this.#interruptStatus = 0;
    this.#brokenBecause = undefined;
    for (const queue of this.#queues) queue.reset();
    this.#irq(false);
    this.device.reset();
  }

  /** A register or a part of the configuration space, zero-extended; `bytes` is 1, 2, 4 or 8. */
  read(offset: number, bytes: number): bigint {
    if (offset >= R.CONFIG) {
      const config = this.device.config();
      let value = 0n;
      for (let i = bytes - 1; i >= 0; i--) value = (value << 8n) | BigInt(config[offset - R.CONFIG + i] ?? 0);
      return value;
    }
    // Registers are words: 4.2.2.2 forbids the driver anything else.
    return bytes === 4 ? BigInt(this.#register(offset) >>> 0) : 0n;
  }

  #register(offset: number): number {
    switch (offset) {
      case R.MAGIC:
        return MAGIC;
      case R.VERSION:
        return VERSION;
      case R.DEVICE_ID:
        return this.device.deviceId;
      case R.VENDOR_ID:
        return VENDOR;
      case R.DEVICE_FEATURES:
        if (this.#deviceFeaturesSel > 1) return 0;
        return Number((this.#offered >> BigInt(32 * this.#deviceFeaturesSel)) & BigInt(WORD));
      case R.QUEUE_NUM_MAX:
        return this.#queues[this.#queueSel]?.maxSize ?? 0;
      case R.QUEUE_READY:
        return this.#queues[this.#queueSel]?.ready === true ? 1 : 0;
      case R.INTERRUPT_STATUS:
        return this.#interruptStatus;
      case R.STATUS:
        return this.#status;
      // All ones: there is no shared memory region (4.2.2.1).
      case R.SHM_LEN_LOW:
      case R.SHM_LEN_HIGH:
      case R.SHM_BASE_LOW:
      case R.SHM_BASE_HIGH:
        return WORD;
      case R.CONFIG_GENERATION:
        return this.#generation;
      default:
        return 0;
    }
  }

  /** Writes a register. The configuration spaces of our devices are read-only: writes there do nothing. */
  write(offset: number, bytes: number, value: bigint): void {
    if (offset >= R.CONFIG || bytes !== 4) return;
    const word = Number(BigInt.asUintN(32, value));
    switch (offset) {
      case R.DEVICE_FEATURES_SEL:
        this.#deviceFeaturesSel = word;
        break;
      case R.DRIVER_FEATURES_SEL:
        this.#driverFeaturesSel = word;
        break;
      case R.DRIVER_FEATURES:
        if ((this.#status & STATUS.FEATURES_OK) === 0 && this.#driverFeaturesSel < 2)
          this.#driverFeatures[this.#driverFeaturesSel] = word;
        break;
      case R.QUEUE_SEL:
        this.#queueSel = word;
        break;
      case R.QUEUE_NOTIFY:
        this.#notify(word);
        break;
      case R.INTERRUPT_ACK:
        this.#interruptStatus &= ~word;
        this.#irq(this.#interruptStatus !== 0);
        break;
      case R.STATUS:
        this.#setStatus(word & 0xff);
        break;
      default:
        this.#setUpQueue(offset, word);
    }
  }

  #setUpQueue(offset: number, word: number): void {
    const queue = this.#queues[this.#queueSel];
    if (queue === undefined) return;
    if (offset === R.QUEUE_READY) {
      if ((word & 1) === 0) queue.stop();
      else if (!queue.ready && (this.#status & STATUS.NEEDS_RESET) === 0)
        queue.start({
          eventIndex: (this.#negotiated & FEATURE.EVENT_IDX) !== 0n,
          indirect: (this.#negotiated & FEATURE.INDIRECT_DESC) !== 0n,
        });
      return;
    }
    if (queue.ready) return;
    switch (offset) {
      case R.QUEUE_NUM:
        queue.size = word;
        break;
      case R.QUEUE_DESC_LOW:
        queue.setAddress(0, word);
        break;
      case R.QUEUE_DESC_HIGH:
        queue.setAddress(1, word);
        break;
      case R.QUEUE_DRIVER_LOW:
        queue.setAddress(2, word);
        break;
      case R.QUEUE_DRIVER_HIGH:
        queue.setAddress(3, word);
        break;
      case R.QUEUE_DEVICE_LOW:
        queue.setAddress(4, word);
        break;
      case R.QUEUE_DEVICE_HIGH:
        queue.setAddress(5, word);
        break;
    }
  }

  #setStatus(wanted: number): void {
    if (wanted === 0) {
      this.#reset();
      return;
    }
    const before = this.#status;
    // Only a reset clears bits (2.1.1), and only the device sets DEVICE_NEEDS_RESET.
    this.#status |= wanted & ~STATUS.NEEDS_RESET;
    if ((wanted & ~before & STATUS.FEATURES_OK) !== 0) {
      const taken = this.#negotiated;
      const acceptable = (taken & ~this.#offered) === 0n && (taken & FEATURE.VERSION_1) !== 0n;
      if (!acceptable) this.#status &= ~STATUS.FEATURES_OK;
    }
    // A driver may have filled queues before it was ready.
    if ((wanted & ~before & STATUS.DRIVER_OK) !== 0) for (const i of this.#queues.keys()) this.#notify(i);
  }

  #notify(index: number): void {
    const running = (this.#status & (STATUS.DRIVER_OK | STATUS.NEEDS_RESET)) === STATUS.DRIVER_OK;
    if (running && this.#queues[index]?.ready === true) this.device.notify(index);
  }

  save(): MmioState<S> {
    return {
      status: this.#status,
      deviceFeaturesSel: this.#deviceFeaturesSel,
      driverFeaturesSel: this.#driverFeaturesSel,
      driverFeatures: [...this.#driverFeatures],
      queueSel: this.#queueSel,
      interruptStatus: this.#interruptStatus,
      generation: this.#generation,
      brokenBecause: this.#brokenBecause,
      queues: this.#queues.map((queue) => queue.save()),
      device: this.device.save(),
    };
  }

  /** Takes over a state that `save` made of a transport with the same kind of device, with the same options. */
  restore(state: MmioState<S>): void {
    this.#status = state.status;
    this.#deviceFeaturesSel = state.deviceFeaturesSel;
    this.#driverFeaturesSel = state.driverFeaturesSel;
    this.#driverFeatures = [...state.driverFeatures];
    this.#queueSel = state.queueSel;
    this.#interruptStatus = state.interruptStatus;
    this.#generation = state.generation;
    this.#brokenBecause = state.brokenBecause;
    for (const [i, queue] of this.#queues.entries()) {
      const saved = state.queues[i];
      if (saved !== undefined) queue.restore(saved);
    }
    this.device.restore(state.device);
    this.#irq(this.#interruptStatus !== 0);
  }
}
