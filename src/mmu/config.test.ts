import fc from "fast-check";
import { expect, it } from "vitest";
import { SCTLR_EL1, TCR_EL1 } from "../arm/registers.ts";
import { type Stage1Config, type Stage1Regime, stage1Regime, withTables } from "./config.ts";

const register = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const tables = fc.record({ TTBR0_EL1: register, TTBR1_EL1: register });
const controls = fc.record({
  TCR_EL1: register.map((value) => value & TCR_EL1.mask),
  SCTLR_EL1: register.map((value) => value & SCTLR_EL1.mask),
  MAIR_EL1: register,
});

/** All of a half but what it has learned of leaves. */
const told = ({ leafCache, ...half }: Stage1Config) => half;
const halves = ({ lower, upper }: Stage1Regime) => [told(lower), told(upper)];

it("a regime with other tables is the one that all registers make, and knows the leaves of the first", () => {
  fc.assert(
    fc.property(controls, tables, tables, (registers, before, after) => {
      const first = stage1Regime({ ...registers, ...before });
      const second = withTables(first, after);
      expect(halves(second)).toEqual(halves(stage1Regime({ ...registers, ...after })));
      expect(second.lower.leafCache).toBe(first.lower.leafCache);
      expect(second.upper.leafCache).toBe(first.upper.leafCache);
    }),
  );
});
