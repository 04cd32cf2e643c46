/**
 * The events of the PMU that only the profiling unit and its models can count. The unit's own it counts anyway. For the models'
 * every op is followed while somebody counts one of them: nothing is extrapolated.
 */
import { LOG } from "../../a64/state.ts";
import { PMU_EVENT } from "../../arm/pmu-events.ts";
import type { EventsByLevel, PmuEventSource } from "../../kvm/pmu.ts";
import type { SpuCounters } from "../../spe/outcomes.ts";
import { MODEL_COUNT } from "./models.ts";

/** As an instruction has at most 64 accesses, to 64 bytes in all: those of them that a line ends in are two lookups. */
const MOST_LOOKUPS = 66;

interface ModelEvent {
  readonly event: number;
  readonly count: number;
  /** An instruction may make several. */
  readonly isOfAccesses: boolean;
}

const ofAccesses = (event: number, count: number): ModelEvent => ({ event, count, isOfAccesses: true });
const ofBranches = (event: number, count: number): ModelEvent => ({ event, count, isOfAccesses: false });

const MODEL_EVENTS: readonly ModelEvent[] = [
  ofAccesses(PMU_EVENT.L1D_CACHE_REFILL, MODEL_COUNT.l1dRefill),
  ofAccesses(PMU_EVENT.L1D_CACHE, MODEL_COUNT.l1d),
  ofAccesses(PMU_EVENT.L1D_TLB_REFILL, MODEL_COUNT.tlbRefill),
  ofBranches(PMU_EVENT.BR_MIS_PRED, MODEL_COUNT.mispredicted),
  ofBranches(PMU_EVENT.BR_PRED, MODEL_COUNT.branch),
  ofAccesses(PMU_EVENT.L1D_TLB, MODEL_COUNT.tlb),
  ofAccesses(PMU_EVENT.DTLB_WALK, MODEL_COUNT.walk),
];

/** What the unit counts (SPEPreExecution, SPECompleteSample and SPECollectRecord). */
const UNIT_EVENTS: readonly {
  readonly event: number;
  readonly count: (counters: Readonly<SpuCounters>) => number;
}[] = [
  { event: PMU_EVENT.SAMPLE_POP, count: ({ population }) => population },
  { event: PMU_EVENT.SAMPLE_FEED, count: ({ selected, collided }) => selected - collided },
  {
    event: PMU_EVENT.SAMPLE_FILTRATE,
    count: ({ written, discarded, truncated }) => written + discarded + truncated,
  },
  { event: PMU_EVENT.SAMPLE_COLLISION, count: ({ collided }) => collided },
];

const ALL: readonly number[] = [...UNIT_EVENTS, ...MODEL_EVENTS].map(({ event }) => event);
const NONE: EventsByLevel = [0, 0];

export interface SpeEventsState {
  /** By event: what happened at EL0, and in all by when it was last told where. */
  readonly atEl0: readonly number[];
  readonly told: readonly number[];
}

export class SpeEvents implements PmuEventSource {
  readonly events = ALL;
  readonly #unit: Readonly<SpuCounters>;
  readonly #models: Float64Array;
  readonly #followAll: (all: boolean) => void;
  readonly #atEl0 = new Float64Array(ALL.length);
  readonly #told = new Float64Array(ALL.length);

  /**
   * @param models by MODEL_COUNT
   * @param followAll told whether the models must follow every op from now on
   */
  constructor(unit: Readonly<SpuCounters>, models: Float64Array, followAll: (all: boolean) => void) {
    this.#unit = unit;
    this.#models = models;
    this.#followAll = followAll;
  }

  /** What has happened since this was told last was at this level. */
  happened(el: 0 | 1): void {
    const told = this.#told;
    for (let i = 0; i < told.length; i++) {
      const total = this.#total(i);
      if (el === 0) this.#atEl0[i]! += total - told[i]!;
      told[i] = total;
    }
  }

  #total(i: number): number {
    const ofUnit = UNIT_EVENTS[i];
    if (ofUnit !== undefined) return ofUnit.count(this.#unit);
    return this.#models[MODEL_EVENTS[i - UNIT_EVENTS.length]!.count]!;
  }

  countsOf(event: number): EventsByLevel {
    const i = ALL.indexOf(event);
    if (i < 0) return NONE;
    const atEl0 = this.#atEl0[i]!;
    return [atEl0, this.#total(i) - atEl0];
  }

  /** An op that makes several comes in the middle of a run: then the run is as long as the log at most. */
  instructionsUntil(event: number, times: number): number {
    const isOfAccesses = MODEL_EVENTS.some((model) => model.event === event && model.isOfAccesses);
    if (!isOfAccesses) return times;
    return Math.max(Math.floor(times / MOST_LOOKUPS), Math.min(times, LOG.OPS));
  }

  count(events: ReadonlySet<number>): void {
    this.#followAll(MODEL_EVENTS.some(({ event }) => events.has(event)));
  }

  save(): SpeEventsState {
    return { atEl0: [...this.#atEl0], told: [...this.#told] };
  }

  restore({ atEl0, told }: SpeEventsState): void {
    this.#atEl0.set(atEl0);
    this.#told.set(told);
  }
}
