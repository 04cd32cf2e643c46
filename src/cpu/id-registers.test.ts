/** Each field of each ID register: what honours it, or that nothing is promised, and then nothing is there. */
import { describe, expect, it } from "vitest";
import { encodingKey, ID_REGISTERS } from "../arm/registers.ts";
import { EC } from "../arm/syndromes.ts";
import { bareCore, DATA } from "./core.testing.ts";
import { cacheSize, idRegisters } from "./id-registers.ts";
import { IMPLEMENTATION } from "./implementation.ts";

/** Fields that are not zero, and what tests that the core keeps to them. */
const HONOURED: Readonly<Record<string, string>> = {
  "MIDR_EL1.Revision": "a name",
  "MIDR_EL1.PartNum": "a name",
  "MIDR_EL1.Architecture": "the ID registers",
  "MIDR_EL1.Variant": "a name",
  "MIDR_EL1.Implementer": "a name",
  "ID_AA64PFR0_EL1.EL0": "test/payload/el0.c",
  "ID_AA64PFR0_EL1.EL1": "test/payload/exceptions.c",
  "ID_AA64PFR0_EL1.EL2": "the hypervisor's: as KVM's guests see it without having it",
  "ID_AA64PFR0_EL1.GIC": "test/payload/exceptions.c: the CPU interface by system registers",
  "ID_AA64PFR0_EL1.CSV2": "a promise about speculation, of which there is none",
  "ID_AA64PFR0_EL1.CSV3": "a promise about speculation, of which there is none",
  "ID_AA64DFR0_EL1.DebugVer": "test/payload/debug.c",
  "ID_AA64DFR0_EL1.PMUVer": "kvm/pmu.test.ts, test/payload/registers.c",
  "ID_AA64DFR0_EL1.BRPs": "debug.test.ts",
  "ID_AA64DFR0_EL1.WRPs": "debug.test.ts",
  "ID_AA64DFR0_EL1.CTX_CMPs": "debug.test.ts",
  "ID_AA64ISAR0_EL1.AES": "implementation.test.ts, test/fuzz-a64",
  "ID_AA64ISAR0_EL1.SHA1": "implementation.test.ts, test/fuzz-a64",
  "ID_AA64ISAR0_EL1.SHA2": "implementation.test.ts, test/fuzz-a64",
  "ID_AA64ISAR0_EL1.CRC32": "implementation.test.ts, test/fuzz-a64",
  "ID_AA64ISAR0_EL1.Atomic": "implementation.test.ts, test/fuzz-a64",
  "ID_AA64ISAR0_EL1.RDM": "implementation.test.ts, test/fuzz-a64",
  "ID_AA64ISAR1_EL1.DPB": "implementation.test.ts, test/payload/faults.c",
  "ID_AA64MMFR0_EL1.PARange": "implementation.test.ts",
  "ID_AA64MMFR0_EL1.ASIDBits": "soft-tlbs.test.ts",
  "ID_AA64MMFR0_EL1.TGran16": "test/walker-qemu",
  "ID_AA64MMFR1_EL1.HAFDBS": "implementation.test.ts",
  "ID_AA64MMFR1_EL1.HPDS": "implementation.test.ts",
  "ID_AA64MMFR1_EL1.LO": "implementation.test.ts, test/payload/registers.c",
  "ID_AA64MMFR1_EL1.PAN": "implementation.test.ts, test/payload/exceptions.c",
  "ID_AA64MMFR2_EL1.CnP": "a permission to share, which nobody needs",
  "ID_AA64MMFR2_EL1.UAO": "implementation.test.ts",
  "ID_AA64MMFR2_EL1.E0PD": "implementation.test.ts",
  "CLIDR_EL1.Ctype1": "below: each level that is named has a size",
  "CLIDR_EL1.Ctype2": "below: each level that is named has a size",
  "CLIDR_EL1.LoUIS": "test/payload/faults.c: DC by VA translates",
  "CLIDR_EL1.LoC": "test/payload/faults.c: DC by VA translates",
  "CLIDR_EL1.LoUU": "test/payload/faults.c: DC by VA translates",
  "CTR_EL0.IminLine": "test/payload/exceptions.c: code that changes",
  "CTR_EL0.DminLine": "address-space.ts: CACHE_LINE_BYTES",
  "CTR_EL0.L1Ip": "physically indexed: code is kept by physical page",
  "CTR_EL0.ERG": "test/payload/clocks.c: WFE and the global monitor",
  "CTR_EL0.CWG": "an upper bound",
  "CTR_EL0.RES1": "RES1",
  "DCZID_EL0.BS": "test/payload/memory.c, test/fuzz-a64",
};

/** Instructions of what is not promised, as an assembler has them. */
const ABSENT: readonly (readonly [field: string, text: string, word: number])[] = [
  ["ID_AA64PFR0_EL1.FP", "fadd h0, h1, h2", 0x1ee22820],
  ["ID_AA64PFR0_EL1.AdvSIMD", "fadd v0.8h, v1.8h, v2.8h", 0x4e421420],
  ["ID_AA64PFR0_EL1.RAS", "mrs x0, erridr_el1", 0xd5385300],
  ["ID_AA64PFR0_EL1.RAS", "mrs x0, disr_el1", 0xd538c120],
  ["ID_AA64PFR0_EL1.SVE", "ptrue p0.b", 0x2518e3e0],
  ["ID_AA64PFR0_EL1.MPAM", "mrs x0, mpam0_el1", 0xd538a520],
  ["ID_AA64PFR0_EL1.AMU", "mrs x0, amcr_el0", 0xd53bd200],
  ["ID_AA64PFR0_EL1.DIT", "mrs x0, dit", 0xd53b42a0],
  ["ID_AA64PFR1_EL1.SSBS", "mrs x0, ssbs", 0xd53b42c0],
  ["ID_AA64PFR1_EL1.MTE", "irg x0, x1", 0x9adf1020],
  ["ID_AA64ISAR0_EL1.TME", "tstart x0", 0xd5233060],
  ["ID_AA64ISAR0_EL1.SHA3", "eor3 v0.16b, v1.16b, v2.16b, v3.16b", 0xce020c20],
  ["ID_AA64ISAR0_EL1.SHA2", "sha512h q0, q1, v2.2d", 0xce628020],
  ["ID_AA64ISAR0_EL1.SM3", "sm3partw1 v0.4s, v1.4s, v2.4s", 0xce62c020],
  ["ID_AA64ISAR0_EL1.SM4", "sm4e v0.4s, v1.4s", 0xcec08420],
  ["ID_AA64ISAR0_EL1.DP", "udot v0.4s, v1.16b, v2.16b", 0x6e829420],
  ["ID_AA64ISAR0_EL1.FHM", "fmlal v0.4s, v1.4h, v2.4h", 0x4e22ec20],
  ["ID_AA64ISAR0_EL1.TS", "cfinv", 0xd500401f],
  ["ID_AA64ISAR0_EL1.TLB", "tlbi vmalle1os", 0xd508811f],
  ["ID_AA64ISAR0_EL1.TLB", "tlbi rvae1, x0", 0xd5088620],
  ["ID_AA64ISAR0_EL1.RNDR", "mrs x0, rndr", 0xd53b2400],
  ["ID_AA64ISAR1_EL1.APA", "pacia x0, x1", 0xdac10020],
  ["ID_AA64ISAR1_EL1.APA", "mrs x0, apiakeylo_el1", 0xd5382100],
  ["ID_AA64ISAR1_EL1.JSCVT", "fjcvtzs w0, d0", 0x1e7e0000],
  ["ID_AA64ISAR1_EL1.FCMA", "fcmla v0.4s, v1.4s, v2.4s, #0", 0x6e82c420],
  ["ID_AA64ISAR1_EL1.LRCPC", "ldapr x0, [x1]", 0xf8bfc020],
  ["ID_AA64ISAR1_EL1.LRCPC", "ldapur x0, [x1]", 0xd9400020],
  ["ID_AA64ISAR1_EL1.FRINTTS", "frint32z d0, d1", 0x1e684020],
  ["ID_AA64ISAR1_EL1.SPECRES", "cfp rctx, x0", 0xd50b7380],
  ["ID_AA64ISAR1_EL1.BF16", "bfdot v0.4s, v1.8h, v2.8h", 0x6e42fc20],
  ["ID_AA64ISAR1_EL1.DPB", "dc cvadp, x0", 0xd50b7d20],
  ["ID_AA64MMFR0_EL1.ECV", "mrs x0, cntpctss_el0", 0xd53be0a0],
];

describe("the fields of the ID registers", () => {
  const values = idRegisters(IMPLEMENTATION);
  const set = ID_REGISTERS.flatMap((register) => {
    const value = values.get(encodingKey(register.encoding)) ?? 0n;
    return Object.entries(register.fields)
      .filter(([, { mask }]) => (value & mask) !== 0n)
      .map(([field]) => `${register.name}.${field}`);
  });

  it("that promise something are those of which it is known what honours them", () => {
    expect([...set].sort()).toEqual(Object.keys(HONOURED).sort());
  });

  it("name nothing beyond the fields that are known", () => {
    for (const { name, encoding, res0 } of ID_REGISTERS)
      expect((values.get(encodingKey(encoding)) ?? 0n) & res0, name).toBe(0n);
  });

  it("name as many levels of cache as have a size", () => {
    expect([0, 1, 2, 3, 4, 5].map((level) => cacheSize(level) !== 0n)).toEqual([
      ...[true, true, true],
      ...[false, false, false],
    ]);
  });

  const bare = bareCore();
  it.each(ABSENT)("%s promises no %s, which is UNDEFINED", (_field, _text, word) => {
    bare.core.state.setX(0, DATA);
    bare.core.state.setX(1, DATA);
    expect(bare.execute([word])).toBe((BigInt(EC.unknown) << 26n) | (1n << 25n));
  });
});
