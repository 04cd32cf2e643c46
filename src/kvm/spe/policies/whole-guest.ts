import type { PinPolicy } from "../policy.ts";

export const wholeGuest: PinPolicy = {
  name: "whole-guest",
  summary: "Pins and maps all of guest memory before the first guest run, and never lets it go.",
  origin: "RFC v4 (August 2021) and v5 (November 2021): user space locks the memslots.",
  tradeOff:
    "No trap, no walk and no blackout while the guest runs, whatever it does with its tables. All of the VM's memory is " +
    "pinned for the VM's whole life and counts against memlock; starting takes a second for each GiB or so.",
  trapsBuffer: false,
  create: () => ({
    onVmStart: (ctx) => ctx.pinMemslots(),
  }),
};
