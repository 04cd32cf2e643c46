import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import { ROWS, type RowName } from "../a64/encodings/index.ts";
import { CNTKCTL_EL1, ENCODINGS, type Encoding, OPERATIONS, SCTLR_EL1 } from "../arm/registers.ts";
import { EC, sysregSyndrome } from "../arm/syndromes.ts";
import { type Bare, bareCore, CODE, DATA } from "./core.testing.ts";
import type { Broadcast } from "./platform.ts";
import { sctlrOf } from "./sctlr.ts";
import type { VcpuState } from "./vcpu-state.ts";

/** X3 is what is read to or written from. */
const RT = 3;
const CODE_VA = BigInt(CODE);
const VALUE = 0x1234_5678_9abc_def0n;
const UNDEFINED = 0x0200_0000;
/** Registers that the platform has, and one that nobody has. */
const OF_PLATFORM: Encoding = [3, 3, 11, 5, 7];
const OF_NOBODY: Encoding = [3, 3, 11, 5, 6];
const TRAPPED: Encoding = [3, 0, 11, 5, 5];
const MUST_WAIT: Encoding = [3, 0, 11, 5, 4];
const { DAIF, SP_EL0, SPSel: SPSEL, PAN, MDCCSR_EL0 } = ENCODINGS;
const timer = (crm: number, op2: number): Encoding => [3, 3, 14, crm, op2];

const access = (row: "MRS" | "MSR_reg", [op0, op1, crn, crm, op2]: Encoding): number =>
  (ROWS[row].value | ((op0 - 2) << 19) | (op1 << 16) | (crn << 12) | (crm << 8) | (op2 << 5) | RT) >>> 0;
const mrs = (encoding: Encoding): number => access("MRS", encoding);
const msr = (encoding: Encoding): number => access("MSR_reg", encoding);
const sys = ([, op1, crn, crm, op2]: Encoding): number =>
  (ROWS.SYS.value | (op1 << 16) | (crn << 12) | (crm << 8) | (op2 << 5) | RT) >>> 0;
const pstate = (op1: number, op2: number, imm: number): number =>
  (ROWS.MSR_imm.value | (op1 << 16) | (imm << 8) | (op2 << 5)) >>> 0;
const hint = (n: number): number => (ROWS.HINT.value | (n << 5)) >>> 0;
const call = (row: RowName & ("SVC" | "HVC" | "SMC" | "BRK"), imm: number): number =>
  (ROWS[row].value | (imm << 5)) >>> 0;
const [WFE, WFI, SEV, SEVL] = [2, 3, 4, 5].map(hint) as [number, number, number, number];

let bare: Bare;
let state: VcpuState;
let told: Broadcast[];
let written: bigint[];
let isAhead: boolean;
let streamed: boolean;

/** Of those that the platform has. */
const isTimer = ([, op1, crn]: Encoding): boolean => op1 === 3 && crn === 14;
const same = (a: Encoding, b: Encoding): boolean => a.every((part, i) => part === b[i]);

beforeAll(() => {
  bare = bareCore(undefined, undefined, {
    traps: (encoding) => same(encoding, TRAPPED),
    mustWait: (encoding) => same(encoding, MUST_WAIT),
    isAhead: () => isAhead,
    streamed: () => streamed,
    readRegister: (encoding) => (same(encoding, OF_PLATFORM) || isTimer(encoding) ? VALUE : undefined),
    writeRegister: (encoding, value) => {
      if (same(encoding, OF_PLATFORM)) written.push(value);
      return same(encoding, OF_PLATFORM);
    },
    broadcast: (what) => told.push(what),
  });
  ({ state } = bare.core);
});

beforeEach(() => {
  bare.core.reset();
  state.set64("VBAR_EL1", 0x2000n);
  [told, written, isAhead, streamed] = [[], [], false, false];
});

/**
 * Executes one instruction at a level.
 * @returns "done", the syndrome of its exception, or why the core has stopped there: "wfi ", and whether it is done
 */
function run(word: number, el: 0 | 1 = 1): string | number {
  const { core, pages, memory } = bare;
  if (state.el !== el) {
    state.select(el, el);
    core.space.select();
    core.exceptions.controlsChanged();
  }
  pages[CODE / 4096]!.set([word, call("SVC", 0x7777)]);
  memory.code.drop();
  state.pc = CODE_VA;
  const exit = core.run(1);
  const taken = state.get64("ELR_EL1");
  if (exit.kind !== "budget") return `${exit.kind}, ${state.pc === CODE_VA ? "not done" : "done"}`;
  if (state.pc === CODE_VA + 4n) return "done";
  expect([state.pc & ~0x780n, taken & ~4n]).toEqual([0x2000n, CODE_VA]);
  return Number(state.get64("ESR_EL1"));
}

const control = (fields: Parameters<typeof SCTLR_EL1.with>[1]): void => {
  state.set64("SCTLR_EL1", SCTLR_EL1.with(0n, fields));
};

/** The syndrome of a trapped access. */
const trapped = (encoding: Encoding, isRead: boolean): number => sysregSyndrome({ encoding, rt: RT, isRead });

describe("what EL0 may do where EL1 allows it, and else is trapped to EL1", () => {
  it.each<[what: string, word: number, fields: Parameters<typeof SCTLR_EL1.with>[1], esr: number]>([
    ["MRS CTR_EL0: UCT", mrs(ENCODINGS.CTR_EL0), { UCT: 1 }, trapped(ENCODINGS.CTR_EL0, true)],
    ["MRS DAIF: UMA", mrs(DAIF), { UMA: 1 }, trapped(DAIF, true)],
    ["MSR DAIF: UMA", msr(DAIF), { UMA: 1 }, trapped(DAIF, false)],
    ["DC CVAU: UCI", sys(OPERATIONS.DC_CVAU), { UCI: 1 }, trapped(OPERATIONS.DC_CVAU, false)],
    ["IC IVAU: UCI", sys(OPERATIONS.IC_IVAU), { UCI: 1 }, trapped(OPERATIONS.IC_IVAU, false)],
    ["WFI: nTWI", WFI, { nTWI: 1 }, 0x07e0_0000],
    ["WFE: nTWE", WFE, { nTWE: 1 }, 0x07e0_0001],
  ])("%s", (_what, word, fields, esr) => {
    state.setX(RT, DATA);
    control({});
    expect((run(word, 0) as number).toString(16)).toBe(esr.toString(16));
    control(fields);
    expect(run(word, 0)).toMatch(/done$/);
    // EL1 asks nobody.
    control({ nTWI: 0 });
    if (word !== WFI && word !== WFE) expect(run(word, 1)).toBe("done");
  });

  it.each<[name: string, encoding: Encoding, fields: Parameters<typeof CNTKCTL_EL1.with>[1]]>([
    ["CNTPCT_EL0: EL0PCTEN", timer(0, 1), { EL0PCTEN: 1 }],
    ["CNTVCT_EL0: EL0VCTEN", timer(0, 2), { EL0VCTEN: 1 }],
    ["CNTFRQ_EL0: either", timer(0, 0), { EL0PCTEN: 1 }],
    ["CNTFRQ_EL0: either", timer(0, 0), { EL0VCTEN: 1 }],
    ["CNTP_CTL_EL0: EL0PTEN", timer(2, 1), { EL0PTEN: 1 }],
    ["CNTV_CVAL_EL0: EL0VTEN", timer(3, 2), { EL0VTEN: 1 }],
  ])("MRS %s", (_name, encoding, fields) => {
    const others = CNTKCTL_EL1.with(0n, { EL0PCTEN: 1, EL0VCTEN: 1, EL0PTEN: 1, EL0VTEN: 1 });
    const allows = CNTKCTL_EL1.with(0n, fields);
    state.set64("CNTKCTL_EL1", allows);
    expect(run(mrs(encoding), 0)).toBe("done");
    state.set64("CNTKCTL_EL1", encoding[4] === 0 && encoding[3] === 0 ? 0n : others & ~allows);
    expect(run(mrs(encoding), 0)).toBe(trapped(encoding, true));
  });

  it("reads DCZID_EL0.DZP as SCTLR_EL1.DZE says", () => {
    control({});
    expect(run(mrs(ENCODINGS.DCZID_EL0), 0)).toBe("done");
    expect(state.x(RT)).toBe(0x14n);
    control({ DZE: 1 });
    run(mrs(ENCODINGS.DCZID_EL0), 0);
    expect(state.x(RT)).toBe(4n);
  });
});

describe("what is UNDEFINED", () => {
  it.each<[what: string, word: number, el: 0 | 1]>([
    ["HVC at EL0", call("HVC", 0), 0],
    ["SMC at EL0", call("SMC", 0), 0],
    ["ERET at EL0", ROWS.ERET.value, 0],
    ["MSR PAN, #1 at EL0", pstate(0, 4, 1), 0],
    ["MSR SPSel, #1 at EL0", pstate(0, 5, 1), 0],
    ["MRS of EL1's registers at EL0", mrs(ENCODINGS.SCTLR_EL1), 0],
    ["MSR of EL1's registers at EL0", msr(ENCODINGS.TTBR0_EL1), 0],
    ["MSR of a register that is read-only", msr(ENCODINGS.MIDR_EL1), 1],
    ["MSR CTR_EL0 at EL0", msr(ENCODINGS.CTR_EL0), 0],
    ["MRS of what nobody has", mrs(OF_NOBODY), 1],
    ["MSR of what nobody has", msr(OF_NOBODY), 1],
    ["MRS of what nobody has at EL0", mrs(OF_NOBODY), 0],
    ["TLBI at EL0", sys([1, 0, 8, 7, 0]), 0],
    ["AT at EL0", sys([1, 0, 7, 8, 0]), 0],
  ])("%s", (_what, word, el) => {
    control({ UCT: 1, UCI: 1, UMA: 1 });
    expect(run(word, el)).toBe(UNDEFINED);
  });

  it("SP_EL0 by name while it is the stack pointer", () => {
    state.setX(RT, 0x100n);
    expect(run(msr(SP_EL0))).toBe("done");
    expect(run(mrs(SP_EL0))).toBe("done");
    expect(state.x(RT)).toBe(0x100n);
    state.select(1, 0);
    expect([run(mrs(SP_EL0)), state.get32("SPSEL")]).toEqual([UNDEFINED, 1]);
    state.select(1, 0);
    expect(run(msr(SP_EL0))).toBe(UNDEFINED);
  });
});

describe("exceptions that are asked for", () => {
  it("SVC retires where it is executed, and returns behind itself", () => {
    // As a kernel goes to EL0: then levels are counted.
    state.set64("SPSR_EL1", 0n);
    bare.core.exceptions.eret();
    const { executedByLevel } = bare.core;
    expect(run(call("SVC", 0x1234), 0)).toBe((EC.svc64 << 26) | UNDEFINED | 0x1234);
    expect(state.get64("ELR_EL1")).toBe(CODE_VA + 4n);
    expect(bare.core.executedByLevel).toEqual([executedByLevel[0] + 1, executedByLevel[1]]);
  });

  it("BRK returns to itself, and does not retire", () => {
    const { executed } = bare.core;
    expect(run(call("BRK", 7))).toBe(((EC.brk64 << 26) | UNDEFINED | 7) >>> 0);
    expect([state.get64("ELR_EL1"), bare.core.executed]).toEqual([CODE_VA, executed]);
  });

  it("HVC and SMC go to the hypervisor, HVC when nobody is behind", () => {
    expect(run(call("HVC", 1))).toBe("hvc, done");
    expect(run(call("SMC", 1))).toBe("smc, done");
    isAhead = true;
    expect(run(call("HVC", 1))).toBe("ahead, not done");
  });
});

describe("a register", () => {
  it("of the hypervisor's traps, and waits where it must: nothing has happened", () => {
    state.setX(RT, 5n);
    expect([run(mrs(TRAPPED)), run(msr(TRAPPED))]).toEqual(["sysreg, not done", "sysreg, not done"]);
    expect([run(mrs(MUST_WAIT)), run(msr(MUST_WAIT))]).toEqual(["ahead, not done", "ahead, not done"]);
    expect(state.x(RT)).toBe(5n);
    // EL0 has no access to EL1's, trapped or not.
    expect(run(mrs(TRAPPED), 0)).toBe(UNDEFINED);
  });

  it("of the platform's is read and written there", () => {
    expect(run(mrs(OF_PLATFORM))).toBe("done");
    expect(state.x(RT)).toBe(VALUE);
    expect(run(msr(OF_PLATFORM))).toBe("done");
    expect(written).toEqual([VALUE]);
  });

  it.each([
    ["ACTLR_EL1", ENCODINGS.ACTLR_EL1],
    ["LORC_EL1", ENCODINGS.LORC_EL1],
    ["LORSA_EL1", ENCODINGS.LORSA_EL1],
  ])("%s is there and holds nothing", (_name, encoding) => {
    state.setX(RT, VALUE);
    expect(run(msr(encoding))).toBe("done");
    expect(run(mrs(encoding))).toBe("done");
    expect(state.x(RT)).toBe(0n);
  });

  it("LORID_EL1 says that there are no regions, and is read-only", () => {
    state.setX(RT, VALUE);
    expect(run(mrs(ENCODINGS.LORID_EL1))).toBe("done");
    expect(state.x(RT)).toBe(0n);
    expect(run(msr(ENCODINGS.LORID_EL1))).toBe(UNDEFINED);
  });

  it("SCTLR_EL1 keeps what it has, and selects the regime", () => {
    const { regime } = bare.core.space;
    const value = SCTLR_EL1.with(VALUE, { M: 0, SA: 0 });
    state.setX(RT, value);
    expect(run(msr(ENCODINGS.SCTLR_EL1))).toBe("done");
    expect(state.get64("SCTLR_EL1")).toBe(sctlrOf(value, bare.core.implementation));
    expect(bare.core.space.regime).not.toBe(regime);
    expect(state.get32("SP_CHECKED")).toBe(0);
  });

  it("CPACR_EL1 decides what traps", () => {
    state.setX(RT, 3n << 20n);
    run(msr(ENCODINGS.CPACR_EL1));
    expect(state.get32("FP_TRAPS")).toBe(0);
    state.setX(RT, 0n);
    run(msr(ENCODINGS.CPACR_EL1));
    expect(state.get32("FP_TRAPS")).toBe(1);
  });

  it("TTBR0_EL1 selects another regime, unless it is the same", () => {
    const { regime } = bare.core.space;
    state.setX(RT, state.get64("TTBR0_EL1"));
    run(msr(ENCODINGS.TTBR0_EL1));
    expect(bare.core.space.regime).toBe(regime);
    state.setX(RT, 0x5000n);
    run(msr(ENCODINGS.TTBR0_EL1));
    expect(bare.core.space.regime).not.toBe(regime);
  });

  it("CONTEXTIDR_EL1 is written for each switch of tasks", () => {
    const { contextSwitches } = bare.core;
    run(msr(ENCODINGS.CONTEXTIDR_EL1));
    run(mrs(ENCODINGS.CONTEXTIDR_EL1));
    expect(bare.core.contextSwitches).toBe(contextSwitches + 1);
  });

  it("of PSTATE is written by its bits", () => {
    state.setX(RT, 0xffff_ffffn);
    run(msr(PAN));
    run(mrs(PAN));
    expect([state.get32("PAN"), state.x(RT)]).toEqual([1, 1n << 22n]);
    run(pstate(0, 4, 0));
    expect(state.get32("PAN")).toBe(0);
    run(pstate(0, 5, 0));
    expect(state.get32("SPSEL")).toBe(0);
    state.setX(RT, 1n);
    run(msr(SPSEL));
    expect(state.get32("SPSEL")).toBe(1);
  });

  it("MDCCSR_EL0 is EL0's unless MDSCR_EL1.TDCC traps it", () => {
    expect(run(mrs(MDCCSR_EL0), 0)).toBe("done");
    state.set64("MDSCR_EL1", 1n << 12n);
    expect(run(mrs(MDCCSR_EL0), 0)).toBe(trapped(MDCCSR_EL0, true));
  });
});

describe("DAIFSet and DAIFClr", () => {
  it("at EL0 are for SCTLR_EL1.UMA to allow", () => {
    control({ UMA: 1 });
    state.set32("DAIF", 0x3c0);
    expect(run(pstate(3, 7, 2), 0)).toBe("done");
    expect(state.get32("DAIF")).toBe(0x340);
    expect(run(pstate(3, 6, 2), 0)).toBe("done");
    expect(state.get32("DAIF")).toBe(0x3c0);
    control({});
    // MSR (immediate) as it is encoded: op0 0, CRn 4, CRm the immediate, Rt 31.
    const esr = sysregSyndrome({ encoding: [0, 3, 4, 2, 7], rt: 31, isRead: false });
    expect(run(pstate(3, 7, 2), 0)).toBe(esr);
  });
});

describe("waiting", () => {
  it("WFE goes on with an event, which it takes, and else stops the core behind itself", () => {
    expect([run(SEVL), run(WFE), run(WFE)]).toEqual(["done", "done", "wfe, done"]);
    streamed = true;
    expect(run(WFE)).toBe("done");
    expect(state.get32("EVENT")).toBe(0);
  });

  it("an event is looked at before a trap", () => {
    control({});
    state.set32("EVENT", 1);
    expect(run(WFE, 0)).toBe("done");
    expect(run(WFE, 0)).toBe(0x07e0_0001);
  });

  it("SEV is an event of every core's, when nobody is behind; SEVL is this one's", () => {
    expect([run(SEVL), told.length]).toEqual(["done", 0]);
    state.set32("EVENT", 0);
    expect([run(SEV), state.get32("EVENT")]).toEqual(["done", 1]);
    expect(told).toEqual([{ kind: "event" }]);
    isAhead = true;
    expect([run(SEV), run(SEVL)]).toEqual(["ahead, not done", "done"]);
  });

  it("WFI does not wait while an interrupt is pending, masked or not, and is not trapped then", () => {
    expect(run(WFI)).toBe("wfi, done");
    state.set32("DAIF", 0x3c0);
    bare.core.setInterrupts(0x80);
    expect(run(WFI)).toBe("done");
    control({});
    expect(run(WFI, 0)).toBe("done");
    bare.core.setInterrupts(0);
    expect(run(WFI, 0)).toBe(0x07e0_0000);
  });
});
