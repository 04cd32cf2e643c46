/** The identification registers: what a PE says of itself. In the order of their encodings; layouts as in Arm DDI 0601. */
import { ENCODINGS } from "./encodings.ts";
import { bit, bits, register } from "./register.ts";

const DDI = "Arm DDI 0601";
const READ_ONLY = { access: "RO", source: DDI } as const;

/** Main ID Register. */
export const MIDR_EL1 = register(
  "MIDR_EL1",
  ENCODINGS.MIDR_EL1,
  {
    Revision: bits(3, 0),
    PartNum: bits(15, 4),
    Architecture: bits(19, 16),
    Variant: bits(23, 20),
    Implementer: bits(31, 24),
  },
  READ_ONLY,
);
/** AArch64 Processor Feature Register 0. */
export const ID_AA64PFR0_EL1 = register(
  "ID_AA64PFR0_EL1",
  ENCODINGS.ID_AA64PFR0_EL1,
  {
    EL0: bits(3, 0),
    EL1: bits(7, 4),
    EL2: bits(11, 8),
    EL3: bits(15, 12),
    FP: bits(19, 16),
    AdvSIMD: bits(23, 20),
    GIC: bits(27, 24),
    RAS: bits(31, 28),
    SVE: bits(35, 32),
    SEL2: bits(39, 36),
    MPAM: bits(43, 40),
    AMU: bits(47, 44),
    DIT: bits(51, 48),
    RME: bits(55, 52),
    CSV2: bits(59, 56),
    CSV3: bits(63, 60),
  },
  READ_ONLY,
);
/** AArch64 Debug Feature Register 0: PMSVer 0 none, 1 SPE, 2 v1p1, 3 v1p2, 4 v1p3, 5 v1p4, 6 v1p5. */
export const ID_AA64DFR0_EL1 = register(
  "ID_AA64DFR0_EL1",
  ENCODINGS.ID_AA64DFR0_EL1,
  {
    DebugVer: bits(3, 0),
    TraceVer: bits(7, 4),
    PMUVer: bits(11, 8),
    BRPs: bits(15, 12),
    PMSS: bits(19, 16),
    WRPs: bits(23, 20),
    SEBEP: bits(27, 24),
    CTX_CMPs: bits(31, 28),
    PMSVer: bits(35, 32),
    DoubleLock: bits(39, 36),
    TraceFilt: bits(43, 40),
    TraceBuffer: bits(47, 44),
    MTPMU: bits(51, 48),
    BRBE: bits(55, 52),
    ExtTrcBuff: bits(59, 56),
    HPMN0: bits(63, 60),
  },
  READ_ONLY,
);
/** AArch64 Debug Feature Register 2. */
export const ID_AA64DFR2_EL1 = register(
  "ID_AA64DFR2_EL1",
  ENCODINGS.ID_AA64DFR2_EL1,
  {
    STEP: bits(3, 0),
    BWE: bits(7, 4),
    SPE_EXC: bits(19, 16),
    SPE_nVM: bits(23, 20),
    TRBE_EXC: bits(27, 24),
  },
  READ_ONLY,
);
/** AArch64 Instruction Set Attribute Register 0. */
export const ID_AA64ISAR0_EL1 = register(
  "ID_AA64ISAR0_EL1",
  ENCODINGS.ID_AA64ISAR0_EL1,
  {
    AES: bits(7, 4),
    SHA1: bits(11, 8),
    SHA2: bits(15, 12),
    CRC32: bits(19, 16),
    Atomic: bits(23, 20),
    TME: bits(27, 24),
    RDM: bits(31, 28),
    SHA3: bits(35, 32),
    SM3: bits(39, 36),
    SM4: bits(43, 40),
    DP: bits(47, 44),
    FHM: bits(51, 48),
    TS: bits(55, 52),
    TLB: bits(59, 56),
    RNDR: bits(63, 60),
  },
  READ_ONLY,
);
/** AArch64 Instruction Set Attribute Register 1; of its fields those that this project has a use for. */
export const ID_AA64ISAR1_EL1 = register(
  "ID_AA64ISAR1_EL1",
  ENCODINGS.ID_AA64ISAR1_EL1,
  { DPB: bits(3, 0) },
  READ_ONLY,
);
/** AArch64 Memory Model Feature Register 0. */
export const ID_AA64MMFR0_EL1 = register(
  "ID_AA64MMFR0_EL1",
  ENCODINGS.ID_AA64MMFR0_EL1,
  {
    PARange: bits(3, 0),
    ASIDBits: bits(7, 4),
    BigEnd: bits(11, 8),
    SNSMem: bits(15, 12),
    BigEndEL0: bits(19, 16),
    TGran16: bits(23, 20),
    TGran64: bits(27, 24),
    TGran4: bits(31, 28),
    TGran16_2: bits(35, 32),
    TGran64_2: bits(39, 36),
    TGran4_2: bits(43, 40),
    ExS: bits(47, 44),
    FGT: bits(59, 56),
    ECV: bits(63, 60),
  },
  READ_ONLY,
);
/** AArch64 Memory Model Feature Register 1. */
export const ID_AA64MMFR1_EL1 = register(
  "ID_AA64MMFR1_EL1",
  ENCODINGS.ID_AA64MMFR1_EL1,
  {
    HAFDBS: bits(3, 0),
    VMIDBits: bits(7, 4),
    VH: bits(11, 8),
    HPDS: bits(15, 12),
    LO: bits(19, 16),
    PAN: bits(23, 20),
    SpecSEI: bits(27, 24),
    XNX: bits(31, 28),
    TWED: bits(35, 32),
    ETS: bits(39, 36),
    HCX: bits(43, 40),
    AFP: bits(47, 44),
    nTLBPA: bits(51, 48),
    TIDCP1: bits(55, 52),
    CMOW: bits(59, 56),
    ECBHB: bits(63, 60),
  },
  READ_ONLY,
);
/** AArch64 Memory Model Feature Register 2. */
export const ID_AA64MMFR2_EL1 = register(
  "ID_AA64MMFR2_EL1",
  ENCODINGS.ID_AA64MMFR2_EL1,
  {
    CnP: bits(3, 0),
    UAO: bits(7, 4),
    LSM: bits(11, 8),
    IESB: bits(15, 12),
    VARange: bits(19, 16),
    CCIDX: bits(23, 20),
    NV: bits(27, 24),
    ST: bits(31, 28),
    AT: bits(35, 32),
    IDS: bits(39, 36),
    FWB: bits(43, 40),
    TTL: bits(51, 48),
    BBM: bits(55, 52),
    EVT: bits(59, 56),
    E0PD: bits(63, 60),
  },
  READ_ONLY,
);
/** Current Cache Size ID Register, without FEAT_CCIDX. */
export const CCSIDR_EL1 = register(
  "CCSIDR_EL1",
  ENCODINGS.CCSIDR_EL1,
  { LineSize: bits(2, 0), Associativity: bits(12, 3), NumSets: bits(27, 13) },
  READ_ONLY,
);
/** Cache Level ID Register. */
export const CLIDR_EL1 = register(
  "CLIDR_EL1",
  ENCODINGS.CLIDR_EL1,
  {
    Ctype1: bits(2, 0),
    Ctype2: bits(5, 3),
    Ctype3: bits(8, 6),
    Ctype4: bits(11, 9),
    Ctype5: bits(14, 12),
    Ctype6: bits(17, 15),
    Ctype7: bits(20, 18),
    LoUIS: bits(23, 21),
    LoC: bits(26, 24),
    LoUU: bits(29, 27),
    ICB: bits(32, 30),
  },
  READ_ONLY,
);
/** Cache Type Register; line sizes and granules are log2 of words. */
export const CTR_EL0 = register(
  "CTR_EL0",
  ENCODINGS.CTR_EL0,
  {
    IminLine: bits(3, 0),
    L1Ip: bits(15, 14),
    DminLine: bits(19, 16),
    ERG: bits(23, 20),
    CWG: bits(27, 24),
    IDC: bit(28),
    DIC: bit(29),
    RES1: bit(31),
    TminLine: bits(37, 32),
  },
  READ_ONLY,
);
/** Data Cache Zero ID Register. */
export const DCZID_EL0 = register(
  "DCZID_EL0",
  ENCODINGS.DCZID_EL0,
  { BS: bits(3, 0), DZP: bit(4) },
  READ_ONLY,
);

export const ID_REGISTERS = [
  MIDR_EL1,
  ID_AA64PFR0_EL1,
  ID_AA64DFR0_EL1,
  ID_AA64DFR2_EL1,
  ID_AA64ISAR0_EL1,
  ID_AA64ISAR1_EL1,
  ID_AA64MMFR0_EL1,
  ID_AA64MMFR1_EL1,
  ID_AA64MMFR2_EL1,
  CCSIDR_EL1,
  CLIDR_EL1,
  CTR_EL0,
  DCZID_EL0,
] as const;
