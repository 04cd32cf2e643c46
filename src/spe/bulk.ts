/**
 * Many samples at once, for a caller that knows what they come to: a model that only counts them. The unit's state
 * afterwards is that of the same samples taken one by one.
 */
import { invariant } from "../common/errors.ts";
import { recordsWritten } from "./buffer.ts";
import type { OpBounds } from "./filters.ts";
import { discards, type SpuState, statisticalProfilingEnabled } from "./state.ts";

export class BulkSampling {
  readonly #state: SpuState;

  /** @param state of the unit that this is a part of */
  constructor(state: SpuState) {
    this.#state = state;
  }

  /** Every record is rejected by the filters, whatever op within the bounds it is of. */
  rejectsEverything(bounds: OpBounds): boolean {
    return this.#state.filters.rejectsEverything(bounds);
  }

  /** Ops from one selected op to the next, that one included; undefined with jitter (or a zero interval). */
  get periodOps(): number | undefined {
    const { interval } = this.#state;
    return interval.isRegular ? interval.periodOps : undefined;
  }

  /** How many of the next `ops` ops are selected, at a regular period, if nothing changes meanwhile. */
  samplesWithin(ops: number): number {
    const { interval } = this.#state;
    if (!statisticalProfilingEnabled(this.#state)) return 0;
    invariant(interval.isRegular, "samples do not come at a fixed distance");
    return interval.samplesWithin(ops);
  }

  /**
   * Records that can be written until the one, included, that fills the buffer; 0 if it is full already. Infinity in
   * discard mode. With records of varying size it is a lower bound (all of them MaxSize).
   */
  recordsToFull(): number {
    const { buffer, facts } = this.#state;
    if (discards(this.#state)) return Number.POSITIVE_INFINITY;
    return Math.max(0, Math.floor(buffer.remainingBytes / facts.maxRecordBytes));
  }

  /** Records that fit entirely into the page of PMBPTR_EL1 (all of them MaxSize). */
  recordsToPageEnd(): number {
    const { buffer, facts } = this.#state;
    return Math.floor((4096 - buffer.pointerOffset) / facts.maxRecordBytes);
  }

  /** Whether `takeSamples` may be called: see there. */
  get canTakeSamples(): boolean {
    const state = this.#state;
    return (
      state.facts.fixedRecordBytes !== undefined &&
      !state.storeRecords &&
      !state.inFlight &&
      state.interval.isRegular &&
      state.filters.acceptsEverything &&
      statisticalProfilingEnabled(state)
    );
  }

  /**
   * Lets ops pass up to and including the `samples`-th selected one and counts their records as written, without
   * asking the memory: the caller vouches that the pages to be written translate. At most recordsToFull(); the last of
   * those fills the buffer (PMBSR_EL1.S).
   * @returns the ops that passed
   */
  takeSamples(samples: number): number {
    const state = this.#state;
    invariant(this.canTakeSamples, "these samples must be taken one by one");
    invariant(samples <= this.recordsToFull(), `${samples} records do not fit into the buffer`);
    const ops = this.#passSelected(samples);
    if (discards(state)) state.counters.discarded += samples;
    else if (samples > 0) recordsWritten(state, samples, samples * state.facts.maxRecordBytes);
    return ops;
  }

  /**
   * Lets ops pass up to and including the `samples`-th selected one, all of them filtered out: the caller knows from
   * rejectsEverything() that none can be kept. A regular period is needed.
   * @returns the ops that passed
   */
  takeRejectedSamples(samples: number): number {
    const state = this.#state;
    invariant(!state.inFlight && statisticalProfilingEnabled(state), "these ops are not sampled");
    const ops = this.#passSelected(samples);
    state.counters.filtered += samples;
    return ops;
  }

  #passSelected(samples: number): number {
    const { interval, counters } = this.#state;
    const ops = interval.passSamples(samples);
    counters.population += ops;
    counters.selected += samples;
    return ops;
  }
}
