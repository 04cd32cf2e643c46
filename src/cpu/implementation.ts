/**
 * What this core implements: Armv8.2-A without half-precision arithmetic. One record, from which follow what the ID registers
 * say (id-registers.ts), which encodings the decoder knows, which system instructions and PSTATE bits there are, how the MMU
 * walks, and the SPU. A guest that is told of a feature has it, and has none that it is not told of.
 */
import type { Feature } from "../a64/encoding.ts";
import { type CyclesPerNs, DEFAULT_CLOCK } from "../a64/state.ts";
import { invariant } from "../common/errors.ts";
import { MMU_FEATURES, type MmuFeatures } from "../mmu/implementation.ts";
import type { SpeImplementation } from "../spe/implementation.ts";

export interface Implementation {
  /** Instructions, and the PSTATE bits that come with them. */
  readonly features: ReadonlySet<Feature>;
  /** How stage 1 is walked; `stage2ExecuteNeverByEl` is about stage 2, which is the hypervisor's. */
  readonly mmu: MmuFeatures;
  /** The profiling unit; undefined: none. */
  readonly spe: SpeImplementation | undefined;
  readonly cyclesPerNs: CyclesPerNs;
}

export const IMPLEMENTATION: Implementation = {
  features: new Set([
    "CRC32",
    "LSE",
    "LOR",
    "RDM",
    "PAN",
    "PAN2",
    "UAO",
    "DPB",
    "AES",
    "PMULL",
    "SHA1",
    "SHA256",
  ]),
  // Of what the walker knows, these came after Armv8.3.
  mmu: { ...MMU_FEATURES, smallTables: false, epan: false },
  spe: undefined,
  cyclesPerNs: DEFAULT_CLOCK,
};

/** A line of the caches, which IC IVAU names. */
export const CACHE_LINE_BYTES = 64;
/** The exclusives' reservation granule: a store to any of it is an event for who waits in WFE. */
export const RESERVATION_GRANULE_BYTES = 64;

/** Features that the architecture allows with others only. */
const NEEDS: readonly (readonly [feature: Feature, needed: Feature])[] = [
  ["PAN2", "PAN"],
  ["PMULL", "AES"],
  ["SHA256", "SHA1"],
];

/** @throws BrokenInvariant for what the architecture does not have, or this core has nothing to answer with */
export function checkImplementation({ features, mmu, spe }: Implementation): void {
  for (const [feature, needed] of NEEDS)
    invariant(!features.has(feature) || features.has(needed), `FEAT_${feature} needs FEAT_${needed}`);
  invariant(!mmu.epan || features.has("PAN2"), "FEAT_PAN3 needs FEAT_PAN2");
  invariant(spe === undefined || !(spe.sve || spe.ecv), "the core has neither FEAT_SVE nor FEAT_ECV");
}
