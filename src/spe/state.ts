/** The registers' state, taken apart so that nothing per sample needs 64-bit arithmetic. */
import type { PeContext } from "./enables.ts";
import type { Filters } from "./filters.ts";
import type { ImplementationFacts, SpeImplementation } from "./implementation.ts";
import type { IntervalCounter } from "./interval.ts";

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

/** All that registers read and write. */
export interface SpuState {
  readonly implementation: SpeImplementation;
  readonly facts: ImplementationFacts;
  readonly pe: PeContext;
  readonly controls: Controls;
  readonly buffer: Buffer;
  readonly status: Status;
  readonly interval: IntervalCounter;
  readonly filters: Filters;
}

/** PMBLIMITR_EL1.FM: discard mode (FEAT_SPEv1p2). */
export const FILL_MODE_DISCARD = 2;

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
