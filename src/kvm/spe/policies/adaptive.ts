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

/**
 * Pages that are mapped at a first enable, when nobody knows how fast the buffer will be written (Linux writes PMSIRR_EL1 after
 * PMBLIMITR_EL1): at 2.4 million samples a second they last until the first tick. Where that took little, since stage 2 had them,
 * as many again.
 */
const FIRST_PAGES = 16;
const MOST_FIRST_PAGES = 64;
const LITTLE_NS = 3_000;
/**
 * The vCPU keeps mapped what is written in this time, whether or not its worker comes, but no more than AHEAD_OF_WRITTEN times as
 * much as has been written: a short session pays for little that it does not need. So many pages at once at most.
 */
const MAPPED_AHEAD_NS = 5_000_000;
const AHEAD_OF_WRITTEN = 2;
const MOST_MAPPED_PAGES = 128;
/** Pages that the worker keeps pinned ahead of PMBPTR: what is written in AHEAD_NS, at least and at most. */
const LEAST_AHEAD_PAGES = 128;
const MOST_AHEAD_PAGES = 2_048;
const AHEAD_NS = 20_000_000;
/** So much may stay pinned behind PMBPTR. */
const KEPT_PAGES = 256;
/** A buffer that is no larger (perf's default) stays pinned, and none of it is pinned twice. */
const WHOLE_PAGES = 1_024;
/** The worker rests for so many times as long as it has worked: a vCPU gets about a quarter of a host CPU out of it. */
const WORKER_RESTS = 3;
/** How often a running vCPU is stopped to see how far PMBPTR is, and whether stage 1 is still what it was. */
const FIRST_TICK_NS = 400_000;
const LEAST_TICK_NS = 100_000;
const MOST_TICK_NS = 2_500_000;
/** Everything is given back when the buffer was off for so long. */
const GRACE_NS = 100_000_000;

const RELEASE = "release";
const PIN = "pin";

/** What the hardware may write to: from the pointer as it was then, up to a page of VA space. All of it is mapped. */
interface Window {
  readonly walk: BufferWalk;
  readonly from: number;
  readonly to: number;
  /** When stage 1 was walked; by the worker, when it was done with it: the hardware may not go there before. */
  readonly atNs: number;
}

/** Pages [from, to) of VA space. */
interface Span {
  readonly from: number;
  readonly to: number;
}

/** What a VcpuWindow keeps, field by field. */
interface WindowState {
  readonly now: Window | undefined;
  readonly coming: Window | undefined;
  readonly pinned: Span | undefined;
  readonly stale: boolean;
  readonly tickNs: number;
  readonly tickAtNs: number;
  readonly seen: { readonly pointer: bigint; readonly atNs: number };
  readonly rate: number;
  readonly writtenBytes: number;
  readonly restsUntilNs: number;
  readonly span: Span | undefined;
  readonly off: { readonly buffer: SpeBuffer; readonly sinceNs: number } | undefined;
}

/** One vCPU's window. */
class VcpuWindow {
  #now: Window | undefined;
  /** What the worker makes of it. */
  #coming: Window | undefined;
  /** What the worker has pinned last, from the pointer as it was then. */
  #pinned: Span | undefined;
  /** The host took pages away, or a fault showed that stage 1 has changed. */
  #stale = false;
  #tickNs = FIRST_TICK_NS;
  #tickAtNs = Number.POSITIVE_INFINITY;
  /** PMBPTR at the last look, and when that was; then bytes a ns, the most of late. */
  #seen = { pointer: 0n, atNs: Number.POSITIVE_INFINITY };
  #rate = 0;
  /** What was seen to be written since all was given back. */
  #writtenBytes = 0;
  /** The worker is not asked before. */
  #restsUntilNs = 0;
  /** Of a small buffer as much as is known: what lies between the lowest pointer and the highest limit that were enabled. */
  #span: Span | undefined;
  /** The buffer as it was turned off, and when. */
  #off: { readonly buffer: SpeBuffer; readonly sinceNs: number } | undefined;

  constructor(state?: WindowState) {
    if (state === undefined) return;
    this.#now = state.now;
    this.#coming = state.coming;
    this.#pinned = state.pinned;
    this.#stale = state.stale;
    this.#tickNs = state.tickNs;
    this.#tickAtNs = state.tickAtNs;
    this.#seen = state.seen;
    this.#rate = state.rate;
    this.#writtenBytes = state.writtenBytes;
    this.#restsUntilNs = state.restsUntilNs;
    this.#span = state.span;
    this.#off = state.off;
  }

  save(): WindowState {
    return {
      now: this.#now,
      coming: this.#coming,
      pinned: this.#pinned,
      stale: this.#stale,
      tickNs: this.#tickNs,
      tickAtNs: this.#tickAtNs,
      seen: this.#seen,
      rate: this.#rate,
      writtenBytes: this.#writtenBytes,
      restsUntilNs: this.#restsUntilNs,
      span: this.#span,
      off: this.#off,
    };
  }

  enabled(buffer: SpeBuffer, ctx: PolicyContext): EnableOutcome {
    this.#adopt(buffer, ctx);
    this.#seen = { pointer: buffer.pointer, atNs: ctx.nowNs };
    this.#span = spanOf(buffer, this.#span);
    const goesOn = !this.#stale && this.#ahead(buffer) > 0;
    if (!goesOn || this.#isShort(buffer, ctx)) {
      const outcome = this.#cover(buffer, ctx);
      if (outcome.kind !== "done") return outcome;
    }
    this.#setLimit(buffer, ctx);
    this.#askWorker(buffer, ctx);
    if (this.#reachesLimit(buffer)) this.#tickNs = MOST_TICK_NS;
    else if (!goesOn) this.#tickNs = FIRST_TICK_NS;
    this.#tickBy(ctx.nowNs + this.#tickNs, ctx);
    return DONE;
  }

  disabled(buffer: SpeBuffer, ctx: PolicyContext): void {
    this.#off = { buffer, sinceNs: ctx.nowNs };
    this.#look(buffer, ctx);
    if (buffer.pages > 0) this.#askWorker(buffer, ctx);
    this.#tickBy(ctx.nowNs + GRACE_NS, ctx);
  }

  /** The window was written up before it was moved on. */
  limitReached(buffer: SpeBuffer, ctx: PolicyContext): EnableOutcome {
    this.#look(buffer, ctx);
    this.#adopt(buffer, ctx);
    const outcome = this.#cover(buffer, ctx);
    if (outcome.kind !== "done") return outcome;
    this.#setLimit(buffer, ctx);
    this.#askWorker(buffer, ctx);
    this.#tickNs = LEAST_TICK_NS;
    this.#tickBy(ctx.nowNs + this.#tickNs, ctx);
    return DONE;
  }

  /** A record did not get through: what is held is not what stage 1 or the host has any more, and it may be more than this page. */
  faulted(ctx: PolicyContext): void {
    this.doubt(ctx);
    const { buffer } = ctx;
    if (buffer === undefined || buffer.pages <= 0 || this.#cover(buffer, ctx).kind !== "done") return;
    this.#setLimit(buffer, ctx);
    this.#askWorker(buffer, ctx);
  }

  /** The host took pages away, on whoever's time: the vCPU looks after it soon. */
  doubt(ctx: PolicyContext): void {
    this.#stale = true;
    this.#coming = undefined;
    this.#pinned = undefined;
    this.#tickBy(ctx.nowNs + LEAST_TICK_NS, ctx);
  }

  tick(ctx: PolicyContext): void {
    this.#tickAtNs = Number.POSITIVE_INFINITY;
    const { buffer } = ctx;
    if (buffer === undefined) {
      this.#tickWhileOff(ctx);
      return;
    }
    // A full buffer that the guest has not restarted yet.
    if (buffer.pages <= 0 || this.#now === undefined) return;
    this.#look(buffer, ctx);
    this.#adopt(buffer, ctx);
    // Where it cannot go on the guest is told when the hardware gets there.
    if (this.#isShort(buffer, ctx) && this.#cover(buffer, ctx).kind !== "done") return;
    this.#setLimit(buffer, ctx);
    this.#askWorker(buffer, ctx);
    this.#tickNs = this.#longerTickNs(buffer);
    this.#tickBy(Math.min(ctx.nowNs + this.#tickNs, this.#walkedNs() + MOST_TICK_NS), ctx);
  }

  /** What the vCPU's worker does: `tag` is what it was asked for. */
  work(tag: string, worker: PolicyContext): void {
    const startNs = worker.nowNs;
    if (tag === RELEASE) {
      // The guest may have turned its buffer on since.
      if (worker.buffer === undefined) worker.unpin(worker.pinned);
      return;
    }
    const buffer = worker.buffer ?? this.#off?.buffer;
    if (buffer === undefined || buffer.pages <= 0 || this.#now === undefined) return;
    const whole = this.#whole(worker);
    // No more at a time than of a large buffer, where the pointer is: a short session pays for little that it does not write.
    const held =
      whole === undefined ||
      whole.pages > Math.min(LEAST_AHEAD_PAGES, AHEAD_OF_WRITTEN * this.#writtenPages())
        ? hold(this.#wantedPages(), buffer, worker)
        : hold(whole.pages, whole, worker);
    if (held !== undefined) {
      this.#coming = held;
      if (worker.pinned.pages > (whole?.pages ?? 0) + KEPT_PAGES)
        worker.unpin(worker.pinned.minus(held.walk.all));
    }
    this.#restsUntilNs = worker.nowNs + WORKER_RESTS * (worker.nowNs - startNs);
  }

  #tickWhileOff(ctx: PolicyContext): void {
    if (this.#off === undefined) return;
    const { buffer, sinceNs } = this.#off;
    if (ctx.nowNs >= sinceNs + GRACE_NS) {
      this.#now = undefined;
      this.#coming = undefined;
      this.#pinned = undefined;
      this.#span = undefined;
      this.#writtenBytes = 0;
      ctx.background(RELEASE);
      return;
    }
    if (buffer.pages > 0) {
      this.#askWorker(buffer, ctx);
      // It was in vain: a guest that switches often is not to pay for one after the other.
      this.#tickNs = this.#longerTickNs(buffer);
    }
    this.#tickBy(sinceNs + GRACE_NS, ctx);
  }

  /**
   * Walks stage 1 from the pointer on, and maps what of the window is not: as far as it reached, or as much as is written before
   * long. Whatever the worker does, the SPU has somewhere to write; and an edit of the tables is found.
   */
  #cover(buffer: SpeBuffer, ctx: PolicyContext): EnableOutcome {
    const held = this.#stale || this.#ahead(buffer) === 0 ? undefined : this.#now;
    const pages = Math.max(this.#ahead(buffer), this.#mappedPages());
    const startNs = ctx.nowNs;
    const outcome = this.#coverPages(pages, held, buffer, ctx);
    if (outcome.kind !== "done" || this.#writtenBytes > 0 || pages >= MOST_FIRST_PAGES) return outcome;
    return ctx.nowNs - startNs > LITTLE_NS
      ? outcome
      : this.#coverPages(MOST_FIRST_PAGES, this.#now, buffer, ctx);
  }

  /** The first pages from the pointer on. @param held what is mapped already */
  #coverPages(pages: number, held: Window | undefined, buffer: SpeBuffer, ctx: PolicyContext): EnableOutcome {
    const walk = walkAhead(pages, buffer, ctx);
    if (walk.kind !== "walked") return walk;
    const unheld = held === undefined ? walk.all : walk.all.minus(held.walk.all);
    // What is pinned was mapped by the worker, and stays so unless somebody says otherwise.
    const missing = this.#stale ? unheld : unheld.minus(ctx.pinned);
    if (!missing.isEmpty) {
      const mapped = ctx.map(missing);
      if (mapped.kind !== "done") return mapped;
    }
    this.#stale = false;
    this.#now = windowOf(walk, ctx.nowNs);
    return DONE;
  }

  /** How many pages from the pointer on the vCPU keeps mapped. */
  #mappedPages(): number {
    const soon = Math.ceil((this.#rate * MAPPED_AHEAD_NS) / PAGE_BYTES);
    const most = Math.min(MOST_MAPPED_PAGES, AHEAD_OF_WRITTEN * this.#writtenPages());
    return Math.max(FIRST_PAGES, Math.min(most, soon));
  }

  /**
   * Whether the vCPU has to walk and map: too little is mapped ahead, or the guest's own limit is near and not reached, or stage 1 was
   * not looked at for long.
   */
  #isShort(buffer: SpeBuffer, ctx: PolicyContext): boolean {
    const ahead = this.#ahead(buffer);
    const mapped = this.#mappedPages();
    const tooLittle = buffer.pages <= mapped ? ahead < buffer.pages : 2 * ahead < mapped;
    return this.#stale || tooLittle || ctx.nowNs - this.#walkedNs() >= MOST_TICK_NS;
  }

  /** When stage 1 was last walked for what the hardware may write to now. */
  #walkedNs(): number {
    return this.#now?.atNs ?? 0;
  }

  #writtenPages(): number {
    return Math.ceil(this.#writtenBytes / PAGE_BYTES);
  }

  /**
   * Asks the worker to pin, unless all that it would is pinned, or it has its rest. A guest that writes nothing gets no work out of it.
   */
  #askWorker(buffer: SpeBuffer, ctx: PolicyContext): void {
    const held = this.#now;
    if (held === undefined || this.#coming !== undefined || ctx.nowNs < this.#restsUntilNs) return;
    if (this.#writtenBytes === 0) return;
    const isPinned = ctx.pinned.covers(held.walk.all);
    const ahead = Math.max(isPinned ? this.#ahead(buffer) : 0, leftOf(this.#pinned, buffer));
    // What is pinned is moved on when half of it is used up.
    if (2 * ahead >= Math.min(this.#wantedPages(), buffer.pages)) return;
    ctx.background(PIN);
  }

  /** How many pages from the pointer on the worker keeps pinned: beyond 128 no more than were written: a guest gets little more work out of it than it does. */
  #wantedPages(): number {
    const soon = Math.min(MOST_AHEAD_PAGES, Math.ceil((this.#rate * AHEAD_NS) / PAGE_BYTES));
    const written = this.#writtenPages();
    return Math.min(
      AHEAD_OF_WRITTEN * written,
      Math.max(LEAST_AHEAD_PAGES, written),
      Math.max(LEAST_AHEAD_PAGES, soon),
    );
  }

  /** All that is known of the guest's buffer, if that is small enough to stay pinned as a whole. */
  #whole({ maxBufferPages }: PolicyContext): SpeBuffer | undefined {
    // One that nothing is written to is pinned no sooner than a large one.
    if (this.#span === undefined || this.#writtenBytes === 0) return undefined;
    const { from, to } = this.#span;
    if (to - from > maxBufferPages) return undefined;
    return {
      pointer: BigInt(from) << 12n,
      limit: BigInt(to) << 12n,
      firstPage: from,
      pages: to - from,
    };
  }

  /** What the worker has finished by now is the hardware's, if the pointer is in it. */
  #adopt(buffer: SpeBuffer, ctx: PolicyContext): void {
    const ready = this.#coming;
    if (ready === undefined || ready.atNs > ctx.nowNs) return;
    this.#coming = undefined;
    const { firstPage } = buffer;
    if (this.#stale || firstPage < ready.from || firstPage >= ready.to) return;
    // The host may have taken pages away since.
    if (!ctx.pinned.covers(ready.walk.all)) return;
    this.#pinned = { from: ready.from, to: ready.to };
    // The vCPU has mapped more than that.
    if (this.#now !== undefined && ready.to <= this.#now.to && this.#ahead(buffer) > 0) return;
    this.#now = ready;
    ctx.report(ready.walk);
  }

  /** Sees how fast the buffer is written. */
  #look(buffer: SpeBuffer, ctx: PolicyContext): void {
    const writtenBytes = Number(buffer.pointer - this.#seen.pointer);
    const passedNs = ctx.nowNs - this.#seen.atNs;
    this.#seen = { pointer: buffer.pointer, atNs: ctx.nowNs };
    if (passedNs <= 0 || writtenBytes <= 0) return;
    this.#writtenBytes += writtenBytes;
    this.#rate = Math.max(this.#rate * 0.9, writtenBytes / passedNs);
  }

  /** The window has reached the guest's own limit: there is nothing more to do than to look at stage 1. */
  #reachesLimit(buffer: SpeBuffer): boolean {
    return this.#ahead(buffer) >= buffer.pages;
  }

  /** The time to the next look: twice the last, unless the window is written up before. */
  #longerTickNs(buffer: SpeBuffer): number {
    return Math.min(MOST_TICK_NS, 2 * this.#tickNs, this.#restNs(buffer));
  }

  /** How long the vCPU may run on without a look: until half of the window is written up. */
  #restNs(buffer: SpeBuffer): number {
    const ahead = this.#ahead(buffer);
    if (this.#rate === 0 || this.#reachesLimit(buffer)) return MOST_TICK_NS;
    return Math.max(LEAST_TICK_NS, (ahead * PAGE_BYTES) / this.#rate / 2);
  }

  /** Pages from the pointer to the end of the window; 0 where it lies elsewhere. */
  #ahead(buffer: SpeBuffer): number {
    return leftOf(this.#now, buffer);
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

/** Pages from the buffer's pointer to the end of a span; 0 where it lies elsewhere. */
const leftOf = (span: Span | undefined, { firstPage }: SpeBuffer): number =>
  span !== undefined && firstPage >= span.from && firstPage < span.to ? span.to - firstPage : 0;

/**
 * What is known of a small buffer's extent, with one more stretch of it: Linux enables half of a buffer at a time.
 * @returns undefined for a buffer that is not small
 */
function spanOf({ firstPage, pages }: SpeBuffer, before: Span | undefined): Span | undefined {
  if (2 * pages > WHOLE_PAGES) return undefined;
  const own = { from: firstPage, to: firstPage + pages };
  if (before === undefined) return own;
  const both = { from: Math.min(own.from, before.from), to: Math.max(own.to, before.to) };
  return both.to - both.from <= WHOLE_PAGES ? both : own;
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
 * where they cannot be had: they stay mapped then, as far as they are.
 */
function hold(pages: number, buffer: SpeBuffer, ctx: PolicyContext): Window | undefined {
  const walk = walkAhead(pages, buffer, ctx);
  if (walk.kind !== "walked") return undefined;
  const missing = walk.all.minus(ctx.pinned);
  // The maximum buffer may be pinned, and tables.
  if (ctx.pinned.pages + missing.pages > ctx.maxBufferPages + walk.tables.pages)
    ctx.unpin(ctx.pinned.minus(walk.all));
  if (ctx.pin(missing).kind !== "done") return undefined;
  if (ctx.map(missing).kind === "done") return windowOf(walk, ctx.nowNs);
  ctx.unpin(missing);
  return undefined;
}

const windowOf = (walk: BufferWalk, atNs: number): Window => ({
  walk,
  from: walk.buffer.firstPage,
  to: walk.buffer.firstPage + walk.buffer.pages,
  atNs,
});

export const adaptive: PinPolicy = {
  name: "adaptive",
  summary:
    "Keeps a small window ahead of PMBPTR mapped, has a host worker pin it, and lets go when the buffer was off for 100 ms.",
  origin:
    "An answer to James Clark's question of 9 January 2026 (reply to v6 29/35); built from what was measured here.",
  tradeOff:
    "A switch costs its traps and little else, and a small part of the buffer is pinned, whatever its size. The vCPU maps, and " +
    "a host worker pins, which rests three times as long as it has worked: where it is late, or records are so many that this is " +
    "too little, pages are mapped and not pinned, and the host may take them. A guest that edits stage 1 while its buffer is on is " +
    "found out at the next look, 2.5 ms later at most, or by a fault: until then it may lose records of its own.",
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
        of(ctx).faulted(ctx);
        return outcome;
      },
      onInvalidated: (_first, _pages, _event, ctx) => of(ctx).doubt(ctx),
      onTimer: (_tag, ctx) => of(ctx).tick(ctx),
      onBackground: (tag, worker) => of(worker).work(tag, worker),
      save: () => new Map([...windows].map(([vcpu, window]) => [vcpu, window.save()])),
      restore(state) {
        for (const [vcpu, saved] of state as ReadonlyMap<number, WindowState>)
          windows.set(vcpu, new VcpuWindow(saved));
      },
    };
  },
};
