/**
 * The sampling interval: PMSICR_EL1 counting down from PMSIRR_EL1, one step for each op of the population
 * (SPEToCollectSample and SPEResetSampleCounter in Arm's pseudocode), moved on by many ops at once.
 *
 * The op that finds COUNT at zero reloads it and is neither counted nor sampled, so without jitter the period is
 * INTERVAL * 256 + 1 ops.
 *
 * Jitter is drawn one byte at a time, and a byte may have to be drawn before the op that uses it, because the distance
 * to the next sample depends on it. Such bytes wait in `drawn` and are used in order, so asking changes nothing.
 */
import { BrokenInvariant, invariant } from "../common/errors.ts";

/** After so many unlucky bytes in a row (each loses a sample or reloads zero) we say "never" and ask no more. */
const DRAWS_AHEAD = 4096;

export interface IntervalState {
  readonly count: number;
  readonly ecount: number;
  readonly reloadOps: number;
  readonly jitter: boolean;
  readonly drawn: readonly number[];
}

export class IntervalCounter {
  /** PMSICR_EL1.COUNT. */
  count = 0;
  /** PMSICR_EL1.ECOUNT. */
  ecount = 0;
  /** PMSIRR_EL1.INTERVAL * 256. */
  reloadOps = 0;
  /** PMSIRR_EL1.RND. */
  jitter = false;
  private drawn: number[] = [];
  private readonly afterwards: boolean;
  private readonly random: () => number;

  /**
   * @param ernd PMSIDR_EL1.ERnd: jitter is applied after COUNT, in ECOUNT, instead of in COUNT[7:0]
   * @param random a random byte, 0..255
   */
  constructor(ernd: boolean, random: () => number) {
    this.afterwards = ernd;
    this.random = random;
  }

  /** Ops that may pass before the op that is selected; Infinity if there is none to come. */
  opsToNextSample(): number {
    if (this.ecount === 0 && !this.jitter && this.reloadOps !== 0)
      return this.count === 0 ? this.reloadOps : this.count - 1;
    return this.lookAhead();
  }

  private lookAhead(): number {
    let { count, ecount } = this;
    let used = 0;
    let ops = 0;
    while (used < DRAWS_AHEAD) {
      if (count === 0) {
        if (this.reloadOps === 0 && !(this.jitter && !this.afterwards))
          return ecount === 0 ? Number.POSITIVE_INFINITY : ops + ecount - 1;
        count = this.reloadOps + (this.jitter && !this.afterwards ? this.peek(used++) : 0);
        ops++;
        if (ecount !== 0 && --ecount === 0) return ops - 1;
        continue;
      }
      const step = ecount === 0 ? count : Math.min(count, ecount);
      ops += step;
      count -= step;
      const ecountDone = ecount === step;
      if (ecount !== 0) ecount -= step;
      if (count === 0) {
        if (!(this.jitter && this.afterwards)) return ops - 1;
        ecount = this.peek(used++);
        if (ecount !== 0 && --ecount === 0) return ops - 1;
      } else if (ecountDone) return ops - 1;
    }
    return Number.POSITIVE_INFINITY;
  }

  /** Lets `ops` ops pass, none of which is selected: more than opsToNextSample() is a BrokenInvariant. */
  advance(ops: number): void {
    if (ops < this.count && this.ecount === 0) {
      this.count -= ops;
      return;
    }
    if (ops > this.opsToNextSample())
      throw new BrokenInvariant(
        `advancing by ${ops} ops would pass the sample ${this.opsToNextSample()} ops away`,
      );
    if (this.count === 0 && this.isRegular && ops > 0) {
      this.count = this.reloadOps - (ops - 1); // the first of them reloads
      return;
    }
    let left = ops;
    while (left > 0) {
      if (this.count === 0 && this.reloadOps === 0 && !(this.jitter && !this.afterwards)) {
        this.ecount = Math.max(0, this.ecount - left);
        return;
      }
      if (this.count === 0) {
        this.step();
        left--;
        continue;
      }
      const toEvent = this.ecount === 0 ? this.count : Math.min(this.count, this.ecount);
      const plain = Math.min(left, toEvent - 1);
      this.count -= plain;
      if (this.ecount !== 0) this.ecount -= plain;
      left -= plain;
      if (left > 0) {
        this.step();
        left--;
      }
    }
  }

  /** Lets the one op pass that is selected; a BrokenInvariant if it is not. */
  passSample(): void {
    if (this.count === 1 && this.ecount === 0 && !(this.jitter && this.afterwards)) this.count = 0;
    else invariant(this.step(), "the op is not the one to be sampled");
  }

  /** One op, as the pseudocode has it; whether it is selected. */
  private step(): boolean {
    if (this.count === 0)
      this.count = this.reloadOps + (this.jitter && !this.afterwards ? this.takeByte() : 0);
    else if (--this.count === 0) {
      if (!(this.jitter && this.afterwards)) return true;
      this.ecount = this.takeByte();
    }
    if (this.ecount !== 0) {
      this.ecount--;
      return this.ecount === 0;
    }
    return false;
  }

  /** Whether samples come at a fixed distance, so that many periods can pass at once. */
  get isRegular(): boolean {
    return !this.jitter && this.ecount === 0 && this.reloadOps > 0;
  }

  /** Ops from one selected op to the next, that one included, when regular. */
  get periodOps(): number {
    return this.reloadOps + 1;
  }

  /** How many of the next `ops` ops are selected, when regular. */
  samplesWithin(ops: number): number {
    const first = this.opsToNextSample() + 1;
    return ops < first ? 0 : 1 + Math.floor((ops - first) / this.periodOps);
  }

  /** Lets ops pass up to and including the `samples`-th selected one, when regular. Returns how many passed. */
  passSamples(samples: number): number {
    invariant(this.isRegular, "samples do not come at a fixed distance");
    if (samples === 0) return 0;
    const ops = this.opsToNextSample() + 1 + (samples - 1) * this.periodOps;
    this.count = 0;
    return ops;
  }

  private peek(index: number): number {
    while (this.drawn.length <= index) this.drawn.push(this.random() & 0xff);
    return this.drawn[index] as number;
  }

  private takeByte(): number {
    return this.drawn.shift() ?? this.random() & 0xff;
  }

  save(): IntervalState {
    const { count, ecount, reloadOps, jitter, drawn } = this;
    return { count, ecount, reloadOps, jitter, drawn: [...drawn] };
  }

  restore(state: IntervalState): void {
    this.count = state.count;
    this.ecount = state.ecount;
    this.reloadOps = state.reloadOps;
    this.jitter = state.jitter;
    this.drawn = [...state.drawn];
  }
}
