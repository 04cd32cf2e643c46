import { hold } from "../hold.ts";
import { DONE, type PinPolicy, type SpeBuffer } from "../policy.ts";

export const unpinOnNext: PinPolicy = {
  name: "unpin-on-next",
  summary:
    "Pins the buffer at an enable and lets it go when another is enabled: same PMBPTR and LIMIT, or all anew.",
  origin: "Alexandru Elisei, 27 July and 2 August 2022: unpin the old buffer when the next one is pinned.",
  tradeOff:
    "Nothing to do at a switch as long as nothing was recorded. Each record moves PMBPTR, and then the whole buffer is " +
    "unpinned and pinned again; it stays pinned after profiling ended, until another buffer or the end of the VM.",
  trapsBuffer: true,
  create() {
    const held = new Map<number, SpeBuffer>();
    return {
      onBufferEnabled(buffer, ctx) {
        const last = held.get(ctx.vcpu);
        if (last?.pointer === buffer.pointer && last.limit === buffer.limit) return DONE;
        ctx.unpin(ctx.pinned);
        held.delete(ctx.vcpu);
        const walk = ctx.walk(buffer);
        if (walk.kind !== "walked") return walk;
        const outcome = hold(walk, ctx);
        if (outcome.kind !== "done") return outcome;
        held.set(ctx.vcpu, buffer);
        return DONE;
      },
      save: () => held,
      restore(state) {
        for (const [vcpu, buffer] of state as typeof held) held.set(vcpu, buffer);
      },
      // What the host took away is not held any more: the next enable pins again.
      onInvalidated: (_first, _pages, _event, ctx) => void held.delete(ctx.vcpu),
    };
  },
};
