/**
 * The filters of PMSFCR_EL1 (SPECollectRecord in Arm's pseudocode): a record is kept if no enabled filter rejects it.
 * Selectors are combined when they are written, so that the test per sample is a few comparisons.
 *
 * Where the pseudocode and the rest of the architecture disagree, this follows the latter: records with a latency of
 * at least MINLAT are kept (not those below), the data-source filter is applied, and events 19..23 can be filtered from
 * v1p4 on. An enabled filter with an empty selector, or one event both required and forbidden, is CONSTRAINED
 * UNPREDICTABLE: it rejects nothing here.
 */
import { ALL_KIND_BITS, KIND_BITS, type OpKind, type SampledOp } from "./op.ts";

/** PMSFCR_EL1, PMSEVFR_EL1, PMSNEVFR_EL1, PMSLATFR_EL1 and PMSDSFR_EL1, taken apart. Numbers are unsigned. */
export interface FilterSelectors {
  fe: boolean;
  ft: boolean;
  fl: boolean;
  fne: boolean;
  fds: boolean;
  b: boolean;
  ld: boolean;
  st: boolean;
  /** Bits 31:0, unimplemented ones already cleared. */
  events: number;
  invertedEvents: number;
  minLatency: number;
  dataSourcesLow: number;
  dataSourcesHigh: number;
}

/** What is known of ops that have not been drawn yet. */
export interface OpBounds {
  /** No op takes longer than this. */
  readonly maxTotalLatency: number;
  /** Events that some op may have; all, if left out. */
  readonly possibleEvents?: number;
  /** Events that every op has; none, if left out. */
  readonly certainEvents?: number;
  /** Kinds that may occur; all, if left out. */
  readonly kinds?: readonly OpKind[];
}

export class Filters {
  /** After writing to one, call `recompute`. */
  readonly selectors: FilterSelectors = {
    fe: false,
    ft: false,
    fl: false,
    fne: false,
    fds: false,
    b: false,
    ld: false,
    st: false,
    events: 0,
    invertedEvents: 0,
    minLatency: 0,
    dataSourcesLow: 0,
    dataSourcesHigh: 0,
  };
  private required = 0;
  private forbidden = 0;
  private kinds = ALL_KIND_BITS;
  private minLatency = 0;
  private bySource = false;

  /** Changes selectors. Drivers write these registers at every context switch, so there is also `recompute`. */
  update(changes: Partial<FilterSelectors>): void {
    Object.assign(this.selectors, changes);
    this.recompute();
  }

  /** Combines the selectors after they were written. */
  recompute(): void {
    const s = this.selectors;
    const contradicts = s.fe && s.fne && (s.events & s.invertedEvents) !== 0;
    this.required = s.fe && !contradicts ? s.events | 0 : 0;
    this.forbidden = s.fne && !contradicts ? s.invertedEvents | 0 : 0;
    const chosen = (s.b ? KIND_BITS.branch : 0) | (s.ld ? KIND_BITS.load : 0) | (s.st ? KIND_BITS.store : 0);
    this.kinds = s.ft && chosen !== 0 ? chosen : ALL_KIND_BITS;
    this.minLatency = s.fl ? s.minLatency : 0;
    this.bySource = s.fds;
  }

  /** Whether a record of the op is kept. */
  keeps(op: SampledOp): boolean {
    return (
      (op.events & this.required) === this.required &&
      (op.events & this.forbidden) === 0 &&
      (KIND_BITS[op.kind] & this.kinds) !== 0 &&
      op.totalLatency >= this.minLatency &&
      (!this.bySource || this.keepsSource(op))
    );
  }

  private keepsSource(op: SampledOp): boolean {
    if ((KIND_BITS[op.kind] & KIND_BITS.load) === 0 || op.dataSource === undefined) return true;
    const index = op.dataSource & 63;
    const half = index < 32 ? this.selectors.dataSourcesLow : this.selectors.dataSourcesHigh;
    return ((half >>> (index & 31)) & 1) === 1;
  }

  /** No op can be rejected. */
  get acceptsEverything(): boolean {
    return (
      this.required === 0 &&
      this.forbidden === 0 &&
      this.kinds === ALL_KIND_BITS &&
      this.minLatency === 0 &&
      !this.bySource
    );
  }

  /** No op within the bounds can be kept. */
  rejectsEverything(bounds: OpBounds): boolean {
    if (this.minLatency > bounds.maxTotalLatency) return true;
    if ((this.required & ~(bounds.possibleEvents ?? -1)) !== 0) return true;
    if ((this.forbidden & (bounds.certainEvents ?? 0)) !== 0) return true;
    return bounds.kinds?.every((kind) => (KIND_BITS[kind] & this.kinds) === 0) ?? false;
  }
}
