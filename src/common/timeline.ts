/**
 * Time in whole nanoseconds, one timeline for each vCPU and each host worker. Whole numbers make sums exact in any
 * order, so a charge for 512 pages equals 512 charges for one.
 */
import { BrokenInvariant } from "./errors.ts";

/** What a stretch of a vCPU's time went to; the names are the report's. */
export const TIME_KINDS = [
  "guestRun",
  "idle",
  "walk",
  "pin",
  "unpin",
  "stage2",
  "exit",
  "irq",
  "lockWait",
  "steal",
] as const;

export type TimeKind = (typeof TIME_KINDS)[number];

/** Told of every stretch; the lab's timeline charts listen here. */
export type OnCharge = (kind: TimeKind, startNs: number, endNs: number) => void;

export interface TimelineState {
  readonly nowNs: number;
  readonly spentNs: Readonly<Record<TimeKind, number>>;
}

export class Timeline {
  readonly name: string;
  #nowNs = 0;
  readonly #spentNs: Record<TimeKind, number> = {
    guestRun: 0,
    idle: 0,
    walk: 0,
    pin: 0,
    unpin: 0,
    stage2: 0,
    exit: 0,
    irq: 0,
    lockWait: 0,
    steal: 0,
  };
  onCharge: OnCharge | undefined;

  constructor(name: string, startNs = 0) {
    this.name = name;
    this.#nowNs = startNs;
  }

  get nowNs(): number {
    return this.#nowNs;
  }

  /** Moves this timeline on by `ns` (a whole number, not negative), spent on `kind`. */
  charge(kind: TimeKind, ns: number): void {
    if (ns === 0) return;
    if (!(ns > 0) || !Number.isSafeInteger(ns))
      throw new BrokenInvariant(`${this.name}: a charge of ${ns} ns for ${kind}`);
    const start = this.#nowNs;
    this.#nowNs = start + ns;
    this.#spentNs[kind] += ns;
    this.onCharge?.(kind, start, this.#nowNs);
  }

  /** Skips to `atNs` if that lies ahead, spent on `kind` (idle, or waiting for a lock). */
  skipTo(kind: "idle" | "lockWait", atNs: number): void {
    if (atNs > this.#nowNs) this.charge(kind, atNs - this.#nowNs);
  }

  /** Time begins again at 0 with nothing spent: what came before was preparation. */
  restart(): void {
    this.#nowNs = 0;
    for (const kind of TIME_KINDS) this.#spentNs[kind] = 0;
  }

  /** What `restore` takes. */
  save(): TimelineState {
    return { nowNs: this.#nowNs, spentNs: { ...this.#spentNs } };
  }

  restore({ nowNs, spentNs }: TimelineState): void {
    this.#nowNs = nowNs;
    Object.assign(this.#spentNs, spentNs);
  }

  spentNs(kind: TimeKind): number {
    return this.#spentNs[kind];
  }

  /** Everything but running the guest and idling: what the hypervisor and the host took. */
  hypervisorNs(): number {
    return TIME_KINDS.reduce(
      (sum, kind) => (kind === "guestRun" || kind === "idle" ? sum : sum + this.#spentNs[kind]),
      0,
    );
  }
}

/** The last exclusive hold and the last shared one: from, to. */
export type TimelineLockState = readonly [
  exclusiveFromNs: number,
  exclusiveToNs: number,
  sharedFromNs: number,
  sharedToNs: number,
];

/**
 * A readers-writer lock between timelines. Timelines run out of step by a quantum at most, so a taker may come at an
 * instant before a hold that was already simulated: it then did not meet that hold and does not wait for it.
 */
export class TimelineLock {
  readonly name: string;
  #exclusiveFromNs = 0;
  #exclusiveToNs = 0;
  #sharedFromNs = 0;
  #sharedToNs = 0;

  constructor(name: string) {
    this.name = name;
  }

  /** Runs `work` on `timeline` under the lock; the wait for the lock is charged to `timeline` as lockWait. */
  hold<T>(timeline: Timeline, mode: "shared" | "exclusive", work: () => T): T {
    this.#waitFor(timeline, this.#exclusiveFromNs, this.#exclusiveToNs);
    if (mode === "exclusive") this.#waitFor(timeline, this.#sharedFromNs, this.#sharedToNs);
    const startNs = timeline.nowNs;
    const result = work();
    const endNs = timeline.nowNs;
    if (endNs === startNs) return result;
    if (mode === "exclusive") {
      this.#exclusiveFromNs = startNs;
      this.#exclusiveToNs = endNs;
    } else if (startNs <= this.#sharedToNs) this.#sharedToNs = Math.max(this.#sharedToNs, endNs);
    else {
      this.#sharedFromNs = startNs;
      this.#sharedToNs = endNs;
    }
    return result;
  }

  /** What `restore` takes. */
  save(): TimelineLockState {
    return [this.#exclusiveFromNs, this.#exclusiveToNs, this.#sharedFromNs, this.#sharedToNs];
  }

  restore(state: TimelineLockState): void {
    [this.#exclusiveFromNs, this.#exclusiveToNs, this.#sharedFromNs, this.#sharedToNs] = state;
  }

  #waitFor(timeline: Timeline, fromNs: number, toNs: number): void {
    if (timeline.nowNs >= fromNs) timeline.skipTo("lockWait", toNs);
  }
}
