/**
 * One set of translation tables as the walker takes it: a stage with its root, sizes and controls as plain
 * numbers, made once from register values. TTBR0, TTBR1 and VTTBR each give one.
 */
import {
  HCR_EL2 as HCR,
  SCTLR_EL1 as SCTLR,
  TCR_EL1 as TCR,
  VTCR_EL2 as VTCR,
} from "../arm/registers-system.ts";
import type { Ipn, Pfn, Vpn } from "../common/address.ts";
import { MMU_CHOICES, MMU_FEATURES, type MmuFeatures } from "./implementation.ts";
import type { LeafVerdict } from "./verdict.ts";

/** Tables from pages of type In to pages of type Out. */
export interface StageConfig<In extends number = number, Out extends number = number> {
  readonly stage: 1 | 2;
  /** Stage 1: SCTLR_ELx.M; stage 2: HCR_EL2.VM or DC. Off, the output is the input. */
  readonly enabled: boolean;
  /** Every access through an enabled stage is a level 0 translation fault: EPDn, or a bad TxSZ or SL0. */
  readonly refuses: boolean;
  /** The first page that it translates: 0, or for TTBR1 the first of the upper range. */
  readonly firstPage: In;
  /** The size of its input range in 4 KiB pages: 2^(64 - TxSZ - 12). */
  readonly pages: number;
  /** VA[63:56] does not take part (TBI), for data accesses or for fetches too (TBID clear). */
  readonly topByteIgnored: boolean;
  readonly topByteIgnoredOnFetch: boolean;
  /** log2 of the granule's bytes: 12, 14 or 16. */
  readonly granuleShift: 12 | 14 | 16;
  /** 4 KiB pages in a granule, and so in each table after the first. */
  readonly granulePages: 1 | 4 | 16;
  /** Descriptors in a full table, less one. */
  readonly indexMask: number;
  /** 4 KiB pages that one descriptor of a level covers, by level 0 to 3. */
  readonly entryPages: readonly [number, number, number, number];
  /** The first level at which a block is allowed. */
  readonly firstBlockLevel: 1 | 2;
  readonly startLevel: 0 | 1 | 2 | 3;
  /** The page in which the first table starts, and at which of its words; a small one need not be aligned. */
  readonly rootPage: Out;
  readonly rootWord: number;
  /** Descriptors in the first table, those of concatenated tables included. */
  readonly rootEntries: number;
  /** Output pages from here on are an address size fault: 2^(PS - 12). */
  readonly outputPages: number;
  /** AArch64_PAMax() in pages: what limits the output while the stage is off. */
  readonly implementedPages: number;
  readonly hardwareAccessFlag: boolean;
  readonly hardwareDirtyState: boolean;
  /** APTable, UXNTable and PXNTable count (stage 1 without HPDn). */
  readonly hierarchicalPermissions: boolean;
  /** E0PDn: EL0 accesses are a level 0 translation fault. */
  readonly el0Prevented: boolean;
  readonly writeImpliesExecuteNever: boolean;
  readonly enhancedPan: boolean;
  /** MAIR_ELx, Attr0 first (stage 1). */
  readonly mair: readonly number[];
  /** SCTLR_ELx.C and .I at stage 1, HCR_EL2.CD and .ID inverted at stage 2. */
  readonly dataCacheable: boolean;
  readonly fetchCacheable: boolean;
  /** HCR_EL2.DC: with stage 1 off, memory is Normal write-back instead of Device. */
  readonly defaultCacheable: boolean;
  /** HCR_EL2.PTW: a stage 1 table in Device memory is a stage 2 permission fault. */
  readonly protectedTableWalk: boolean;
  /** FEAT_XNX: both bits of stage 2 XN count. */
  readonly executeNeverByEl: boolean;
  /** What leaf descriptors mean, by their attribute bits: see leaf.ts. Filled as leaves are met. */
  readonly leafCache: Map<number, LeafVerdict>;
}

export type Stage1Config = StageConfig<Vpn, Ipn>;
export type Stage2Config = StageConfig<Ipn, Pfn>;

/** The two halves of a stage 1 regime with an EL0 (EL1&0; EL2&0 has the same layout). */
export interface Stage1Regime {
  readonly lower: Stage1Config;
  readonly upper: Stage1Config;
}

export interface Stage1Registers {
  readonly TCR_EL1: bigint;
  readonly TTBR0_EL1: bigint;
  readonly TTBR1_EL1: bigint;
  readonly SCTLR_EL1: bigint;
  readonly MAIR_EL1: bigint;
  /** Only DC and TGE are looked at. Absent: zero. */
  readonly HCR_EL2?: bigint;
}

export interface Stage2Registers {
  readonly VTCR_EL2: bigint;
  readonly VTTBR_EL2: bigint;
  /** VM, DC, PTW, CD and ID are looked at. Absent: VM alone. */
  readonly HCR_EL2?: bigint;
}

const PS_BITS = [32, 36, 40, 42, 44, 48] as const;

/** AArch64_PhysicalAddressSize: the smaller of what the field says and what is implemented. */
const outputPagesOf = (encoded: number, features: MmuFeatures): number =>
  2 ** (Math.min(PS_BITS[encoded] ?? 48, features.paBits) - 12);

/** What follows from a granule alone. */
function granuleShape(shift: 12 | 14 | 16) {
  const stride = shift - 3;
  const entry = (level: number): number => 2 ** (shift - 12 + (3 - level) * stride);
  return {
    granuleShift: shift,
    granulePages: (1 << (shift - 12)) as 1 | 4 | 16,
    indexMask: (1 << stride) - 1,
    entryPages: [entry(0), entry(1), entry(2), entry(3)] as const,
    firstBlockLevel: shift === 12 ? (1 as const) : (2 as const),
  };
}

/** Page and word of the first table: BADDR aligned down to the table's size (S1TTBaseAddress, S2TTBaseAddress). */
function root<Out extends number>(ttbr: bigint, entries: number): { rootPage: Out; rootWord: number } {
  const bytes = BigInt(Math.max(2, entries) * 8);
  const base = Number(ttbr & 0xffff_ffff_fffen & ~(bytes - 1n));
  return { rootPage: Math.floor(base / 4096) as Out, rootWord: (base % 4096) / 4 };
}

const TG0_SHIFT = [12, 16, 14, MMU_CHOICES.reservedGranuleShift] as const;
const TG1_SHIFT = [MMU_CHOICES.reservedGranuleShift, 14, 12, 16] as const;

const maxTxsz = (shift: number, features: MmuFeatures): number =>
  features.smallTables ? (shift === 16 ? 47 : 48) : 39;

/**
 * The two halves of an EL1&0 regime from its registers. A new value is needed after any of them is written; it
 * holds no state of the tables.
 */
export function stage1Regime(registers: Stage1Registers, features: MmuFeatures = MMU_FEATURES): Stage1Regime {
  return {
    lower: stage1Half(registers, features, false),
    upper: stage1Half(registers, features, true),
  };
}

/**
 * A regime whose registers differ from another's in the TTBRs only: quicker, since programs take turns, and it knows already
 * what that one's leaves mean.
 */
export const withTables = (
  { lower, upper }: Stage1Regime,
  { TTBR0_EL1, TTBR1_EL1 }: Pick<Stage1Registers, "TTBR0_EL1" | "TTBR1_EL1">,
): Stage1Regime => ({
  lower: { ...lower, ...root<Ipn>(TTBR0_EL1, lower.rootEntries) },
  upper: { ...upper, ...root<Ipn>(TTBR1_EL1, upper.rootEntries) },
});

/** The half that translates a VA: VA[55] decides (AArch64_GetVARange). */
export const halfOf = (regime: Stage1Regime, page: Vpn): Stage1Config =>
  Math.floor(page / 2 ** 43) % 2 === 0 ? regime.lower : regime.upper;

function stage1Half(registers: Stage1Registers, features: MmuFeatures, upper: boolean): Stage1Config {
  const tcr = registers.TCR_EL1;
  const sctlr = registers.SCTLR_EL1;
  const hcr = registers.HCR_EL2 ?? 0n;
  const shape = granuleShape(
    upper
      ? (TG1_SHIFT[TCR.num(tcr, "TG1")] as 12 | 14 | 16)
      : (TG0_SHIFT[TCR.num(tcr, "TG0")] as 12 | 14 | 16),
  );
  const stride = shape.granuleShift - 3;
  const txsz = TCR.num(tcr, upper ? "T1SZ" : "T0SZ");
  const maximum = maxTxsz(shape.granuleShift, features);
  const inputBits = 64 - Math.min(Math.max(txsz, 16), maximum);
  const startLevel = (3 - Math.floor((inputBits - 1 - shape.granuleShift) / stride)) as 0 | 1 | 2 | 3;
  const rootEntries = 2 ** (inputBits - 12) / shape.entryPages[startLevel];
  const topByteIgnored = TCR.is(tcr, upper ? "TBI1" : "TBI0");
  const updates = features.hardwareUpdates;
  const ha = updates !== "none" && TCR.is(tcr, "HA");
  const pages = 2 ** (inputBits - 12);
  return {
    stage: 1,
    enabled: SCTLR.is(sctlr, "M") && !HCR.is(hcr, "DC") && !HCR.is(hcr, "TGE"),
    refuses:
      TCR.is(tcr, upper ? "EPD1" : "EPD0") ||
      (MMU_CHOICES.txszOutOfRangeFaults && (txsz < 16 || txsz > maximum)),
    firstPage: (upper ? 2 ** 52 - pages : 0) as Vpn,
    pages,
    topByteIgnored,
    topByteIgnoredOnFetch: topByteIgnored && !TCR.is(tcr, upper ? "TBID1" : "TBID0"),
    ...shape,
    startLevel,
    ...root<Ipn>(upper ? registers.TTBR1_EL1 : registers.TTBR0_EL1, rootEntries),
    rootEntries,
    outputPages: outputPagesOf(TCR.num(tcr, "IPS"), features),
    implementedPages: 2 ** (features.paBits - 12),
    hardwareAccessFlag: ha,
    hardwareDirtyState: ha && updates === "dirty-state" && TCR.is(tcr, "HD"),
    hierarchicalPermissions: !(
      features.hierarchicalPermissionDisables && TCR.is(tcr, upper ? "HPD1" : "HPD0")
    ),
    el0Prevented: features.e0pd && TCR.is(tcr, upper ? "E0PD1" : "E0PD0"),
    writeImpliesExecuteNever: SCTLR.is(sctlr, "WXN"),
    enhancedPan: features.epan && SCTLR.is(sctlr, "EPAN"),
    mair: Array.from({ length: 8 }, (_, i) => Number((registers.MAIR_EL1 >> BigInt(8 * i)) & 0xffn)),
    dataCacheable: SCTLR.is(sctlr, "C"),
    fetchCacheable: SCTLR.is(sctlr, "I"),
    defaultCacheable: HCR.is(hcr, "DC"),
    protectedTableWalk: false,
    executeNeverByEl: false,
    leafCache: new Map(),
  };
}

/** The level that VTCR_EL2.SL0 selects, by granule (AArch64_S2StartLevel). Undefined: reserved without LPA2. */
function stage2StartLevel(
  shift: 12 | 14 | 16,
  sl0: number,
  features: MmuFeatures,
): 0 | 1 | 2 | 3 | undefined {
  const { paBits } = features;
  if (shift === 12) {
    if (sl0 === 0) return 2;
    if (sl0 === 1) return 1;
    if (sl0 === 2) return paBits < 44 ? undefined : 0;
    return features.smallTables ? 3 : undefined;
  }
  if (sl0 === 0) return 3;
  if (sl0 === 1) return 2;
  if (sl0 === 2) return paBits < (shift === 14 ? 42 : 44) ? undefined : 1;
  return undefined;
}

/**
 * Stage 2 of the EL1&0 regime, Non-secure state, from its registers. A new value is needed after any of them is
 * written; it holds no state of the tables.
 */
export function stage2Config(registers: Stage2Registers, features: MmuFeatures = MMU_FEATURES): Stage2Config {
  const vtcr = registers.VTCR_EL2;
  const hcr = registers.HCR_EL2 ?? 1n;
  const shape = granuleShape(TG0_SHIFT[VTCR.num(vtcr, "TG0")] as 12 | 14 | 16);
  const stride = shape.granuleShift - 3;
  const txsz = VTCR.num(vtcr, "T0SZ");
  const minimum = 64 - Math.min(48, features.paBits);
  const maximum = maxTxsz(shape.granuleShift, features);
  const inputBits = 64 - Math.min(Math.max(txsz, minimum), maximum);
  const selected = stage2StartLevel(shape.granuleShift, VTCR.num(vtcr, "SL0"), features);
  const startLevel = selected ?? 3;
  // AArch64_S2InconsistentSL: at least two descriptors, at most 16 concatenated tables.
  const smallest = (3 - startLevel) * stride + shape.granuleShift + 1;
  const consistent = inputBits >= smallest && inputBits <= smallest + stride - 1 + 4;
  const rootEntries = consistent ? 2 ** (inputBits - 12) / shape.entryPages[startLevel] : 2;
  const updates = features.hardwareUpdates;
  const ha = updates !== "none" && VTCR.is(vtcr, "HA");
  return {
    stage: 2,
    enabled: HCR.is(hcr, "VM") || HCR.is(hcr, "DC"),
    refuses:
      selected === undefined ||
      !consistent ||
      (MMU_CHOICES.txszOutOfRangeFaults && (txsz < minimum || txsz > maximum)),
    firstPage: 0 as Ipn,
    pages: 2 ** (inputBits - 12),
    topByteIgnored: false,
    topByteIgnoredOnFetch: false,
    ...shape,
    startLevel,
    ...root<Pfn>(registers.VTTBR_EL2, rootEntries),
    rootEntries,
    outputPages: outputPagesOf(VTCR.num(vtcr, "PS"), features),
    implementedPages: 2 ** (features.paBits - 12),
    hardwareAccessFlag: ha,
    hardwareDirtyState: ha && updates === "dirty-state" && VTCR.is(vtcr, "HD"),
    hierarchicalPermissions: false,
    el0Prevented: false,
    writeImpliesExecuteNever: false,
    enhancedPan: false,
    mair: [],
    dataCacheable: !HCR.is(hcr, "CD"),
    fetchCacheable: !HCR.is(hcr, "ID"),
    defaultCacheable: false,
    protectedTableWalk: HCR.is(hcr, "PTW") && !HCR.is(hcr, "TGE"),
    executeNeverByEl: features.stage2ExecuteNeverByEl,
    leafCache: new Map(),
  };
}

const TOP_PAGES = 2 ** 52;
const TOP_PAGES_WITHOUT_TAG = 2 ** 44;

/** The page's place in the stage's input range; negative or not below `pages` where it lies outside. */
export function relativePage(config: StageConfig, page: number, fetch: boolean): number {
  if (fetch ? config.topByteIgnoredOnFetch : config.topByteIgnored)
    return (
      (page % TOP_PAGES_WITHOUT_TAG) - (config.firstPage === 0 ? 0 : TOP_PAGES_WITHOUT_TAG - config.pages)
    );
  return page - (config.firstPage === 0 ? 0 : TOP_PAGES - config.pages);
}
