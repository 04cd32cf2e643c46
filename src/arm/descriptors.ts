/**
 * VMSAv8-64 translation table descriptors as data (Arm ARM D8.3: 64-bit descriptors, 48-bit output addresses).
 *
 * A descriptor is 64 bits little-endian and is handled as two u32 halves, `lo` (bits 31:0) and `hi` (bits 63:32),
 * so that walks never make a bigint. A field that both stages place at the same bits has one name here.
 */

/** One field: the bits [high:low] of a 64-bit descriptor. */
export interface DescriptorField {
  readonly name: string;
  readonly high: number;
  readonly low: number;
  readonly meaning: string;
}

const field = (name: string, high: number, low: number, meaning: string): DescriptorField => ({
  name,
  high,
  low,
  meaning,
});

/** A stage 1 table descriptor of a regime with an EL0. Bits not named are ignored or RES0. */
export const STAGE1_TABLE: readonly DescriptorField[] = [
  field("NSTable", 63, 63, "ignored outside Secure state"),
  field("APTable", 62, 61, "limits AP of everything below: [1] no writes, [0] no EL0 access"),
  field("UXNTable", 60, 60, "nothing below is executable at EL0"),
  field("PXNTable", 59, 59, "nothing below is executable at EL1"),
  field("NextLevelTable", 47, 12, "the next table's address; low bits are dropped for larger granules"),
  field("Type", 1, 0, "0b11 at levels before the last"),
];

/** A stage 2 table descriptor. */
export const STAGE2_TABLE: readonly DescriptorField[] = [
  field("NextLevelTable", 47, 12, "the next table's address; low bits are dropped for larger granules"),
  field("Type", 1, 0, "0b11 at levels before the last"),
];

/** A stage 1 block (Type 0b01, before the last level) or page (Type 0b11, last level) descriptor. */
export const STAGE1_LEAF: readonly DescriptorField[] = [
  field("Software", 58, 55, "free for software"),
  field("UXN", 54, 54, "not executable at EL0"),
  field("PXN", 53, 53, "not executable at EL1"),
  field("Contiguous", 52, 52, "one of a run of adjacent entries that may share a TLB entry"),
  field("DBM", 51, 51, "dirty bit modifier: AP[2] is the (inverted) dirty state where TCR.HD is set"),
  field("GP", 50, 50, "guarded page (FEAT_BTI)"),
  field("OutputAddress", 47, 12, "low bits below the block's size are dropped"),
  field("nG", 11, 11, "not global"),
  field("AF", 10, 10, "access flag"),
  field("SH", 9, 8, "shareability: 0b00 none, 0b10 outer, 0b11 inner"),
  field("AP", 7, 6, "AP[2:1]: [2] read-only, [1] EL0 may access"),
  field("NS", 5, 5, "ignored outside Secure state"),
  field("AttrIndx", 4, 2, "index of the memory type in MAIR_ELx"),
  field("Type", 1, 0, "0b01 block, 0b11 page"),
];

/** A stage 2 block or page descriptor (HCR_EL2.FWB = 0). */
export const STAGE2_LEAF: readonly DescriptorField[] = [
  field("Software", 58, 55, "free for software"),
  field("XN", 54, 53, "0b00 executable, 0b01 at EL0 only, 0b10 nowhere, 0b11 at EL1 only"),
  field("Contiguous", 52, 52, "one of a run of adjacent entries that may share a TLB entry"),
  field("DBM", 51, 51, "dirty bit modifier: S2AP[1] is the dirty state where VTCR_EL2.HD is set"),
  field("OutputAddress", 47, 12, "low bits below the block's size are dropped"),
  field("AF", 10, 10, "access flag"),
  field("SH", 9, 8, "shareability: 0b00 none, 0b10 outer, 0b11 inner"),
  field("S2AP", 7, 6, "[1] write, [0] read"),
  field("MemAttr", 5, 2, "memory type: 0b00dd device, else outer and inner cacheability"),
  field("Type", 1, 0, "0b01 block, 0b11 page"),
];

/** Bits of `lo`. */
export const LO = {
  valid: 1 << 0,
  /** Bit 1: a table before the last level, a page at the last. */
  tableOrPage: 1 << 1,
  /** Stage 1 AP[1]: EL0 may access. */
  apEl0: 1 << 6,
  /** Stage 1 AP[2]: read-only, and "clean" where DBM is hardware managed. */
  apReadOnly: 1 << 7,
  s2Read: 1 << 6,
  /** Stage 2 S2AP[1]: write, and "dirty" where DBM is hardware managed. */
  s2Write: 1 << 7,
  accessFlag: 1 << 10,
  notGlobal: 1 << 11,
} as const;

/** Bits of `hi` (bit 32 of the descriptor is bit 0). */
export const HI = {
  dirtyBitModifier: 1 << 19,
  contiguous: 1 << 20,
  /** Stage 1 PXN; stage 2 XN[0]. */
  pxn: 1 << 21,
  /** Stage 1 UXN; stage 2 XN[1]. */
  xn: 1 << 22,
} as const;

/** The shareability field's values. 0b01 is reserved. */
export const SH = { none: 0, outer: 2, inner: 3 } as const;
export type Shareability = (typeof SH)[keyof typeof SH];

/** The attribute bits of a leaf descriptor: everything but the output address and the type. */
export interface LeafBits {
  readonly lo: number;
  readonly hi: number;
}

/** What a stage 1 leaf says besides its address. */
export interface Stage1LeafFields {
  /** Index into MAIR_ELx, 0 to 7. */
  readonly attrIndex: number;
  readonly shareability: Shareability;
  readonly accessFlag: boolean;
  readonly readOnly: boolean;
  /** EL0 may access. */
  readonly el0: boolean;
  readonly notGlobal: boolean;
  readonly privilegedExecuteNever: boolean;
  readonly executeNever: boolean;
  readonly dirtyBitModifier: boolean;
  /** Bits 58:55. */
  readonly software: number;
}

const on = (flag: boolean, bit: number): number => (flag ? bit : 0);

/**
 * Attribute bits of a stage 1 leaf. What is not given is as Linux maps kernel data: MAIR index 0, inner
 * shareable, accessed, writable, EL1 only, global, never executed.
 */
export function stage1Leaf(fields: Partial<Stage1LeafFields> = {}): LeafBits {
  return {
    lo:
      ((fields.attrIndex ?? 0) << 2) |
      on(fields.el0 ?? false, LO.apEl0) |
      on(fields.readOnly ?? false, LO.apReadOnly) |
      ((fields.shareability ?? SH.inner) << 8) |
      on(fields.accessFlag ?? true, LO.accessFlag) |
      on(fields.notGlobal ?? false, LO.notGlobal),
    hi:
      (on(fields.dirtyBitModifier ?? false, HI.dirtyBitModifier) |
        on(fields.privilegedExecuteNever ?? true, HI.pxn) |
        on(fields.executeNever ?? true, HI.xn) |
        ((fields.software ?? 0) << 23)) >>>
      0,
  };
}

/** Stage 2 MemAttr[3:0] (HCR_EL2.FWB = 0). */
export const S2_MEMATTR = {
  deviceNGnRnE: 0b0000,
  deviceNGnRE: 0b0001,
  deviceNGRE: 0b0010,
  deviceGRE: 0b0011,
  normalNonCacheable: 0b0101,
  normalWriteThrough: 0b1010,
  normalWriteBack: 0b1111,
} as const;

/** What a stage 2 leaf says besides its address. */
export interface Stage2LeafFields {
  readonly memAttr: number;
  readonly shareability: Shareability;
  readonly accessFlag: boolean;
  readonly read: boolean;
  readonly write: boolean;
  /** XN[1:0]. */
  readonly executeNever: number;
  readonly dirtyBitModifier: boolean;
  /** Bits 58:55. */
  readonly software: number;
}

/**
 * Attribute bits of a stage 2 leaf. What is not given is as KVM maps RAM: Normal write-back, inner shareable,
 * accessed, readable, writable, executable.
 */
export function stage2Leaf(fields: Partial<Stage2LeafFields> = {}): LeafBits {
  return {
    lo:
      ((fields.memAttr ?? S2_MEMATTR.normalWriteBack) << 2) |
      on(fields.read ?? true, LO.s2Read) |
      on(fields.write ?? true, LO.s2Write) |
      ((fields.shareability ?? SH.inner) << 8) |
      on(fields.accessFlag ?? true, LO.accessFlag),
    hi:
      (on(fields.dirtyBitModifier ?? false, HI.dirtyBitModifier) |
        ((fields.executeNever ?? 0) << 21) |
        ((fields.software ?? 0) << 23)) >>>
      0,
  };
}

/** The page number (units of 4 KiB) in bits [47:12] of a descriptor, before low bits are dropped. */
export const descriptorPage = (lo: number, hi: number): number => (hi & 0xffff) * 0x100000 + (lo >>> 12);

/** The low half of a descriptor's address field. */
export const addressLo = (page: number): number => (page & 0xfffff) << 12;
/** The high half of a descriptor's address field. */
export const addressHi = (page: number): number => (page / 0x100000) & 0xffff;
