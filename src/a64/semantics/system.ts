/**
 * System instructions: what needs no more than the vCPU's state happens here, the rest is left to TypeScript
 * (cpu/system-instructions.ts), which finds the word at PC.
 */

import { CNTKCTL_EL1, encodingKey, SCTLR_EL1, SYSOP, SYSREG, type SysregName } from "../../arm/registers.ts";
import { PAGE_BYTES } from "../../common/address.ts";
import type { Local } from "../../wasm/entities.ts";
import { entryOf } from "../access.ts";
import type { Emit, Fields, FlowEmit, Semantics, Special } from "../emit.ts";
import { DTLB, LEAVE, type StateField, TABLES } from "../state.ts";
import { SYSTEM } from "./branches.ts";

/** DC ZVA zeroes this much, as DCZID_EL0.BS says. */
export const ZVA_BYTES = 64;
const PAGE_SHIFT = Math.log2(PAGE_BYTES);
const { DZE, UCI } = SCTLR_EL1.fields;

interface Plain {
  readonly key: number;
  readonly field: StateField;
  /** The lowest exception level that may read it, write it; undefined: a write needs TypeScript. */
  readonly read: 0 | 1;
  readonly write: 0 | 1 | undefined;
}

const plain = (field: StateField & SysregName, read: 0 | 1, write: 0 | 1 | undefined): Plain => ({
  key: SYSREG[field],
  field,
  read,
  write,
});

/** Registers that are a place in the state. */
const PLAIN: readonly Plain[] = [
  plain("TPIDR_EL0", 0, 0),
  plain("TPIDRRO_EL0", 0, 1),
  plain("TPIDR_EL1", 1, 1),
  plain("SPSR_EL1", 1, 1),
  plain("ELR_EL1", 1, 1),
  plain("AFSR0_EL1", 1, 1),
  plain("AFSR1_EL1", 1, 1),
  plain("ESR_EL1", 1, undefined),
  plain("FAR_EL1", 1, 1),
  plain("PAR_EL1", 1, 1),
  plain("TTBR0_EL1", 1, undefined),
  plain("TTBR1_EL1", 1, undefined),
  plain("TCR_EL1", 1, undefined),
  plain("MAIR_EL1", 1, undefined),
  plain("SCTLR_EL1", 1, undefined),
  plain("CPACR_EL1", 1, undefined),
  plain("CONTEXTIDR_EL1", 1, undefined),
  plain("VBAR_EL1", 1, undefined),
  plain("MDSCR_EL1", 1, undefined),
];

const { NZCV, DAIF, CurrentEL, FPCR, FPSR, SP_EL0, DCZID_EL0, CNTPCT_EL0, CNTVCT_EL0 } = SYSREG;

/** What allows EL0 to read them: CNTKCTL_EL1.EL0PCTEN and EL0VCTEN. */
const COUNTER_ENABLE = {
  [CNTPCT_EL0]: CNTKCTL_EL1.fields.EL0PCTEN.mask32,
  [CNTVCT_EL0]: CNTKCTL_EL1.fields.EL0VCTEN.mask32,
};
/** What is done here, by index; 0 is everything that is not. */
const HERE: readonly number[] = [
  -1,
  NZCV,
  DAIF,
  CurrentEL,
  FPCR,
  FPSR,
  SP_EL0,
  DCZID_EL0,
  CNTPCT_EL0,
  CNTVCT_EL0,
  ...PLAIN.map((p) => p.key),
];

const registerOf = (f: Fields): number => encodingKey([2 + f.o0, f.op1, f.CRn, f.CRm, f.op2]);

const REGISTER: Special = {
  name: "register",
  values: HERE.length,
  of: (f) => Math.max(0, HERE.indexOf(registerOf(f))),
};

const plainOf = (register: number): Plain | undefined => PLAIN.find((p) => p.key === register);

/** Leaves for TypeScript at EL0. */
function needsEl1(e: Emit): void {
  e.get32("EL");
  e.f.i32.eqz();
  e.leaveIf(LEAVE.SYSTEM);
}

/** Leaves for TypeScript unless SP_EL0 is a register of its own: at EL1, with SP_EL1 selected. */
function needsOtherSp(e: Emit): void {
  const { f } = e;
  e.get32("EL");
  e.get32("SPSEL");
  f.i32.and();
  f.i32.eqz();
  e.leaveIf(LEAVE.SYSTEM);
}

/** Leaves for TypeScript at EL0 without a bit of SCTLR_EL1, or of another register. */
function needsEl1Or(e: Emit, bit: number, register: StateField = "SCTLR_EL1"): void {
  const { f } = e;
  e.get32("EL");
  f.i32.eqz();
  e.get64(register);
  f.i64.const(bit);
  f.i64.and();
  f.i64.eqz();
  f.i32.and();
  e.leaveIf(LEAVE.SYSTEM);
}

/**
 * Pushes a counter; CNTVOFF is 0. Beyond its horizon a vCPU must wait for the others, and leaves: nobody may read less
 * afterwards.
 */
function counter(e: FlowEmit, register: number): void {
  const { f } = e;
  needsEl1Or(e, COUNTER_ENABLE[register]!, "CNTKCTL_EL1");
  const cycles = f.local.take("i64");
  e.clock();
  f.local.tee(cycles);
  e.get64("HORIZON");
  f.i64.gtS();
  e.leaveIf(LEAVE.SYSTEM);
  f.local.get(cycles);
  e.get32("TICK_SHIFT");
  f.i64.extendI32U();
  f.i64.shrU();
  f.local.release(cycles);
}

const mrs: Semantics = {
  special: [REGISTER],
  inline: true,
  emit: (e) => {
    const { f } = e;
    const register = HERE[e.field("register")]!;
    const known = plainOf(register);
    if (known !== undefined) {
      if (known.read === 1) needsEl1(e);
      e.get64(known.field);
    } else if (register === NZCV) {
      e.nzcv();
      f.i32.const(28);
      f.i32.shl();
      f.i64.extendI32U();
    } else if (register === DAIF) {
      needsEl1(e);
      e.get32("DAIF");
      f.i64.extendI32U();
    } else if (register === CurrentEL) {
      needsEl1(e);
      f.i64.const(4);
    } else if (register === SP_EL0) {
      needsOtherSp(e);
      e.get64("SP_EL0");
    } else if (register === DCZID_EL0) {
      needsEl1Or(e, DZE.mask32);
      f.i64.const(Math.log2(ZVA_BYTES / 4));
    } else if (register === CNTPCT_EL0 || register === CNTVCT_EL0) counter(e, register);
    else if (register === FPCR || register === FPSR) {
      e.fpAccess();
      e.get32(register === FPCR ? "FPCR" : "FPSR");
      f.i64.extendI32U();
    } else {
      e.leave(LEAVE.SYSTEM);
      return;
    }
    e.setX("Rt");
  },
};

/** FPCR: AHP, DN, FZ, RMode; FPSR: QC, IDC, IXC, UFC, OFC, DZC, IOC (and NZCV of AArch32, which are RES0 here). */
const FPCR_MASK = 0x07c0_0000;
const FPSR_MASK = 0x0800_009f;

const msrRegister: Semantics = {
  special: [REGISTER],
  inline: true,
  emit: (e) => {
    const { f } = e;
    const register = HERE[e.field("register")]!;
    const known = plainOf(register);
    if (known?.write !== undefined) {
      if (known.write === 1) needsEl1(e);
      e.getX("Rt");
      e.set64(known.field);
    } else if (register === SP_EL0) {
      needsOtherSp(e);
      e.getX("Rt");
      e.set64("SP_EL0");
    } else if (register === NZCV) {
      e.getW("Rt");
      f.i32.const(28);
      f.i32.shrU();
      e.setNzcv();
    } else if (register === FPCR || register === FPSR) {
      e.fpAccess();
      e.getW("Rt");
      f.i32.const(register === FPCR ? FPCR_MASK : FPSR_MASK);
      f.i32.and();
      e.set32(register === FPCR ? "FPCR" : "FPSR");
    } else if (register === DAIF) {
      needsEl1(e);
      e.getW("Rt");
      f.i32.const(0x3c0);
      f.i32.and();
      e.set32("DAIF");
      interruptsNow(e);
    } else e.leave(LEAVE.SYSTEM);
  },
};

/** An interrupt that waits may be taken after this instruction if DAIF does not mask it any more. */
function interruptsNow(e: Emit): void {
  const { f } = e;
  e.get32("IRQ_LINES");
  e.get32("DAIF");
  f.i32.const(-1);
  f.i32.xor();
  f.i32.and();
  const waits = f.if();
  e.stopAfter();
  f.end(waits);
}

/** MSR (immediate): DAIFSet and DAIFClr here. */
const PSTATE_FIELD: Special = {
  name: "pstateField",
  values: 3,
  of: (f) => (f.op1 === 3 && f.op2 === 6 ? 1 : f.op1 === 3 && f.op2 === 7 ? 2 : 0),
};

const msrImmediate: Semantics = {
  special: [PSTATE_FIELD],
  aux: [(f) => f.CRm],
  inline: true,
  emit: (e) => {
    const { f } = e;
    const field = e.field("pstateField");
    if (field === 0) {
      e.leave(LEAVE.SYSTEM);
      return;
    }
    needsEl1(e);
    e.get32("DAIF");
    e.aux(0);
    f.i32.const(6);
    f.i32.shl();
    if (field === 1) f.i32.or();
    else {
      f.i32.const(-1);
      f.i32.xor();
      f.i32.and();
    }
    e.set32("DAIF");
    if (field === 2) interruptsNow(e);
  },
};

/** HINT: WFE, WFI, SEV and SEVL are for TypeScript; the others, PSB CSYNC until there is an SPU, do nothing. */
const hint: Semantics = {
  special: [{ name: "waits", values: 2, of: (f) => (f.CRm === 0 && f.op2 >= 2 && f.op2 <= 5 ? 1 : 0) }],
  inline: true,
  emit: (e) => {
    if (e.field("waits") === 1) e.leave(LEAVE.SYSTEM);
  },
};

/**
 * DC CVAC, CVAU and CIVAC: caches are coherent, so there is nothing to do where they do not fault. DC CVAP is a feature, and for
 * TypeScript. IC IVAU: nothing either where no code was decoded.
 */
const CLEANS: readonly number[] = [SYSOP.DC_CVAC, SYSOP.DC_CVAU, SYSOP.DC_CIVAC];
const SYS_HERE = { no: 0, zva: 1, clean: 2, fetch: 3 } as const;

/** Which of them an encoding is. */
function sysHere(f: Fields): number {
  const of = encodingKey([1, f.op1, f.CRn, f.CRm, f.op2]);
  if (of === SYSOP.DC_ZVA) return SYS_HERE.zva;
  if (of === SYSOP.IC_IVAU) return SYS_HERE.fetch;
  return CLEANS.includes(of) ? SYS_HERE.clean : SYS_HERE.no;
}

/**
 * Leaves for TypeScript unless the soft TLB has the address for loads, which need no less than maintenance by VA does.
 * @param entry gets the host address of its entry
 */
function translated(e: Emit, entry: Local<"i32">): void {
  const { f } = e;
  const va = f.local.take("i64");
  e.getX("Rt");
  f.local.set(va);
  e.get32("DTLB");
  entryOf(f, va);
  f.local.set(entry);
  f.local.get(va);
  f.local.get(entry);
  f.i64.load(DTLB.RTAG);
  f.i64.sub();
  f.i64.const(PAGE_BYTES - 1);
  f.i64.gtU();
  e.leaveIf(LEAVE.SYSTEM);
  f.local.release(va);
}

/** Leaves for TypeScript if the page of an entry of the soft TLB may have decoded code. */
function withoutCode(e: Emit, entry: Local<"i32">): void {
  const { f } = e;
  const page = f.local.take("i32");
  f.local.get(entry);
  f.i32.load(DTLB.ADDRESS);
  f.i32.const(PAGE_SHIFT);
  f.i32.shrU();
  f.local.tee(page);
  f.i32.const(3);
  f.i32.shrU();
  f.i32.load8U(TABLES.CODE_PAGES);
  f.local.get(page);
  f.i32.const(7);
  f.i32.and();
  f.i32.shrU();
  f.i32.const(1);
  f.i32.and();
  e.leaveIf(LEAVE.SYSTEM);
  f.local.release(page);
}

const sys: Semantics = {
  special: [{ name: "sysHere", values: 4, of: sysHere }],
  inline: true,
  emit: (e) => {
    const { f } = e;
    const here = e.field("sysHere");
    if (here === SYS_HERE.no) {
      e.leave(LEAVE.SYSTEM);
      return;
    }
    needsEl1Or(e, here === SYS_HERE.zva ? DZE.mask32 : UCI.mask32);
    if (here !== SYS_HERE.zva) {
      const entry = f.local.take("i32");
      translated(e, entry);
      if (here === SYS_HERE.fetch) withoutCode(e, entry);
      f.local.release(entry);
      return;
    }
    const at = f.local.take("i32");
    e.getX("Rt");
    f.i64.const(-ZVA_BYTES);
    f.i64.and();
    e.writeAddress(ZVA_BYTES, { zva: true });
    f.local.set(at);
    for (let offset = 0; offset < ZVA_BYTES; offset += 16) {
      f.local.get(at);
      f.v128.const(0, 0, 0, 0);
      f.v128.store(offset);
    }
    f.local.release(at);
  },
};

const nothing: Semantics = { inline: true, emit: () => {} };

export const SYSTEM_INSTRUCTIONS = {
  MRS: mrs,
  MSR_reg: msrRegister,
  MSR_imm: msrImmediate,
  SYS: sys,
  SYSL: SYSTEM,
  HINT: hint,
  /** One vCPU runs at a time and in order: barriers have nothing to wait for. */
  DSB: nothing,
  DMB: nothing,
  ISB: nothing,
  CLREX: { inline: true, emit: (e) => e.clearMonitor() },
} satisfies Record<string, Semantics>;
