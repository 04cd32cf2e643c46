import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type BitRange, bit, bits, encodingKey, type Register, register } from "./register.ts";
import {
  PMBLIMITR_EL1,
  PMSCR_EL1,
  PMSIDR_EL1,
  REGISTERS,
  type RegisterName,
  registerByEncoding,
  registerByName,
} from "./registers.ts";

const ALL = (1n << 64n) - 1n;

describe("a register's declaration", () => {
  it("computes RES0 from the bits that no field names", () => {
    expect(PMSCR_EL1.res0).toBe(ALL & ~0xfbn);
    expect(PMBLIMITR_EL1.res0).toBe(0xf58n);
  });

  it.each([
    ["two fields share a bit", { A: bits(5, 2), B: bit(5) }],
    ["a field lies beyond bit 63", { A: bits(64, 60) }],
    ["a field is upside down", { A: bits(2, 5) }],
  ] as [string, Record<string, BitRange>][])("refuses to load when %s", (_why, fields) => {
    expect(() => register("X", [3, 0, 0, 0, 0], fields, { source: "test" })).toThrow(/X\.[AB]: \[/);
  });

  it("refuses a reset value with RES0 bits", () => {
    const options = { source: "test", reset: 2n };
    expect(() => register("X", [3, 0, 0, 0, 0], { A: bit(0) }, options)).toThrow(/RES0/);
  });

  it("refuses a value that does not fit its field, and does not compile a misspelt field", () => {
    expect(() => PMSCR_EL1.with(0n, { PCT: 4 })).toThrow(/PCT: 4 does not fit/);
    expect(() => PMSCR_EL1.with(0n, { TS: -1 })).toThrow(/does not fit/);
    // @ts-expect-error E3SPE is no field of PMSCR_EL1
    expect(() => PMSCR_EL1.with(0n, { E3SPE: 1 })).toThrow();
  });

  it("with and get are each other's inverse and leave other fields alone", () => {
    const cases = (REGISTERS as readonly Register[]).flatMap((r) =>
      Object.keys(r.fields).map((name) => ({ r, name })),
    );
    fc.assert(
      fc.property(
        fc.constantFrom(...cases),
        fc.bigInt(0n, ALL),
        fc.bigInt(0n, ALL),
        ({ r, name }, old, raw) => {
          const { high, low, mask } = r.fields[name] as { high: number; low: number; mask: bigint };
          const value = raw & ((1n << BigInt(high - low + 1)) - 1n);
          const written = r.with(old, { [name]: value });
          expect(r.get(written, name)).toBe(value);
          expect(r.is(written, name)).toBe(value !== 0n);
          expect(written & ~mask).toBe(old & ~mask);
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe("the register table", () => {
  it("finds every register by its name and by its encoding", () => {
    for (const r of REGISTERS as readonly Register[]) {
      expect(registerByName(r.name as RegisterName)).toBe(r);
      expect(registerByEncoding(r.encoding)).toBe(r);
    }
    expect(registerByEncoding([3, 3, 15, 15, 7])).toBe(undefined);
  });

  it("has names, encodings and sources for all", () => {
    const rows = REGISTERS as readonly Register[];
    expect(new Set(rows.map((r) => encodingKey(r.encoding))).size).toBe(rows.length);
    for (const r of rows) expect(r.source).not.toBe("");
  });

  // Encodings as Linux has them (arch/arm64/include/asm/sysreg.h and arch/arm64/tools/sysreg).
  it.each([
    ["PMSCR_EL1", [3, 0, 9, 9, 0]],
    ["PMSCR_EL2", [3, 4, 9, 9, 0]],
    ["PMSCR_EL12", [3, 5, 9, 9, 0]],
    ["PMSNEVFR_EL1", [3, 0, 9, 9, 1]],
    ["PMSICR_EL1", [3, 0, 9, 9, 2]],
    ["PMSIRR_EL1", [3, 0, 9, 9, 3]],
    ["PMSFCR_EL1", [3, 0, 9, 9, 4]],
    ["PMSEVFR_EL1", [3, 0, 9, 9, 5]],
    ["PMSLATFR_EL1", [3, 0, 9, 9, 6]],
    ["PMSIDR_EL1", [3, 0, 9, 9, 7]],
    ["PMBLIMITR_EL1", [3, 0, 9, 10, 0]],
    ["PMBPTR_EL1", [3, 0, 9, 10, 1]],
    ["PMBSR_EL1", [3, 0, 9, 10, 3]],
    ["PMSDSFR_EL1", [3, 0, 9, 10, 4]],
    ["PMBIDR_EL1", [3, 0, 9, 10, 7]],
    ["MDCR_EL2", [3, 4, 1, 1, 1]],
    ["HCR_EL2", [3, 4, 1, 1, 0]],
    ["HDFGRTR_EL2", [3, 4, 3, 1, 4]],
    ["HDFGWTR_EL2", [3, 4, 3, 1, 5]],
    ["VTTBR_EL2", [3, 4, 2, 1, 0]],
    ["VTCR_EL2", [3, 4, 2, 1, 2]],
    ["TTBR0_EL1", [3, 0, 2, 0, 0]],
    ["TTBR1_EL1", [3, 0, 2, 0, 1]],
    ["TCR_EL1", [3, 0, 2, 0, 2]],
    ["SCTLR_EL1", [3, 0, 1, 0, 0]],
    ["MAIR_EL1", [3, 0, 10, 2, 0]],
    ["CONTEXTIDR_EL1", [3, 0, 13, 0, 1]],
    ["CNTVOFF_EL2", [3, 4, 14, 0, 3]],
    ["ID_AA64DFR0_EL1", [3, 0, 0, 5, 0]],
  ] as const)("%s has the encoding of the architecture", (name, encoding) => {
    expect(registerByName(name).encoding).toEqual(encoding);
  });

  it("reads PMSIDR_EL1 = 0x2685F as Linux's driver does", () => {
    const read = Object.fromEntries(
      (["FE", "FT", "FL", "ArchInst", "LDS", "ERnd", "FnE", "Interval", "MaxSize", "CountSize"] as const).map(
        (field) => [field, PMSIDR_EL1.num(0x2685fn, field)],
      ),
    );
    expect(read).toEqual({
      FE: 1,
      FT: 1,
      FL: 1,
      ArchInst: 1,
      LDS: 1,
      ERnd: 0,
      FnE: 1,
      Interval: 8,
      MaxSize: 6,
      CountSize: 2,
    });
  });
});
