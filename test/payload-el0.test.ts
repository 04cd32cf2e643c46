/** What EL1 allows EL0, or has trapped, by a bare-metal program that prints the same here and on QEMU. */
import { expect, it } from "vitest";
import { describePayload, onQemu, underHypervisor } from "./payload/bare-metal.ts";

/**
 * ISS of MSR (immediate): op2 lies in bits 19:17 and op1 in 16:14 (AArch64.SystemAccessTrapSyndrome). QEMU has the two the
 * wrong way round (daif_check of target/arm/helper-a64.c, to 7.2 at least).
 */
const QEMU_SWAPS = [
  ["esr 620793e2", "esr 620cd3e2"],
  ["esr 6207d3f4", "esr 620ed3f4"],
] as const;
/**
 * The PMU without PMUSERENR_EL0.EN. Arm's own trap to EL1 (EC 0x18), which QEMU makes, comes before that to EL2 (MDCR_EL2.TPM).
 * But the guest's PMUSERENR_EL0 is not the hardware's: KVM has all of that set while the guest runs, so that EL0's accesses
 * reach EL2 (__activate_traps_common of arch/arm64/kvm/hyp/include/hyp/switch.h), and injects an UNDEFINED for what the guest
 * has not allowed (check_pmu_access_disabled of sys_regs.c). So does this hypervisor.
 */
const UNDER_KVM = [
  ["mrs x8, pmcr_el0: vector 8 esr 6230e519", "mrs x8, pmcr_el0: vector 8 esr 2000000"],
  ["msr pmswinc_el0, x3: vector 8 esr 6238e478", "msr pmswinc_el0, x3: vector 8 esr 2000000"],
] as const;

describePayload("the payload at EL0", "el0", (image) => {
  it("prints here what it prints on QEMU", { timeout: 120_000 }, () => {
    const ours = underHypervisor(image());
    const theirs = [...QEMU_SWAPS, ...UNDER_KVM].reduce(
      (text, [there, here]) => text.replace(there, here),
      onQemu(image()),
    );
    expect(ours.text.split("\n")).toEqual(theirs.split("\n"));
    expect(ours.text).toMatch(/done\n$/);
  });
});
