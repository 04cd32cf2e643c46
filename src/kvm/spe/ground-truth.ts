/**
 * The ground truth of one PE's profiling: which instructions ran while the guest believed it was profiled, and which
 * of them the hardware really watched. Only reports read it.
 *
 * blackout: the guest's own view says profiling is on (its E = 1, S = 0, a profiled EL), and the hardware samples
 * nothing, whatever the cause. What the SPU would have selected there, had a counter gone on from where its own stood,
 * is counted as lostInBlackout; between the guest's own S = 1 and its restart, as lostWhileFull; while its driver has
 * no AUX space, as truncated.
 */
import { type RandomStream, randomStream } from "../../common/random.ts";
import { lowWord } from "../../common/words.ts";
import type { Spu } from "../../spe/spu.ts";

/** What the guest believes. */
export type GuestView = "off" | "on" | "full" | "no-space";

/** Where PMSICR_EL1.COUNT stands and how it is reloaded. */
export interface SamplingCounter {
  /** PMSICR_EL1.COUNT. */
  readonly count: number;
  /** PMSIRR_EL1.INTERVAL * 256. */
  readonly interval: number;
  /** PMSIRR_EL1.RND: the reload gets a random low byte. */
  readonly jitter: boolean;
}

/** What a run adds up. */
const SUMS = [
  "lostInBlackout",
  "lostWhileFull",
  "truncated",
  "blackoutCount",
  "blackoutNs",
  "longestBlackoutNs",
  "blackoutInstructions",
  "profiledInstructions",
] as const;

export interface GroundTruthState {
  /** In the order of SUMS. */
  readonly sums: readonly number[];
  readonly lossState: GuestView;
  readonly remaining: number;
  readonly interval: number | undefined;
  readonly blackoutStartNs: number;
  readonly currentBlackoutNs: number;
  readonly jitter: readonly number[];
}

export class GroundTruth {
  lostInBlackout = 0;
  lostWhileFull = 0;
  truncated = 0;
  blackoutCount = 0;
  blackoutNs = 0;
  longestBlackoutNs = 0;
  blackoutInstructions = 0;
  /** Instructions executed while the guest believed it was profiled. */
  profiledInstructions = 0;
  /** Told of every blackout when it ends. */
  onBlackout: ((startNs: number, endNs: number) => void) | undefined;
  #lossState: GuestView = "off";
  /**
   * Ops to the next selection that is lost. A stretch shorter than the interval leaves the next one less: the hardware's
   * counter stands still meanwhile, so otherwise what many short stretches lose would never be told.
   */
  #remaining = 0;
  /** The interval that this was counted with. */
  #interval: number | undefined;
  #blackoutStartNs = 0;
  #currentBlackoutNs = 0;
  readonly #jitter: RandomStream;

  constructor(seed: number) {
    this.#jitter = randomStream(seed);
  }

  /** `ops` instructions ran from `startNs` to `endNs` with the hardware sampling them. */
  sampled(ops: number): void {
    this.profiledInstructions += ops;
    this.#endLoss();
  }

  /**
   * `ops` instructions ran from `startNs` to `endNs` that the hardware did not sample.
   * @param counter where the hardware's counter stands
   */
  unsampled(
    view: GuestView,
    ops: number,
    startNs: number,
    endNs: number,
    counter: () => SamplingCounter,
  ): void {
    if (view === "off") {
      this.#endLoss();
      return;
    }
    if (ops === 0) return;
    const at = counter();
    if (at.interval !== this.#interval) {
      this.#interval = at.interval;
      this.#remaining = at.count === 0 ? periodOf(at.interval) : at.count;
    }
    if (view !== this.#lossState) {
      this.#lossState = view;
      if (view === "on") {
        this.blackoutCount += 1;
        this.#blackoutStartNs = startNs;
        this.#currentBlackoutNs = 0;
      }
    }
    const lost = this.#selections(ops, at);
    switch (view) {
      case "on":
        this.profiledInstructions += ops;
        this.lostInBlackout += lost;
        this.blackoutInstructions += ops;
        this.blackoutNs += endNs - startNs;
        this.#currentBlackoutNs += endNs - startNs;
        this.longestBlackoutNs = Math.max(this.longestBlackoutNs, this.#currentBlackoutNs);
        this.onBlackout?.(this.#blackoutStartNs, endNs);
        return;
      case "full":
        this.lostWhileFull += lost;
        return;
      case "no-space":
        this.truncated += lost;
        return;
    }
  }

  /** What `restore` takes. */
  save(): GroundTruthState {
    return {
      sums: SUMS.map((name) => this[name]),
      lossState: this.#lossState,
      remaining: this.#remaining,
      interval: this.#interval,
      blackoutStartNs: this.#blackoutStartNs,
      currentBlackoutNs: this.#currentBlackoutNs,
      jitter: this.#jitter.save(),
    };
  }

  restore(state: GroundTruthState): void {
    SUMS.forEach((name, i) => {
      this[name] = state.sums[i] as number;
    });
    this.#lossState = state.lossState;
    this.#remaining = state.remaining;
    this.#interval = state.interval;
    this.#blackoutStartNs = state.blackoutStartNs;
    this.#currentBlackoutNs = state.currentBlackoutNs;
    this.#jitter.restore(state.jitter);
  }

  /** How many selections fall into the next `ops` instructions, counting on from where the counter stood. */
  #selections(ops: number, { interval, jitter }: SamplingCounter): number {
    if (ops < this.#remaining) {
      this.#remaining -= ops;
      return 0;
    }
    if (!jitter) {
      const past = ops - this.#remaining;
      const period = periodOf(interval);
      this.#remaining = period === Number.POSITIVE_INFINITY ? period : period - (past % period);
      return 1 + Math.floor(past / period);
    }
    let selected = 0;
    let left = ops;
    while (left >= this.#remaining) {
      left -= this.#remaining;
      selected += 1;
      this.#remaining = interval + 1 + this.#jitter.integer(0, 255);
    }
    this.#remaining -= left;
    return selected;
  }

  #endLoss(): void {
    this.#lossState = "off";
  }
}

/** Ops from one selection to the next; an interval of 0 reloads the counter for ever and selects nothing. */
const periodOf = (interval: number): number => (interval === 0 ? Number.POSITIVE_INFINITY : interval + 1);

const NO_COUNTER: SamplingCounter = { count: 0, interval: 0, jitter: false };

/** Feeds the ground truth of a PE with what its core executes: whoever runs instructions tells of each stretch. */
export class TruthFeed {
  readonly #truth: GroundTruth;
  readonly #spu: Spu;
  readonly #guestView: () => GuestView;
  readonly #counter = (): SamplingCounter => {
    const irr = this.#spu.read("PMSIRR_EL1");
    if (irr === 0n) return NO_COUNTER;
    return {
      count: lowWord(this.#spu.read("PMSICR_EL1")),
      interval: (lowWord(irr) & 0xffff_ff00) >>> 0,
      jitter: (irr & 1n) === 1n,
    };
  };

  /** @param guestView what the guest believes of its buffer now */
  constructor(truth: GroundTruth, spu: Spu, guestView: () => GuestView) {
    this.#truth = truth;
    this.#spu = spu;
    this.#guestView = guestView;
  }

  /** Whether the guest believes that what it executes at an exception level is profiled. */
  believes(el: 0 | 1): boolean {
    return this.#spu.profiles(el) && this.#guestView() === "on";
  }

  /** `ops` instructions ran with the hardware sampling them. */
  sampled(ops: number): void {
    this.#truth.sampled(ops);
  }

  /**
   * `ops` instructions ran from `startNs` to `endNs`, at the PE's exception level, that the hardware did not sample.
   * @param noSpace the guest's driver has found no AUX space: its event wants to sample and cannot
   */
  unsampled(ops: number, startNs: number, endNs: number, noSpace: boolean): void {
    const profiled = this.#spu.profiles(this.#spu.pe.el === 0 ? 0 : 1);
    const view = noSpace ? "no-space" : profiled ? this.#guestView() : "off";
    this.#truth.unsampled(view, ops, startNs, endNs, this.#counter);
  }
}
