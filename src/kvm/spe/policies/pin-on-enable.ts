import { hold } from "../hold.ts";
import type { PinPolicy } from "../policy.ts";

export const pinOnEnable: PinPolicy = {
  name: "pin-on-enable",
  summary: "Pins [PMBPTR, LIMIT) and its stage-1 tables at every enable and unpins them at every disable.",
  origin: "Alexandru Elisei, RFC v6 29/35, 14 November 2025, as James Clark measured it on 9 January 2026.",
  tradeOff:
    "Complete profiles, and nothing held while profiling is off. Linux toggles the buffer at each context " +
    "switch, so each switch costs a pin and an unpin of half the buffer: the bigger the buffer, the slower.",
  trapsBuffer: true,
  create: () => ({
    onBufferEnabled(buffer, ctx) {
      ctx.unpin(ctx.pinned);
      const walk = ctx.walk(buffer);
      if (walk.kind !== "walked") return walk;
      return hold(walk, ctx);
    },
    onBufferDisabled(_buffer, ctx) {
      ctx.unpin(ctx.pinned);
    },
  }),
};
