import { hold } from "../hold.ts";
import { DONE, type EnableOutcome, type PinPolicy, type PolicyContext, type SpeBuffer } from "../policy.ts";

export interface WindowOptions {
  /** Pages kept pinned ahead of PMBPTR. */
  readonly pages: number;
  /** How often a running vCPU is stopped to move the window on. */
  readonly everyNs: number;
}

/** Pins a window of a fixed size ahead of PMBPTR. */
export const windowOf = ({ pages, everyNs }: WindowOptions): PinPolicy => {
  /** Pins the window at the pointer and puts the hardware's limit at its end. */
  const moveTo = (buffer: SpeBuffer, ctx: PolicyContext): EnableOutcome => {
    // A buffer that KVM has refused as too large is still the guest's when the timer goes off.
    const end = buffer.firstPage + Math.min(pages, buffer.pages, ctx.maxBufferPages);
    const limit = BigInt(end) << 12n;
    const walk = ctx.walk({ ...buffer, limit, pages: end - buffer.firstPage });
    if (walk.kind !== "walked") return walk;
    ctx.unpin(ctx.pinned.minus(walk.all));
    const outcome = hold(walk, ctx);
    if (outcome.kind !== "done") return outcome;
    ctx.setHardwareLimit(limit < buffer.limit ? limit : undefined);
    return DONE;
  };
  return {
    name: "window",
    summary: `Pins ${pages} pages ahead of PMBPTR and moves on before they are written: the hardware's limit lies below the guest's.`,
    origin: 'The "sliding window" among the open questions; nobody has built it.',
    tradeOff:
      "Pins a small part of the buffer, whatever its size. Every move stops the vCPU for a walk and some pins, and a " +
      "window that is written up before it moves is a blackout.",
    trapsBuffer: true,
    create: () => ({
      onBufferEnabled(buffer, ctx) {
        const outcome = moveTo(buffer, ctx);
        if (outcome.kind === "done") ctx.armTimer(ctx.nowNs + everyNs, "move");
        return outcome;
      },
      onHardwareLimit: moveTo,
      onTimer(_tag, ctx) {
        // A buffer that cannot go on is told to the guest when the hardware gets there.
        if (ctx.buffer === undefined || ctx.buffer.pages <= 0) return;
        moveTo(ctx.buffer, ctx);
        ctx.armTimer(ctx.nowNs + everyNs, "move");
      },
      onBufferDisabled: (_buffer, ctx) => ctx.unpin(ctx.pinned),
    }),
  };
};

export const window = windowOf({ pages: 256, everyNs: 1_000_000 });
