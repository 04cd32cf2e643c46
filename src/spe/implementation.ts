/**
 * What the architecture leaves to the implementation, in one record (with its reasons); nobody else in spe/ decides
 * any of it. The unit is Non-secure, AArch64 and without EL3: those questions never arise.
 */

import { PMBIDR_EL1, PMSIDR_EL1 } from "../arm/registers.ts";
import { invariant } from "../common/errors.ts";

export interface SpeImplementation {
  /** ID_AA64DFR0_EL1.PMSVer: 1 SPE, 2 v1p1, 3 v1p2, 4 v1p3, 5 v1p4, 6 v1p5. */
  readonly pmsVer: 1 | 2 | 3 | 4 | 5 | 6;
  /** PMSIDR_EL1 as read. EFT, FPF, ALTCLK and SME must be 0: they are not modelled. */
  readonly pmsidr: bigint;
  /** PMBIDR_EL1 as read, except for P, which depends on who reads. */
  readonly pmbidr: bigint;
  /** FEAT_SVE: events 17 and 18 can be filtered. */
  readonly sve: boolean;
  /** FEAT_ECV: PMSCR_ELx.PCT has two bits. */
  readonly ecv: boolean;
  /** Bits 31:0 of the Events packet that this implementation lets software filter on beyond the architected ones:
   *  2, 4, 8..10 before v1p4; 12..15 and 24..31. */
  readonly extraEventFilters: number;
  /** Payload of the Events packet. Bits 16 and up need 4 bytes. */
  readonly eventsBytes: 2 | 4;
  /** Payload of the Data Source packet. */
  readonly dataSourceBytes: 1 | 2;
}

/**
 * The values with which every Linux driver from 6.1 to 7.2 probes cleanly. One record is one 64-byte unit, so it never
 * crosses a page; 4096 is the recommended minimum interval; counters are 12 bits wide and saturate; no previous branch
 * target packets, because perf 6.1 and 6.12 do not know them; no call/return bits, because perf 7.2 reads them as SIMD
 * flags. F=1: record writes obey TCR_EL1.HA and HD as other stores do.
 */
export const DEFAULT_IMPLEMENTATION: SpeImplementation = {
  pmsVer: 3,
  pmsidr: PMSIDR_EL1.with(0n, {
    FE: 1,
    FT: 1,
    FL: 1,
    ArchInst: 1,
    LDS: 1,
    FnE: 1,
    Interval: 8,
    MaxSize: 6,
    CountSize: 2,
  }),
  pmbidr: PMBIDR_EL1.with(0n, { Align: 6, F: 1 }),
  sve: false,
  ecv: false,
  extraEventFilters: 0,
  eventsBytes: 4,
  dataSourceBytes: 2,
};

/** Recommended minimum intervals by PMSIDR_EL1.Interval; 1 and 9..15 are reserved. */
const MINIMUM_INTERVAL_OPS: Readonly<Record<number, number>> = {
  0: 256,
  2: 512,
  3: 768,
  4: 1024,
  5: 1536,
  6: 2048,
  7: 3072,
  8: 4096,
};

/** FEAT_SPE by its names, and ID_AA64DFR0_EL1.PMSVer. */
export const SPE_VERSIONS = { "1.0": 1, "1.1": 2, "1.2": 3, "1.3": 4, "1.4": 5, "1.5": 6 } as const;
export type SpeVersion = keyof typeof SPE_VERSIONS;

/** What a machine's user chooses of its profiling units. */
export interface SpeConfig {
  readonly version: SpeVersion;
  /** The recommended minimum interval in ops, which is perf's default period: one of INTERVALS. */
  readonly intervalOps: number;
}

/** Recommended minimum intervals that PMSIDR_EL1 can tell, in ops. */
export const INTERVALS: readonly number[] = Object.values(MINIMUM_INTERVAL_OPS);

/** As server cores have it. */
export const DEFAULT_SPE: SpeConfig = { version: "1.2", intervalOps: 1024 };

/**
 * The unit of a machine that executes code. Records have 128 bytes: at two instructions a nanosecond half of perf's default buffer
 * is full after half a second at a period of 65,536, and perf's own test wants to see that within one.
 */
export function implementationOf({ version, intervalOps }: SpeConfig): SpeImplementation {
  const pmsVer = SPE_VERSIONS[version];
  const interval = Object.entries(MINIMUM_INTERVAL_OPS).find(([, ops]) => ops === intervalOps);
  invariant(interval !== undefined, `PMSIDR_EL1.Interval has no code for ${intervalOps} ops`);
  return {
    ...DEFAULT_IMPLEMENTATION,
    pmsVer,
    pmsidr: PMSIDR_EL1.with(DEFAULT_IMPLEMENTATION.pmsidr, {
      Interval: Number(interval[0]),
      MaxSize: 7,
      FnE: pmsVer >= 3,
    }),
    pmbidr: PMBIDR_EL1.with(DEFAULT_IMPLEMENTATION.pmbidr, { Align: 7 }),
  };
}

/** What follows from an implementation's choices, computed once. */
export interface ImplementationFacts {
  readonly maxRecordBytes: number;
  readonly alignBytes: number;
  /** MaxSize equals Align: every record is exactly this long. Otherwise undefined. */
  readonly fixedRecordBytes: number | undefined;
  /** The value at which a counter packet saturates. */
  readonly counterMax: number;
  /** Bits 31:0 of PMSEVFR_EL1 that are implemented; the others are RAZ/WI. */
  readonly eventFilterMask: number;
  readonly hasFnE: boolean;
  readonly hasFds: boolean;
  readonly hasErnd: boolean;
  readonly hasDataSource: boolean;
  readonly hasPreviousTarget: boolean;
  readonly hasCallReturn: boolean;
  readonly v1p2: boolean;
}

/** Checks an implementation (BrokenInvariant) and derives what follows from it. */
export function factsOf(implementation: SpeImplementation): ImplementationFacts {
  const { pmsidr, pmbidr, pmsVer, sve, extraEventFilters } = implementation;
  const maxSize = PMSIDR_EL1.num(pmsidr, "MaxSize");
  const align = PMBIDR_EL1.num(pmbidr, "Align");
  const hasPreviousTarget = PMSIDR_EL1.is(pmsidr, "PBT");
  const hasFnE = PMSIDR_EL1.is(pmsidr, "FnE");
  const hasFds = PMSIDR_EL1.is(pmsidr, "FDS");
  const countSize = PMSIDR_EL1.num(pmsidr, "CountSize");
  for (const field of ["EFT", "FPF", "ALTCLK", "SME", "Format"] as const)
    invariant(!PMSIDR_EL1.is(pmsidr, field), `PMSIDR_EL1.${field} is not modelled`);
  invariant((pmsidr & PMSIDR_EL1.res0) === 0n && (pmbidr & PMBIDR_EL1.res0) === 0n, "RES0 bits are set");
  invariant(countSize === 2 || countSize === 3, `PMSIDR_EL1.CountSize ${countSize} is reserved`);
  // A record with two contexts, all counters and addresses needs 64 bytes, and one with a previous target 73.
  invariant(
    maxSize >= (hasPreviousTarget ? 7 : 6) && maxSize <= 11,
    `PMSIDR_EL1.MaxSize ${maxSize} cannot hold every record`,
  );
  invariant(align <= maxSize, `PMBIDR_EL1.Align ${align} is larger than MaxSize ${maxSize}`);
  invariant(!hasFnE || pmsVer >= 3, "PMSIDR_EL1.FnE needs FEAT_SPEv1p2");
  invariant(!hasFds || pmsVer >= 5, "PMSIDR_EL1.FDS needs FEAT_SPEv1p4");

  let eventFilterMask = bitsOf(1, 3, 5, 7) | extraEventFilters;
  if (pmsVer >= 2) eventFilterMask |= bitsOf(11);
  if (pmsVer >= 2 && sve) eventFilterMask |= bitsOf(17, 18);
  if (pmsVer >= 3) eventFilterMask |= bitsOf(6);
  if (pmsVer >= 5) eventFilterMask |= bitsOf(2, 4, 8, 9, 10, 19, 20, 21, 22, 23);
  invariant((eventFilterMask & 1) === 0, "bit 0 of PMSEVFR_EL1 is RES0");

  return {
    maxRecordBytes: 1 << maxSize,
    alignBytes: 1 << align,
    fixedRecordBytes: align === maxSize ? 1 << maxSize : undefined,
    counterMax: countSize === 3 ? 0xffff : 0xfff,
    eventFilterMask: eventFilterMask >>> 0,
    hasFnE,
    hasFds,
    hasErnd: PMSIDR_EL1.is(pmsidr, "ERnd"),
    hasDataSource: PMSIDR_EL1.is(pmsidr, "LDS"),
    hasPreviousTarget,
    hasCallReturn: PMSIDR_EL1.is(pmsidr, "CRR"),
    v1p2: pmsVer >= 3,
  };
}

function bitsOf(...positions: readonly number[]): number {
  let out = 0;
  for (const position of positions) out |= 1 << position;
  return out;
}
