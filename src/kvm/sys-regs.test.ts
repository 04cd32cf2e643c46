import { describe, expect, it } from "vitest";
import {
  ENCODINGS,
  type Encoding,
  encodingKey,
  PMEVCNTR_EL0,
  PMEVTYPER_EL0,
  SPE_REGISTERS,
} from "../arm/registers.ts";
import { Spu } from "../spe/spu.ts";
import { Pmu } from "./pmu.ts";
import { compileTraps, E2PB } from "./spe/trap-controls.ts";
import { findSysReg, isPmuRegister, SYS_REGS, type SysReg, type SysRegUnits } from "./sys-regs.ts";

/** What MDCR_EL2.TPM traps (Arm DDI 0601), PMMIR_EL1 with FEAT_PMUv3p4. */
const TPM: readonly Encoding[] = [
  ENCODINGS.PMCR_EL0,
  ENCODINGS.PMCNTENSET_EL0,
  ENCODINGS.PMCNTENCLR_EL0,
  ENCODINGS.PMOVSCLR_EL0,
  ENCODINGS.PMSWINC_EL0,
  ENCODINGS.PMSELR_EL0,
  ENCODINGS.PMCEID0_EL0,
  ENCODINGS.PMCEID1_EL0,
  ENCODINGS.PMCCNTR_EL0,
  ENCODINGS.PMXEVTYPER_EL0,
  ENCODINGS.PMXEVCNTR_EL0,
  ENCODINGS.PMUSERENR_EL0,
  ENCODINGS.PMOVSSET_EL0,
  ENCODINGS.PMINTENSET_EL1,
  ENCODINGS.PMINTENCLR_EL1,
  ENCODINGS.PMMIR_EL1,
  ENCODINGS.PMCCFILTR_EL0,
  ...Array.from({ length: 31 }, (_, n) => PMEVCNTR_EL0(n)),
  ...Array.from({ length: 31 }, (_, n) => PMEVTYPER_EL0(n)),
];

/** Accesses of SPE's registers that exist and trap under some owner of the buffer. */
function* trappedSpe(): Generator<Encoding> {
  const spu = new Spu({ memory: { write: () => undefined }, random: () => 0, counter: () => 0 });
  for (const owner of Object.keys(E2PB) as (keyof typeof E2PB)[])
    for (const { name, encoding } of SPE_REGISTERS)
      for (const isWrite of [false, true])
        if (compileTraps(owner).traps(name, isWrite) && spu.implements(name, isWrite)) yield encoding;
}

/** What traps and has no row. */
const missingIn = (table: readonly SysReg[]): readonly Encoding[] => {
  const keys = new Set(table.map(({ encoding }) => encodingKey(encoding)));
  return [...TPM, ...trappedSpe()].filter((encoding) => !keys.has(encodingKey(encoding)));
};

describe("the table of emulated registers", () => {
  it("is in the order of the encodings, no register twice", () => {
    const keys = SYS_REGS.map(({ encoding }) => encodingKey(encoding));
    expect(keys).toEqual([...new Set(keys)].sort((a, b) => a - b));
  });

  it("has every register that traps", () => {
    expect(missingIn(SYS_REGS)).toEqual([]);
  });

  it.each(SYS_REGS.map((row) => [row.name, row] as const))("would be missed without %s", (_name, row) => {
    expect(missingIn(SYS_REGS.filter((each) => each !== row))).not.toEqual([]);
  });

  it("is found by encoding, and nothing else is", () => {
    for (const row of SYS_REGS) expect(findSysReg(row.encoding)).toBe(row);
    for (const other of [ENCODINGS.SCTLR_EL1, ENCODINGS.OSLAR_EL1, ENCODINGS.CNTV_CTL_EL0])
      expect(findSysReg(other)).toBeUndefined();
  });

  it("names a register of SPE's in reports, and the PMU as one", () => {
    expect(findSysReg(ENCODINGS.PMBLIMITR_EL1)?.exits.write).toBe("MSR PMBLIMITR_EL1");
    expect(findSysReg(PMEVCNTR_EL0(3))?.exits.read).toBe("MRS PMU");
    expect(isPmuRegister(PMEVTYPER_EL0(30))).toBe(true);
    expect(isPmuRegister(ENCODINGS.PMBPTR_EL1)).toBe(false);
  });
});

describe("an access", () => {
  /** Units of which SPE tells what it was asked. */
  const units = (asked: unknown[], pmu: Pmu | undefined = new Pmu()): SysRegUnits => ({
    spe: {
      read: (register) => {
        asked.push(register);
        return 5n;
      },
      write: (register, value) => {
        asked.push([register, value]);
        return { kind: "rlimit", byBytes: 1 };
      },
    },
    pmu,
  });
  const row = (encoding: Encoding): SysReg => findSysReg(encoding) as SysReg;

  it("goes to the unit that has the register, and its outcome comes back", () => {
    const asked: unknown[] = [];
    const on = units(asked);
    expect(row(ENCODINGS.PMBSR_EL1).read(on, 1)).toBe(5n);
    expect(row(ENCODINGS.PMBPTR_EL1).write(on, 64n, 1)).toEqual({ kind: "rlimit", byBytes: 1 });
    expect(asked).toEqual(["PMBSR_EL1", ["PMBPTR_EL1", 64n]]);
    expect(row(ENCODINGS.PMSELR_EL0).write(on, 3n, 1)).toEqual({ kind: "done" });
    expect(row(ENCODINGS.PMSELR_EL0).read(on, 1)).toBe(3n);
  });

  it("is UNDEFINED where the PMU says so: from EL0, of a counter that is not there, without a PMU", () => {
    const on = units([]);
    const undefinedWrite = { kind: "undefined" };
    expect(row(ENCODINGS.PMCCNTR_EL0).read(on, 0)).toBeUndefined();
    expect(row(ENCODINGS.PMCCNTR_EL0).write(on, 0n, 0)).toEqual(undefinedWrite);
    expect(row(PMEVCNTR_EL0(30)).read(on, 1)).toBeUndefined();
    expect(row(ENCODINGS.PMCR_EL0).write({ ...on, pmu: undefined }, 0n, 1)).toEqual(undefinedWrite);
  });
});
