/**
 * What faults are reported as, by a bare-metal program here and on QEMU: ESR_EL1.WnR of atomic accesses ("0 where a read of the
 * address specified by the instruction would have generated the fault", Arm DDI 0601, ESR_EL1, ISS for a Data Abort; QEMU has it
 * so, too), cache maintenance by VA, and SP's alignment.
 */
import { expect, it } from "vitest";
import {
  type Difference,
  describePayload,
  onQemu,
  underHypervisor,
  withDifferences,
} from "./payload/bare-metal.ts";

const DIFFERENCES: readonly Difference[] = [
  {
    why:
      "QEMU 7.2 translates for DC CVAP only, as if it were a load. AArch64.DC translates all DC by VA while CLIDR_EL1.LoC and LoUU " +
      "are not 0 (DCInstNeedsTranslation); ESR_EL1.CM and WnR are 1 (AArch64.FaultSyndrome), FAR_EL1 is Xt; at EL1 only DC IVAC " +
      "needs a permission, to write, at EL0 all must be allowed to read (AArch64.S1CheckPermissions); PAN does not count " +
      "(CreateAccDescDC). The same holds for IC IVAU (AArch64.IC).",
    lines: [
      ["dc cvac, x3 of NOTHING + 0x48", "esr 96000147 at +0", "done"],
      ["dc cvau, x3 of NOTHING + 0x48", "esr 96000147 at +0", "done"],
      ["dc cvap, x3 of NOTHING + 0x48", "esr 96000147 at +0", "esr 96000007 at +fffffffffffffff8"],
      ["dc civac, x3 of NOTHING + 0x48", "esr 96000147 at +0", "done"],
      ["dc cvac, x3 of NOWHERE", "esr 96000145 at +0", "done"],
      ["dc cvau, x3 of NOWHERE", "esr 96000145 at +0", "done"],
      ["dc cvap, x3 of NOWHERE", "esr 96000145 at +0", "esr 96000005 at +0"],
      ["dc civac, x3 of NOWHERE", "esr 96000145 at +0", "done"],
      ["dc civac, x3 of NOT_ACCESSED", "esr 9600014b at +0", "done"],
      ["dc ivac, x3 of OURS_READ_ONLY + 0x10", "esr 9600014f at +0", "done"],
      ["dc ivac, x3 of NOTHING + 0x48", "esr 96000147 at +0", "done"],
      ["ic ivau, x3 of NOTHING + 0x48", "esr 96000147 at +0", "done"],
      ["PAN: dc cvap, x3 of OF_EL0", "done", "esr 9600000f at +0"],
      ["EL0: dc cvac, x3 of OURS", "esr 9200014f at +0", "done"],
      ["EL0: dc cvau, x3 of OURS", "esr 9200014f at +0", "done"],
      ["EL0: dc cvap, x3 of OURS", "esr 9200014f at +0", "esr 9200000f at +0"],
      ["EL0: dc civac, x3 of OURS", "esr 9200014f at +0", "done"],
      ["EL0: dc cvac, x3 of NOTHING + 8", "esr 92000147 at +0", "done"],
      ["EL0: dc cvau, x3 of NOTHING + 8", "esr 92000147 at +0", "done"],
      ["EL0: dc cvap, x3 of NOTHING + 8", "esr 92000147 at +0", "esr 92000007 at +fffffffffffffff8"],
      ["EL0: dc civac, x3 of NOTHING + 8", "esr 92000147 at +0", "done"],
      ["MMU off: dc civac, x3 of 1ul << 50", "esr 96000140 at +0", "done"],
    ],
  },
  {
    why: "QEMU checks no SP: CheckSPAlignment does where SCTLR_EL1.SA at EL1, and SA0 at EL0, is 1.",
    lines: [
      [
        "SA and SA0: msr spsel, #0; mov sp, x3;ldr x4, [sp]; msr spsel, #1 of OURS + 8",
        "esr 9a000000",
        "done",
      ],
      [
        "SA and SA0: msr spsel, #0; mov sp, x3;stp x6, x7, [sp, #-16]!; msr spsel, #1 of OURS + 24",
        "esr 9a000000",
        "done",
      ],
      [
        "SA and SA0: msr spsel, #0; mov sp, x3;ldr q0, [sp, #8]; msr spsel, #1 of OURS + 8",
        "esr 9a000000",
        "done",
      ],
      ["SA and SA0: EL0: mov sp, x3; ldr x4, [sp, #8] of OF_EL0 + 8", "esr 9a000000", "done"],
      [
        "SA and SA0: EL0: mov sp, x3; prfm pldl1keep, [sp]; str x4, [sp], #16 of OF_EL0 + 4",
        "esr 9a000000",
        "done",
      ],
      ["SA: msr spsel, #0; mov sp, x3;ldr x4, [sp]; msr spsel, #1 of OURS + 8", "esr 9a000000", "done"],
      [
        "SA: msr spsel, #0; mov sp, x3;stp x6, x7, [sp, #-16]!; msr spsel, #1 of OURS + 24",
        "esr 9a000000",
        "done",
      ],
      ["SA: msr spsel, #0; mov sp, x3;ldr q0, [sp, #8]; msr spsel, #1 of OURS + 8", "esr 9a000000", "done"],
      ["SA0: EL0: mov sp, x3; ldr x4, [sp, #8] of OF_EL0 + 8", "esr 9a000000", "done"],
      ["SA0: EL0: mov sp, x3; prfm pldl1keep, [sp]; str x4, [sp], #16 of OF_EL0 + 4", "esr 9a000000", "done"],
    ],
  },
];

describePayload("the payload of faults", "faults", (image) => {
  it("prints here what it prints on QEMU, but where QEMU is wrong", { timeout: 120_000 }, () => {
    const ours = underHypervisor(image());
    expect(ours.text.split("\n")).toEqual(withDifferences(onQemu(image()), DIFFERENCES));
    expect(ours.text).toMatch(/done\n$/);
  });
});
