import type { PinPolicy } from "../policy.ts";

export const trapOnly: PinPolicy = {
  name: "trap-only",
  summary: "Traps the buffer registers as v6 does and does nothing else: the hardware never profiles.",
  origin: "A reference, not a proposal: the floor that every policy pays that traps (RFC v6, E2PB = 0b10).",
  tradeOff:
    "Costs the traps and nothing else. The profile is empty: one long blackout that the guest is not told of.",
  trapsBuffer: true,
  neverProfiles: true,
  create: () => ({
    onBufferEnabled: () => ({ kind: "withheld" }),
  }),
};
