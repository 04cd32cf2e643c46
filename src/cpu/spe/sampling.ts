/**
 * The profiling unit as it watches a core: between samples it is one budget of the interpreter's, shortly before one ops are
 * executed with a log that the models follow, and the op that is sampled is executed by itself.
 *
 * The population are the instructions that are executed while profiling is enabled, as the pseudocode has it (SPEPreExecution):
 * those that take an exception, or that the hypervisor is asked about, each time that they are executed.
 */
import { LEAVE, LOG } from "../../a64/state.ts";
import { TCR_EL1 } from "../../arm/registers.ts";
import { BrokenInvariant } from "../../common/errors.ts";
import type { TruthFeed } from "../../kvm/spe/ground-truth.ts";
import { EVENT, type SampledOp } from "../../spe/op.ts";
import type { Spu } from "../../spe/spu.ts";
import type { Core } from "../core.ts";
import type { Interpreter } from "../execute/interpreter.ts";
import { VCPU_AREA } from "../memory.ts";
import type { OpWatcher } from "../op-watcher.ts";
import { ConditionHolds, type VcpuState } from "../vcpu-state.ts";
import { type Followed, type FollowedAccess, Models, type ModelsState } from "./models.ts";
import { type OpInfo, OpInfos } from "./op-info.ts";

export interface SamplingOptions {
  readonly core: Core;
  readonly spu: Spu;
  readonly truth: TruthFeed;
  /** The instant that the core has reached. */
  readonly nowNs: () => number;
  /** Whether others are behind: then nothing may have a timestamp. */
  readonly isAhead: () => boolean;
  /** How many ops the models follow before each sample; Infinity: all. */
  readonly warmOps: number;
}

/** How many ops before a sample the models follow by default. */
export const WARM_OPS = 32;

const ALL_BITS = 2n ** 48n - 1n;
/** VA[48:2] as a number, for the predictor: what is above does not tell branches apart. */
const instructionNumber = (pc: bigint): number => Number((pc & ALL_BITS) >> 2n);

interface Taken {
  readonly pc: bigint;
  readonly nzcv: number;
}

export class Sampling implements OpWatcher {
  readonly models = new Models();
  readonly #core: Core;
  readonly #spu: Spu;
  readonly #truth: TruthFeed;
  readonly #nowNs: () => number;
  readonly #isAhead: () => boolean;
  readonly #warmOps: number;
  readonly #infos: OpInfos;
  readonly #words: Uint32Array;
  readonly #log: number;
  readonly #asidAt: readonly [ttbr0: number, ttbr1: number];
  /** The buffer is enabled. */
  #isArmed = false;
  /** The op that TypeScript carries out, until it has been counted. */
  #carried: Taken | undefined;
  /** It is the op in flight. */
  #isSelected = false;
  /** What the ground truth has been told of. */
  #toldOps = 0;
  #toldNs = 0;

  constructor(options: SamplingOptions) {
    const { core } = options;
    this.#core = core;
    this.#spu = options.spu;
    this.#truth = options.truth;
    this.#nowNs = options.nowNs;
    this.#isAhead = options.isAhead;
    this.#warmOps = options.warmOps;
    this.#infos = new OpInfos(core.code.decoder);
    this.#words = core.code.memory.words;
    this.#log = core.state.base + VCPU_AREA.LOG;
    this.#asidAt = [core.state.addressOf("TTBR0_EL1") + 6, core.state.addressOf("TTBR1_EL1") + 6];
  }

  // ---- Whether it watches ----

  get isWatching(): boolean {
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
  tell(): void {
    const ops = this.#core.executed - this.#toldOps;
    const nowNs = this.#nowNs();
    const startNs = this.#toldNs;
    this.#toldOps += ops;
    this.#toldNs = nowNs;
    if (ops <= 0) return;
    const { pe } = this.#spu;
    if (this.#carried === undefined) pe.el = this.#core.state.el;
    if (this.isWatching) this.#truth.sampled(ops);
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
    const spu = this.#spu;
    spu.pe.el = this.#core.state.el;
    const before = spu.opsToNextSample();
    if (before === 0) return this.#sample();
    if (before > this.#warmOps) return this.#pass(this.#core.code.interpreter, before - this.#warmOps);
    this.#words[this.#core.state.addressOf("LOG_AT") >>> 2] = this.#log;
    const reason = this.#pass(this.#core.code.careful, Math.min(before, LOG.OPS));
    this.#follow();
    return reason;
  }

  /** Lets at most `ops` ops pass that are not sampled. */
  #pass(interpreter: Interpreter, ops: number): number {
    const most = Math.min(ops, this.#core.state.get32("LEFT"));
    const reason = this.#execute(interpreter, most);
    this.#spu.advance(this.#executed);
    return reason;
  }

  /** How many instructions the last `#execute` has executed. */
  #executed = 0;

  /** Executes at most `ops` instructions, of LEFT. */
  #execute(interpreter: Interpreter, ops: number): number {
    const { state } = this.#core;
    const held = state.get32("LEFT") - ops;
    if (held > 0) {
      state.set32("LEFT", ops);
      state.addCount("CLOCK", -held);
    }
    const reason = interpreter.run(state.base);
    const left = state.get32("LEFT");
    const saved = state.get32("LEFT_SAVED");
    this.#executed = ops - (saved === 0 ? left : saved);
    if (held > 0) {
      // It has stopped for another reason than its budget: the rest is what the core gives it next.
      if (saved === 0) state.set32("LEFT", left + held);
      else state.set32("LEFT_SAVED", saved + held);
      state.addCount("CLOCK", held);
    }
    return reason;
  }

  /** Executes the op that is to be sampled, unless that is for TypeScript, or its time has not come. */
  #sample(): number {
    const { state, code } = this.#core;
    const spu = this.#spu;
    if (this.#isAhead()) {
      this.#core.letOthersGo();
      return LEAVE.BUDGET;
    }
    const { nzcv } = state;
    this.#words[state.addressOf("LOG_AT") >>> 2] = this.#log;
    this.#selectedNs = this.#nowNs();
    const reason = this.#execute(code.careful, 1);
    if (this.#executed === 0) return reason;
    spu.pe.contextIdrEl1 = state.get32("CONTEXTIDR_EL1");
    if (!spu.select()) return reason;
    this.#complete(this.#opOfLog(nzcv));
    return reason;
  }

  /** The instant at which the op in flight was selected: its timestamp. */
  #selectedNs = 0;

  get selectedNs(): number {
    return this.#selectedNs;
  }

  #complete(op: SampledOp): void {
    this.#spu.complete(op);
    if (!this.#spu.pmbirq) return;
    // Profiling has stopped, and the interrupt is on its way.
    this.tell();
    this.changed();
    this.#core.exitWith({ kind: "budget" });
  }

  // ---- What TypeScript carries out ----

  begins(): void {
    const { state } = this.#core;
    this.#spu.pe.el = state.el;
    const isNext = this.#spu.opsToNextSample() === 0;
    this.#carried = { pc: state.pc, nzcv: isNext ? state.nzcv : 0 };
    if (!isNext) return;
    this.#spu.pe.contextIdrEl1 = state.get32("CONTEXTIDR_EL1");
    this.#selectedNs = this.#nowNs();
    this.#word = this.#core.word();
  }

  #word = 0;

  /** The op that TypeScript carries out is one of the population: before it sees what the unit says of itself. */
  count(): void {
    if (this.#carried === undefined || this.#isSelected || !this.#spu.statisticalProfilingEnabled()) return;
    if (this.#spu.opsToNextSample() === 0) this.#isSelected = this.#spu.select();
    else this.#spu.advance(1);
    if (!this.#isSelected) this.#carried = undefined;
  }

  ends(isExecuted: boolean, hasException: boolean): void {
    if (isExecuted) this.count();
    const carried = this.#carried;
    this.#carried = undefined;
    if (!this.#isSelected) return;
    this.#isSelected = false;
    if (carried !== undefined) this.#complete(this.#opCarriedOut(carried, hasException));
  }

  #opCarriedOut({ pc, nzcv }: Taken, hasException: boolean): SampledOp {
    const { state } = this.#core;
    const info = this.#infos.of(this.#word);
    const isAccess = info.kind === "load" || info.kind === "store" || info.kind === "atomic";
    if (!hasException && info.kind === "branch") return this.#op(info, pc, nzcv, state.pc, []);
    const { issueLatency, totalLatency } = this.models.other(false);
    return {
      kind: info.kind,
      subclass: info.subclass,
      events: hasException ? EVENT.exceptionGenerated : EVENT.retired,
      issueLatency,
      totalLatency,
      pc,
      ...(isAccess ? { va: state.get64("SLOW_VA"), translationLatency: 1 } : {}),
    };
  }

  // ---- The log ----

  /** The models follow what the log has. */
  #follow(): void {
    const words = this.#words;
    const end = words[this.#core.state.addressOf("LOG_AT") >>> 2] as number;
    this.#selectAsid();
    for (let at = this.#log; at < end; ) {
      const next = this.#endOf(at, end);
      const info = this.#infoAt(at);
      if (info.kind === "branch") {
        const to = next < end ? this.#pcAt(next) : this.#core.state.pc;
        this.#followBranch(info, this.#pcAt(at), to, 0);
      } else if (next > at + LOG.ENTRY_BYTES) this.#followAccesses(at, next, info);
      else this.models.other(isSimd(info));
      at = next;
    }
  }

  #endOf(at: number, end: number): number {
    let next = at + LOG.ENTRY_BYTES;
    while (next < end && (this.#words[(next + LOG.WHAT) >>> 2] as number) !== 0) next += LOG.ENTRY_BYTES;
    return next;
  }

  #pcAt(at: number): bigint {
    return this.#core.code.memory.view.getBigUint64(at + LOG.ADDRESS, true);
  }

  #infoAt(at: number): OpInfo {
    const place = this.#core.code.memory.code.instructionOf(this.#words[(at + LOG.WHERE) >>> 2] as number);
    if (place === undefined) throw new BrokenInvariant("an op in the log whose code is gone");
    return this.#infos.of(this.#words[place >>> 2] as number);
  }

  #accessesIn(from: number, to: number): FollowedAccess[] {
    const words = this.#words;
    const found: FollowedAccess[] = [];
    for (let at = from; at < to; at += LOG.ENTRY_BYTES) {
      const what = words[(at + LOG.WHAT) >>> 2] as number;
      found.push({
        low: words[at >>> 2] as number,
        high: words[(at >>> 2) + 1] as number,
        bytes: what & LOG.SIZE,
        alignedTo: 1 << ((what >>> LOG.ELEMENT_SHIFT) & LOG.ELEMENT),
      });
    }
    return found;
  }

  #followAccesses(at: number, next: number, info: OpInfo): Followed {
    return this.models.accesses(this.#accessesIn(at + LOG.ENTRY_BYTES, next), info.kind !== "store");
  }

  #followBranch(info: OpInfo, pc: bigint, to: bigint, nzcv: number): Followed & { readonly taken: boolean } {
    if (info.class.kind !== "branch") throw new BrokenInvariant("no branch");
    const { conditional, indirect, procedure } = info.class;
    const taken = isTaken(info, pc, to, nzcv, this.#core.state);
    const from = instructionNumber(pc);
    const followed = this.models.branch({
      from,
      to: instructionNumber(to),
      taken,
      conditional,
      indirect,
      procedure,
    });
    return { ...followed, taken };
  }

  #selectAsid(): void {
    const { state, code } = this.#core;
    const a1 = TCR_EL1.is(state.get64("TCR_EL1"), "A1");
    this.models.asid = code.memory.view.getUint16(this.#asidAt[a1 ? 1 : 0], true);
  }

  /** The op that is the only one in the log. */
  #opOfLog(nzcv: number): SampledOp {
    const end = this.#words[this.#core.state.addressOf("LOG_AT") >>> 2] as number;
    this.#selectAsid();
    const accesses = this.#accessesIn(this.#log + LOG.ENTRY_BYTES, end);
    return this.#op(this.#infoAt(this.#log), this.#pcAt(this.#log), nzcv, this.#core.state.pc, accesses);
  }

  #op(info: OpInfo, pc: bigint, nzcv: number, next: bigint, accesses: readonly FollowedAccess[]): SampledOp {
    const { kind, subclass } = info;
    if (kind === "branch") {
      const { taken, ...followed } = this.#followBranch(info, pc, next, nzcv);
      return { kind, subclass, pc, ...followed, ...(taken ? { target: next } : {}) };
    }
    if (kind !== "other") {
      const [first] = accesses;
      // A store-exclusive that has failed makes none.
      if (first === undefined) return { kind, subclass, pc, ...this.models.other(false) };
      const va = (BigInt(first.high) << 32n) | BigInt(first.low);
      const pa = this.#spu.collectsPa ? this.#core.space.physicalOf(va) : undefined;
      return { kind, subclass, pc, va, pa, ...this.models.accesses(accesses, kind !== "store") };
    }
    const followed =
      accesses.length > 0 ? this.models.accesses(accesses, false) : this.models.other(isSimd(info));
    const fails = info.cond !== undefined && !ConditionHolds(info.cond, nzcv);
    return { kind, subclass, pc, ...followed, events: followed.events | (fails ? EVENT.notTaken : 0) };
  }

  // ---- Whole state ----

  save(): ModelsState {
    return this.models.save();
  }

  restore(state: ModelsState): void {
    this.models.restore(state);
  }
}

const isSimd = ({ class: op }: OpInfo): boolean => op.kind === "other" && (op.simd || op.floatingPoint);

/** Whether a branch was taken. One to the next instruction is told by what it depends on. */
function isTaken(info: OpInfo, pc: bigint, to: bigint, nzcv: number, state: VcpuState): boolean {
  const { cond, tested, offset, class: op } = info;
  if (op.kind !== "branch" || !op.conditional) return true;
  if (to !== BigInt.asUintN(64, pc + 4n)) return true;
  if (offset !== 4n) return false;
  if (cond !== undefined) return ConditionHolds(cond, nzcv);
  return tested !== undefined && ((state.x(tested.register) & tested.bits) === 0n) === tested.zero;
}
