/** The registers' state, taken apart so that nothing per sample needs 64-bit arithmetic. */
import { type ExceptionLevel, type PeContext, StatisticalProfilingEnabled } from "./enables.ts";
import type { Filters } from "./filters.ts";
import type { ImplementationFacts, SpeImplementation } from "./implementation.ts";
import type { IntervalCounter } from "./interval.ts";
import type { SpuCounters } from "./outcomes.ts";

/** PMSCR_EL1 (1) and PMSCR_EL2 (2). */
export interface Controls {
  e0spe: boolean;
  e1spe: boolean;
  e0hspe: boolean;
  e2spe: boolean;
  cx1: boolean;
  pa1: boolean;
  ts1: boolean;
  pct1: number;
  cx2: boolean;
  pa2: boolean;
  ts2: boolean;
  pct2: number;
}

/** PMBPTR_EL1 and PMBLIMITR_EL1. */
export interface Buffer {
  pointerPage: number;
  pointerOffset: number;
  limitPage: number;
  enabled: boolean;
  fillMode: number;
  pmfz: boolean;
  /** From the pointer to the limit; follows from both, kept because every record asks. */
  remainingBytes: number;
}

/** PMBSR_EL1[31:0]. */
export interface Status {
  mss: number;
  coll: boolean;
  s: boolean;
  ea: boolean;
  dl: boolean;
  ec: number;
}

/** What a unit's parts share. */
export interface SpuState {
  readonly implementation: SpeImplementation;
  readonly facts: ImplementationFacts;
  readonly storeRecords: boolean;
  readonly pe: PeContext;
  readonly controls: Controls;
  readonly buffer: Buffer;
  readonly status: Status;
  readonly interval: IntervalCounter;
  readonly filters: Filters;
  readonly counters: SpuCounters;
  /** A sample is in flight. */
  inFlight: boolean;
}

/** PMBLIMITR_EL1.FM: discard mode (FEAT_SPEv1p2). */
const FILL_MODE_DISCARD = 2;

/** PMBLIMITR_EL1.E is 1 and PMBSR_EL1.S is 0 (ProfilingBufferEnabled). */
export const profilingBufferEnabled = ({ buffer, status }: SpuState): boolean => buffer.enabled && !status.s;

/** Whether ops at an exception level are sampled (StatisticalProfilingEnabled). Default: where the PE is. */
export const statisticalProfilingEnabled = (state: SpuState, el: ExceptionLevel = state.pe.el): boolean =>
  StatisticalProfilingEnabled(el, profilingBufferEnabled(state), state.controls, state.pe);

/** PMBLIMITR_EL1.FM says discard (FEAT_SPEv1p2). */
export const discards = ({ facts, buffer }: SpuState): boolean =>
  facts.v1p2 && buffer.fillMode === FILL_MODE_DISCARD;

export const initialControls = (): Controls => ({
  e0spe: false,
  e1spe: false,
  e0hspe: false,
  e2spe: false,
  cx1: false,
  pa1: false,
  ts1: false,
  pct1: 0,
  cx2: false,
  pa2: false,
  ts2: false,
  pct2: 0,
});

export const initialBuffer = (): Buffer => ({
  pointerPage: 0,
  pointerOffset: 0,
  limitPage: 0,
  enabled: false,
  fillMode: 0,
  pmfz: false,
  remainingBytes: 0,
});

export const initialStatus = (): Status => ({ mss: 0, coll: false, s: false, ea: false, dl: false, ec: 0 });

/** Brings `remainingBytes` up to date with the pointer and the limit. */
export function recomputeRemaining(buffer: Buffer): void {
  buffer.remainingBytes = (buffer.limitPage - buffer.pointerPage) * 4096 - buffer.pointerOffset;
}
