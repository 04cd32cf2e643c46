/**
 * The profiling unit as it watches a core: between samples it is one budget of the interpreter's, shortly before one ops are
 * executed with a log that the models follow, and the op that is sampled is executed by itself.
 *
 * The population are the instructions that are executed while profiling is enabled, as the pseudocode has it (SPEPreExecution):
 * those that take an exception, or that the hypervisor is asked about, each time that they are executed.
 */
import { DECODED, LEAVE, LOG } from "../../a64/state.ts";
import { TCR_EL1 } from "../../arm/registers.ts";
import { BrokenInvariant } from "../../common/errors.ts";
import type { TruthFeed } from "../../kvm/spe/ground-truth.ts";
import { EVENT, type OpKind, type SampledOp } from "../../spe/op.ts";
import type { Spu } from "../../spe/spu.ts";
import type { Core } from "../core.ts";
import type { DecodedPlace } from "../execute/code-cache.ts";
import type { Interpreter } from "../execute/interpreter.ts";
import { VCPU_AREA } from "../memory.ts";
import type { OpWatcher } from "../op-watcher.ts";
import { ConditionHolds, type VcpuState } from "../vcpu-state.ts";
import type { Models, ModelsState } from "./models.ts";
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
  readonly models: Models;
}

/** How many ops before a sample the models follow by default. */
export const WARM_OPS = 32;

const NO_PAGE: DecodedPlace = { decoded: Number.NEGATIVE_INFINITY, page: 0 };
/** Of bytes of decoded code to one of code. */
const DECODED_SHIFT = Math.log2(DECODED.BYTES / 4);

/** VA[47:2] as a number, for the predictor: what is above does not tell branches apart. */
const instructionNumber = (low: number, high: number): number => (high & 0xffff) * 2 ** 30 + (low >>> 2);

/** The same bits of a 64-bit address. */
const PREDICTED = 2n ** 48n - 1n;

interface Taken {
  readonly pc: bigint;
  readonly nzcv: number;
}

export class Sampling implements OpWatcher {
  readonly models: Models;
  readonly #core: Core;
  readonly #spu: Spu;
  readonly #truth: TruthFeed;
  readonly #nowNs: () => number;
  readonly #isAhead: () => boolean;
  readonly #warmOps: number;
  readonly #infos: OpInfos;
  readonly #words: Uint32Array;
  readonly #log: number;
  readonly #logAt: number;
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
    this.models = options.models;
    this.#spu = options.spu;
    this.#truth = options.truth;
    this.#nowNs = options.nowNs;
    this.#isAhead = options.isAhead;
    this.#warmOps = options.warmOps;
    this.#infos = new OpInfos(core.code.decoder);
    this.#words = core.code.memory.words;
    this.#log = core.state.base + VCPU_AREA.LOG;
    this.#logAt = core.state.addressOf("LOG_AT") >>> 2;
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
    this.#words[this.#logAt] = this.#log;
    const { population } = spu.counters;
    if (population !== this.models.now) this.models.resume(population);
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
    this.#words[this.#logAt] = this.#log;
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
    if (!hasException && info.kind === "branch") return this.#branchOp(info, pc, nzcv);
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

  get #endOfLog(): number {
    return this.#words[this.#logAt] as number;
  }

  /** Where the code is that was looked up last, while nothing is executed: the next op is near, most likely. */
  #page: DecodedPlace = NO_PAGE;

  /** The models follow what the log has. */
  #follow(): void {
    const words = this.#words;
    const end = this.#endOfLog;
    this.#selectAsid();
    this.#page = NO_PAGE;
    for (let at = this.#log; at < end; ) {
      const info = this.#infoAt(at);
      const next = at + LOG.ENTRY_BYTES;
      if (info.kind === "branch") {
        // Another op follows, or PC is where it went.
        const to = next < end ? next : this.#core.state.addressOf("PC");
        this.#followBranch(
          info,
          words[at >>> 2]!,
          words[(at >>> 2) + 1]!,
          words[to >>> 2]!,
          words[(to >>> 2) + 1]!,
        );
        at = next;
      } else if (next < end && words[(next + LOG.WHAT) >>> 2] !== 0)
        at = this.#followAccesses(next, end, info);
      else {
        this.models.other(info.isSimd);
        at = next;
      }
    }
  }

  #infoAt(at: number): OpInfo {
    const decoded = this.#words[(at + LOG.WHERE) >>> 2]!;
    let page = this.#page;
    let offset = decoded - page.decoded;
    if (offset < 0 || offset >= DECODED.PAGE_BYTES) {
      const found = this.#core.code.memory.code.placeOf(decoded);
      if (found === undefined) throw new BrokenInvariant("an op in the log whose code is gone");
      page = found;
      this.#page = found;
      offset = decoded - page.decoded;
    }
    return this.#infos.of(this.#words[(page.page + (offset >>> DECODED_SHIFT)) >>> 2]!);
  }

  /** The accesses of an op, of which the first entry is at `from`. Returns where the next op's entry is. */
  #followAccesses(from: number, end: number, { kind }: OpInfo): number {
    const { models } = this;
    const words = this.#words;
    models.beginAccesses();
    let at = from;
    for (; at < end; at += LOG.ENTRY_BYTES) {
      const what = words[(at + LOG.WHAT) >>> 2]!;
      if (what === 0) break;
      const alignedTo = 1 << ((what >>> LOG.ELEMENT_SHIFT) & LOG.ELEMENT);
      models.access(
        words[at >>> 2]!,
        words[(at >>> 2) + 1]!,
        what & LOG.SIZE,
        alignedTo,
        (what & LOG.WRITE) !== 0,
      );
    }
    models.endAccesses(kind === "load" || kind === "atomic");
    return at;
  }

  /** A branch by the words of its PC and of where it went. It was taken unless it went on behind itself. */
  #followBranch({ class: op }: OpInfo, low: number, high: number, toLow: number, toHigh: number): void {
    if (op.kind !== "branch") return;
    const from = instructionNumber(low, high);
    const to = instructionNumber(toLow, toHigh);
    this.models.branch(op, from, to, !op.conditional || to !== from + 1);
  }

  /** The ASID is in the upper bits of one of the TTBRs, as TCR_EL1.A1 says. */
  #selectAsid(): void {
    const { state } = this.#core;
    const isOfTtbr1 = (state.get32("TCR_EL1") & TCR_EL1.fields.A1.mask32) !== 0;
    const at = state.addressOf(isOfTtbr1 ? "TTBR1_EL1" : "TTBR0_EL1");
    this.models.asid = this.#words[(at >>> 2) + 1]! >>> 16;
  }

  /** The op that is the only one in the log. */
  #opOfLog(nzcv: number): SampledOp {
    const { view } = this.#core.code.memory;
    const end = this.#endOfLog;
    this.#page = NO_PAGE;
    const info = this.#infoAt(this.#log);
    const { kind, subclass } = info;
    const pc = view.getBigUint64(this.#log, true);
    this.#selectAsid();
    if (kind === "branch") return this.#branchOp(info, pc, nzcv);
    const first = this.#log + LOG.ENTRY_BYTES;
    if (first < end) {
      this.#followAccesses(first, end, info);
      if (kind !== "other") {
        const va = view.getBigUint64(first, true);
        return this.#op(
          kind,
          subclass,
          pc,
          va,
          this.#spu.collectsPa ? this.#core.space.physicalOf(va) : undefined,
        );
      }
    } else this.models.other(info.isSimd);
    const fails = info.cond !== undefined && !ConditionHolds(info.cond, nzcv);
    if (fails) this.models.last.events |= EVENT.notTaken;
    // A store-exclusive that has failed makes no access, and neither does what is no load or store.
    return this.#op(kind, subclass, pc, undefined, undefined);
  }

  #op(kind: OpKind, subclass: number, pc: bigint, va: bigint | undefined, pa: number | undefined): SampledOp {
    const { events, issueLatency, totalLatency, translationLatency, dataSource } = this.models.last;
    return { kind, subclass, pc, va, pa, events, issueLatency, totalLatency, translationLatency, dataSource };
  }

  #branchOp(info: OpInfo, pc: bigint, nzcv: number): SampledOp {
    const { class: op, kind, subclass } = info;
    if (op.kind !== "branch") throw new BrokenInvariant("no branch");
    const { state } = this.#core;
    const target = state.pc;
    const taken = isTaken(info, pc, target, nzcv, state);
    const from = Number((pc & PREDICTED) >> 2n);
    const { events, issueLatency, totalLatency } = this.models.branch(
      op,
      from,
      Number((target & PREDICTED) >> 2n),
      taken,
    );
    return {
      kind,
      subclass,
      pc,
      events,
      issueLatency,
      totalLatency,
      // After an exception return PSTATE is what it has returned to.
      ...(taken ? { target, targetEl: state.el } : {}),
    };
  }

  // ---- Whole state ----

  save(): ModelsState {
    return this.models.save();
  }

  restore(state: ModelsState): void {
    this.models.restore(state);
  }
}

/** Whether a branch was taken. One to the next instruction is told by what it depends on. */
function isTaken(info: OpInfo, pc: bigint, to: bigint, nzcv: number, state: VcpuState): boolean {
  const { cond, tested, offset, class: op } = info;
  if (op.kind !== "branch" || !op.conditional) return true;
  if (to !== BigInt.asUintN(64, pc + 4n)) return true;
  if (offset !== 4n) return false;
  if (cond !== undefined) return ConditionHolds(cond, nzcv);
  return tested !== undefined && ((state.x(tested.register) & tested.bits) === 0n) === tested.zero;
}
