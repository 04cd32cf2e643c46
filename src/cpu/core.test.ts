import { expect, it } from "vitest";
import { CLOCKS } from "../a64/state.ts";
import { bareCore, CODE } from "./core.testing.ts";
import { IMPLEMENTATION } from "./implementation.ts";
import { assemble } from "./spe/random-program.testing.ts";

it("executes what lies in memory where the guest has stored over an instruction for TypeScript that was decoded", () => {
  const bare = bareCore();
  const { state } = bare.core;
  // The second instruction is the one that is stored over.
  state.setX(1, BigInt(CODE + 4));
  const store = assemble("STR_imm_unsigned", { size: 2, imm12: 0, Rn: 1, Rt: 0 });
  const vbar = assemble("MSR_reg", { o0: 1, op1: 0, CRn: 12, CRm: 0, op2: 0, Rt: 3 });
  state.setX(3, state.get64("VBAR_EL1"));
  state.setX(0, BigInt(assemble("MOVZ", { sf: 1, imm16: 7, Rd: 5 })));
  expect(bare.execute([store, vbar])).toBeUndefined();
  expect(state.x(5)).toBe(7n);
  // UDF.
  state.setX(0, 0n);
  expect(bare.execute([store, vbar])).toBe(0x200_0000n);
});

it("executes it, too, where the instruction before it had been translated", () => {
  const bare = bareCore(IMPLEMENTATION, { hotAfter: 2, batch: 1, patience: 0 });
  const { core, pages } = bare;
  const { state } = core;
  const spEl0 = assemble("MRS", { o0: 1, op1: 0, CRn: 4, CRm: 1, op2: 0, Rt: 4 });
  state.setX(5, 15n);
  const loop = [
    spEl0,
    assemble("SUBS_imm", { sf: 1, imm12: 1, Rn: 5, Rd: 5 }),
    assemble("B_cond", { cond: 1, imm19: -2 & 0x7_ffff }),
  ];
  expect(bare.execute(loop)).toBeUndefined();
  expect(core.code.translator.made).toBeGreaterThan(0);
  // A store of the guest's, who says nothing of it; and with SP_EL0 as its stack pointer MRS is for TypeScript.
  pages[CODE >> 12]![0] = 0;
  state.select(1, 0);
  state.pc = BigInt(CODE);
  expect(core.run(64).kind).toBe("hvc");
  expect(state.get64("ESR_EL1")).toBe(0x200_0000n);
});

it("counts the words that are UNDEFINED by word, as long as there are not too many", () => {
  const bare = bareCore();
  const { undefinedWords } = bare.core.code;
  for (let word = 0; word < 2000; word++) bare.execute([word]);
  bare.execute([5]);
  expect(undefinedWords.size).toBe(1024);
  expect([undefinedWords.get(5), undefinedWords.get(6)]).toEqual([2, 1]);
});

it.each(CLOCKS)("has a counter of the same frequency at %s GHz", (cyclesPerNs) => {
  const { core, pages } = bareCore({ ...IMPLEMENTATION, cyclesPerNs });
  pages[CODE >> 12]![0] = assemble("MRS", { o0: 1, op1: 3, CRn: 14, CRm: 0, op2: 2, Rt: 4 });
  core.state.pc = BigInt(CODE);
  // A microsecond, of 62.5 ticks.
  core.run(1, 1000 * cyclesPerNs);
  expect(core.state.x(4)).toBe(62n);
});
