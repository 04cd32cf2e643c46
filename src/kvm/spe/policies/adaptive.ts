import { PAGE_BYTES } from "../../../common/address.ts";
import {
  type BufferWalk,
  DONE,
  type EnableOutcome,
  type PinPolicy,
  type PolicyContext,
  type SpeBuffer,
  type WalkFault,
} from "../policy.ts";

/** Pages that are mapped while a vCPU waits: these, or what is written before the worker is expected to have more. */
const FIRST_PAGES = 16;
const MOST_FIRST_PAGES = 64;
/** Pages kept pinned ahead of PMBPTR, at least and at most: what is written in AHEAD_NS decides in between. */
const LEAST_AHEAD_PAGES = 128;
const MOST_AHEAD_PAGES = 2_048;
const AHEAD_NS = 20_000_000;
/** So much may stay pinned behind PMBPTR: a small buffer is pinned as a whole, and none of it twice. */
const KEPT_PAGES = 256;
/** How often a running vCPU is stopped to see how far PMBPTR is, and whether stage 1 is still what it was. */
const FIRST_TICK_NS = 200_000;
const LEAST_TICK_NS = 100_000;
const MOST_TICK_NS = 2_500_000;
/** Everything is given back when the buffer was off for so long. */
const GRACE_NS = 100_000_000;

/** What the hardware may write to: from the pointer as it was then, up to a page of VA space. All of it is mapped. */
interface Window {
  readonly walk: BufferWalk;
  readonly from: number;
  readonly to: number;
  /** Not so the first pages, which the worker is about to pin, and those that memlock has no room for. */
  readonly pinned: boolean;
  /** The worker is done with it; the hardware may not go there before. */
  readonly readyAtNs: number;
}

/** What a VcpuWindow keeps, field by field. */
interface WindowState {
  readonly now: Window | undefined;
  readonly coming: readonly Window[];
  readonly stale: boolean;
  readonly tickNs: number;
  readonly tickAtNs: number;
  readonly seen: { readonly pointer: bigint; readonly atNs: number };
  readonly rate: number;
  readonly latencyNs: number;
  readonly workingUntilNs: number;
  readonly off: { readonly buffer: SpeBuffer; readonly sinceNs: number } | undefined;
}

/** One vCPU's window. */
class VcpuWindow {
  #now: Window | undefined;
  /** What the worker makes of it, step by step. */
  #coming: Window[] = [];
  /** The host took pages away, or a fault showed that stage 1 has changed. */
  #stale = false;
  #tickNs = FIRST_TICK_NS;
  #tickAtNs = Number.POSITIVE_INFINITY;
  /** PMBPTR at the last look, and when that was; then bytes a ns, the most of late. */
  #seen = { pointer: 0n, atNs: Number.POSITIVE_INFINITY };
  #rate = 0;
  /** How long the worker takes to have the first pages ready, at worst of late. */
  #latencyNs = 0;
  /** The worker is not asked again before: a guest gets no more time out of it than passes. */
  #workingUntilNs = 0;
  /** The buffer as it was turned off, and when. */
  #off: { readonly buffer: SpeBuffer; readonly sinceNs: number } | undefined;

  constructor(state?: WindowState) {
    if (state === undefined) return;
    this.#now = state.now;
    this.#coming = [...state.coming];
    this.#stale = state.stale;
    this.#tickNs = state.tickNs;
    this.#tickAtNs = state.tickAtNs;
    this.#seen = state.seen;
    this.#rate = state.rate;
    this.#latencyNs = state.latencyNs;
    this.#workingUntilNs = state.workingUntilNs;
    this.#off = state.off;
  }

  save(): WindowState {
    return {
      now: this.#now,
      coming: [...this.#coming],
      stale: this.#stale,
      tickNs: this.#tickNs,
      tickAtNs: this.#tickAtNs,
      seen: this.#seen,
      rate: this.#rate,
      latencyNs: this.#latencyNs,
      workingUntilNs: this.#workingUntilNs,
      off: this.#off,
    };
  }

  enabled(buffer: SpeBuffer, ctx: PolicyContext): EnableOutcome {
    this.#adopt(ctx);
    this.#seen = { pointer: buffer.pointer, atNs: ctx.nowNs };
    if (!this.#fits(buffer, ctx)) return this.#start(buffer, ctx);
    this.#setLimit(buffer, ctx);
    this.#tickBy(ctx.nowNs + this.#tickNs, ctx);
    return DONE;
  }

  disabled(buffer: SpeBuffer, ctx: PolicyContext): void {
    this.#off = { buffer, sinceNs: ctx.nowNs };
    this.#look(buffer, ctx);
    this.#tickBy(ctx.nowNs + GRACE_NS, ctx);
  }

  /** The window was written up before it was moved on. */
  limitReached(buffer: SpeBuffer, ctx: PolicyContext): EnableOutcome {
    this.#look(buffer, ctx);
    this.#adopt(ctx);
    if (!this.#stale && this.#ahead(buffer) > 0) {
      this.#setLimit(buffer, ctx);
      return DONE;
    }
    const [next] = this.#coming;
    if (next === undefined) return this.#start(buffer, ctx);
    // The worker is at it.
    this.#tickBy(next.readyAtNs, ctx);
    return { kind: "withheld" };
  }

  /** What is held may not be what stage 1 or the host has any more. */
  doubt(ctx: PolicyContext): void {
    this.#stale = true;
    if (ctx.buffer !== undefined && ctx.buffer.pages > 0) this.#refill(ctx.buffer, ctx);
  }

  tick(ctx: PolicyContext): void {
    this.#tickAtNs = Number.POSITIVE_INFINITY;
    this.#adopt(ctx);
    const { buffer } = ctx;
    if (buffer === undefined) {
      this.#tickWhileOff(ctx);
      return;
    }
    // A full buffer that the guest has not restarted yet.
    if (buffer.pages <= 0 || this.#now === undefined) return;
    this.#look(buffer, ctx);
    this.#setLimit(buffer, ctx);
    ctx.resume();
    // Also where there is nothing to pin: stage 1 is walked again.
    if (this.#coming.length === 0) this.#refill(buffer, ctx);
    const slackBytes = this.#ahead(buffer) * PAGE_BYTES;
    const writtenInNs = this.#rate > 0 ? slackBytes / this.#rate : Number.POSITIVE_INFINITY;
    this.#tickNs = Math.min(MOST_TICK_NS, 2 * this.#tickNs, Math.max(LEAST_TICK_NS, writtenInNs / 4));
    // Before the worker is done there is nothing to do.
    this.#tickBy(Math.max(ctx.nowNs + this.#tickNs, this.#coming[0]?.readyAtNs ?? 0), ctx);
  }

  #tickWhileOff(ctx: PolicyContext): void {
    if (this.#off === undefined) return;
    const { buffer, sinceNs } = this.#off;
    if (ctx.nowNs >= sinceNs + GRACE_NS) {
      this.#now = undefined;
      this.#coming = [];
      ctx.background((worker) => worker.unpin(worker.pinned));
      return;
    }
    if (this.#now?.pinned === false && this.#coming.length === 0 && buffer.pages > 0)
      this.#refill(buffer, ctx);
    this.#tickBy(sinceNs + GRACE_NS, ctx);
  }

  /** Whether the hardware can go on in the window; stage 1 is walked again if that was long ago. */
  #fits(buffer: SpeBuffer, ctx: PolicyContext): boolean {
    const held = this.#now;
    if (held === undefined || this.#stale || this.#ahead(buffer) === 0) return false;
    if (ctx.nowNs - held.readyAtNs <= MOST_TICK_NS) return true;
    const walk = walkAhead(this.#ahead(buffer), buffer, ctx);
    if (walk.kind !== "walked" || !held.walk.all.covers(walk.all)) return false;
    this.#now = { ...held, readyAtNs: ctx.nowNs };
    return true;
  }

  /** There is no window to go on in: maps the first pages from the pointer on. The worker pins them, and more. */
  #start(buffer: SpeBuffer, ctx: PolicyContext): EnableOutcome {
    this.#now = undefined;
    this.#coming = [];
    const soon = Math.ceil((this.#rate * 2 * this.#latencyNs) / PAGE_BYTES);
    const walk = walkAhead(Math.max(FIRST_PAGES, Math.min(MOST_FIRST_PAGES, soon)), buffer, ctx);
    if (walk.kind !== "walked") return walk;
    const mapped = ctx.map(walk.all);
    if (mapped.kind !== "done") return mapped;
    this.#stale = false;
    this.#now = windowOf(walk, ctx.nowNs, false);
    this.#setLimit(buffer, ctx);
    this.#tickNs = FIRST_TICK_NS;
    // A guest that only toggles buffers gets no work out of the worker.
    if (this.#rate > 0) this.#refill(buffer, ctx);
    this.#tickBy(Math.max(ctx.nowNs + this.#tickNs, this.#coming[0]?.readyAtNs ?? 0), ctx);
    return DONE;
  }

  /**
   * Has the worker walk stage 1 and pin as far ahead of the pointer as the rate of writing asks for, in steps, so that
   * the first are ready before what is left is written up. A window that nothing is written to only doubles: a guest
   * gets no more work out of the host than it does itself.
   */
  #refill(buffer: SpeBuffer, ctx: PolicyContext): void {
    if (ctx.nowNs < this.#workingUntilNs) return;
    const ahead = Math.max(1, this.#ahead(buffer));
    const size = this.#now === undefined ? ahead : this.#now.to - this.#now.from;
    const written = Math.min(MOST_AHEAD_PAGES, Math.ceil((this.#rate * AHEAD_NS) / PAGE_BYTES));
    // Never less than the hardware may write to now; not so much that other vCPUs' first pages wait for it.
    const most = Math.max(ahead, Math.min(LEAST_AHEAD_PAGES, 2 * size), Math.min(written, 4 * size));
    const askedNs = ctx.nowNs;
    ctx.background((worker) => {
      for (let pages = ahead, last = false; !last; ) {
        pages = Math.min(most, 2 * pages);
        const held = hold(pages, buffer, worker);
        if (held === undefined) break;
        if (this.#coming.length === 0)
          this.#latencyNs = Math.max(this.#latencyNs * 0.9, worker.nowNs - askedNs);
        this.#stale = false;
        this.#coming.push(held);
        // Shorter than asked for: there is no more buffer.
        last = pages === most || held.to - held.from < pages;
        if (last && worker.pinned.pages > KEPT_PAGES) worker.unpin(worker.pinned.minus(held.walk.all));
      }
      this.#workingUntilNs = worker.nowNs;
    });
  }

  /** What the worker has finished by now is the hardware's. */
  #adopt(ctx: PolicyContext): void {
    let ready: Window | undefined;
    while (this.#coming[0] !== undefined && this.#coming[0].readyAtNs <= ctx.nowNs)
      ready = this.#coming.shift();
    if (ready === undefined) return;
    // The host may have taken pages away since.
    if (ready.pinned && !ctx.pinned.covers(ready.walk.all)) return;
    this.#now = ready;
    if (ready.pinned) ctx.report(ready.walk);
  }

  /** Sees how fast the buffer is written, and refills a window of which half is used up. */
  #look(buffer: SpeBuffer, ctx: PolicyContext): void {
    const writtenBytes = Number(buffer.pointer - this.#seen.pointer);
    const passedNs = ctx.nowNs - this.#seen.atNs;
    this.#seen = { pointer: buffer.pointer, atNs: ctx.nowNs };
    if (passedNs <= 0 || writtenBytes <= 0) return;
    this.#rate = Math.max(this.#rate * 0.9, writtenBytes / passedNs);
    const held = this.#now;
    if (held === undefined || this.#coming.length > 0 || buffer.pages <= 0) return;
    if (2 * this.#ahead(buffer) < held.to - held.from) this.#refill(buffer, ctx);
  }

  /** Pages from the pointer to the end of the window; 0 where it lies elsewhere. */
  #ahead({ firstPage }: SpeBuffer): number {
    const held = this.#now;
    return held !== undefined && firstPage >= held.from && firstPage < held.to ? held.to - firstPage : 0;
  }

  #setLimit(buffer: SpeBuffer, ctx: PolicyContext): void {
    const end = BigInt(this.#now?.to ?? 0) << 12n;
    ctx.setHardwareLimit(end < buffer.limit ? end : undefined);
  }

  /** One timer serves everything: it goes off at the earliest instant that was asked for. */
  #tickBy(atNs: number, ctx: PolicyContext): void {
    if (this.#tickAtNs <= atNs) return;
    this.#tickAtNs = Math.ceil(atNs);
    ctx.armTimer(this.#tickAtNs, "tick");
  }
}

/** Walks the first pages of a buffer; where stage 1 ends inside of them, those before. */
function walkAhead(pages: number, buffer: SpeBuffer, ctx: PolicyContext): BufferWalk | WalkFault {
  const { firstPage } = buffer;
  const upTo = (count: number): BufferWalk | WalkFault =>
    ctx.walk({ ...buffer, limit: BigInt(firstPage + count) << 12n, pages: count });
  const walk = upTo(Math.min(pages, buffer.pages));
  return walk.kind === "walked" || walk.firstPage <= firstPage ? walk : upTo(walk.firstPage - firstPage);
}

/**
 * Pins and maps the first pages of a buffer, beside what is pinned already unless that is too much for it. Undefined
 * where they cannot be had: the SPU gets to that place, or the guest to its next enable, before anybody is told.
 */
function hold(pages: number, buffer: SpeBuffer, ctx: PolicyContext): Window | undefined {
  const walk = walkAhead(pages, buffer, ctx);
  if (walk.kind !== "walked") return undefined;
  const missing = walk.all.minus(ctx.pinned);
  // The maximum buffer may be pinned, and tables.
  if (ctx.pinned.pages + missing.pages > ctx.maxBufferPages + walk.tables.pages)
    ctx.unpin(ctx.pinned.minus(walk.all));
  const pinned = ctx.pin(missing);
  if (pinned.kind === "unbacked") return undefined;
  // Without room in memlock a window that is only mapped is better than none.
  const isPinned = pinned.kind === "done";
  if (ctx.map(isPinned ? missing : walk.all).kind !== "done") return undefined;
  return windowOf(walk, ctx.nowNs, isPinned);
}

const windowOf = (walk: BufferWalk, readyAtNs: number, pinned: boolean): Window => ({
  walk,
  from: walk.buffer.firstPage,
  to: walk.buffer.firstPage + walk.buffer.pages,
  pinned,
  readyAtNs,
});

export const adaptive: PinPolicy = {
  name: "adaptive",
  summary:
    "Keeps a small window ahead of PMBPTR mapped, has a host worker pin it, and lets go when the buffer was off for 100 ms.",
  origin:
    "An answer to James Clark's question of 9 January 2026 (reply to v6 29/35); built from what was measured here.",
  tradeOff:
    "A switch costs its traps and little else, and a small part of the buffer is pinned, whatever its size. A worker of " +
    "the host spends time instead: it pins and unpins each page that is written, and until it has pinned the first ones " +
    "they are only mapped. A guest that edits stage 1 while its buffer is on is found out at the next look, 2.5 ms later " +
    "at most, or by a fault: until then it may lose records of its own.",
  trapsBuffer: true,
  create() {
    const windows = new Map<number, VcpuWindow>();
    const of = (ctx: PolicyContext): VcpuWindow => {
      const known = windows.get(ctx.vcpu) ?? new VcpuWindow();
      windows.set(ctx.vcpu, known);
      return known;
    };
    return {
      onBufferEnabled: (buffer, ctx) => of(ctx).enabled(buffer, ctx),
      onBufferDisabled: (buffer, ctx) => of(ctx).disabled(buffer, ctx),
      onHardwareLimit: (buffer, ctx) => of(ctx).limitReached(buffer, ctx),
      onStage2Fault(fault, ctx) {
        const outcome = ctx.mapFault(fault);
        of(ctx).doubt(ctx);
        return outcome;
      },
      onInvalidated: (_first, _pages, _event, ctx) => of(ctx).doubt(ctx),
      onTimer: (_tag, ctx) => of(ctx).tick(ctx),
      save: () => new Map([...windows].map(([vcpu, window]) => [vcpu, window.save()])),
      restore(state) {
        for (const [vcpu, saved] of state as ReadonlyMap<number, WindowState>)
          windows.set(vcpu, new VcpuWindow(saved));
      },
    };
  },
};
