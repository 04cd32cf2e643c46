/**
 * Where the host's time goes while cores execute: by what of the machine spends it, and by the guest's code that it is for.
 *
 * One clock is read at each change from one part to the next, so that what is counted adds up to the time from `begin` to
 * `end`. WebAssembly is not interrupted: time there is the code's at which a stretch of it ended, and stretches are short.
 */

/** What of the machine spends time. */
export const HOST_PARTS = [
  "interpreter",
  "translated code",
  "careful interpreter (SPE)",
  "walks and slow accesses",
  "decoding",
  "translating",
  "system instructions and exceptions",
  "debug exceptions",
  "devices",
  "hypervisor, scheduler and host I/O",
] as const;

export type HostPart = (typeof HOST_PARTS)[number];

/** By part, as a number: cores tell of millions of changes. */
export const PART = {
  interpreter: 0,
  translated: 1,
  careful: 2,
  walks: 3,
  decoding: 4,
  translating: 5,
  system: 6,
  debug: 7,
  devices: 8,
  outside: 9,
} as const;

export interface HostTime {
  /** The address of the guest's code. */
  readonly pc: bigint;
  readonly part: HostPart;
  readonly ns: number;
}

/** The longest stretch of WebAssembly, in instructions: some ten microseconds. No round number, so that no loop keeps step with it. */
const STRETCH = 8_191;

const TWO_32 = 2 ** 32;
/** Of an address [52:0] are kept. Bit 52 tells the halves of the address space apart: canonical addresses have as much above it. */
const HIGH_BITS = 0x1f_ffff;

export class HostProfile {
  readonly #clockNs: () => number;
  /** By address, the time of each part. */
  readonly #times = new Map<number, Float64Array>();
  #lastNs = 0;
  #startNs = 0;
  #isRunning = false;
  /** What the time between two runs of cores is spent on. */
  #outside: number = PART.outside;

  /** @param clockNs the host's clock in ns, which never goes back */
  constructor(clockNs: () => number) {
    this.#clockNs = clockNs;
  }

  /** Time counts from here. */
  begin(): void {
    this.#startNs = this.#clockNs();
    this.#lastNs = this.#startNs;
    this.#isRunning = true;
  }

  /** Time counts up to here: what has passed since the last core ran is the code's at which that stands. */
  end(pcHigh: number, pcLow: number): void {
    this.runs(pcHigh, pcLow);
    this.#isRunning = false;
  }

  /** From `begin` to the last change, in ns. */
  get totalNs(): number {
    return this.#lastNs - this.#startNs;
  }

  /** How many instructions WebAssembly may execute at a time. */
  get stretch(): number {
    return STRETCH;
  }

  /** A core begins to run: what has passed was outside of all of them. */
  runs(pcHigh: number, pcLow: number): void {
    this.spent(this.#outside, pcHigh, pcLow);
  }

  /** A core's run has ended. @param isForDevice by an access to a device */
  stops(isForDevice: boolean): void {
    this.#outside = isForDevice ? PART.devices : PART.outside;
  }

  /** What has passed since the last change was spent on a part (PART), for the code at an address. */
  spent(part: number, pcHigh: number, pcLow: number): void {
    if (!this.#isRunning) return;
    const nowNs = this.#clockNs();
    const key = (pcHigh & HIGH_BITS) * TWO_32 + pcLow;
    let times = this.#times.get(key);
    if (times === undefined) {
      times = new Float64Array(HOST_PARTS.length);
      this.#times.set(key, times);
    }
    times[part]! += nowNs - this.#lastNs;
    this.#lastNs = nowNs;
  }

  /** What was counted. */
  *times(): Iterable<HostTime> {
    for (const [key, times] of this.#times) {
      const address = BigInt(key);
      const pc = address >> 52n === 0n ? address : BigInt.asUintN(64, address - (1n << 53n));
      for (const [i, part] of HOST_PARTS.entries()) {
        const ns = times[i] as number;
        if (ns > 0) yield { pc, part, ns };
      }
    }
  }
}
