import { describe, expect, it } from "vitest";
import { Decoder } from "../../a64/decoder.ts";
import { fieldsOf } from "../../a64/encoding.ts";
import { ALL_ROWS } from "../../a64/encodings/index.ts";
import { type OpClass, opClassOf } from "../../a64/op-class.ts";
import { IMPLEMENTATION } from "../implementation.ts";
import { recordedOperation } from "./operation.ts";

const decoder = new Decoder(IMPLEMENTATION.features);

function classOf(word: number): OpClass {
  const row = decoder.decode(word >>> 0);
  if (row === undefined) throw new Error(`${word.toString(16)} is unallocated`);
  return opClassOf(row, fieldsOf(row, word));
}

describe("the class of an operation", () => {
  it("is there for every row", () => {
    for (const row of ALL_ROWS) {
      const found = opClassOf(row, fieldsOf(row, row.value));
      expect(["other", "load", "store", "load-atomic", "branch"], row.name).toContain(found.kind);
      expect(recordedOperation(found).subclass, row.name).toBeLessThan(0x20);
    }
  });

  it("is a branch for what writes PC, a load or store for what moves registers from or to memory, and other else", () => {
    const byKind = (kind: OpClass["kind"]) =>
      ALL_ROWS.filter((row) => opClassOf(row, fieldsOf(row, row.value)).kind === kind).map(
        ({ name }) => name,
      );
    expect(byKind("branch")).toEqual("B BL B_cond CBZ CBNZ TBZ TBNZ BR BLR RET ERET".split(" "));
    expect(byKind("load").every((name) => /^LD/.test(name))).toBe(true);
    // With L = 0.
    expect(byKind("store").every((name) => /^(ST|LDST_)/.test(name))).toBe(true);
    expect(
      byKind("load-atomic").every((name) => /^(CASP?|SWP|LD(ADD|CLR|EOR|SET|[SU]M(AX|IN)))$/.test(name)),
    ).toBe(true);
    expect(byKind("other").some((name) => /^(LD|ST)/.test(name))).toBe(false);
  });

  // Words as GNU as makes them; payloads as the Arm ARM's tables of the Operation Type packet.
  it.each([
    ["ADD X0, X1, X2", 0x8b02_0020, "other", 0x00],
    ["CSEL X0, X1, X2, EQ", 0x9a82_0020, "other", 0x01],
    ["CCMP X1, #0, #0, NE", 0xfa40_1820, "other", 0x01],
    ["FCSEL D0, D1, D2, EQ", 0x1e62_0c20, "other", 0x01],
    ["FADD D0, D1, D2", 0x1e62_2820, "other", 0x00],
    ["ADD V0.4S, V1.4S, V2.4S", 0x4ea2_8420, "other", 0x00],
    ["SVC #0", 0xd400_0001, "other", 0x00],
    ["ISB", 0xd503_3fdf, "other", 0x00],
    ["PRFM PLDL1KEEP, [X0]", 0xf980_0000, "other", 0x00],
    ["DC CVAC, X0", 0xd50b_7a20, "other", 0x00],
    ["MRS X0, CNTVCT_EL0", 0xd53b_e040, "other", 0x00],
    ["LDR X0, [X1]", 0xf940_0020, "load", 0x00],
    ["LDRSW X0, [X1]", 0xb980_0020, "load", 0x00],
    ["LDP X0, X1, [SP]", 0xa940_07e0, "load", 0x00],
    ["LDTR X0, [X1]", 0xf840_0820, "load", 0x00],
    ["LDR X0, .+8", 0x5800_0040, "load", 0x00],
    ["STR X0, [X1]", 0xf900_0020, "store", 0x01],
    ["LDR Q0, [X1]", 0x3dc0_0020, "load", 0x04],
    ["STP Q0, Q1, [SP]", 0xad00_07e0, "store", 0x05],
    ["LD1 {V0.16B}, [X1]", 0x4c40_7020, "load", 0x04],
    ["ST1 {V0.16B}, [X1]", 0x4c00_7020, "store", 0x05],
    ["LD1R {V0.16B}, [X1]", 0x4d40_c020, "load", 0x04],
    ["DC ZVA, X0", 0xd50b_7420, "store", 0x11],
    ["LDADD W1, W2, [X0]", 0xb821_0002, "atomic", 0x06],
    ["LDADDAL W1, W2, [X0]", 0xb8e1_0002, "atomic", 0x16],
    ["STADD W1, [X0]", 0xb821_001f, "store", 0x07],
    ["STADDL W1, [X0]", 0xb861_001f, "store", 0x17],
    ["SWP W1, W2, [X0]", 0xb821_8002, "atomic", 0x06],
    ["SWP W1, WZR, [X0]", 0xb821_801f, "atomic", 0x06],
    ["CAS X0, X1, [X2]", 0xc8a0_7c41, "atomic", 0x06],
    ["CASAL X0, X1, [X2]", 0xc8e0_fc41, "atomic", 0x16],
    ["LDXR X0, [X1]", 0xc85f_7c20, "load", 0x0a],
    ["LDAXR X0, [X1]", 0xc85f_fc20, "load", 0x1a],
    ["STXR W2, X0, [X1]", 0xc802_7c20, "store", 0x0b],
    ["STLXR W2, X0, [X1]", 0xc802_fc20, "store", 0x1b],
    ["LDAR X0, [X1]", 0xc8df_fc20, "load", 0x12],
    ["STLR X0, [X1]", 0xc89f_fc20, "store", 0x13],
    ["B .", 0x1400_0000, "branch", 0x18],
    ["BL .", 0x9400_0000, "branch", 0x08],
    ["B.EQ .", 0x5400_0000, "branch", 0x19],
    ["CBZ X0, .", 0xb400_0000, "branch", 0x19],
    ["TBNZ X0, #0, .", 0x3700_0000, "branch", 0x19],
    ["BR X0", 0xd61f_0000, "branch", 0x1a],
    ["BLR X0", 0xd63f_0000, "branch", 0x0a],
    ["RET", 0xd65f_03c0, "branch", 0x12],
    ["ERET", 0xd69f_03e0, "branch", 0x1a],
  ] as const)("of %s is told as it is", (_text, word, kind, subclass) => {
    expect(recordedOperation(classOf(word))).toEqual({ kind, subclass });
  });

  it("says which are floating point and which Advanced SIMD, for a unit that tells", () => {
    expect(classOf(0x1e62_2820)).toMatchObject({ floatingPoint: true, simd: false }); // FADD D0, D1, D2
    expect(classOf(0x4ea2_8420)).toMatchObject({ floatingPoint: false, simd: true }); // ADD V0.4S, V1.4S, V2.4S
    expect(classOf(0x4e22_d420)).toMatchObject({ floatingPoint: true, simd: true }); // FADD V0.4S, V1.4S, V2.4S
  });
});
