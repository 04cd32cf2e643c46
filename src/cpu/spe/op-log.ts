/** What the log of a careful run says of its ops (LOG in a64/state.ts): to the models, and to a record. */
import type { BranchOp } from "../../a64/op-class.ts";
import { DECODED, LOG } from "../../a64/state.ts";
import { TCR_EL1 } from "../../arm/registers.ts";
import { BrokenInvariant } from "../../common/errors.ts";
import { EVENT, type OpKind, type SampledOp } from "../../spe/op.ts";
import type { Core } from "../core.ts";
import type { DecodedPlace } from "../execute/code-cache.ts";
import type { VcpuTrace } from "../instruction-trace.ts";
import { VCPU_AREA } from "../memory.ts";
import { ConditionHolds, type VcpuState } from "../vcpu-state.ts";
import type { ExactProfile } from "./exact-profile.ts";
import { HandlerKinds, KIND } from "./handler-kinds.ts";
import type { Models } from "./models.ts";
import { type OpInfo, OpInfos } from "./op-info.ts";

const NO_PAGE: DecodedPlace = { decoded: Number.NEGATIVE_INFINITY, page: 0 };
/** Of bytes of decoded code to one of code. */
const DECODED_SHIFT = Math.log2(DECODED.BYTES / 4);

/** VA[47:2] as a number, for the predictor: what is above does not tell branches apart. */
const instructionNumber = (low: number, high: number): number => (high & 0xffff) * 2 ** 30 + (low >>> 2);

/** The same bits of a 64-bit address. */
const PREDICTED = 2n ** 48n - 1n;

const isLoad = ({ kind }: OpInfo): boolean => kind === "load" || kind === "atomic";

/** What is gone after an op. */
export interface BeforeOp {
  readonly pc: bigint;
  readonly nzcv: number;
}

export class OpLog {
  readonly #core: Core;
  readonly #models: Models;
  readonly #infos: OpInfos;
  readonly #byHandler: HandlerKinds;
  readonly #words: Uint32Array;
  /** Where the log begins, a host address, and where the word lies that says where it ends. */
  readonly #first: number;
  readonly #endAt: number;

  constructor(core: Core, models: Models) {
    this.#core = core;
    this.#models = models;
    this.#infos = new OpInfos(core.code.decoder);
    this.#byHandler = new HandlerKinds(core.code.handlers);
    this.#words = core.code.memory.words;
    this.#first = core.state.base + VCPU_AREA.LOG;
    this.#endAt = core.state.addressOf("LOG_AT") >>> 2;
  }

  /** A careful run follows: the log is empty. */
  begin(): void {
    this.#words[this.#endAt] = this.#first;
  }

  get #end(): number {
    return this.#words[this.#endAt] as number;
  }

  /** Where the code is that was looked up last, while nothing is executed: the next op is near, most likely. */
  #page: DecodedPlace = NO_PAGE;

  /** An exact profile counts what the log has. */
  countIn(profile: ExactProfile, context: number): void {
    profile.executesLog(this.#words, this.#first, this.#end, context);
  }

  /**
   * A trace sees what the log has.
   * @param retiredBefore how many instructions the core had retired before it
   * @param atNs gives the instant at which an op of the log was executed, by how many came before it
   */
  showTo(trace: VcpuTrace, el: 0 | 1, retiredBefore: number, atNs: (ops: number) => number): void {
    const { view } = this.#core.code.memory;
    this.#page = NO_PAGE;
    let ops = 0;
    for (let at = this.#first; at < this.#end; at += LOG.ENTRY_BYTES) {
      if (this.#words[(at + LOG.WHAT) >>> 2] !== 0) continue;
      const before = ops++;
      trace.executes(
        view.getBigUint64(at, true),
        el,
        retiredBefore + before,
        () => atNs(before),
        () => this.#wordAt(at),
      );
    }
  }

  /** The models follow what the log has. */
  follow(): void {
    this.#selectAsid();
    this.#page = NO_PAGE;
    this.#followUpTo(this.#end);
  }

  /** The models follow what the log has, but for its last op. Returns where the entry of that is, for `opAt`. */
  followAllButLast(): number {
    this.#selectAsid();
    this.#page = NO_PAGE;
    const words = this.#words;
    let last = this.#end - LOG.ENTRY_BYTES;
    while (words[(last + LOG.WHAT) >>> 2] !== 0) last -= LOG.ENTRY_BYTES;
    this.#followUpTo(last);
    return last;
  }

  /** @param end where the log ends, or the entry of an op that is not followed */
  #followUpTo(end: number): void {
    const words = this.#words;
    const { branches } = this.#byHandler;
    const ends = this.#end;
    for (let at = this.#first; at < end; ) {
      const kind = this.#kindAt(at);
      const next = at + LOG.ENTRY_BYTES;
      if (kind >= KIND.BRANCH) {
        // Another op follows, or PC is where it went.
        const to = next < ends ? next : this.#core.state.addressOf("PC");
        this.#followBranch(
          branches[kind - KIND.BRANCH]!,
          words[at >>> 2]!,
          words[(at >>> 2) + 1]!,
          words[to >>> 2]!,
          words[(to >>> 2) + 1]!,
        );
        at = next;
      } else if (next < end && words[(next + LOG.WHAT) >>> 2] !== 0)
        at = this.#followAccesses(next, end, kind === KIND.LOAD);
      else {
        this.#models.other(kind === KIND.SIMD);
        at = next;
      }
    }
  }

  #kindAt(at: number): number {
    const decoded = this.#words[(at + LOG.WHERE) >>> 2]!;
    const kind = this.#byHandler.kinds[this.#words[decoded >>> 2]! & DECODED.HANDLER_MASK]!;
    return kind === KIND.OF_WORD ? this.#byHandler.kindOf(this.#infoAt(at).class) : kind;
  }

  #infoAt(at: number): OpInfo {
    return this.#infos.of(this.#wordAt(at));
  }

  #wordAt(at: number): number {
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
    return this.#words[(page.page + (offset >>> DECODED_SHIFT)) >>> 2]!;
  }

  /** The accesses of an op, of which the first entry is at `from`. Returns where the next op's entry is. */
  #followAccesses(from: number, end: number, isLoad: boolean): number {
    const models = this.#models;
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
    models.endAccesses(isLoad);
    return at;
  }

  /** A branch by the words of its PC and of where it went. It was taken unless it went on behind itself. */
  #followBranch(op: BranchOp, low: number, high: number, toLow: number, toHigh: number): void {
    const from = instructionNumber(low, high);
    const to = instructionNumber(toLow, toHigh);
    this.#models.branch(op, from, to, !op.conditional || to !== from + 1);
  }

  /** The ASID is in the upper bits of one of the TTBRs, as TCR_EL1.A1 says. */
  #selectAsid(): void {
    const { state } = this.#core;
    const isOfTtbr1 = (state.get32("TCR_EL1") & TCR_EL1.fields.A1.mask32) !== 0;
    const at = state.addressOf(isOfTtbr1 ? "TTBR1_EL1" : "TTBR0_EL1");
    this.#models.asid = this.#words[(at >>> 2) + 1]! >>> 16;
  }

  /**
   * The last op in the log, which the models follow now.
   * @param at where `followAllButLast` has found it
   * @param nzcv the flags before it
   * @param withPa whether its record has the physical address of its access
   */
  opAt(at: number, nzcv: number, withPa: boolean): SampledOp {
    const { view } = this.#core.code.memory;
    const end = this.#end;
    const info = this.#infoAt(at);
    const { kind, subclass } = info;
    const pc = view.getBigUint64(at, true);
    if (kind === "branch") return this.#branchOp(info, pc, nzcv, true);
    const first = at + LOG.ENTRY_BYTES;
    if (first < end) {
      this.#followAccesses(first, end, isLoad(info));
      if (kind !== "other") {
        const va = view.getBigUint64(first, true);
        return this.#op(kind, subclass, pc, va, withPa ? this.#core.space.physicalOf(va) : undefined);
      }
    } else this.#models.other(info.isSimd);
    const fails = info.cond !== undefined && !ConditionHolds(info.cond, nzcv);
    if (fails) this.#models.last.events |= EVENT.notTaken;
    // A store-exclusive that has failed makes no access, and neither does what is no load or store.
    return this.#op(kind, subclass, pc, undefined, undefined);
  }

  #op(kind: OpKind, subclass: number, pc: bigint, va: bigint | undefined, pa: number | undefined): SampledOp {
    const { events, issueLatency, totalLatency, translationLatency, dataSource } = this.#models.last;
    return { kind, subclass, pc, va, pa, events, issueLatency, totalLatency, translationLatency, dataSource };
  }

  /** @param isPredicted whether it is one of those that a predictor is for */
  #branchOp(info: OpInfo, pc: bigint, nzcv: number, isPredicted: boolean): SampledOp {
    const { class: op, kind, subclass } = info;
    if (op.kind !== "branch") throw new BrokenInvariant("no branch");
    const { state } = this.#core;
    const target = state.pc;
    const taken = isTaken(info, pc, target, nzcv, state);
    const from = Number((pc & PREDICTED) >> 2n);
    const to = Number((target & PREDICTED) >> 2n);
    const { events, issueLatency, totalLatency } = isPredicted
      ? this.#models.branch(op, from, to, taken)
      : this.#models.other(false);
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

  /** An op that is in no log, since TypeScript has carried it out. */
  carriedOut(word: number, { pc, nzcv }: BeforeOp, hasException: boolean): SampledOp {
    const { state } = this.#core;
    const info = this.#infos.of(word);
    const isAccess = info.kind === "load" || info.kind === "store" || info.kind === "atomic";
    // An exception return: nothing predicts where to.
    if (!hasException && info.kind === "branch") return this.#branchOp(info, pc, nzcv, false);
    const { issueLatency, totalLatency } = this.#models.other(false);
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
