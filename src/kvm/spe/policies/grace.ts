import { hold } from "../hold.ts";
import type { PinPolicy } from "../policy.ts";

/** How long a buffer may be off and keep its pins, where nothing else is said. */
const GRACE_NS = 100_000_000;

/** Keeps pins for `graceNs` after the buffer was turned off. */
export const graceOf = (graceNs: number): PinPolicy => ({
  name: "grace",
  summary: `Pins as v6 does, and unpins only when the buffer has been off for ${graceNs / 1e6} ms.`,
  origin:
    "The usual remedy for a resource that is taken and given back too often; nobody has proposed it on the list.",
  tradeOff:
    "One pin for as long as the guest keeps profiling, a walk of the guest's tables at each enable, and everything given " +
    "back soon after. The first enable still pins half the buffer at once, while its vCPU waits.",
  trapsBuffer: true,
  create: () => ({
    onBufferEnabled(buffer, ctx) {
      const walk = ctx.walk(buffer);
      if (walk.kind !== "walked") return walk;
      ctx.unpin(ctx.pinned.minus(walk.all));
      return hold(walk, ctx);
    },
    onBufferDisabled(_buffer, ctx) {
      // Armed again at each disable, so that it goes off only when the last one is that long ago.
      if (!ctx.pinned.isEmpty) ctx.armTimer(ctx.nowNs + graceNs, "off");
    },
    onTimer(_tag, ctx) {
      if (ctx.buffer === undefined) ctx.background("give back");
    },
    onBackground(_tag, worker) {
      // The guest may have turned it on since.
      if (worker.buffer === undefined) worker.unpin(worker.pinned);
    },
  }),
});

export const grace = graceOf(GRACE_NS);
