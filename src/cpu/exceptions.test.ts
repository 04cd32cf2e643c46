import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Feature } from "../a64/encoding.ts";
import { CPACR_EL1, SCTLR_EL1 } from "../arm/registers.ts";
import { bareCore } from "./core.testing.ts";
import type { Core } from "./core.ts";
import { Exceptions } from "./exceptions.ts";
import { IMPLEMENTATION } from "./implementation.ts";
import { MODE, SPSR, type VcpuState } from "./vcpu-state.ts";

const PC = 0x4000n;
const VBAR = 0xffff_8000_0001_0000n;
/** RES0 in VBAR_EL1, and no part of a vector's address. */
const VBAR_LOW = 0x7ffn;
const NZ = SPSR.N | SPSR.Z;
const DAIF = SPSR.DAIF;

let core: Core;
let state: VcpuState;
let exceptions: Exceptions;
let levels: (0 | 1)[];
let entries: number;
let cycles: number;

/** Exceptions of the core's state, on a core with these features. */
const exceptionsWith = (features: ReadonlySet<Feature> = IMPLEMENTATION.features): Exceptions =>
  new Exceptions(state, core.space, core.debug, features, {
    levelChange: (from) => {
      expect(state.el).toBe(from);
      levels.push(from);
    },
    entry: () => {
      entries += 1;
    },
    cycles: () => cycles,
  });

/** Puts the core at a level, at PC, with PSTATE's other fields clear. */
function at(el: 0 | 1, spsel = 1): void {
  state.select(el, spsel);
  for (const field of ["DAIF", "SS", "IL", "UAO", "PAN"] as const) state.set32(field, 0);
  state.pc = PC;
  state.nzcv = 0;
}

const pstate = () => ({
  el: state.el,
  spsel: state.get32("SPSEL"),
  daif: state.get32("DAIF"),
  pan: state.get32("PAN"),
  uao: state.get32("UAO"),
  ss: state.get32("SS"),
  il: state.get32("IL"),
});

beforeAll(() => {
  ({ core } = bareCore());
  ({ state } = core);
});

beforeEach(() => {
  core.reset();
  state.set64("VBAR_EL1", VBAR | VBAR_LOW);
  [levels, entries, cycles] = [[], 0, 0];
  exceptions = exceptionsWith();
  at(1);
});

describe("an exception to EL1", () => {
  it.each([
    [1, 0, 0x000n],
    [1, 1, 0x200n],
    [0, 0, 0x400n],
  ] as const)("from EL%d with SPSel %d goes to VBAR_EL1 + 0x%s, by its kind", (el, spsel, from) => {
    const vectors = [
      () => exceptions.undefinedInstruction(),
      () => exceptions.interrupt(0x80),
      () => exceptions.interrupt(0x40),
      // FIQ comes first.
      () => exceptions.interrupt(0xc0),
    ].map((take) => {
      at(el, spsel);
      take();
      return state.pc;
    });
    expect(vectors).toEqual([0x000n, 0x080n, 0x100n, 0x100n].map((kind) => VBAR + from + kind));
  });

  it("returns to PC, or behind it, in 64 bits", () => {
    state.pc = 0xffff_fffcn;
    exceptions.synchronous(0x15, 7, true);
    expect(state.get64("ELR_EL1")).toBe(0x1_0000_0000n);
    at(1);
    state.pc = 0xffff_ffff_ffff_fffcn;
    exceptions.synchronous(0x3c, 7);
    expect(state.get64("ELR_EL1")).toBe(0xffff_ffff_ffff_fffcn);
  });

  it("saves PSTATE in SPSR_EL1, masks everything and clears SS, IL and UAO", () => {
    at(0);
    state.nzcv = NZ;
    for (const field of ["SS", "IL", "UAO"] as const) state.set32(field, 1);
    state.set32("DAIF", 0x80);
    exceptions.undefinedInstruction();
    expect(state.get64("SPSR_EL1")).toBe(
      BigInt((NZ | SPSR.SS | SPSR.IL | SPSR.UAO | 0x80 | MODE.EL0T) >>> 0),
    );
    expect(pstate()).toEqual({ el: 1, spsel: 1, daif: DAIF, pan: 0, uao: 0, ss: 0, il: 0 });
    // Flags stay.
    expect(state.nzcv).toBe(NZ >>> 0);
  });

  it.each([
    [0, MODE.EL1T],
    [1, MODE.EL1H],
  ])("says with SPSel %d of EL1 that it was mode %d", (spsel, mode) => {
    at(1, spsel);
    exceptions.undefinedInstruction();
    expect(Number(state.get64("SPSR_EL1")) & SPSR.MODE).toBe(mode);
  });

  it("has a stack pointer of its own", () => {
    state.set64("SP_EL1", 0x1000n);
    at(0);
    state.sp = 0x2000n;
    state.set64("SP_EL1", 0x1000n);
    exceptions.undefinedInstruction();
    expect([state.sp, state.get64("SP_EL0")]).toEqual([0x1000n, 0x2000n]);
  });

  it.each([
    ["sets PSTATE.PAN where SCTLR_EL1.SPAN is 0", 0, undefined, 1],
    ["leaves it where SPAN is 1", 1, undefined, 0],
    ["leaves it without FEAT_PAN", 0, new Set<Feature>(), 0],
  ])("%s", (_what, SPAN, features, pan) => {
    state.set64("SCTLR_EL1", SCTLR_EL1.with(0n, { SPAN }));
    exceptionsWith(features).undefinedInstruction();
    expect(state.get32("PAN")).toBe(pan);
  });

  it("drops an access that was prepared for the instruction at PC", () => {
    state.set32("SLOW_AT", 64);
    exceptions.interrupt(0x80);
    expect(state.hasPrepared).toBe(false);
  });

  it("is told, and that the level changes before it does", () => {
    at(0);
    exceptions.undefinedInstruction();
    exceptions.undefinedInstruction();
    exceptions.interrupt(0x80);
    expect([levels, entries, exceptions.taken]).toEqual([[0], 3, 3]);
  });
});

describe("a syndrome", () => {
  const data = { va: 0x1234n, status: 0x07, write: false, cache: false };
  const cases: [what: string, take: () => void, same: number, lower: number, far?: bigint][] = [
    ["of what is UNDEFINED", () => exceptions.undefinedInstruction(), 0x0200_0000, 0x0200_0000],
    ["of a trapped FP instruction", () => exceptions.fpTrap(), 0x1fe0_0000, 0x1fe0_0000],
    ["of SP's alignment", () => exceptions.spAlignment(), 0x9a00_0000, 0x9a00_0000],
    ["of PC's alignment", () => exceptions.pcAlignment(), 0x8a00_0000, 0x8a00_0000, PC],
    ["of a load", () => exceptions.dataAbort(data), 0x9600_0007, 0x9200_0007, 0x1234n],
    ["of a store", () => exceptions.dataAbort({ ...data, write: true }), 0x9600_0047, 0x9200_0047, 0x1234n],
    [
      // "WnR is always 1 for cache maintenance."
      "of cache maintenance",
      () => exceptions.dataAbort({ ...data, cache: true }),
      0x9600_0147,
      0x9200_0147,
      0x1234n,
    ],
    [
      "of a fetch",
      () => exceptions.instructionAbort({ va: 0x88n, status: 0x0f }),
      0x8600_000f,
      0x8200_000f,
      0x88n,
    ],
    ["of a breakpoint", () => exceptions.breakpoint(), 0xc600_0022, 0xc200_0022],
    [
      "of a watchpoint that a store hits",
      () => exceptions.watchpoint({ va: 0x99n, write: true, cache: false }),
      0xd600_0062,
      0xd200_0062,
      0x99n,
    ],
    [
      "of a watchpoint that cache maintenance hits",
      () => exceptions.watchpoint({ va: 0x99n, write: true, cache: true }),
      0xd600_0162,
      0xd200_0162,
      0x99n,
    ],
  ];

  it.each<(typeof cases)[number]>(cases)("%s", (_what, take, same, lower, far) => {
    for (const [el, esr] of [
      [1, same],
      [0, lower],
    ] as const) {
      at(el);
      state.set64("FAR_EL1", 0x5555n);
      state.set64("ESR_EL1", 1n << 40n);
      take();
      expect([state.get64("ESR_EL1").toString(16), state.get64("FAR_EL1")]).toEqual([
        esr.toString(16),
        far ?? 0x5555n,
      ]);
    }
  });

  it("is left as it was by an interrupt", () => {
    state.set64("ESR_EL1", 0x1234n);
    exceptions.interrupt(0x80);
    expect(state.get64("ESR_EL1")).toBe(0x1234n);
  });
});

describe("ERET", () => {
  function eret(spsr: number, elr = 0x8000n): void {
    state.set64("SPSR_EL1", BigInt(spsr >>> 0));
    state.set64("ELR_EL1", elr);
    exceptions.eret();
  }

  it.each([
    ["EL0", MODE.EL0T, { el: 0, spsel: 0 }],
    ["EL1 with SP_EL0", MODE.EL1T, { el: 1, spsel: 0 }],
    ["EL1 with SP_EL1", MODE.EL1H, { el: 1, spsel: 1 }],
  ])("goes to %s, with PSTATE as SPSR_EL1 has it", (_where, mode, to) => {
    eret(mode | NZ | SPSR.PAN | SPSR.UAO | 0x80, 0xffff_8000_0000_1234n);
    expect(pstate()).toEqual({ ...to, daif: 0x80, pan: 1, uao: 1, ss: 0, il: 0 });
    expect([state.nzcv, state.pc]).toEqual([NZ >>> 0, 0xffff_8000_0000_1234n]);
    expect(levels).toEqual(to.el === 0 ? [1] : []);
    expect([exceptions.returns, exceptions.taken]).toEqual([1, 0]);
  });

  it("without FEAT_PAN and FEAT_UAO has none of their bits", () => {
    exceptions = exceptionsWith(new Set());
    eret(MODE.EL1H | SPSR.PAN | SPSR.UAO);
    expect(pstate()).toMatchObject({ pan: 0, uao: 0 });
  });

  it("clears the local monitor, and is an event", () => {
    state.set32("MONITOR_SET", 1);
    state.set32("EVENT", 0);
    eret(MODE.EL1H);
    expect([state.get32("MONITOR_SET"), state.get32("EVENT")]).toEqual([0, 1]);
  });

  // Arm ARM D1.3.4: an illegal return sets PSTATE.IL, keeps EL and SP, and what is executed next is an Illegal state exception.
  it.each([
    ["EL2", 9],
    ["EL3", 13],
    ["mode 1", 1],
    ["AArch32", SPSR.NRW | MODE.EL0T],
  ])("to %s is illegal", (_what, mode) => {
    at(1, 1);
    eret(mode | NZ | 0x80, 0x8000n);
    // The illegal return, and the exception at where it went.
    expect(state.get64("ESR_EL1")).toBe(0x3a00_0000n);
    expect(state.get64("ELR_EL1")).toBe(0x8000n);
    expect(state.get64("SPSR_EL1")).toBe(BigInt((NZ | SPSR.IL | 0x80 | MODE.EL1H) >>> 0));
    expect([state.pc, levels]).toEqual([VBAR + 0x200n, []]);
  });

  it("to a legal level with SPSR_EL1.IL set goes there, and has the exception there", () => {
    eret(MODE.EL0T | SPSR.IL, 0x8000n);
    expect(state.get64("ESR_EL1")).toBe(0x3a00_0000n);
    expect(Number(state.get64("SPSR_EL1"))).toBe(SPSR.IL | MODE.EL0T);
    expect([state.pc, levels]).toEqual([VBAR + 0x400n, [1, 0]]);
  });
});

describe("a storm", () => {
  it("are a hundred exceptions without a return", () => {
    for (let i = 0; i < 99; i++) exceptions.undefinedInstruction();
    expect(exceptions.storm).toBeUndefined();
    exceptions.undefinedInstruction();
    expect(exceptions.storm).toEqual({ kind: "nested", exceptions: 100 });
    state.set64("SPSR_EL1", BigInt(MODE.EL1H));
    exceptions.eret();
    expect(exceptions.storm).toBeUndefined();
  });

  /** An exception whose handler returns to the instruction that makes the next, with so many cycles between. */
  function again(between: number): void {
    exceptions.undefinedInstruction();
    cycles += 20;
    state.set64("SPSR_EL1", BigInt(MODE.EL1H));
    exceptions.eret();
    cycles += between;
  }

  it("are a hundred that each returned to the instruction that made the next", () => {
    for (let i = 0; i < 100; i++) again(0);
    expect(exceptions.storm).toBeUndefined();
    again(0);
    expect(exceptions.storm).toEqual({ kind: "repeated", exceptions: 100 });
    again(1);
    again(0);
    expect(exceptions.storm).toBeUndefined();
  });
});

describe("what is checked follows from the registers", () => {
  it.each([
    [0, [1, 1]],
    [1, [1, 0]],
    [2, [1, 1]],
    [3, [0, 0]],
  ])("CPACR_EL1.FPEN %d: FP instructions trap at EL0 and EL1: %j", (FPEN, traps) => {
    state.set64("CPACR_EL1", CPACR_EL1.with(0n, { FPEN }));
    const found = ([0, 1] as const).map((el) => {
      at(el);
      exceptions.controlsChanged();
      return state.get32("FP_TRAPS");
    });
    expect(found).toEqual(traps);
  });

  it.each([
    [{ SA: 1, SA0: 0 }, [0, 1]],
    [{ SA: 0, SA0: 1 }, [1, 0]],
  ])("SCTLR_EL1 %j: SP is checked at EL0 and EL1: %j", (fields, checked) => {
    state.set64("SCTLR_EL1", SCTLR_EL1.with(0n, fields));
    const found = ([0, 1] as const).map((el) => {
      at(el);
      exceptions.controlsChanged();
      return state.get32("SP_CHECKED");
    });
    expect(found).toEqual(checked);
  });

  it("and of an exception's level, when it is taken", () => {
    state.set64("CPACR_EL1", CPACR_EL1.with(0n, { FPEN: 1 }));
    at(0);
    exceptions.controlsChanged();
    exceptions.undefinedInstruction();
    expect(state.get32("FP_TRAPS")).toBe(0);
    state.set64("SPSR_EL1", BigInt(MODE.EL0T));
    exceptions.eret();
    expect(state.get32("FP_TRAPS")).toBe(1);
  });
});
