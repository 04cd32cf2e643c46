import { describe, expect, it } from "vitest";
import {
  addressHi,
  addressLo,
  type DescriptorField,
  descriptorPage,
  HI,
  type LeafBits,
  LO,
  STAGE1_LEAF,
  STAGE1_TABLE,
  STAGE2_LEAF,
  STAGE2_TABLE,
  stage1Leaf,
  stage2Leaf,
} from "./descriptors.ts";

const bitsOf = ({ lo, hi }: LeafBits): bigint => (BigInt(hi) << 32n) | BigInt(lo);
const maskOf = (field: DescriptorField): bigint =>
  ((1n << BigInt(field.high - field.low + 1)) - 1n) << BigInt(field.low);
const named = (format: readonly DescriptorField[], name: string): bigint => {
  const field = format.find((each) => each.name === name);
  if (field === undefined) throw new Error(`no field ${name}`);
  return maskOf(field);
};

describe.each([
  ["STAGE1_TABLE", STAGE1_TABLE],
  ["STAGE2_TABLE", STAGE2_TABLE],
  ["STAGE1_LEAF", STAGE1_LEAF],
  ["STAGE2_LEAF", STAGE2_LEAF],
])("%s", (_, format) => {
  it("goes from bit 63 down without an overlap", () => {
    let above = 64;
    for (const { name, high, low } of format) {
      expect(high, name).toBeLessThan(above);
      expect(low, name).toBeLessThanOrEqual(high);
      above = low;
    }
  });
});

describe("leaf attributes", () => {
  const changed = (a: LeafBits, b: LeafBits): bigint => bitsOf(a) ^ bitsOf(b);

  it("of stage 1 each lie in the field of their name", () => {
    const base = stage1Leaf();
    const cases = [
      [{ attrIndex: 7 }, named(STAGE1_LEAF, "AttrIndx")],
      [{ shareability: 0 }, named(STAGE1_LEAF, "SH")],
      [{ accessFlag: false }, named(STAGE1_LEAF, "AF")],
      [{ readOnly: true, el0: true }, named(STAGE1_LEAF, "AP")],
      [{ notGlobal: true }, named(STAGE1_LEAF, "nG")],
      [{ privilegedExecuteNever: false }, named(STAGE1_LEAF, "PXN")],
      [{ executeNever: false }, named(STAGE1_LEAF, "UXN")],
      [{ dirtyBitModifier: true }, named(STAGE1_LEAF, "DBM")],
      [{ software: 15 }, named(STAGE1_LEAF, "Software")],
    ] as const;
    for (const [fields, mask] of cases) expect(changed(stage1Leaf(fields), base)).toBe(mask);
  });

  it("of stage 2 each lie in the field of their name", () => {
    const base = stage2Leaf();
    const cases = [
      [{ memAttr: 0 }, named(STAGE2_LEAF, "MemAttr")],
      [{ shareability: 0 }, named(STAGE2_LEAF, "SH")],
      [{ accessFlag: false }, named(STAGE2_LEAF, "AF")],
      [{ read: false, write: false }, named(STAGE2_LEAF, "S2AP")],
      [{ executeNever: 3 }, named(STAGE2_LEAF, "XN")],
      [{ dirtyBitModifier: true }, named(STAGE2_LEAF, "DBM")],
      [{ software: 15 }, named(STAGE2_LEAF, "Software")],
    ] as const;
    for (const [fields, mask] of cases) expect(changed(stage2Leaf(fields), base)).toBe(mask);
  });

  it("use bits that the masks name as well", () => {
    expect(BigInt(LO.accessFlag)).toBe(named(STAGE1_LEAF, "AF"));
    expect(BigInt(LO.apReadOnly | LO.apEl0)).toBe(named(STAGE1_LEAF, "AP"));
    expect(BigInt(LO.s2Read | LO.s2Write)).toBe(named(STAGE2_LEAF, "S2AP"));
    expect(BigInt(HI.contiguous) << 32n).toBe(named(STAGE1_LEAF, "Contiguous"));
    expect(BigInt(HI.dirtyBitModifier) << 32n).toBe(named(STAGE1_LEAF, "DBM"));
    expect(BigInt(HI.pxn | HI.xn) << 32n).toBe(named(STAGE2_LEAF, "XN"));
  });
});

describe("the address field", () => {
  it("holds a 36-bit page number in two halves", () => {
    for (const page of [0, 1, 0xfffff, 0x100000, 0x80_0000, 2 ** 36 - 1, 0xa_bcde_f123]) {
      const lo = addressLo(page) >>> 0;
      const hi = addressHi(page);
      expect((BigInt(hi) << 32n) | BigInt(lo)).toBe(BigInt(page) << 12n);
      expect(descriptorPage(lo | 0xfff, (hi | 0xffff0000) >>> 0)).toBe(page);
    }
  });
});
