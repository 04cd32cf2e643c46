import { hold } from "../hold.ts";
import type { PinPolicy } from "../policy.ts";

export const untilChanged: PinPolicy = {
  name: "until-changed",
  summary: "Keeps the pins while the buffer is off; at an enable, walks again and pins only what changed.",
  origin:
    'James Clark, 9 January 2026, reply to v6 29/35: "is there some kind of heuristic you can add to prevent ' +
    'pinning and unpinning unless something actually changes?"',
  tradeOff:
    "One pin for a whole session, a walk of the guest's tables at each enable. Half a buffer stays pinned after " +
    "profiling ended, until another enable does not need it or the VM ends.",
  trapsBuffer: true,
  create: () => ({
    onBufferEnabled(buffer, ctx) {
      const walk = ctx.walk(buffer);
      if (walk.kind !== "walked") return walk;
      // A real head moves with every record: a range inside of what is held is no change.
      if (!ctx.pinned.covers(walk.all)) ctx.unpin(ctx.pinned.minus(walk.all));
      return hold(walk, ctx);
    },
  }),
};
