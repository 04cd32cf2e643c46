/**
 * Registers that have little in them, bits of SCTLR_EL1 and PMCR_EL0 that are what they are, software increments and stalls of
 * the PMU, and PL031's identification, by a bare-metal program here and on QEMU. What says so, where both print the same:
 *
 * - SCTLR_EL1.SA and SA0 out of reset: UNKNOWN to the architecture; 1, as KVM's vCPUs have them (sys_reg_descs).
 * - LORID_EL1 (read-only; no regions and no descriptors, and then LORSA_EL1, LOREA_EL1,
 *   LORN_EL1 and LORC_EL1 are RES0) and ACTLR_EL1 (IMPLEMENTATION DEFINED, and there): Arm DDI 0601, each by its name.
 * - PMSWINC_EL0 increments the counters of SW_INCR that count at this level, as PMEVTYPER<n>_EL0.P and U say of any event:
 *   Arm DDI 0601, each by its name.
 * - STALL_FRONTEND and STALL_BACKEND are required from FEAT_PMUv3p1 on: Arm ARM, the Performance Monitors' common events.
 * - PL031's identification: Arm DDI 0224, tables 3-11 and 3-12.
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
    why:
      "Arm DDI 0601, PMCR_EL0: LC and D are there when AArch32 is; else LC is RES1 and D is RES0 (and of PMCFGR.CCD, which says " +
      "whether D is: it is RAZ without AArch32). With LC 1 a D would be ignored.",
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
