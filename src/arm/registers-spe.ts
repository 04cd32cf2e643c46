/**
 * The registers of the Statistical Profiling Extension, to the last bit, for FEAT_SPE up to v1p5. What a given
 * implementation leaves out (PMSIDR_EL1, ID_AA64DFR0_EL1.PMSVer) is masked by spe/, not here.
 *
 * Layouts: Arm DDI 0601, the PMS* and PMB* pages; Linux arch/arm64/tools/sysreg.
 */
import { ENCODINGS } from "./encodings.ts";
import { bit, bits, register } from "./register.ts";

const DDI = "Arm DDI 0601";

const PMSCR_EL1_FIELDS = {
  E0SPE: bit(0),
  E1SPE: bit(1),
  CX: bit(3),
  PA: bit(4),
  TS: bit(5),
  PCT: bits(7, 6),
} as const;

/** Bit n selects bit n of the Events packet; bit 0 and bits 47:32 cannot be selected. */
const EVENT_FIELDS = { E31_1: bits(31, 1), E63_48: bits(63, 48) } as const;

/** Statistical Profiling Control Register (EL1). */
export const PMSCR_EL1 = register("PMSCR_EL1", ENCODINGS.PMSCR_EL1, PMSCR_EL1_FIELDS, { source: DDI });
/** Reaches PMSCR_EL1 from EL2 when HCR_EL2.E2H is 1. */
export const PMSCR_EL12 = register("PMSCR_EL12", ENCODINGS.PMSCR_EL12, PMSCR_EL1_FIELDS, {
  source: DDI,
  aliasOf: "PMSCR_EL1",
});
/** Statistical Profiling Control Register (EL2). EnVM exists with FEAT_SPE_nVM only. */
export const PMSCR_EL2 = register(
  "PMSCR_EL2",
  ENCODINGS.PMSCR_EL2,
  { E0HSPE: bit(0), E2SPE: bit(1), CX: bit(3), PA: bit(4), TS: bit(5), PCT: bits(7, 6) },
  { source: DDI },
);
/** Sampling Inverted Event Filter Register (FEAT_SPEv1p2 and PMSIDR_EL1.FnE). */
export const PMSNEVFR_EL1 = register("PMSNEVFR_EL1", ENCODINGS.PMSNEVFR_EL1, EVENT_FIELDS, { source: DDI });
/** Sampling Interval Counter Register. */
export const PMSICR_EL1 = register(
  "PMSICR_EL1",
  ENCODINGS.PMSICR_EL1,
  { COUNT: bits(31, 0), ECOUNT: bits(63, 56) },
  { source: DDI },
);
/** Sampling Interval Reload Register. The interval in ops is INTERVAL * 256. */
export const PMSIRR_EL1 = register(
  "PMSIRR_EL1",
  ENCODINGS.PMSIRR_EL1,
  { RND: bit(0), INTERVAL: bits(31, 8) },
  { source: DDI },
);
/** Sampling Filter Control Register. */
export const PMSFCR_EL1 = register(
  "PMSFCR_EL1",
  ENCODINGS.PMSFCR_EL1,
  {
    FE: bit(0),
    FT: bit(1),
    FL: bit(2),
    FnE: bit(3),
    FDS: bit(4),
    B: bit(16),
    LD: bit(17),
    ST: bit(18),
    FP: bit(19),
    SIMD: bit(20),
    Bm: bit(48),
    LDm: bit(49),
    STm: bit(50),
    FPm: bit(51),
    SIMDm: bit(52),
  },
  { source: DDI },
);
/** Sampling Event Filter Register. */
export const PMSEVFR_EL1 = register("PMSEVFR_EL1", ENCODINGS.PMSEVFR_EL1, EVENT_FIELDS, { source: DDI });
/** Sampling Latency Filter Register. */
export const PMSLATFR_EL1 = register(
  "PMSLATFR_EL1",
  ENCODINGS.PMSLATFR_EL1,
  { MINLAT: bits(15, 0) },
  { source: DDI },
);
/** Sampling Profiling ID Register. */
export const PMSIDR_EL1 = register(
  "PMSIDR_EL1",
  ENCODINGS.PMSIDR_EL1,
  {
    FE: bit(0),
    FT: bit(1),
    FL: bit(2),
    ArchInst: bit(3),
    LDS: bit(4),
    ERnd: bit(5),
    FnE: bit(6),
    FDS: bit(7),
    Interval: bits(11, 8),
    MaxSize: bits(15, 12),
    CountSize: bits(19, 16),
    Format: bits(23, 20),
    PBT: bit(24),
    CRR: bit(25),
    EFT: bit(26),
    FPF: bit(27),
    ALTCLK: bits(31, 28),
    SME: bit(32),
  },
  { access: "RO", source: DDI },
);
/** Profiling Buffer Limit Address Register. LIMIT:000 is the first byte after the buffer. */
export const PMBLIMITR_EL1 = register(
  "PMBLIMITR_EL1",
  ENCODINGS.PMBLIMITR_EL1,
  { E: bit(0), FM: bits(2, 1), PMFZ: bit(5), nVM: bit(7), LIMIT: bits(63, 12) },
  { source: DDI },
);
/** Profiling Buffer Write Pointer Register: a virtual address. */
export const PMBPTR_EL1 = register("PMBPTR_EL1", ENCODINGS.PMBPTR_EL1, { PTR: bits(63, 0) }, { source: DDI });
/** Profiling Buffer Status/syndrome Register. */
export const PMBSR_EL1 = register(
  "PMBSR_EL1",
  ENCODINGS.PMBSR_EL1,
  {
    MSS: bits(15, 0),
    COLL: bit(16),
    S: bit(17),
    EA: bit(18),
    DL: bit(19),
    EC: bits(31, 26),
    MSS2: bits(55, 32),
  },
  { source: DDI },
);
/** Sampling Data Source Filter Register (FEAT_SPE_FDS). */
export const PMSDSFR_EL1 = register(
  "PMSDSFR_EL1",
  ENCODINGS.PMSDSFR_EL1,
  { S: bits(63, 0) },
  { source: DDI },
);
/** Profiling Buffer Memory Attribute Register (FEAT_SPE_nVM). */
export const PMBMAR_EL1 = register(
  "PMBMAR_EL1",
  ENCODINGS.PMBMAR_EL1,
  { Attr: bits(7, 0), SH: bits(9, 8) },
  { source: DDI },
);
/** Profiling Buffer ID Register. MaxBuffSize is always 0 in hardware: a field for hypervisors that trap the read. */
export const PMBIDR_EL1 = register(
  "PMBIDR_EL1",
  ENCODINGS.PMBIDR_EL1,
  {
    Align: bits(3, 0),
    P: bit(4),
    F: bit(5),
    EA: bits(11, 8),
    MaxBuffSize_M: bits(40, 32),
    MaxBuffSize_E: bits(45, 41),
  },
  { access: "RO", source: `${DDI}; MaxBuffSize as in Linux arch/arm64/tools/sysreg` },
);

export const SPE_REGISTERS = [
  PMSCR_EL1,
  PMSCR_EL12,
  PMSCR_EL2,
  PMSNEVFR_EL1,
  PMSICR_EL1,
  PMSIRR_EL1,
  PMSFCR_EL1,
  PMSEVFR_EL1,
  PMSLATFR_EL1,
  PMSIDR_EL1,
  PMBLIMITR_EL1,
  PMBPTR_EL1,
  PMBSR_EL1,
  PMSDSFR_EL1,
  PMBMAR_EL1,
  PMBIDR_EL1,
] as const;
