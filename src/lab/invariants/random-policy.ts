/**
 * A policy that asks for anything at any time: policies must be safe whatever they do. What the context refuses is
 * not held against it.
 */
import { type RandomStream, randomStream } from "../../common/random.ts";
import { PageSet } from "../../kvm/guest-pages.ts";
import {
  type BufferWalk,
  DONE,
  type EnableOutcome,
  type PinPolicy,
  type PolicyContext,
  PolicyRefused,
  type SpeBuffer,
} from "../../kvm/spe/policy.ts";

/** A part of a set, as a policy may make one. */
function partOf(set: PageSet, random: RandomStream): PageSet {
  if (random.integer(0, 3) > 0 || set.isEmpty) return set;
  const first = random.integer(0, set.pages);
  const last = random.integer(first, set.pages);
  let at = 0;
  return PageSet.of(
    set.runs.map(({ list, from, to }) => {
      const start = at - from;
      at += to - from;
      const within = (place: number): number => Math.min(to, Math.max(from, place - start));
      return { list, from: within(first), to: within(last) };
    }),
  );
}

/** Now and then more than the guest asked for: what lies around the buffer. */
function wider(buffer: SpeBuffer, random: RandomStream): SpeBuffer {
  if (random.integer(0, 1) > 0) return buffer;
  const some = (): number => (random.integer(0, 1) === 0 ? 0 : random.integer(1, 300));
  const before = Math.min(buffer.firstPage, some());
  const pages = Math.min(2_000, buffer.pages + before + some());
  const firstPage = buffer.firstPage - before;
  return { pointer: BigInt(firstPage) << 12n, limit: BigInt(firstPage + pages) << 12n, firstPage, pages };
}

/** What the policy does, with what it remembers. */
class Whims {
  readonly #random: RandomStream;
  buffer: SpeBuffer | undefined;
  #walk: BufferWalk | undefined;
  #timers = 0;

  constructor(seed: number) {
    this.#random = randomStream(seed);
  }

  /** True once in `times`. */
  onceIn(times: number): boolean {
    return this.#random.integer(0, times - 1) === 0;
  }

  /** Asks for a few things; what is refused is not held against it. */
  some(ctx: PolicyContext): void {
    for (let n = this.#random.integer(0, 4); n > 0; n--)
      try {
        this.#anything(ctx);
      } catch (error) {
        if (!(error instanceof PolicyRefused)) throw error;
      }
  }

  /** As a policy that wants to report would. */
  orderly(ctx: PolicyContext): EnableOutcome {
    if (this.buffer === undefined) return DONE;
    const found = ctx.walk(this.buffer);
    if (found.kind !== "walked") return found;
    this.#walk = found;
    ctx.unpin(ctx.pinned.minus(found.all));
    // Both together may be more than it may hold.
    ctx.bounce(undefined);
    const pinned = ctx.pin(found.all);
    if (pinned.kind !== "done") return pinned;
    const mapped = ctx.map(found.all);
    if (mapped.kind !== "done") return mapped;
    ctx.report(found);
    return DONE;
  }

  #anything(ctx: PolicyContext): void {
    const random = this.#random;
    const { buffer } = this;
    const walk = this.#walk;
    switch (random.integer(0, 13)) {
      case 0:
      case 1: {
        const found = buffer === undefined ? undefined : ctx.walk(wider(buffer, random));
        if (found?.kind === "walked") this.#walk = found;
        return;
      }
      case 2:
      case 3:
      case 4:
        if (walk !== undefined) ctx.pin(partOf(walk.all, random));
        return;
      case 5:
      case 6:
        if (walk !== undefined) ctx.map(partOf(walk.all, random));
        return;
      case 7:
      case 8:
        if (walk !== undefined) ctx.report(walk);
        return;
      case 9:
        ctx.unpin(partOf(ctx.pinned, random));
        return;
      case 10:
        if (buffer !== undefined) ctx.setHardwareLimit(limitNear(buffer, random));
        return;
      case 11:
        if (random.integer(0, 3) === 0) ctx.trapBuffer(random.integer(0, 1) === 0);
        else if (random.integer(0, 1) === 0) ctx.resume();
        else if (this.#timers++ < 8)
          ctx.armTimer(ctx.nowNs + random.integer(0, 20_000), `timer ${this.#timers}`);
        return;
      case 12:
        ctx.bounce(random.integer(0, 2) === 0 ? undefined : random.integer(1, random.integer(2, 40)));
        return;
      default:
        ctx.background("some");
    }
  }
}

/** A limit in or beside the buffer, now and then not at a page; or the guest's. */
function limitNear(buffer: SpeBuffer, random: RandomStream): bigint | undefined {
  if (random.integer(0, 2) === 0) return undefined;
  const page = buffer.firstPage + random.integer(-1, Math.min(buffer.pages, 100) + 1);
  return (BigInt(page) << 12n) + (random.integer(0, 9) === 0 ? 64n : 0n);
}

export function randomPolicy(seed: number): PinPolicy {
  return {
    name: "random",
    summary: "Asks for anything at any time.",
    origin: "The property tests of the invariants.",
    tradeOff: "None.",
    trapsBuffer: seed % 5 !== 0,
    create() {
      const whims = new Whims(seed);
      const some = (ctx: PolicyContext): void => whims.some(ctx);
      return {
        onBufferEnabled(enabled, ctx) {
          whims.buffer = enabled;
          some(ctx);
          const outcome = whims.onceIn(3) ? DONE : whims.orderly(ctx);
          some(ctx);
          return whims.onceIn(10) ? { kind: "withheld" } : outcome;
        },
        onBufferDisabled: (_buffer, ctx) => some(ctx),
        onBufferFull: (_buffer, ctx) => some(ctx),
        onHardwareLimit(_buffer, ctx) {
          some(ctx);
          return whims.onceIn(2) ? whims.orderly(ctx) : DONE;
        },
        onStage2Fault(fault, ctx) {
          some(ctx);
          return whims.onceIn(10) ? DONE : ctx.mapFault(fault);
        },
        onInvalidated: (_first, _pages, _event, ctx) => some(ctx),
        onVcpuLoad: some,
        onVcpuPut: some,
        onGuestExit: (_reason, ctx) => {
          if (whims.onceIn(8)) some(ctx);
        },
        onTimer: (_tag, ctx) => some(ctx),
        onBackground: (_tag, ctx) => some(ctx),
      };
    },
  };
}
