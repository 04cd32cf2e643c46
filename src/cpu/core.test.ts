import { beforeEach, describe, expect, it } from "vitest";
import { CLOCKS } from "../a64/state.ts";
import { bareCore, CODE } from "./core.testing.ts";
import { EXCEPTION_CYCLES } from "./core.ts";
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

describe("a run", () => {
  const NOP = 0xd503_201f;
  const CODE_VA = BigInt(CODE);
  /** Out of reset. */
  const VBAR = 0x8000n;
  const IRQ = 0x80;
  /** No memory is there. */
  const DEVICE = 100 * 4096;
  const ldr = assemble("LDR_imm_unsigned", { size: 3, imm12: 1, Rn: 1, Rt: 0 });
  const str = assemble("STR_imm_unsigned", { size: 2, imm12: 0, Rn: 1, Rt: 2 });
  /** MRS X4, MIDR_EL1: for TypeScript. */
  const mrs = assemble("MRS", { o0: 1, op1: 0, CRn: 0, CRm: 0, op2: 0, Rt: 4 });
  const svc = assemble("SVC", { imm16: 0 });
  const { core, pages, memory } = bareCore();
  const { state } = core;
  let counted: { cycles: number; executed: number };

  /** The core out of reset, before some words and NOPs behind them. */
  function prepare(...words: readonly number[]): void {
    pages[CODE >> 12]!.fill(NOP).set(words);
    pages[Number(VBAR >> 12n)]!.fill(NOP);
    memory.code.drop();
    core.reset();
    core.setInterrupts(0);
    state.set64("VBAR_EL1", VBAR);
    state.set32("DAIF", 0);
    state.pc = CODE_VA;
    counted = { cycles: core.cycles, executed: core.executed };
  }

  beforeEach(() => prepare());

  /** Cycles and instructions since. */
  const since = () => [core.cycles - counted.cycles, core.executed - counted.executed];

  it("executes an instruction a cycle, as many as it is given", () => {
    expect(core.run(10)).toEqual({ kind: "budget" });
    expect([state.pc, ...since()]).toEqual([CODE_VA + 40n, 10, 10]);
    core.run(1);
    expect([state.pc, ...since()]).toEqual([CODE_VA + 44n, 11, 11]);
  });

  it("has an exception take its cycles, of the budget and beyond it", () => {
    prepare(svc);
    core.run(20);
    expect([state.pc, ...since()]).toEqual([VBAR + 0x200n + 12n, 20, 4]);
    prepare(svc);
    core.run(5);
    expect([state.pc, ...since()]).toEqual([VBAR + 0x200n, 1 + EXCEPTION_CYCLES, 1]);
  });

  it("takes an interrupt before the next instruction, unless it is masked", () => {
    core.setInterrupts(IRQ);
    state.set32("DAIF", IRQ);
    core.run(1);
    expect(state.pc).toBe(CODE_VA + 4n);
    state.set32("DAIF", 0);
    core.run(EXCEPTION_CYCLES + 1);
    expect([state.pc, state.get64("ELR_EL1")]).toEqual([VBAR + 0x284n, CODE_VA + 4n]);
  });

  it("ends before a load from a device, which happens with its answer, and before an interrupt", () => {
    prepare(ldr);
    state.setX(1, BigInt(DEVICE));
    expect(core.run(10)).toEqual({ kind: "mmio", ipa: DEVICE + 8, bytes: 8, write: false, data: 0n });
    expect([state.pc, ...since()]).toEqual([CODE_VA, 0, 0]);
    core.completeRead(0x1234n);
    core.setInterrupts(IRQ);
    core.run(1);
    expect([state.x(0), state.pc, ...since()]).toEqual([0x1234n, CODE_VA + 4n, 1, 1]);
    core.run(1);
    expect(state.get64("ELR_EL1")).toBe(CODE_VA + 4n);
  });

  it("ends behind a store to a device, with what it stores", () => {
    prepare(str);
    state.setX(1, BigInt(DEVICE));
    state.setX(2, 0x1_8765_4321n);
    expect(core.run(10)).toEqual({ kind: "mmio", ipa: DEVICE, bytes: 4, write: true, data: 0x8765_4321n });
    expect([state.pc, ...since()]).toEqual([CODE_VA + 4n, 1, 1]);
  });

  it("ends after many instructions that TypeScript carries out, and goes on", () => {
    prepare(...Array.from({ length: 1000 }, () => mrs));
    expect(core.run(10_000)).toEqual({ kind: "busy" });
    const [cycles, executed] = since();
    expect(cycles).toBeGreaterThan(256);
    expect(cycles).toBeLessThan(512);
    expect([executed, state.pc]).toEqual([cycles, CODE_VA + 4n * BigInt(cycles!)]);
    core.run(10);
    expect(state.pc).toBe(CODE_VA + 4n * BigInt(cycles! + 10));
  });

  it("counts where it was, and says before it is somewhere else", () => {
    const told: [from: number, cycles: number][] = [];
    const { cyclesByLevel: byLevel, executedByLevel: executed } = core;
    core.onLevelChange = (from) => told.push([from, core.cycles - counted.cycles]);
    prepare(assemble("ERET"));
    state.set64("ELR_EL1", CODE_VA + 16n);
    state.set64("SPSR_EL1", 0n);
    pages[CODE >> 12]!.set([svc], 7);
    core.run(1 + 4 + EXCEPTION_CYCLES + 2);
    core.onLevelChange = undefined;
    // ERET at EL1, three NOPs and SVC at EL0, and two at the vector.
    expect(told).toEqual([
      [1, 1],
      [0, 5],
    ]);
    const [el0, el1] = core.cyclesByLevel;
    expect([el0 - byLevel[0], el1 - byLevel[1]]).toEqual([4, 1 + EXCEPTION_CYCLES + 2]);
    const [at0, at1] = core.executedByLevel;
    expect([at0 - executed[0], at1 - executed[1]]).toEqual([4, 3]);
  });

  it("is followed by what the hypervisor has carried out: a cycle, and behind it", () => {
    state.set32("SS", 1);
    core.skip();
    expect([state.pc, state.get32("SS"), ...since()]).toEqual([CODE_VA + 4n, 0, 1, 1]);
  });

  it("goes on in another core as it would have in this one", () => {
    const other = bareCore();
    const first = (all: readonly Uint32Array[]): number => all[0]!.byteOffset;
    prepare(mrs, svc, str, mrs);
    core.run(30);
    for (const [i, page] of pages.entries()) other.pages[i]!.set(page);
    other.core.restore(
      core.save((page) => (page - first(pages)) / 4096),
      (frame) => first(other.pages) + 4096 * frame,
    );
    const now = [core, other.core].map((each) => {
      each.run(20);
      const { state, cycles, executed, exceptions } = each;
      return [state.pc, state.x(4), cycles, executed, exceptions.taken, each.cyclesByLevel];
    });
    expect(now[1]).toEqual(now[0]);
  });
});

it("reset is EL1 with interrupts masked, MMU and caches off, and SP checked", () => {
  const { core } = bareCore();
  const { state } = core;
  state.setX(5, 7n);
  core.reset();
  expect([state.el, state.get32("SPSEL"), state.get32("DAIF"), state.x(5), state.pc]).toEqual([
    1,
    1,
    0x3c0,
    0n,
    0n,
  ]);
  expect(state.get64("SCTLR_EL1")).toBe(0x30d5_0998n);
  expect(state.get32("SP_CHECKED")).toBe(1);
});
