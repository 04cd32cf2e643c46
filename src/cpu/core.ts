/**
 * A core that executes A64: the interpreter in WebAssembly, and what it leaves to TypeScript. It stops for KVM with an exit
 * as hardware would: stage-2 faults, trapped instructions, WFI, HVC.
 */
import { LEAVE, STATE, STATE_BYTES } from "../a64/state.ts";
import { COUNTER_HZ } from "../arm/counter.ts";
import { BrokenInvariant } from "../common/errors.ts";
import type { AccessProblem } from "./access-problem.ts";
import { AddressSpace } from "./address-space.ts";
import { CodeAtPc } from "./code-at-pc.ts";
import type { CoreExit } from "./core-exit.ts";
import { Debug, type DebugState } from "./debug.ts";
import { Exceptions } from "./exceptions.ts";
import type { CoreCode } from "./execute/core-code.ts";
import { type HostProfile, PART } from "./host-profile.ts";
import type { Implementation } from "./implementation.ts";
import type { InstructionHost } from "./instruction-host.ts";
import { VCPU_AREA } from "./memory.ts";
import type { OpWatcher } from "./op-watcher.ts";
import type { CorePlatform } from "./platform.ts";
import { SCTLR_RESET, sctlrOf } from "./sctlr.ts";
import type { Translations } from "./soft-tlbs.ts";
import { SystemInstructions } from "./system-instructions.ts";
import { VcpuState } from "./vcpu-state.ts";

export interface CoreState {
  /** The bytes of STATE. */
  readonly state: readonly number[];
  readonly cycles: number;
  readonly atLevel: readonly number[];
  readonly levelSince: number;
  readonly exceptions: readonly number[];
  readonly contextSwitches: number;
  readonly debug: DebugState;
  readonly translations: Translations;
}

/**
 * What an exception takes, beside the instructions of its handler: the pipeline is emptied, and filled at the vector. Assumed;
 * cores differ. More than nothing, so that a vector which faults itself does not stop time.
 */
export const EXCEPTION_CYCLES = 16;

/** How often WebAssembly may be left without a cycle gone by; an instruction needs a dozen at most. */
const MOST_IDLE_TURNS = 64;
/** How often WebAssembly may be left until the host looks at something else: each time takes it some microseconds. */
const MOST_LEAVES = 512;

/** How many words are told apart that a guest has found UNDEFINED: it has 2^32 to try. */
const MOST_UNDEFINED_WORDS = 1024;
/** What carries out why WebAssembly was left; the rest is instructions and exceptions. */
const PART_OF_REASON: Readonly<Partial<Record<number, number>>> = {
  [LEAVE.CODE]: PART.walks,
  [LEAVE.DECODE]: PART.decoding,
  [LEAVE.HOT]: PART.translating,
  [LEAVE.ACCESS]: PART.walks,
};
const BUDGET: CoreExit = { kind: "budget" };
const BUSY: CoreExit = { kind: "busy" };
const AHEAD: CoreExit = { kind: "ahead" };

export class Core implements InstructionHost {
  readonly implementation: Implementation;
  readonly state: VcpuState;
  readonly debug: Debug;
  readonly space: AddressSpace;
  readonly exceptions: Exceptions;
  readonly code: CoreCode;
  /** Cycles of runs that have ended, and the budget of the current one. */
  #cycles = 0;
  #budget = 0;
  /** The time in cycles at which the current run's budget is spent. */
  #clock = 0;
  /** What of the budget is kept back while one instruction runs by itself. */
  #held = 0;
  /** Whether code maps may have pages that breakpoints guard. */
  #guardedMapped = false;
  /** Cycles at each exception level before the current stay, and when that began. */
  readonly #atLevel: [number, number] = [0, 0];
  #levelSince = 0;
  readonly #system: SystemInstructions;
  readonly #base: number;
  /** What lies at PC, and which of it is for TypeScript. */
  readonly #atPc: CodeAtPc;
  #systemWord = 0;
  #exit: CoreExit | undefined;
  /** See `InstructionHost`. */
  contextSwitches = 0;
  /** Told before the exception level changes, from which. */
  onLevelChange: ((from: 0 | 1) => void) | undefined;
  /** Who watches what is executed, if anybody ever does. */
  watcher: OpWatcher | undefined;

  /** Told where the host's time goes, if anybody wants to know. */
  hostProfile: HostProfile | undefined;

  constructor(vcpu: number, code: CoreCode, platform: CorePlatform) {
    const { memory, implementation } = code;
    this.code = code;
    this.implementation = implementation;
    this.#base = memory.vcpuBase(vcpu);
    this.state = new VcpuState(memory.view, this.#base);
    this.debug = new Debug(this.state, () => this.space.flush());
    this.space = new AddressSpace(memory, this.state, platform, this.debug, implementation.mmu);
    this.#atPc = new CodeAtPc(this.state, this.space.tlbs, code);
    this.exceptions = new Exceptions(this.state, this.space, this.debug, implementation.features, {
      levelChange: (from) => {
        const { cycles } = this;
        this.#atLevel[from] += cycles - this.#levelSince;
        this.#levelSince = cycles;
        this.watcher?.levelChanges();
        this.onLevelChange?.(from);
      },
      entry: () => this.#spend(EXCEPTION_CYCLES),
      cycles: () => this.cycles,
    });
    this.#system = new SystemInstructions(this, platform);
    this.reset();
  }

  /** Cycles so far: one for each instruction that has retired, and what exceptions took. */
  get cycles(): number {
    return this.#cycles + this.#budget - this.#held - this.state.left;
  }

  /** Instructions retired so far. */
  get executed(): number {
    return this.cycles - EXCEPTION_CYCLES * this.exceptions.taken;
  }

  /** Cycles at EL0 and at EL1. */
  get cyclesByLevel(): readonly [el0: number, el1: number] {
    const current = this.cycles - this.#levelSince;
    const [el0, el1] = this.#atLevel;
    return this.state.el === 0 ? [el0 + current, el1] : [el0, el1 + current];
  }

  /** Instructions retired at EL0 and at EL1, where exceptions are taken to. */
  get executedByLevel(): readonly [el0: number, el1: number] {
    const [el0, el1] = this.cyclesByLevel;
    return [el0, el1 - EXCEPTION_CYCLES * this.exceptions.taken];
  }

  /** Cycles go by without an instruction; beyond the budget where it has fewer left. */
  #spend(cycles: number): void {
    const left = this.state.left;
    this.state.left = Math.max(0, left - cycles);
    this.#cycles += Math.max(0, cycles - left);
  }

  /** The hypervisor has carried the instruction at PC out. It takes a cycle, and counts as stepped. Between runs only. */
  skip(): void {
    this.watcher?.skips();
    this.state.pc += 4n;
    this.state.set32("SS", 0);
    this.#cycles += 1;
  }

  /** A cold reset: EL1 with interrupts masked, MMU and caches off. */
  reset(): void {
    const { memory } = this.code;
    memory.bytes.fill(0, this.#base, this.#base + VCPU_AREA.DTLB);
    this.state.set32("EL", 1);
    this.state.set32("SPSEL", 1);
    this.state.set32("DAIF", 0x3c0);
    this.state.set64("ZF", 1n);
    this.state.set32("TICK_SHIFT", Math.log2((1e9 / COUNTER_HZ) * this.implementation.cyclesPerNs));
    this.state.set64("SCTLR_EL1", sctlrOf(SCTLR_RESET, this.implementation));
    this.debug.reset();
    this.space.registersChanged();
    this.space.select();
    this.exceptions.controlsChanged();
  }

  /** What `restore` takes. Between runs only. */
  save(frameAt: (hostPage: number) => number): CoreState {
    const { bytes } = this.code.memory;
    return {
      state: [...bytes.subarray(this.#base, this.#base + STATE_BYTES)],
      cycles: this.#cycles,
      atLevel: [...this.#atLevel],
      levelSince: this.#levelSince,
      exceptions: [this.exceptions.taken, this.exceptions.returns],
      contextSwitches: this.contextSwitches,
      debug: this.debug.save(),
      translations: this.space.tlbs.save(frameAt),
    };
  }

  restore(saved: CoreState, pageOf: (frame: number) => number): void {
    this.code.memory.bytes.set(saved.state, this.#base);
    this.#cycles = saved.cycles;
    this.#budget = 0;
    [this.#atLevel[0], this.#atLevel[1]] = saved.atLevel as [number, number];
    this.#levelSince = saved.levelSince;
    [this.exceptions.taken, this.exceptions.returns] = saved.exceptions as [number, number];
    this.contextSwitches = saved.contextSwitches;
    this.debug.restore(saved.debug);
    this.#guardedMapped = true;
    this.space.registersChanged();
    this.space.select();
    this.space.tlbs.restore(saved.translations, pageOf);
  }

  /** The level of the interrupt inputs: IRQ and FIQ, as bits of DAIF. */
  setInterrupts(lines: number): void {
    this.state.set32("IRQ_LINES", lines);
  }

  /** The value of the read for which a run ended with `mmio`. */
  completeRead(data: bigint): void {
    const { view } = this.code.memory;
    view.setBigUint64(this.#base + STATE.SCRATCH, BigInt.asUintN(64, data), true);
    view.setBigUint64(this.#base + STATE.SCRATCH + 8, 0n, true);
    this.state.preparedInScratch();
  }

  /** Ends a run before the instruction at PC: it must wait for those who are behind. */
  letOthersGo(): void {
    this.#exit = AHEAD;
  }

  /** Ends a run after the instruction that is being carried out. */
  exitWith(exit: CoreExit): void {
    this.#exit = exit;
  }

  /**
   * Executes for at most `budget` cycles (at least one instruction), less if something needs the hypervisor.
   * @param nowCycles the vCPU's time at the start, for counters
   * @param horizonCycles up to when it may read them without asking
   */
  run(budget: number, nowCycles = 0, horizonCycles = Number.POSITIVE_INFINITY): CoreExit {
    const { state } = this;
    state.left = budget;
    this.#clock = nowCycles + budget;
    state.setCount("CLOCK", this.#clock);
    state.setCount("HORIZON", horizonCycles);
    this.#exit = undefined;
    this.#budget = budget;
    const { hostProfile } = this;
    hostProfile?.runs(state.pcHigh, state.pcLow);
    let left = budget;
    let idleTurns = 0;
    for (let leaves = 1; ; leaves++) {
      const debugging = this.debug.active;
      if (debugging && this.debug.stepIsDue) this.exceptions.softwareStep();
      const pending = state.pendingInterrupts;
      // An access that was prepared belongs to the instruction at PC, which goes first.
      const isInterrupted = pending !== 0 && !state.hasPrepared;
      if (isInterrupted) this.exceptions.interrupt(pending);
      if ((isInterrupted || debugging) && state.left === 0) {
        // The exception has taken the rest.
      } else if (debugging) {
        this.#runWatched();
        hostProfile?.spent(PART.debug, state.pcHigh, state.pcLow);
      } else if (this.space.accesses.hasOneForNext) {
        this.#runOne();
        hostProfile?.spent(PART.walks, state.pcHigh, state.pcLow);
      } else if (hostProfile === undefined) this.#carryOut(this.#enter());
      else this.#runProfiled(hostProfile);
      const nowLeft = state.left;
      if (nowLeft !== left) {
        left = nowLeft;
        idleTurns = 0;
      } else if (++idleTurns === MOST_IDLE_TURNS && this.#exit === undefined)
        throw new BrokenInvariant(`the instruction at ${state.pc.toString(16)} neither happens nor faults`);
      // An access that was prepared is its instruction's, which comes next.
      const busy = leaves >= MOST_LEAVES && !state.hasPrepared && !this.space.accesses.hasOneForNext;
      const exit = this.#exit ?? (left === 0 ? BUDGET : busy ? BUSY : undefined);
      if (exit === undefined) continue;
      this.#cycles += this.#budget - left;
      this.code.translator.passed(this.#budget - left);
      this.#budget = 0;
      state.left = 0;
      if (hostProfile !== undefined) {
        hostProfile.spent(PART.translating, state.pcHigh, state.pcLow);
        hostProfile.stops(exit.kind === "mmio");
      }
      return exit;
    }
  }

  /** Executes until something is left to TypeScript, and returns what. */
  #enter(): number {
    this.state.leftSaved = 0;
    const { watcher } = this;
    return watcher?.isWatching === true ? watcher.enter() : this.code.interpreter.run(this.#base);
  }

  /**
   * As `#carryOut(#enter())`, for a short stretch, with the host's time told. A watcher ends its stretches by itself.
   */
  #runProfiled(profile: HostProfile): void {
    const { state } = this;
    const isWatched = this.watcher?.isWatching === true;
    const held = isWatched || state.hasPrepared ? 0 : Math.max(0, state.left - profile.stretch);
    if (held > 0) {
      state.left = state.left - held;
      state.addCount("CLOCK", -held);
    }
    const reason = this.#enter();
    if (held > 0) {
      // What it keeps of the budget where it was left early lies in the one or the other.
      if (state.leftSaved === 0) state.left = state.left + held;
      else state.leftSaved = state.leftSaved + held;
      state.addCount("CLOCK", held);
    }
    const { pcHigh, pcLow } = state;
    const part = isWatched
      ? PART.careful
      : this.space.tlbs.isCodeMapped(state.pc) && this.#atPc.isTranslated
        ? PART.translated
        : PART.interpreter;
    profile.spent(part, pcHigh, pcLow);
    this.#carryOut(reason);
    profile.spent(PART_OF_REASON[reason] ?? PART.system, pcHigh, pcLow);
  }

  /**
   * As `#carryOut(#enter())` while debug exceptions are possible. Where the next instruction may be the last before one, it
   * runs by itself: while software step is enabled, in pages with breakpoints, and with an access to a watched page.
   */
  #runWatched(): void {
    const { state, debug, space, exceptions } = this;
    const pc = state.pc;
    const isMapped = space.tlbs.isCodeMapped(pc);
    // An instruction abort comes before a breakpoint, and this before anything that the instruction does.
    if (isMapped && !state.hasPrepared && debug.breakpointAt(pc)) {
      exceptions.breakpoint();
      return;
    }
    if (debug.guardsCode(pc)) this.#guardedMapped = true;
    else if (this.#guardedMapped) {
      for (const page of debug.guardedCode) space.tlbs.forgetCode(page);
      this.#guardedMapped = false;
    }
    const hasAccess = space.accesses.hasOneForNext;
    if (!hasAccess && !debug.confines(pc)) {
      this.#carryOut(this.#enter());
      return;
    }
    const word = isMapped && debug.steps ? this.word() : undefined;
    const taken = exceptions.taken;
    const isDone = this.#runOne(true);
    if (word !== undefined && isDone && exceptions.taken === taken) debug.stepped(word, taken);
  }

  /**
   * As `#carryOut(#enter())` for the next instruction alone, and with it any access that was granted to it alone.
   * @param mayTellTime whether it may read a counter; what has such an access does not
   */
  #runOne(mayTellTime = false): boolean {
    const { state, space } = this;
    this.#held = state.left - 1;
    state.left = 1;
    if (mayTellTime) state.setCount("CLOCK", this.#clock - this.#held);
    const reason = this.#enter();
    // Who watches may have had others go first.
    const hasHappened = reason === LEAVE.BUDGET && state.left === 0;
    space.accesses.dropOneForNext(hasHappened);
    this.#carryOut(reason);
    if (hasHappened) this.#problem(space.accesses.commit());
    const isDone = state.left === 0;
    state.left = state.left + this.#held;
    this.#held = 0;
    if (mayTellTime) state.setCount("CLOCK", this.#clock);
    return isDone;
  }

  #carryOut(reason: number): void {
    const { watcher, exceptions } = this;
    if (reason === LEAVE.SYSTEM) {
      this.#systemWord = this.#atPc.word();
      if (this.#atPc.isDecodedAnew(this.#systemWord)) return;
    }
    if (reason <= LEAVE.HOT || watcher?.isWatching !== true) {
      this.#carryOutUnseen(reason);
      return;
    }
    const { taken } = exceptions;
    watcher.begins();
    this.#carryOutUnseen(reason);
    // What the core does by itself (a TLB is filled, others go first, user space answers a load) is not executing an instruction.
    const isExecuted =
      reason === LEAVE.ACCESS
        ? exceptions.taken !== taken || this.#exit?.kind === "stage2-fault"
        : this.#exit !== AHEAD;
    watcher.ends(isExecuted, exceptions.taken !== taken);
  }

  #carryOutUnseen(reason: number): void {
    const { state } = this;
    switch (reason) {
      case LEAVE.BUDGET:
        if (state.leftSaved !== 0) state.left = state.leftSaved;
        return;
      case LEAVE.CODE:
        this.#problem(this.space.mapCode());
        return;
      case LEAVE.DECODE:
        this.#atPc.decode();
        return;
      case LEAVE.HOT:
        if (this.#atPc.isUndecoded) this.#atPc.decode();
        this.code.translator.hot(this.#atPc.decodedAt);
        return;
      case LEAVE.ACCESS:
        this.#problem(this.space.accesses.prepare());
        return;
      case LEAVE.SYSTEM:
        this.#system.execute(this.code.instructionOf(this.#systemWord), this.#systemWord);
        return;
      case LEAVE.UNDEFINED:
        this.undefined(this.word());
        return;
      case LEAVE.SP_ALIGNMENT:
        this.exceptions.spAlignment();
        return;
      case LEAVE.FP_TRAP:
        this.exceptions.fpTrap();
        return;
      default:
        throw new BrokenInvariant(`WebAssembly was left for reason ${reason}`);
    }
  }

  /** What came of an access by an instruction that TypeScript carries out. */
  problem(problem: AccessProblem | undefined, done: () => void): void {
    if (problem === undefined) done();
    else this.#problem(problem);
  }

  #problem(problem: AccessProblem | undefined): void {
    if (problem === undefined) return;
    switch (problem.kind) {
      case "stage2":
        this.exitWith({ kind: "stage2-fault", ipa: problem.ipa, write: problem.write });
        return;
      case "mmio":
        this.exitWith(problem);
        return;
      case "ahead":
        this.letOthersGo();
        return;
      case "data":
        this.exceptions.dataAbort(problem);
        return;
      case "fetch":
        this.exceptions.instructionAbort(problem);
        return;
      case "pc-alignment":
        this.exceptions.pcAlignment();
        return;
      case "watchpoint":
        this.exceptions.watchpoint(problem);
        return;
    }
  }

  /** The instruction at PC. */
  word(): number {
    return this.#atPc.word();
  }

  /** The instruction has happened in TypeScript. */
  retire(): void {
    const { state } = this;
    state.pc += 4n;
    state.left = state.left - 1;
  }

  /** The instruction is UNDEFINED. */
  undefined(word: number): void {
    const { undefinedWords } = this.code;
    if (undefinedWords.size < MOST_UNDEFINED_WORDS || undefinedWords.has(word))
      undefinedWords.set(word, (undefinedWords.get(word) ?? 0) + 1);
    this.exceptions.undefinedInstruction();
  }
}
