import type { PinPolicy } from "../policy.ts";

export const prefault: PinPolicy = {
  name: "prefault",
  summary: "Fills all of stage 2 before the first guest run, from guest_memfd, and never lets it go.",
  origin: "RFC v7, 3 September 2026 (20260903160623.315525-1), with KVM_PRE_FAULT_MEMORY for arm64.",
  tradeOff:
    "No trap, no walk and no blackout while the guest runs. All of the VM's memory is resident for the VM's " +
    "whole life, profiled or not, and cannot be swapped, merged or moved; starting takes longer.",
  trapsBuffer: false,
  backing: "guest-memfd",
  create: () => ({
    onVmStart(ctx) {
      ctx.prefault();
      return undefined;
    },
  }),
};
