/**
 * What a record says of caches, TLB, branch prediction and latencies, which an interpreter does not have: models that follow the
 * ops that it executes. Sizes are those of a Neoverse N1 (Arm Neoverse N1 Core TRM, 100616, A6 and A7), latencies are assumed.
 *
 * Caches are indexed and tagged by VA and ASID: what two contexts share lies in them twice.
 */
import type { BranchOp } from "../../a64/op-class.ts";
import { EVENT } from "../../spe/op.ts";
import { BranchModel, type BranchModelState } from "./branch-model.ts";
import { SetAssociative, type SetsState } from "./cache-model.ts";
import type { Coherence } from "./coherence.ts";

const LINE_SHIFT = 6;
const LINE_BYTES = 1 << LINE_SHIFT;
const PAGE_SHIFT = 12;
const LINES_OF_WORD = 2 ** (32 - LINE_SHIFT);
const PAGES_OF_WORD = 2 ** (32 - PAGE_SHIFT);

/** Cycles. */
const LATENCY = {
  /** From selection to issue where nothing is waited for. */
  issue: 3,
  l1d: 4,
  l2: 11,
  llc: 40,
  /** From another core's cache. */
  peer: 60,
  memory: 160,
  l2Tlb: 5,
  walk: 30,
  mispredicted: 12,
  other: 1,
  simd: 3,
} as const;
/** How many cycles of what came before an op can wait for at most, and how many of them go by with each op. */
const MOST_BACKLOG = 48;
const BACKLOG_OF_OP = 2;

/** Payloads of the Data Source packet: Neoverse's (Linux tools/perf/util/arm-spe-decoder/arm-spe-decoder.h). */
const DATA_SOURCE = { l1d: 0x0, l2: 0x8, peer: 0x9, llc: 0xb, memory: 0xe } as const;

/** What became of the op that was followed last: what its record says. */
export interface Followed {
  events: number;
  issueLatency: number;
  totalLatency: number;
  translationLatency: number | undefined;
  dataSource: number | undefined;
}

/** What the models have counted (see `Models.counts`), as the PMU has events for it. */
export const MODEL_COUNT = {
  /** Lines that accesses have looked up in the first level, and those that it did not have. */
  l1d: 0,
  l1dRefill: 1,
  /** Pages that accesses have looked up in the first TLB, those that it did not have, and those that none had. */
  tlb: 2,
  tlbRefill: 3,
  walk: 4,
  branch: 5,
  mispredicted: 6,
} as const;

export interface ModelsState {
  readonly l1d: SetsState;
  readonly l2: SetsState;
  readonly llc: SetsState;
  readonly tlb: SetsState;
  readonly l2Tlb: SetsState;
  readonly branches: BranchModelState;
  readonly backlog: number;
  readonly now: number;
  readonly counts: readonly number[];
}

export class Models {
  /** 64 KiB of 4 ways, 1 MiB of 8, and a slice of 2 MiB of 16. */
  readonly #l1d = new SetAssociative(256, 4);
  readonly #l2 = new SetAssociative(2048, 8);
  readonly #llc = new SetAssociative(2048, 16);
  /** 48 entries of 4 KiB pages, and 1280. */
  readonly #tlb = new SetAssociative(16, 3);
  readonly #l2Tlb = new SetAssociative(256, 5);
  readonly #branches = new BranchModel();
  /** Cycles that what was issued before will still take. */
  #backlog = 0;
  readonly #coherence: Coherence;
  readonly #core: number;

  /** Instructions that the core had retired by the last one that is known here. */
  now = 0;

  /** How often each of MODEL_COUNT was, of all that was followed. */
  readonly counts = new Float64Array(Object.keys(MODEL_COUNT).length);

  /** @param coherence of all cores, of which this is number `core` */
  constructor(coherence: Coherence, core: number) {
    this.#coherence = coherence;
    this.#core = core;
  }

  /** Ops follow that do not come right after those that were followed last. */
  resume(now: number): void {
    this.now = now;
    this.#branches.resume();
  }

  /** The ASID of the accesses that follow. */
  asid = 0;

  /** What became of the last op. The next one overwrites it. */
  readonly last: Followed = {
    events: 0,
    issueLatency: 0,
    totalLatency: 0,
    translationLatency: undefined,
    dataSource: undefined,
  };

  /** An op that is neither a branch nor makes an access. */
  other(isSimd: boolean): Followed {
    this.#translation = undefined;
    this.#source = undefined;
    return this.#done(EVENT.retired, isSimd ? LATENCY.simd : LATENCY.other);
  }

  /**
   * A branch.
   * @param from,to instruction numbers: see BranchModel
   */
  branch(
    op: Pick<BranchOp, "conditional" | "indirect" | "procedure">,
    from: number,
    to: number,
    taken: boolean,
  ): Followed {
    const isRight = this.#branches.follow(op, from, to, taken);
    this.#count(MODEL_COUNT.branch, 1);
    if (!isRight) this.#count(MODEL_COUNT.mispredicted, 1);
    this.#translation = undefined;
    this.#source = undefined;
    const followed = this.#done(
      EVENT.retired | (taken ? 0 : EVENT.notTaken) | (isRight ? 0 : EVENT.mispredicted),
      LATENCY.other,
    );
    if (!isRight) this.#waitFor(LATENCY.mispredicted);
    return followed;
  }

  #events = 0;
  #latency = 0;
  #translation: number | undefined;
  #source: number | undefined;

  /** The accesses of an op follow, one `access` each. */
  beginAccesses(): void {
    this.#events = EVENT.retired | EVENT.tlbAccess | EVENT.l1dAccess;
    this.#latency = LATENCY.l1d;
    this.#translation = 1;
    this.#source = DATA_SOURCE.l1d;
  }

  /**
   * An access.
   * @param low,high the words of its VA
   * @param alignedTo what its address should be a multiple of
   * @param write whether the line must be this core's own for it
   */
  access(low: number, high: number, bytes: number, alignedTo: number, write: boolean): void {
    if ((low & (alignedTo - 1)) !== 0) this.#events |= EVENT.misaligned;
    // VA[48:0] and 4 bits of the ASID, the kernel's without.
    const upper =
      (high & 0x80_0000) !== 0 ? 0x1_0000 | (high & 0xffff) : ((this.asid & 0xf) << 17) | (high & 0xffff);
    this.#translate(upper * PAGES_OF_WORD + (low >>> PAGE_SHIFT), low >>> PAGE_SHIFT);
    const line = low >>> LINE_SHIFT;
    const key = upper * LINES_OF_WORD + line;
    const more = ((low & (LINE_BYTES - 1)) + bytes - 1) >>> LINE_SHIFT;
    this.#count(MODEL_COUNT.l1d, more + 1);
    for (let i = 0; i <= more; i++) {
      const isOthers = this.#coherence.touch(this.#core, key + i, line + i, write);
      const isHere = this.#l1d.touch(key + i, line + i);
      if (isOthers) this.#snoop();
      else if (!isHere) this.#refill(key + i, line + i);
    }
  }

  #count(what: number, times: number): void {
    this.counts[what] = (this.counts[what] as number) + times;
  }

  #translate(page: number, low: number): void {
    this.#count(MODEL_COUNT.tlb, 1);
    if (this.#tlb.touch(page, low)) return;
    this.#count(MODEL_COUNT.tlbRefill, 1);
    const isInL2 = this.#l2Tlb.touch(page, low);
    if (!isInL2) {
      this.#events |= EVENT.tlbWalk;
      this.#count(MODEL_COUNT.walk, 1);
    }
    this.#translation = Math.max(this.#translation ?? 0, isInL2 ? LATENCY.l2Tlb : LATENCY.walk);
  }

  /** Another core has the line, and gives it away. */
  #snoop(): void {
    this.#events |= EVENT.l1dRefill | EVENT.llcAccess;
    this.#count(MODEL_COUNT.l1dRefill, 1);
    this.#from(LATENCY.peer, DATA_SOURCE.peer);
  }

  #refill(key: number, low: number): void {
    this.#events |= EVENT.l1dRefill;
    this.#count(MODEL_COUNT.l1dRefill, 1);
    if (this.#l2.touch(key, low)) this.#from(LATENCY.l2, DATA_SOURCE.l2);
    else if (this.#llc.touch(key, low)) {
      this.#events |= EVENT.llcAccess;
      this.#from(LATENCY.llc, DATA_SOURCE.llc);
    } else {
      this.#events |= EVENT.llcAccess | EVENT.llcMiss;
      this.#from(LATENCY.memory, DATA_SOURCE.memory);
    }
  }

  /** The slowest of an op's accesses counts. */
  #from(latency: number, source: number): void {
    if (latency <= this.#latency) return;
    this.#latency = latency;
    this.#source = source;
  }

  /** They were all of the op's accesses: events are those of any of them, latencies those of the slowest. */
  endAccesses(isLoad: boolean): Followed {
    const cycles = this.#latency + (this.#translation ?? 1) - 1;
    if (!isLoad) this.#source = undefined;
    const followed = this.#done(this.#events, cycles);
    if (isLoad) this.#waitFor((cycles - LATENCY.l1d) >> 3);
    return followed;
  }

  #done(events: number, cycles: number): Followed {
    this.now += 1;
    const { last } = this;
    last.events = events;
    last.issueLatency = LATENCY.issue + this.#backlog;
    last.totalLatency = last.issueLatency + cycles;
    last.translationLatency = this.#translation;
    last.dataSource = this.#source;
    this.#backlog = Math.max(0, this.#backlog - BACKLOG_OF_OP);
    return last;
  }

  #waitFor(cycles: number): void {
    this.#backlog = Math.min(MOST_BACKLOG, this.#backlog + cycles);
  }

  save(): ModelsState {
    return {
      l1d: this.#l1d.save(),
      l2: this.#l2.save(),
      llc: this.#llc.save(),
      tlb: this.#tlb.save(),
      l2Tlb: this.#l2Tlb.save(),
      branches: this.#branches.save(),
      backlog: this.#backlog,
      now: this.now,
      counts: [...this.counts],
    };
  }

  restore(state: ModelsState): void {
    this.#l1d.restore(state.l1d);
    this.#l2.restore(state.l2);
    this.#llc.restore(state.llc);
    this.#tlb.restore(state.tlb);
    this.#l2Tlb.restore(state.l2Tlb);
    this.#branches.restore(state.branches);
    this.#backlog = state.backlog;
    this.now = state.now;
    this.counts.set(state.counts);
  }
}
