import type { PinPolicy } from "../policy.ts";

/** How long the guest's buffer may be off before the bounce buffer's memory is given back. */
const IDLE_NS = 100_000_000;

export interface BounceOptions {
  /** Pages of the bounce buffer of each vCPU. */
  readonly pages: number;
}

/** Has the SPU write to a buffer of KVM's own; KVM copies at each exit. */
export const bounceOf = ({ pages }: BounceOptions): PinPolicy => ({
  name: "bounce",
  summary: `Lets the SPU write to ${pages * 4} KiB of KVM's own memory, and copies the records to the guest at each exit.`,
  origin:
    "Discussed in November 2022 as an alternative to pinning; the objections were PMBIDR_EL1.P (which reads 1 without " +
    "FEAT_FGT), the copy, the memory and blackouts. Giving the memory back after 100 ms is this project's choice.",
  tradeOff:
    "Pins nothing of the guest's, walks only what was written, and a buffer of any size costs the same. Every record is " +
    "copied; a guest that writes more than the bounce buffer between two exits gets a blackout at its end; writes of " +
    "PMSCR_EL1 trap, too; and records for an address that stage 1 does not map are lost when it is too late to stop.",
  trapsBuffer: true,
  create: () => ({
    onBufferEnabled: (_buffer, ctx) => ctx.bounce(pages),
    // Armed again at each disable, so that it goes off only when the last one is that long ago.
    onBufferDisabled: (_buffer, ctx) => ctx.armTimer(ctx.nowNs + IDLE_NS, "off"),
    onTimer(_tag, ctx) {
      if (ctx.buffer === undefined) ctx.bounce(undefined);
    },
  }),
});

export const bounce = bounceOf({ pages: 16 });
