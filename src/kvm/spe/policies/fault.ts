import { DONE, type PinPolicy } from "../policy.ts";

export const fault: PinPolicy = {
  name: "fault",
  summary: "Never pins. A record that does not translate stops the SPU, and its page is mapped then.",
  origin: "Marc Zyngier, 27 July 2022: do everything on stage-2 faults first, add heuristics later.",
  tradeOff:
    "Nothing to pay at a switch and nothing held. Each missing page is a blackout from the SPU's fault to its " +
    "interrupt, and whenever the host moves or unmaps a page there is another.",
  trapsBuffer: true,
  create: () => ({
    onBufferEnabled: () => DONE,
    onStage2Fault: (at, ctx) => ctx.mapFault(at),
  }),
};
