import type { PinPolicy } from "../policy.ts";

/** Pages of the bounce buffer of each vCPU. */
const PAGES = 64;
/** How often a running vCPU is stopped to copy. */
const COPY_NS = 1_000_000;
/** How long the guest's buffer may be off before the memory is given back. */
const IDLE_NS = 100_000_000;

export const bounceAhead: PinPolicy = {
  name: "bounce-ahead",
  summary: `As bounce, with ${PAGES * 4} KiB and a timer that has KVM copy every millisecond, before they are full.`,
  origin:
    "The design of November 2022 (bounce), mended where it loses records: nobody has proposed the timer.",
  tradeOff:
    "Pins nothing of the guest's and has no blackout below 256 MiB of records a second. The copies and the timer's exits " +
    "stop the vCPU, and what holds for bounce's traps and for addresses that stage 1 does not map holds here.",
  trapsBuffer: true,
  create: () => ({
    onBufferEnabled(_buffer, ctx) {
      const outcome = ctx.bounce(Math.max(2, Math.min(PAGES, ctx.maxBufferPages)));
      if (outcome.kind === "done") ctx.armTimer(ctx.nowNs + COPY_NS, "copy");
      return outcome;
    },
    onBufferDisabled: (_buffer, ctx) => ctx.armTimer(ctx.nowNs + IDLE_NS, "off"),
    onTimer(tag, ctx) {
      const isOn = ctx.buffer !== undefined;
      // The exit has copied already.
      if (tag === "copy" && isOn) ctx.armTimer(ctx.nowNs + COPY_NS, "copy");
      if (tag === "off" && !isOn) ctx.bounce(undefined);
    },
  }),
};
