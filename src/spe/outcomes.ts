/** What the unit asks of memory, what became of a sample, and the sums of that. */
import type { Vpn } from "../common/address.ts";

/** Why a record could not be written. */
export interface RecordFault {
  /** "mmu": stage 1 or stage 2 does not translate or does not permit the write; "external": an external abort;
   *  "granule-protection" and "implementation-defined" as PMBSR_EL1.EC has them. */
  readonly kind: "mmu" | "external" | "granule-protection" | "implementation-defined";
  /** The stage that failed; for kinds without one, 1. */
  readonly stage: 1 | 2;
  /** The fault status code (arm/fault-status.ts); 0 for kinds without one. */
  readonly dfsc: number;
  /** Bytes of the record written before the fault; PMBSR_EL1.DL is set and PMBPTR_EL1 moves if not 0. Default 0. */
  readonly incompleteBytes?: number;
}

/** The memory that records go to, seen through the owning exception level's translation regime. */
export interface RecordMemory {
  /**
   * Writes one record, all or nothing, with the owning EL's privilege.
   * @param page the VA's page number, VA[63:12]
   * @param offsetBytes the VA's offset in it; offsetBytes + sizeBytes may exceed 4096 if Align is below MaxSize
   * @param bytes the record, valid during the call only; undefined: it is sized and counted, not stored
   * @returns undefined if it was written
   */
  write(
    page: Vpn,
    offsetBytes: number,
    sizeBytes: number,
    bytes: Uint8Array | undefined,
  ): RecordFault | undefined;
  /** Completes what `write` batched; called for PSB CSYNC. */
  drain?(): void;
}

/** What became of the op that was selected. */
export type SampleOutcome =
  | { readonly kind: "written" }
  /** Written, and the buffer is full: PMBSR_EL1.S is now 1. */
  | { readonly kind: "full-after-write" }
  | { readonly kind: "filtered" }
  /** Another sample was in flight: PMBSR_EL1.COLL is now 1. */
  | { readonly kind: "collided" }
  /** PMBLIMITR_EL1.FM says discard. */
  | { readonly kind: "discarded" }
  /** PMBPTR_EL1 had already passed its limit: nothing was written and PMBSR_EL1.S is now 1. */
  | { readonly kind: "refused-full" }
  /** The write faulted: PMBSR_EL1.S is now 1. */
  | { readonly kind: "fault"; readonly fault: RecordFault }
  /** The buffer was disabled while the op was in flight. */
  | { readonly kind: "buffer-off" };

/** selected = collided + filtered + written + discarded + truncated (+ 1 while a sample is in flight). */
export interface SpuCounters {
  /** Ops that passed while profiling was enabled (PMU event SAMPLE_POP). */
  population: number;
  selected: number;
  collided: number;
  filtered: number;
  written: number;
  /** Let through by the filters and thrown away by discard mode. */
  discarded: number;
  /** Let through by the filters and lost: the write faulted, the buffer was full or went off. */
  truncated: number;
  /** How often the buffer filled (SAMPLE_WRAP). */
  filledBuffers: number;
  writtenBytes: number;
}

export const noCounts = (): SpuCounters => ({
  population: 0,
  selected: 0,
  collided: 0,
  filtered: 0,
  written: 0,
  discarded: 0,
  truncated: 0,
  filledBuffers: 0,
  writtenBytes: 0,
});
