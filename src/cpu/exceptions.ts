/** Exceptions to EL1, and the return from them (Arm ARM D1.3, AArch64.TakeException and AArch64.ExceptionReturn). */
import type { Feature } from "../a64/encoding.ts";
import { CPACR_EL1, SCTLR_EL1 } from "../arm/registers.ts";
import { DEBUG_EXCEPTION, EC, FP_ACCESS_ISS, ISS_CM, ISS_WNR, syndromeOf } from "../arm/syndromes.ts";
import type { AddressSpace } from "./address-space.ts";
import type { Debug } from "./debug.ts";
import { MODE, SPSR, type VcpuState } from "./vcpu-state.ts";

const VECTOR = { sync: 0x000, irq: 0x080, fiq: 0x100, serror: 0x180 } as const;

/** What every exception looks at, without the 64 bits around it. */
const SPAN = 1 << SCTLR_EL1.fields.SPAN.low;
const SA = 1 << SCTLR_EL1.fields.SA.low;
const SA0 = 1 << SCTLR_EL1.fields.SA0.low;
const FPEN = CPACR_EL1.fields.FPEN.low;

/** From so many on, without a return or an instruction between them, exceptions are a storm: no kernel means it. */
const STORM = 100;

/** Exceptions that lead nowhere: a vector that faults itself, or an instruction whose fault its handler does not mend. */
export interface Storm {
  /** "nested": none of them returned; "repeated": each returned to the instruction that made the next. */
  readonly kind: "nested" | "repeated";
  readonly exceptions: number;
}

export class Exceptions {
  readonly #state: VcpuState;
  readonly #space: AddressSpace;
  readonly #debug: Debug;
  readonly #hasPan: boolean;
  readonly #hasUao: boolean;
  /** How many were taken, by kind, for the PMU and the report. */
  taken = 0;
  returns = 0;
  /** Exceptions since the last return, and in a row at the instruction that the one before returned to. */
  #nested = 0;
  #repeated = 0;
  #returnedAtCycle = -1;
  readonly #onLevelChange: (from: 0 | 1) => void;
  readonly #onEntry: () => void;
  readonly #cycles: () => number;

  /**
   * @param on.levelChange told before the exception level changes
   * @param on.entry told of each exception that was taken
   * @param on.cycles the core's cycles
   */
  constructor(
    state: VcpuState,
    space: AddressSpace,
    debug: Debug,
    features: ReadonlySet<Feature>,
    on: {
      readonly levelChange: (from: 0 | 1) => void;
      readonly entry: () => void;
      readonly cycles: () => number;
    },
  ) {
    this.#state = state;
    this.#space = space;
    this.#debug = debug;
    this.#hasPan = features.has("PAN");
    this.#hasUao = features.has("UAO");
    this.#onLevelChange = on.levelChange;
    this.#onEntry = on.entry;
    this.#cycles = on.cycles;
  }

  /** The storm that this core is in. */
  get storm(): Storm | undefined {
    if (this.#nested >= STORM) return { kind: "nested", exceptions: this.#nested };
    return this.#repeated >= STORM ? { kind: "repeated", exceptions: this.#repeated } : undefined;
  }

  /** Enters EL1 at a vector; the exception returns to PC, or to the instruction after it. */
  #enter(vector: number, after = false): void {
    const state = this.#state;
    const { words, at } = state;
    const from = state.el === 0 ? 0x400 : words[at.SPSEL] === 1 ? 0x200 : 0;
    words[at.SPSR_EL1] = state.pstate;
    words[at.SPSR_EL1 + 1] = 0;
    const next = (words[at.PC] as number) + (after ? 4 : 0);
    words[at.ELR_EL1] = next;
    words[at.ELR_EL1 + 1] = (words[at.PC + 1] as number) + (next < 2 ** 32 ? 0 : 1);
    if (state.el === 0) this.#onLevelChange(0);
    state.select(1, 1);
    words[at.SLOW_AT] = 0;
    words[at.DAIF] = SPSR.DAIF;
    words[at.SS] = 0;
    words[at.IL] = 0;
    words[at.UAO] = 0;
    if (this.#hasPan && ((words[at.SCTLR_EL1] as number) & SPAN) === 0) words[at.PAN] = 1;
    // VBAR_EL1[10:0] are RES0, and read as they were written.
    const base = words[at.VBAR_EL1] as number;
    words[at.PC] = base - (base & 0x7ff) + from + vector;
    words[at.PC + 1] = words[at.VBAR_EL1 + 1] as number;
    this.taken += 1;
    this.#nested += 1;
    this.#space.select();
    this.controlsChanged();
    this.#onEntry();
  }

  /** A synchronous exception; it returns to the instruction at PC, or after it. */
  synchronous(ec: number, iss: number, after = false): void {
    const { words, at } = this.#state;
    this.#repeated = this.#cycles() === this.#returnedAtCycle ? this.#repeated + 1 : 0;
    words[at.ESR_EL1] = syndromeOf(ec, iss);
    words[at.ESR_EL1 + 1] = 0;
    this.#enter(VECTOR.sync, after);
  }

  /** Takes a pending interrupt: FIQ before IRQ. */
  interrupt(pending: number): void {
    if ((pending & 0x40) !== 0) this.#enter(VECTOR.fiq);
    else this.#enter(VECTOR.irq);
  }

  undefinedInstruction(): void {
    this.synchronous(EC.unknown, 0);
  }

  fpTrap(): void {
    this.synchronous(EC.fpAccess, FP_ACCESS_ISS);
  }

  spAlignment(): void {
    this.synchronous(EC.spAlignment, 0);
  }

  pcAlignment(): void {
    this.#state.set64("FAR_EL1", this.#state.pc);
    this.synchronous(EC.pcAlignment, 0);
  }

  dataAbort(abort: { va: bigint; status: number; write: boolean; cache: boolean }): void {
    const state = this.#state;
    state.set64("FAR_EL1", abort.va);
    const wnr = abort.write || abort.cache ? ISS_WNR : 0;
    this.synchronous(
      state.el === 0 ? EC.dataAbortLower : EC.dataAbortSame,
      abort.status | wnr | (abort.cache ? ISS_CM : 0),
    );
  }

  instructionAbort(abort: { va: bigint; status: number }): void {
    const state = this.#state;
    state.set64("FAR_EL1", abort.va);
    this.synchronous(state.el === 0 ? EC.instructionAbortLower : EC.instructionAbortSame, abort.status);
  }

  /** Before the instruction at PC; what was stepped lies behind. */
  softwareStep(): void {
    const iss = this.#debug.stepSyndrome(this.taken) | DEBUG_EXCEPTION;
    this.synchronous(this.#state.el === 0 ? EC.stepLower : EC.stepSame, iss);
  }

  breakpoint(): void {
    this.synchronous(this.#state.el === 0 ? EC.breakpointLower : EC.breakpointSame, DEBUG_EXCEPTION);
  }

  watchpoint(hit: { va: bigint; write: boolean; cache: boolean }): void {
    const state = this.#state;
    state.set64("FAR_EL1", hit.va);
    this.synchronous(
      state.el === 0 ? EC.watchpointLower : EC.watchpointSame,
      DEBUG_EXCEPTION | (hit.write ? ISS_WNR : 0) | (hit.cache ? ISS_CM : 0),
    );
  }

  /** ERET from EL1. An SPSR that names no level of this machine sets PSTATE.IL and changes nothing else. */
  eret(): void {
    const state = this.#state;
    const { words, at } = state;
    const spsr = words[at.SPSR_EL1] as number;
    const mode = spsr & SPSR.MODE;
    const legal = (spsr & SPSR.NRW) === 0 && (mode === MODE.EL0T || mode === MODE.EL1T || mode === MODE.EL1H);
    const to = legal ? (mode === MODE.EL0T ? 0 : 1) : state.el;
    words[at.SS] = this.#debug.stepAfterReturn(spsr, to);
    state.nzcv = spsr;
    words[at.DAIF] = spsr & SPSR.DAIF;
    words[at.PAN] = this.#hasPan && (spsr & SPSR.PAN) !== 0 ? 1 : 0;
    words[at.UAO] = this.#hasUao && (spsr & SPSR.UAO) !== 0 ? 1 : 0;
    words[at.IL] = !legal || (spsr & SPSR.IL) !== 0 ? 1 : 0;
    if (legal) {
      if (mode === MODE.EL0T) this.#onLevelChange(1);
      state.select(mode === MODE.EL0T ? 0 : 1, mode & 1);
    }
    words[at.MONITOR_SET] = 0;
    words[at.EVENT] = 1;
    words[at.PC] = words[at.ELR_EL1] as number;
    words[at.PC + 1] = words[at.ELR_EL1 + 1] as number;
    this.returns += 1;
    this.#nested = 0;
    this.#returnedAtCycle = this.#cycles();
    this.#space.select();
    this.controlsChanged();
    if (words[at.IL] === 1) this.synchronous(EC.illegalState, 0);
  }

  /** CPACR_EL1, SCTLR_EL1 or the exception level changed: do FP instructions trap, is SP checked (CheckSPAlignment)? */
  controlsChanged(): void {
    const { words, at, el } = this.#state;
    const fpen = ((words[at.CPACR_EL1] as number) >>> FPEN) & 3;
    const traps = fpen === 3 ? false : fpen === 1 ? el === 0 : true;
    words[at.FP_TRAPS] = traps ? 1 : 0;
    words[at.SP_CHECKED] = ((words[at.SCTLR_EL1] as number) & (el === 0 ? SA0 : SA)) === 0 ? 0 : 1;
  }
}
