import { hold } from "../hold.ts";
import type { EnableOutcome, PinPolicy, PolicyContext, SpeBuffer } from "../policy.ts";

/** Pages kept pinned ahead of PMBPTR. */
const PAGES = 128;
/** So many at a time, or the vCPU is stopped for long. */
const AT_A_TIME = 32;
/** How often a running vCPU is stopped to move the window on. */
const EVERY_NS = 500_000;
/** Everything is given back when the buffer was off for so long. */
const GRACE_NS = 100_000_000;

/** Pins on from the pointer, at most so much at a time, unpins what lies behind it, and puts the hardware's limit at the end. */
function moveTo(buffer: SpeBuffer, ctx: PolicyContext): EnableOutcome {
  const ahead = (pages: number) =>
    ctx.walk({ ...buffer, limit: BigInt(buffer.firstPage + pages) << 12n, pages });
  let pages = Math.min(PAGES, buffer.pages, ctx.maxBufferPages);
  let walk = ahead(pages);
  if (walk.kind !== "walked") return walk;
  const missing = walk.all.minus(ctx.pinned).pages;
  if (missing > AT_A_TIME) {
    pages = Math.max(1, pages - missing + AT_A_TIME);
    walk = ahead(pages);
    if (walk.kind !== "walked") return walk;
  }
  ctx.unpin(ctx.pinned.minus(walk.all));
  const outcome = hold(walk, ctx);
  if (outcome.kind === "done") ctx.setHardwareLimit(pages < buffer.pages ? walk.buffer.limit : undefined);
  return outcome;
}

export const windowAhead: PinPolicy = {
  name: "window-ahead",
  summary: `As window, with ${PAGES} pages, of which the vCPU pins ${AT_A_TIME} at a time, and kept while the guest switches: without a worker.`,
  origin: "The simplest window that no worker can be late for; nobody has proposed it.",
  tradeOff:
    "Nothing can be late: what is written was pinned by the vCPU before. Pins, unpins and the timer's exits are all on the " +
    "vCPU's time, the more the more it records.",
  trapsBuffer: true,
  create: () => ({
    onBufferEnabled(buffer, ctx) {
      const outcome = moveTo(buffer, ctx);
      if (outcome.kind === "done") ctx.armTimer(ctx.nowNs + EVERY_NS, "move");
      return outcome;
    },
    onBufferDisabled: (_buffer, ctx) => ctx.armTimer(ctx.nowNs + GRACE_NS, "off"),
    onHardwareLimit: moveTo,
    onTimer(tag, ctx) {
      const { buffer } = ctx;
      if (tag === "off" && buffer === undefined) ctx.unpin(ctx.pinned);
      // A buffer that cannot go on is told to the guest when the hardware gets there.
      if (tag !== "move" || buffer === undefined || buffer.pages <= 0) return;
      moveTo(buffer, ctx);
      ctx.armTimer(ctx.nowNs + EVERY_NS, "move");
    },
  }),
};
