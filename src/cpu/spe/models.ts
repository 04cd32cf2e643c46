/**
 * What a record says of caches, TLB, branch prediction and latencies, which an interpreter does not have: models that follow the
 * ops that it executes. Sizes are those of a Neoverse N1 (Arm Neoverse N1 Core TRM, 100616, A6 and A7), latencies are assumed.
 *
 * Caches are indexed and tagged by VA and ASID: what two contexts share lies in them twice.
 */
import { EVENT } from "../../spe/op.ts";
import { type Branch, BranchModel, type BranchModelState } from "./branch-model.ts";
import { SetAssociative } from "./cache-model.ts";

const LINE_SHIFT = 6;
const PAGE_SHIFT = 12;

/** Cycles. */
const LATENCY = {
  /** From selection to issue where nothing is waited for. */
  issue: 3,
  l1d: 4,
  l2: 11,
  llc: 40,
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
const DATA_SOURCE = { l1d: 0x0, l2: 0x8, llc: 0xb, memory: 0xe } as const;

/** What became of an op: what its record says. */
export interface Followed {
  readonly events: number;
  readonly issueLatency: number;
  readonly totalLatency: number;
  readonly translationLatency: number | undefined;
  readonly dataSource: number | undefined;
}

/** An access: VA as two words, and the ASID that it is made under. */
export interface FollowedAccess {
  readonly low: number;
  readonly high: number;
  readonly bytes: number;
  readonly alignedTo: number;
}

export interface ModelsState {
  readonly l1d: ReturnType<SetAssociative["save"]>;
  readonly l2: ReturnType<SetAssociative["save"]>;
  readonly llc: ReturnType<SetAssociative["save"]>;
  readonly tlb: ReturnType<SetAssociative["save"]>;
  readonly l2Tlb: ReturnType<SetAssociative["save"]>;
  readonly branches: BranchModelState;
  readonly backlog: number;
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
  /** The ASID of the accesses that follow. */
  asid = 0;

  /** Which line or page of the memory an address is in: VA[48:0] and 4 bits of the ASID, the kernel's without. */
  #unitOf(low: number, high: number, shift: number): number {
    const isKernel = (high & 0x80_0000) !== 0;
    const upper = isKernel ? 0x1_0000 | (high & 0xffff) : ((this.asid & 0xf) << 17) | (high & 0xffff);
    return upper * 2 ** (32 - shift) + (low >>> shift);
  }

  /** An op that is neither a branch nor makes an access. */
  other(isSimd: boolean): Followed {
    return this.#done(EVENT.retired, isSimd ? LATENCY.simd : LATENCY.other);
  }

  branch(branch: Branch): Followed {
    const isRight = this.#branches.follow(branch);
    const events = EVENT.retired | (branch.taken ? 0 : EVENT.notTaken) | (isRight ? 0 : EVENT.mispredicted);
    const followed = this.#done(events, LATENCY.other);
    if (!isRight) this.#waitFor(LATENCY.mispredicted);
    return followed;
  }

  /** The accesses of an op: events are those of any of them, latencies those of the slowest. */
  accesses(accesses: readonly FollowedAccess[], isLoad: boolean): Followed {
    let events = EVENT.retired | EVENT.tlbAccess | EVENT.l1dAccess;
    let latency: number = LATENCY.l1d;
    let translation = 1;
    let source: number = DATA_SOURCE.l1d;
    for (const { low, high, bytes, alignedTo } of accesses) {
      if ((low & (alignedTo - 1)) !== 0) events |= EVENT.misaligned;
      const page = this.#unitOf(low, high, PAGE_SHIFT);
      if (!this.#tlb.touch(page)) {
        const isInL2 = this.#l2Tlb.touch(page);
        if (!isInL2) events |= EVENT.tlbWalk;
        translation = Math.max(translation, isInL2 ? LATENCY.l2Tlb : LATENCY.walk);
      }
      const first = this.#unitOf(low, high, LINE_SHIFT);
      const lines = ((low & 63) + bytes - 1) >>> LINE_SHIFT;
      for (let line = first; line <= first + lines; line++) {
        if (this.#l1d.touch(line)) continue;
        events |= EVENT.l1dRefill;
        if (this.#l2.touch(line)) {
          if (latency < LATENCY.l2) [latency, source] = [LATENCY.l2, DATA_SOURCE.l2];
          continue;
        }
        events |= EVENT.llcAccess;
        const isInLlc = this.#llc.touch(line);
        if (!isInLlc) events |= EVENT.llcMiss;
        if (!isInLlc) [latency, source] = [LATENCY.memory, DATA_SOURCE.memory];
        else if (latency < LATENCY.llc) [latency, source] = [LATENCY.llc, DATA_SOURCE.llc];
      }
    }
    const followed = this.#done(events, latency + translation - 1);
    if (isLoad) this.#waitFor(Math.floor((latency + translation - LATENCY.l1d) / 8));
    return { ...followed, translationLatency: translation, dataSource: isLoad ? source : undefined };
  }

  #done(events: number, cycles: number): Followed {
    const issueLatency = LATENCY.issue + this.#backlog;
    this.#backlog = Math.max(0, this.#backlog - BACKLOG_OF_OP);
    return {
      events,
      issueLatency,
      totalLatency: issueLatency + cycles,
      translationLatency: undefined,
      dataSource: undefined,
    };
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
  }
}
