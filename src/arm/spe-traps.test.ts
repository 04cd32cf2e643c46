import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  HDFGRTR_EL2,
  HDFGRTR2_EL2,
  HDFGWTR_EL2,
  HFGITR_EL2,
  MDCR_EL2,
  registerByName,
  SPE_REGISTERS,
} from "./registers.ts";
import { compileSpeTraps, type SpeTrapControls, sysregTrap, type TrappableSpeRegister } from "./spe-traps.ts";

const NAMES = SPE_REGISTERS.map((r) => r.name).filter(
  (name): name is TrappableSpeRegister => name !== "PMSCR_EL2" && name !== "PMSCR_EL12",
);
const OWNED = MDCR_EL2.with(0n, { E2PB: 3 });

describe("EL1 accesses to SPE's registers", () => {
  it("do not trap with E2PB = 3, TPMS = 0 and no fine-grained traps", () => {
    for (const name of NAMES)
      for (const isWrite of [false, true])
        expect(sysregTrap(name, isWrite, { MDCR_EL2: OWNED, fgt: false })).toBe(undefined);
  });

  it.each([0, 2])("to the buffer registers trap with E2PB = %i, PMBIDR_EL1 excepted", (E2PB) => {
    const controls = { MDCR_EL2: MDCR_EL2.with(0n, { E2PB }), fgt: false };
    const trapping = NAMES.filter((name) => sysregTrap(name, false, controls) !== undefined);
    expect(trapping.toSorted()).toEqual(["PMBLIMITR_EL1", "PMBPTR_EL1", "PMBSR_EL1"]);
  });

  it("to every sampling register trap with TPMS", () => {
    const controls = { MDCR_EL2: MDCR_EL2.with(OWNED, { TPMS: 1 }), fgt: false };
    for (const name of NAMES)
      expect(sysregTrap(name, false, controls)).toBe(name.startsWith("PMS") ? "MDCR_EL2.TPMS" : undefined);
  });

  it("trap finely by read and by write, before MDCR_EL2 is looked at", () => {
    const controls: SpeTrapControls = {
      MDCR_EL2: 0n,
      HDFGRTR_EL2: HDFGRTR_EL2.with(0n, { PMBIDR_EL1: 1, nPMSNEVFR_EL1: 1 }),
      HDFGWTR_EL2: HDFGWTR_EL2.with(0n, { PMBLIMITR_EL1: 1, nPMSNEVFR_EL1: 1 }),
      fgt: true,
    };
    expect(sysregTrap("PMBIDR_EL1", false, controls)).toBe("fine-grained");
    expect(sysregTrap("PMBLIMITR_EL1", true, controls)).toBe("fine-grained");
    expect(sysregTrap("PMBLIMITR_EL1", false, controls)).toBe("MDCR_EL2.E2PB");
    expect(sysregTrap("PMSIDR_EL1", false, controls)).toBe(undefined);
    expect(sysregTrap("PMSNEVFR_EL1", true, controls)).toBe(undefined);
  });

  it("to PMSNEVFR_EL1 trap when its bit is 0, but only where FEAT_FGT exists", () => {
    expect(sysregTrap("PMSNEVFR_EL1", false, { MDCR_EL2: OWNED, fgt: true })).toBe("fine-grained");
    expect(sysregTrap("PMSNEVFR_EL1", false, { MDCR_EL2: OWNED, fgt: false })).toBe(undefined);
  });

  it("to PMSDSFR_EL1 are ruled by FEAT_FGT2", () => {
    const controls = { MDCR_EL2: OWNED, fgt: true, fgt2: true };
    expect(sysregTrap("PMSDSFR_EL1", false, controls)).toBe("fine-grained");
    const allowed = { ...controls, HDFGRTR2_EL2: HDFGRTR2_EL2.with(0n, { nPMSDSFR_EL1: 1 }) };
    expect(sysregTrap("PMSDSFR_EL1", false, allowed)).toBe(undefined);
  });

  it("get the same verdict once compiled; a write to a read-only register is never a trap", () => {
    const word = fc.bigInt(0n, (1n << 64n) - 1n);
    const anyControls = fc.record({
      MDCR_EL2: word,
      HDFGRTR_EL2: word,
      HDFGWTR_EL2: word,
      HDFGRTR2_EL2: word,
      HDFGWTR2_EL2: word,
      HFGITR_EL2: word,
      fgt: fc.boolean(),
      fgt2: fc.boolean(),
    });
    fc.assert(
      fc.property(anyControls, (controls) => {
        const compiled = compileSpeTraps(controls);
        for (const name of NAMES)
          for (const isWrite of [false, true]) {
            const readOnly = isWrite && registerByName(name).access === "RO";
            const expected = readOnly ? undefined : sysregTrap(name, isWrite, controls);
            expect(compiled.reason(name, isWrite)).toBe(expected);
            expect(compiled.traps(name, isWrite)).toBe(expected !== undefined);
          }
        expect(compiled.traps("HCR_EL2", true)).toBe(false);
        expect(compiled.psbCsync).toBe(controls.fgt && HFGITR_EL2.is(controls.HFGITR_EL2, "PSBCSYNC"));
      }),
    );
  });
});
