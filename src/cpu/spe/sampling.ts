/**
 * The profiling unit as it watches a core: between samples it is one budget of the interpreter's, shortly before one ops are
 * executed with a log that the models follow, the op that is sampled as the last of them.
 *
 * The population are the instructions that are executed while profiling is enabled, as the pseudocode has it (SPEPreExecution):
 * those that take an exception, or that the hypervisor is asked about, each time that they are executed.
 */
import { LEAVE, LOG } from "../../a64/state.ts";
import type { TruthFeed } from "../../kvm/spe/ground-truth.ts";
import type { SampledOp } from "../../spe/op.ts";
import type { Spu } from "../../spe/spu.ts";
import type { Core } from "../core.ts";
import type { Interpreter } from "../execute/interpreter.ts";
import type { VcpuTrace } from "../instruction-trace.ts";
import type { OpWatcher } from "../op-watcher.ts";
import type { ExactProfile } from "./exact-profile.ts";
import type { Models, ModelsState } from "./models.ts";
import { type BeforeOp, OpLog } from "./op-log.ts";
import { SpeEvents, type SpeEventsState } from "./pmu-events.ts";

export interface SamplingOptions {
  readonly core: Core;
  readonly spu: Spu;
  readonly truth: TruthFeed;
  /** The instant that the core has reached, or reaches so many cycles later. */
  readonly nowNs: (cycles?: number) => number;
  /** Whether others will be behind so many cycles later: then nothing may have a timestamp. */
  readonly isAhead: (cycles: number) => boolean;
  /** How many ops the models follow before each sample; Infinity: all. */
  readonly warmOps: number;
  readonly models: Models;
}

/** How many ops before a sample the models follow by default. */
export const WARM_OPS = 32;

export interface SamplingState {
  readonly models: ModelsState;
  readonly events: SpeEventsState;
}

export class Sampling implements OpWatcher {
  readonly models: Models;
  readonly #core: Core;
  readonly #spu: Spu;
  readonly #truth: TruthFeed;
  readonly #nowNs: (cycles?: number) => number;
  readonly #isAhead: (cycles: number) => boolean;
  readonly #warmOps: number;
  readonly #log: OpLog;
  readonly events: SpeEvents;
  /** Somebody counts what the models say of each op: they follow all of them, profiled or not. */
  #followsAll = false;
  /** Counts every instruction that the guest believes to be profiled: nothing else changes by it, and all takes longer. */
  exact: ExactProfile | undefined;
  /** Sees instructions, profiled or not: the same. */
  trace: VcpuTrace | undefined;
  /** The buffer is enabled. */
  #isArmed = false;
  /** The op that TypeScript carries out, until it has been counted. */
  #carried: BeforeOp | undefined;
  /** It is the op in flight. */
  #isSelected = false;
  /** What the ground truth has been told of. */
  #toldOps = 0;
  #toldNs = 0;

  constructor(options: SamplingOptions) {
    const { core } = options;
    this.#core = core;
    this.models = options.models;
    this.#spu = options.spu;
    this.#truth = options.truth;
    this.#nowNs = options.nowNs;
    this.#isAhead = options.isAhead;
    this.#warmOps = options.warmOps;
    this.#log = new OpLog(core, options.models);
    this.events = new SpeEvents(options.spu.counters, options.models.counts, (all) => {
      this.#followsAll = all;
    });
  }

  // ---- Whether it watches ----

  get isWatching(): boolean {
    return this.#followsAll || this.#isProfiling || this.#isSeen;
  }

  /** Whether somebody sees each instruction that is executed now, which the models do not follow for that. */
  get #isSeen(): boolean {
    return this.#isCounted || this.#isTraced;
  }

  get #isTraced(): boolean {
    return this.trace?.wants(this.#core.state.el) === true;
  }

  /** Whether the exact profile has what is executed now. */
  get #isCounted(): boolean {
    return this.exact !== undefined && this.#truth.believes(this.#core.state.el);
  }

  get #isProfiling(): boolean {
    return this.#isArmed && this.#spu.statisticalProfilingEnabled(this.#core.state.el);
  }

  /** A register of the unit's was written, or the guest is entered. */
  changed(): void {
    this.#isArmed = this.#spu.profilingBufferEnabled();
  }

  levelChanges(): void {
    if (this.#isArmed) this.tell();
  }

  /** Before the exception level changes, and before a register does: what ran so far ran under what was. */
  tell(wasProfiling = this.#isProfiling): void {
    const ops = this.#core.executed - this.#toldOps;
    const nowNs = this.#nowNs();
    const startNs = this.#toldNs;
    this.#toldOps += ops;
    this.#toldNs = nowNs;
    if (ops <= 0) return;
    const { pe } = this.#spu;
    if (this.#carried === undefined) pe.el = this.#core.state.el;
    if (wasProfiling) this.#truth.sampled(ops);
    else this.#truth.unsampled(ops, startNs, nowNs, false);
  }

  /** Time has gone by without the guest. */
  resumes(): void {
    this.#toldOps = this.#core.executed;
    this.#toldNs = this.#nowNs();
    this.changed();
  }

  // ---- What is executed in WebAssembly ----

  enter(): number {
    const { el } = this.#core.state;
    this.#spu.pe.el = el;
    const reason = this.#enter();
    this.events.happened(el);
    return reason;
  }

  #enter(): number {
    const spu = this.#spu;
    const before = spu.opsToNextSample();
    if (this.#followsAll || before <= this.#warmOps) return this.#enterCarefully(before);
    const { state, code } = this.#core;
    const isSeen = this.#isSeen;
    const most = isSeen ? Math.min(before - this.#warmOps, LOG.OPS) : before - this.#warmOps;
    const reason = isSeen ? this.#executeSeen(most) : this.#execute(code.interpreter, most);
    spu.advance(this.#executed);
    if (most < before - this.#warmOps) return reason;
    // It may have stopped here for more than these ops being done.
    const isOver =
      this.#executed < most || state.left === 0 || state.pendingInterrupts !== 0 || state.hasPrepared;
    return isOver ? reason : this.#enterCarefully(this.#warmOps);
  }

  /**
   * Executes some ops that the models follow, and the one that is sampled, unless that is for TypeScript, or its time has not come.
   * @param before how many ops come before that one
   */
  #enterCarefully(before: number): number {
    const { state } = this.#core;
    const spu = this.#spu;
    const log = this.#log;
    const hasSample = before < LOG.OPS && !this.#isAhead(before);
    if (before === 0 && !hasSample) {
      this.#core.letOthersGo();
      return LEAVE.BUDGET;
    }
    const { executed } = this.#core;
    if (executed !== this.models.now) this.models.resume(executed);
    const reason = this.#executeSeen(hasSample ? before + 1 : Math.min(before, LOG.OPS));
    if (this.#executed <= before) {
      spu.advance(this.#executed);
      log.follow();
      return reason;
    }
    spu.advance(before);
    const sampled = log.followAllButLast();
    this.#selectedNs = this.#nowNs(-1);
    spu.pe.contextIdrEl1 = state.get32("CONTEXTIDR_EL1");
    if (spu.select()) this.#complete(log.opAt(sampled, state.loggedNzcv, spu.collectsPa));
    return reason;
  }

  /** Executes some ops with a log of them, which whoever sees each instruction sees. */
  #executeSeen(most: number): number {
    const { state, code, executed, cycles } = this.#core;
    const { el } = state;
    const context = state.get32("CONTEXTIDR_EL1");
    const exact = this.#isCounted ? this.exact : undefined;
    const trace = this.#isTraced ? this.trace : undefined;
    this.#log.begin();
    const reason = this.#execute(code.careful, most);
    if (exact !== undefined) this.#log.countIn(exact, context);
    if (trace !== undefined)
      this.#log.showTo(trace, el, executed, (ops) => this.#nowNs(cycles + ops - this.#core.cycles));
    return reason;
  }

  /** How many instructions the last `#execute` has executed. */
  #executed = 0;

  /** Executes at most `most` instructions, of LEFT. */
  #execute(interpreter: Interpreter, most: number): number {
    const { state } = this.#core;
    const budget = state.left;
    const ops = Math.min(most, budget);
    const held = budget - ops;
    if (held > 0) {
      state.left = ops;
      state.addCount("CLOCK", -held);
    }
    const reason = interpreter.run(state.base);
    const left = state.left;
    const saved = state.leftSaved;
    this.#executed = ops - (saved === 0 ? left : saved);
    if (held > 0) {
      // It has stopped for another reason than its budget: the rest is what the core gives it next.
      if (saved === 0) state.left = left + held;
      else state.leftSaved = saved + held;
      state.addCount("CLOCK", held);
    }
    return reason;
  }

  /** The instant at which the op in flight was selected: its timestamp. */
  #selectedNs = 0;

  get selectedNs(): number {
    return this.#selectedNs;
  }

  #complete(op: SampledOp): void {
    const { kind } = this.#spu.complete(op);
    if (kind === "written" || kind === "full-after-write")
      this.exact?.samples(op.pc, this.#spu.pe.contextIdrEl1);
    if (!this.#spu.pmbirq) return;
    // Profiling has stopped with this op, and the interrupt is on its way.
    this.tell(true);
    this.changed();
    this.#core.exitWith({ kind: "budget" });
  }

  // ---- What TypeScript carries out ----

  begins(): void {
    const { state, executed } = this.#core;
    this.#spu.pe.el = state.el;
    this.#isKnownSoFar = executed === this.models.now;
    this.#countedPc = this.#isCounted ? state.pc : undefined;
    this.#countedContext = state.get32("CONTEXTIDR_EL1");
    this.#traced = this.#isTraced ? this.#atPc() : undefined;
    if (!this.#isProfiling) return;
    const isNext = this.#spu.opsToNextSample() === 0;
    this.#carried = { pc: state.pc, nzcv: isNext ? state.nzcv : 0 };
    if (!isNext) return;
    this.#spu.pe.contextIdrEl1 = state.get32("CONTEXTIDR_EL1");
    this.#selectedNs = this.#nowNs();
    this.#word = this.#core.word();
  }

  /** The op that TypeScript carries out, where the exact profile has it. */
  #countedPc: bigint | undefined;
  #countedContext = 0;
  /** Shows it to the trace, where that has it. */
  #traced: (() => void) | undefined;
  #word = 0;
  /** The models have followed all that came before the op that TypeScript carries out. */
  #isKnownSoFar = false;

  /** What shows the instruction at PC to the trace when it has been executed. */
  #atPc(): () => void {
    const { trace } = this;
    const { state, executed } = this.#core;
    const { pc, el } = state;
    const nowNs = this.#nowNs();
    const word = this.#core.word();
    return () =>
      trace?.executes(
        pc,
        el,
        executed,
        () => nowNs,
        () => word,
      );
  }

  /** The op that TypeScript carries out is one of the population: before it sees what the unit says of itself. */
  count(): void {
    if (this.#carried === undefined || this.#isSelected || !this.#spu.statisticalProfilingEnabled()) return;
    if (this.#spu.opsToNextSample() === 0) this.#isSelected = this.#spu.select();
    else this.#spu.advance(1);
    if (!this.#isSelected) this.#carried = undefined;
  }

  ends(isExecuted: boolean, hasException: boolean): void {
    if (isExecuted) {
      this.count();
      if (this.#countedPc !== undefined) this.exact?.executes(this.#countedPc, this.#countedContext);
      this.#traced?.();
    }
    this.#traced = undefined;
    const carried = this.#carried;
    this.#carried = undefined;
    if (this.#isSelected) {
      this.#isSelected = false;
      if (carried !== undefined) this.#complete(this.#log.carriedOut(this.#word, carried, hasException));
    }
    if (this.#isKnownSoFar) this.models.now = this.#core.executed;
    this.events.happened(this.#spu.pe.el === 0 ? 0 : 1);
  }

  skips(): void {
    const { executed } = this.#core;
    if (executed === this.models.now) this.models.now = executed + 1;
  }

  // ---- Whole state ----

  save(): SamplingState {
    return { models: this.models.save(), events: this.events.save() };
  }

  /** After the unit's own state. */
  restore({ models, events }: SamplingState): void {
    this.models.restore(models);
    this.events.restore(events);
    this.resumes();
  }
}
