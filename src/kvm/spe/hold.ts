import { type BufferWalk, DONE, type EnableOutcome, type PolicyContext } from "./policy.ts";

/** Pins and maps those pages of a walk that are not pinned yet, and reports it: how most enables end. */
export function hold(walk: BufferWalk, ctx: PolicyContext): EnableOutcome {
  const missing = walk.all.minus(ctx.pinned);
  if (!missing.isEmpty) {
    const pinned = ctx.pin(missing);
    if (pinned.kind !== "done") return pinned;
    const mapped = ctx.map(missing);
    if (mapped.kind !== "done") return mapped;
  }
  ctx.report(walk);
  return DONE;
}
