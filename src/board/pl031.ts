/** The PL031 real-time clock (Arm DDI 0224), as Linux's rtc-pl031 drives it: seconds, an alarm, an interrupt. */

const R = {
  DR: 0x00,
  MR: 0x04,
  LR: 0x08,
  CR: 0x0c,
  IMSC: 0x10,
  RIS: 0x14,
  MIS: 0x18,
  ICR: 0x1c,
} as const;
const ALARM = 1;
/** PeriphID, of revision r1 as QEMU's virt machine has it, and PCellID, from 0xfe0 on. */
const IDS = [0x31, 0x10, 0x14, 0x00, 0x0d, 0xf0, 0x05, 0xb1] as const;
const COUNTER_SECONDS = 2 ** 32;

/** A clock as plain data; `offsetSeconds` is how far the guest has set it from the machine's time. */
export interface Pl031State {
  readonly offsetSeconds: number;
  readonly match: number;
  readonly load: number;
  readonly mask: number;
  readonly raw: number;
  /** Second until which the counter has been compared with the match register. */
  readonly comparedSeconds: number;
}

export class Pl031 {
  readonly #seconds: () => number;
  readonly #irq: (high: boolean) => void;
  #offsetSeconds = 0;
  #match = 0;
  #load = 0;
  #mask = 0;
  #raw = 0;
  #comparedSeconds: number;

  /** @param seconds the machine's time as seconds since 1970, which never goes back; fractions are cut off */
  constructor(options: { seconds: () => number; irq: (high: boolean) => void }) {
    this.#seconds = options.seconds;
    this.#irq = options.irq;
    this.#comparedSeconds = this.#now;
  }

  get #now(): number {
    return Math.floor(this.#seconds());
  }

  /** The counter at an instant of the machine's time. It wraps, like the 32-bit register. */
  #counterAt(seconds: number): number {
    return (((seconds + this.#offsetSeconds) % COUNTER_SECONDS) + COUNTER_SECONDS) % COUNTER_SECONDS;
  }

  /**
   * Machine time (seconds since 1970, whole) at which the counter comes to the match register next, where its
   * interrupt is unmasked: whoever runs the machine calls `tick` then.
   */
  get alarmSeconds(): number | undefined {
    if ((this.#mask & ALARM) === 0 || (this.#raw & ALARM) !== 0) return undefined;
    const ahead = (this.#match - this.#counterAt(this.#comparedSeconds) + COUNTER_SECONDS) % COUNTER_SECONDS;
    return this.#comparedSeconds + (ahead === 0 ? COUNTER_SECONDS : ahead);
  }

  /** Compares the counter with the match register: every second that went by since the last time counts. */
  tick(): void {
    const now = this.#now;
    const passed = now - this.#comparedSeconds;
    const ahead = (this.#match - this.#counterAt(this.#comparedSeconds) + COUNTER_SECONDS) % COUNTER_SECONDS;
    if (passed > 0 && (ahead === 0 ? COUNTER_SECONDS : ahead) <= passed) this.#raw |= ALARM;
    this.#comparedSeconds = Math.max(now, this.#comparedSeconds);
    this.#irq((this.#raw & this.#mask) !== 0);
  }

  /** The comparator sees the counter as it stands, not only as it changes. */
  #compare(): void {
    if (this.#counterAt(this.#comparedSeconds) === this.#match) this.#raw |= ALARM;
  }

  /** @param offset bytes from the device's base */
  read(offset: number): number {
    this.tick();
    switch (offset) {
      case R.DR:
        return this.#counterAt(this.#now);
      case R.MR:
        return this.#match;
      case R.LR:
        return this.#load;
      case R.CR:
        // It runs from reset on: the guest's enable changes nothing, and it cannot be stopped (DDI 0224, 3.3.4).
        return 1;
      case R.IMSC:
        return this.#mask;
      case R.RIS:
        return this.#raw;
      case R.MIS:
        return this.#raw & this.#mask;
    }
    if (offset >= 0xfe0 && offset < 0x1000) return IDS[(offset - 0xfe0) >> 2] ?? 0;
    return 0;
  }

  /** @param offset bytes from the device's base */
  write(offset: number, value: number): void {
    this.tick();
    const word = value >>> 0;
    switch (offset) {
      case R.MR:
        this.#match = word;
        this.#compare();
        break;
      case R.LR:
        this.#load = word;
        this.#offsetSeconds = word - this.#now;
        this.#compare();
        break;
      case R.IMSC:
        this.#mask = word & ALARM;
        break;
      case R.ICR:
        this.#raw &= ~word;
        break;
    }
    this.tick();
  }

  save(): Pl031State {
    return {
      offsetSeconds: this.#offsetSeconds,
      match: this.#match,
      load: this.#load,
      mask: this.#mask,
      raw: this.#raw,
      comparedSeconds: this.#comparedSeconds,
    };
  }

  restore(state: Pl031State): void {
    this.#offsetSeconds = state.offsetSeconds;
    this.#match = state.match;
    this.#load = state.load;
    this.#mask = state.mask;
    this.#raw = state.raw;
    this.#comparedSeconds = state.comparedSeconds;
    this.#irq((this.#raw & this.#mask) !== 0);
  }
}
