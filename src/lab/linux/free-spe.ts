/**
 * The VM with free SPE: what a policy's slowdown counts against. The same hypervisor, stage 2 mapped before, exits and devices
 * at the same cost; but nothing of SPE's is trapped, pinned or walked, and its interrupts cost their exit alone. What is left of
 * a policy's time over this one's is what its SPE costs.
 */
import { DONE, type PinPolicy } from "../../kvm/spe/policy.ts";

/** No policy for anybody's VM, so it is in no list: it counts on memory that is mapped already. */
export const FREE_SPE: PinPolicy = {
  name: "free-spe",
  summary: "Nothing is trapped or pinned: the guest owns the buffer, in memory that is all mapped.",
  origin: "A reference, not a proposal: the VM itself, without what its SPE costs.",
  tradeOff:
    "Nothing to pay. Where the host takes a page away there is a blackout until the page is mapped again.",
  trapsBuffer: false,
  create: () => ({
    onBufferEnabled: () => DONE,
    onStage2Fault: (at, ctx) => ctx.mapFault(at),
  }),
};
