/**
 * The system registers that KVM emulates: every one whose accesses trap to it, in the order of their encodings (as
 * sys_reg_descs of Linux arch/arm64/kvm/sys_regs.c), each with what carries an access out.
 *
 * What is not here does not trap: debug registers and the OS lock are the core's own (`cpu/debug.ts`), and the GIC's CPU
 * interface and the timers are virtualized by hardware, which `devices.ts` stands for.
 */
import {
  ENCODINGS,
  type Encoding,
  encodingKey,
  PMEVCNTR_EL0,
  PMEVTYPER_EL0,
  type RegisterName,
  type SysregName,
} from "../arm/registers.ts";
import type { ExitReason } from "./exit-reasons.ts";
import type { CoreRegisters, Exit } from "./guest-core.ts";
import type { Pmu } from "./pmu.ts";

/** How a trapped write ended: done, user space must raise the limit and it is tried again, or it is UNDEFINED. */
export type TrapOutcome =
  | { readonly kind: "done" }
  | { readonly kind: "rlimit"; readonly byBytes: number }
  | { readonly kind: "undefined" };

/** The SPE registers of a vCPU, as its SPE emulates them. */
export interface SpeRegisters {
  /** Undefined: it cannot be read. */
  read(register: RegisterName): bigint | undefined;
  write(register: RegisterName, value: bigint): TrapOutcome;
}

/** What emulates the registers of a vCPU. A VM whose guest executes no code has no PMU. */
export interface SysRegUnits {
  readonly spe: SpeRegisters;
  readonly pmu: Pmu | undefined;
}

export interface SysReg {
  readonly name: string;
  readonly encoding: Encoding;
  readonly unit: "spe" | "pmu";
  /** What reports call the exit of a read and of a write. */
  readonly exits: { readonly read: ExitReason; readonly write: ExitReason };
  /** @returns undefined: UNDEFINED at this exception level */
  read(units: SysRegUnits, el: 0 | 1): bigint | undefined;
  write(units: SysRegUnits, value: bigint, el: 0 | 1): TrapOutcome;
}

const DONE: TrapOutcome = { kind: "done" };
const UNDEFINED: TrapOutcome = { kind: "undefined" };

/** A register of SPE: accesses from EL0 are UNDEFINED before they could trap. */
const spe = (name: SysregName & RegisterName): SysReg => ({
  name,
  encoding: ENCODINGS[name],
  unit: "spe",
  exits: { read: `MRS ${name}`, write: `MSR ${name}` },
  read: (units) => units.spe.read(name),
  write: (units, value) => units.spe.write(name, value),
});

/** What reports call the PMU's exits: which of its registers it was does not matter to them. */
const PMU_EXITS = { read: "MRS PMU", write: "MSR PMU" } as const;

const pmuAt = (name: string, encoding: Encoding): SysReg => ({
  name,
  encoding,
  unit: "pmu",
  exits: PMU_EXITS,
  read: ({ pmu }, el) => pmu?.read(encoding, el),
  write: ({ pmu }, value, el) => (pmu?.write(encoding, value, el) === true ? DONE : UNDEFINED),
});

const pmu = (name: SysregName): SysReg => pmuAt(name, ENCODINGS[name]);

/** Registers by number: MDCR_EL2.TPM traps those of counters that are not there, too. */
const BY_NUMBER = [...Array(31).keys()];

export const SYS_REGS: readonly SysReg[] = [
  spe("PMSCR_EL1"),
  spe("PMSIDR_EL1"),
  spe("PMBLIMITR_EL1"),
  spe("PMBPTR_EL1"),
  spe("PMBSR_EL1"),
  spe("PMBIDR_EL1"),
  pmu("PMINTENSET_EL1"),
  pmu("PMINTENCLR_EL1"),
  pmu("PMMIR_EL1"),
  pmu("PMCR_EL0"),
  pmu("PMCNTENSET_EL0"),
  pmu("PMCNTENCLR_EL0"),
  pmu("PMOVSCLR_EL0"),
  pmu("PMSWINC_EL0"),
  pmu("PMSELR_EL0"),
  pmu("PMCEID0_EL0"),
  pmu("PMCEID1_EL0"),
  pmu("PMCCNTR_EL0"),
  pmu("PMXEVTYPER_EL0"),
  pmu("PMXEVCNTR_EL0"),
  pmu("PMUSERENR_EL0"),
  pmu("PMOVSSET_EL0"),
  ...BY_NUMBER.map((n) => pmuAt(`PMEVCNTR${n}_EL0`, PMEVCNTR_EL0(n))),
  ...BY_NUMBER.map((n) => pmuAt(`PMEVTYPER${n}_EL0`, PMEVTYPER_EL0(n))),
  pmu("PMCCFILTR_EL0"),
];

const byEncoding = new Map(SYS_REGS.map((row) => [encodingKey(row.encoding), row]));

/** The row of a register, or undefined where KVM does not emulate it. */
export const findSysReg = (encoding: Encoding): SysReg | undefined => byEncoding.get(encodingKey(encoding));

/** Whether a register is the PMU's. */
export const isPmuRegister = (encoding: Encoding): boolean => findSysReg(encoding)?.unit === "pmu";

/**
 * Carries out a trapped access (emulate_sys_reg): its value goes between Xt and the register, and PC goes on. Where the
 * outcome is another than "done" nothing has changed.
 */
export function emulateSysReg(
  row: SysReg,
  units: SysRegUnits,
  regs: CoreRegisters,
  el: 0 | 1,
  { isRead, rt }: Extract<Exit, { kind: "sysreg" }>,
): TrapOutcome {
  if (isRead) {
    const value = row.read(units, el);
    if (value === undefined) return UNDEFINED;
    regs.write(rt, value);
  } else {
    const outcome = row.write(units, regs.read(rt), el);
    if (outcome.kind !== "done") return outcome;
  }
  regs.skipInstruction();
  return DONE;
}
