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
  type SpeBuffer,
} from "../../kvm/spe/policy.ts";
import { PolicyRefused } from "../../kvm/spe/policy-context.ts";

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

export function randomPolicy(seed: number): PinPolicy {
  return {
    name: "random",
    summary: "Asks for anything at any time.",
    origin: "The property tests of the invariants.",
    tradeOff: "None.",
    trapsBuffer: seed % 5 !== 0,
    create() {
      const random = randomStream(seed);
      let buffer: SpeBuffer | undefined;
      let walk: BufferWalk | undefined;
      let timers = 0;

      const anything = (ctx: PolicyContext, depth = 0): void => {
        switch (random.integer(0, 13)) {
          case 0:
          case 1: {
            const found = buffer === undefined ? undefined : ctx.walk(wider(buffer, random));
            if (found?.kind === "walked") walk = found;
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
            if (buffer !== undefined)
              ctx.setHardwareLimit(
                random.integer(0, 2) === 0
                  ? undefined
                  : (BigInt(buffer.firstPage + random.integer(-1, Math.min(buffer.pages, 100) + 1)) << 12n) +
                      (random.integer(0, 9) === 0 ? 64n : 0n),
              );
            return;
          case 11:
            if (random.integer(0, 3) === 0) ctx.trapBuffer(random.integer(0, 1) === 0);
            else if (random.integer(0, 1) === 0) ctx.resume();
            else if (timers++ < 8) ctx.armTimer(ctx.nowNs + random.integer(0, 20_000), `timer ${timers}`);
            return;
          case 12:
            ctx.bounce(random.integer(0, 2) === 0 ? undefined : random.integer(1, random.integer(2, 40)));
            return;
          default:
            if (depth < 2) ctx.background((worker) => some(worker, depth + 1));
        }
      };

      const some = (ctx: PolicyContext, depth = 0): void => {
        for (let n = random.integer(0, 4); n > 0; n--)
          try {
            anything(ctx, depth);
          } catch (error) {
            if (!(error instanceof PolicyRefused)) throw error;
          }
      };

      /** As a policy that wants to report would. */
      const orderly = (ctx: PolicyContext): EnableOutcome => {
        if (buffer === undefined) return DONE;
        const found = ctx.walk(buffer);
        if (found.kind !== "walked") return found;
        walk = found;
        ctx.unpin(ctx.pinned.minus(found.all));
        // Both together may be more than it may hold.
        ctx.bounce(undefined);
        const pinned = ctx.pin(found.all);
        if (pinned.kind !== "done") return pinned;
        const mapped = ctx.map(found.all);
        if (mapped.kind !== "done") return mapped;
        ctx.report(found);
        return DONE;
      };

      return {
        onBufferEnabled(enabled, ctx) {
          buffer = enabled;
          some(ctx);
          const outcome = random.integer(0, 2) > 0 ? orderly(ctx) : DONE;
          some(ctx);
          return random.integer(0, 9) === 0 ? { kind: "withheld" } : outcome;
        },
        onBufferDisabled: (_buffer, ctx) => some(ctx),
        onBufferFull: (_buffer, ctx) => some(ctx),
        onHardwareLimit(_buffer, ctx) {
          some(ctx);
          return random.integer(0, 1) === 0 ? orderly(ctx) : DONE;
        },
        onStage2Fault(fault, ctx) {
          some(ctx);
          return random.integer(0, 9) > 0 ? ctx.mapFault(fault) : DONE;
        },
        onInvalidated: (_first, _pages, _event, ctx) => some(ctx),
        onVcpuLoad: (ctx) => some(ctx),
        onVcpuPut: (ctx) => some(ctx),
        onGuestExit: (_reason, ctx) => {
          if (random.integer(0, 7) === 0) some(ctx);
        },
        onTimer: (_tag, ctx) => some(ctx),
      };
    },
  };
}
