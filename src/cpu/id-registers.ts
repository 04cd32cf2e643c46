/** What a core says it is, from what it implements. */
import { ZVA_BYTES } from "../a64/semantics/system.ts";
import {
  CCSIDR_EL1,
  CLIDR_EL1,
  CTR_EL0,
  DCZID_EL0,
  type Encoding,
  ID_AA64DFR0_EL1,
  ID_AA64ISAR0_EL1,
  ID_AA64ISAR1_EL1,
  ID_AA64MMFR0_EL1,
  ID_AA64MMFR1_EL1,
  ID_AA64MMFR2_EL1,
  ID_AA64PFR0_EL1,
  MIDR_EL1,
  SYSREG,
  type SysregName,
} from "../arm/registers.ts";
import { BREAKPOINTS, CONTEXT_BREAKPOINTS, WATCHPOINTS } from "./debug-match.ts";
import { CACHE_LINE_BYTES, type Implementation, RESERVATION_GRANULE_BYTES } from "./implementation.ts";

const PA_RANGE = { 32: 0, 36: 1, 40: 2, 42: 3, 44: 4, 48: 5 } as const;
const HAFDBS = { none: 0, "access-flag": 1, "dirty-state": 2 } as const;
/** Sizes are told as log2 of words. */
const words = (bytes: number): number => Math.log2(bytes / 4);
const LINE = words(CACHE_LINE_BYTES);

const isar0 = ({ features }: Implementation): bigint =>
  ID_AA64ISAR0_EL1.with(0n, {
    AES: features.has("PMULL") ? 2 : features.has("AES"),
    SHA1: features.has("SHA1"),
    SHA2: features.has("SHA256"),
    CRC32: features.has("CRC32"),
    Atomic: features.has("LSE") ? 2 : 0,
    RDM: features.has("RDM"),
  });

const mmfr1 = ({ features, mmu }: Implementation): bigint =>
  ID_AA64MMFR1_EL1.with(0n, {
    HAFDBS: HAFDBS[mmu.hardwareUpdates],
    HPDS: mmu.hierarchicalPermissionDisables,
    LO: features.has("LOR"),
    PAN: mmu.epan ? 3 : features.has("PAN2") ? 2 : features.has("PAN"),
  });

/**
 * The registers that are constants, by encoding. CSV3 and E0PD keep Linux from isolating its page tables
 * (arch/arm64/kernel/cpufeature.c), which the SPE driver insists on.
 */
export function idRegisters(implementation: Implementation): ReadonlyMap<number, bigint> {
  const { features, mmu, spe } = implementation;
  const values: readonly (readonly [name: SysregName, value: bigint])[] = [
    // A Neoverse N1 r4p1, of which Linux knows no erratum that this core would need: perf decodes data sources by it.
    [
      "MIDR_EL1",
      MIDR_EL1.with(0n, { Implementer: 0x41, Variant: 4, Architecture: 0xf, PartNum: 0xd0c, Revision: 1 }),
    ],
    ["REVIDR_EL1", 0n],
    // EL0 and EL1 in AArch64 only; FP and AdvSIMD without half precision; GIC system registers.
    ["ID_AA64PFR0_EL1", ID_AA64PFR0_EL1.with(0n, { EL0: 1, EL1: 1, EL2: 1, GIC: 1, CSV2: 1, CSV3: 1 })],
    ["ID_AA64PFR1_EL1", 0n],
    ["ID_AA64ZFR0_EL1", 0n],
    ["ID_AA64SMFR0_EL1", 0n],
    [
      "ID_AA64DFR0_EL1",
      ID_AA64DFR0_EL1.with(0n, {
        // Debug of Armv8.0; kvm/pmu.ts is a PMUv3 for Armv8.1.
        DebugVer: 6,
        PMUVer: 4,
        BRPs: BREAKPOINTS - 1,
        WRPs: WATCHPOINTS - 1,
        CTX_CMPs: CONTEXT_BREAKPOINTS - 1,
        PMSVer: spe?.pmsVer ?? 0,
      }),
    ],
    ["ID_AA64DFR1_EL1", 0n],
    ["ID_AA64AFR0_EL1", 0n],
    ["ID_AA64AFR1_EL1", 0n],
    ["ID_AA64ISAR0_EL1", isar0(implementation)],
    ["ID_AA64ISAR1_EL1", ID_AA64ISAR1_EL1.with(0n, { DPB: features.has("DPB") })],
    ["ID_AA64ISAR2_EL1", 0n],
    // 16-bit ASIDs, all granules (16 KiB counts from 1, the others from 0).
    [
      "ID_AA64MMFR0_EL1",
      ID_AA64MMFR0_EL1.with(0n, { PARange: PA_RANGE[mmu.paBits], ASIDBits: 2, TGran16: 1 }),
    ],
    ["ID_AA64MMFR1_EL1", mmfr1(implementation)],
    // CnP: 1.
    [
      "ID_AA64MMFR2_EL1",
      ID_AA64MMFR2_EL1.with(0n, { CnP: 1, UAO: features.has("UAO"), ST: mmu.smallTables, E0PD: mmu.e0pd }),
    ],
    // Cleaning and invalidating to the point of unification is needed.
    [
      "CTR_EL0",
      CTR_EL0.with(0n, {
        IminLine: LINE,
        DminLine: LINE,
        L1Ip: 3,
        ERG: words(RESERVATION_GRANULE_BYTES),
        CWG: LINE,
        RES1: 1,
      }),
    ],
    ["DCZID_EL0", DCZID_EL0.with(0n, { BS: words(ZVA_BYTES) })],
    // Two levels of cache, unified from the second on.
    ["CLIDR_EL1", CLIDR_EL1.with(0n, { Ctype1: 3, Ctype2: 4, LoUIS: 1, LoC: 2, LoUU: 1 })],
    ["AIDR_EL1", 0n],
  ];
  return new Map(values.map(([name, value]) => [SYSREG[name], value]));
}

/** Whether an encoding lies in the space of ID registers, of which what is not allocated reads as zero. */
export const isIdSpace = ([op0, op1, crn, crm]: Encoding): boolean =>
  op0 === 3 && op1 === 0 && crn === 0 && crm >= 1 && crm <= 7;

const cache = (ways: number, bytes: number): bigint =>
  CCSIDR_EL1.with(0n, {
    LineSize: LINE - 2,
    Associativity: ways - 1,
    NumSets: bytes / (ways * CACHE_LINE_BYTES) - 1,
  });
const LEVEL_1 = cache(4, 64 * 1024);
const LEVEL_2 = cache(8, 1024 * 1024);

/** CCSIDR_EL1 by CSSELR_EL1. */
export const cacheSize = (level: number): bigint =>
  level === 0 || level === 1 ? LEVEL_1 : level === 2 ? LEVEL_2 : 0n;
