/**
 * Registers that have little in them, bits of SCTLR_EL1 and PMCR_EL0 that are what they are, software increments and stalls of
 * the PMU, and PL031's identification, by a bare-metal program here and on QEMU.
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
      "QEMU's Cortex-A76 has AArch32 at EL0, and keeps what is written to bits that it does not use. Arm DDI 0601, SCTLR_EL1, for a " +
      "PE without AArch32, FEAT_ExS and FEAT_CSV2_2: ITD, SED, EOS, TSCXT, EIS, nTLSMD and LSMAOE are RES1, CP15BEN, nAA and IESB " +
      "without their features RES0.",
    lines: [
      ["ones to SCTLR_EL1's absent bits", "30500980", "307009e0"],
      ["zeros to SCTLR_EL1's absent bits", "30500980", "0"],
    ],
  },
  {
    why: "Arm DDI 0601, PMCR_EL0: in a PE without AArch32 LC is RES1 and D is RES0.",
    lines: [
      ["PMCR_EL0.LC and D of zeros", "40", "0"],
      ["PMCR_EL0.LC and D of ones", "40", "48"],
    ],
  },
  {
    why: "QEMU counts no instructions without -icount, so it has no INST_RETIRED; and CHAIN it has none.",
    lines: [["PMCEID0_EL0", "40020101", "20001"]],
  },
  {
    why: "QEMU's STALL_FRONTEND is always 0. Here an exception takes 16 cycles in which no instruction is executed.",
    lines: [["STALL_FRONTEND of two exceptions", "20", "0"]],
  },
];

describePayload("the payload of registers", "registers", (image) => {
  it("prints here what it prints on QEMU, but where QEMU is another", { timeout: 120_000 }, () => {
    const ours = underHypervisor(image());
    expect(ours.text.split("\n")).toEqual(withDifferences(onQemu(image()), DIFFERENCES));
    expect(ours.text).toMatch(/done\n$/);
  });
});
