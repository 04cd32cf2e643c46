/** Alignment, Device memory and devices, by a bare-metal program that prints the same here and on QEMU where QEMU is exact. */
import { expect, it } from "vitest";
import { describePayload, onQemu, underHypervisor } from "./payload/bare-metal.ts";

/** Alignment faults, as ESR_EL1 and how far from the operand FAR_EL1 is. QEMU 7.2 makes them for SCTLR_EL1.A only. */
const MISALIGNED = [
  "ldr x4, [x3, #4]: esr 96000021 at +4",
  "ldur w4, [x3, #2]: esr 96000021 at +2",
  "ldrsh x4, [x3, x4]: esr 96000021 at +0",
  "stur x4, [x3, #1]: esr 96000061 at +1",
  "ldp w4, w5, [x3]: esr 96000021 at +0",
  "ldp x4, x5, [x3]: esr 96000021 at +0",
  "ldp q0, q1, [x3]: esr 96000021 at +0",
  "ldur q0, [x3, #8]: esr 96000021 at +8",
  "ld1 {v0.8h}, [x3]: esr 96000021 at +0",
  "st3 {v0.2d-v2.2d}, [x3]: esr 96000061 at +0",
  "ld1 {v0.s}[1], [x3]: esr 96000021 at +0",
  "ld2r {v0.2d-v1.2d}, [x3]: esr 96000021 at +0",
];
/** What is otherwise on QEMU, or not there at all. */
const HERE = [
  // With the MMU off all data is Device-nGnRnE.
  ...MISALIGNED,
  // A RAM page with Device attributes. That the access is misaligned comes before its permissions (AArch64.S1Translate).
  ...MISALIGNED,
  "add x5, x3, #8; dc zva, x5: esr 96000061 at +0",
  "stur x4, [x3, #1]: esr 96000061 at +1",
  // The first byte in Device memory.
  "ldur x4, [x3, #4]: esr 96000021 at +8",
  "ldur w4, [x3, #0x16]: esr 96000021 at +16",
  // No ESR_EL2.ISV: KVM cannot carry these out on a device, and QEMU as its user space answers with an external abort.
  "ldp w4, w5, [x3, #0x18]: esr 96000010 at +18",
  "stp x4, x4, [x3, #0x40]: esr 96000050 at +40",
  "ldr w4, [x3], #4: esr 96000010 at +0",
  "ldr q0, [x3, #0x20]: esr 96000010 at +20",
  "ldr s0, [x3, #0x18]: esr 96000010 at +18",
  "ld1 {v0.s}[1], [x3]: esr 96000010 at +0",
  "ldxr w4, [x3]: esr 96000010 at +0",
  "stxr w4, w5, [x3]: esr 96000050 at +0",
  "ldadd w4, w5, [x3]: esr 96000010 at +0",
  "dc zva, x3: esr 96000061 at +0",
  // Nothing is stored where not all can be.
  "stp x4, x4, [x3]: esr 96000050 at +8",
  "stur x4, [x3, #4]: esr 96000061 at +8",
  "mov x4, x3: ffffffffffffffff",
  // PAR_EL1.SH of Device memory is outer shareable (PAREncodeShareability), whatever is behind the page.
  "at s1e1r, x3; isb; mrs x4, par_el1; bic x4, x4, #0x200: 9000900",
  "at s1e1w, x3; isb; mrs x4, par_el1; bic x4, x4, #0x200: c000900",
];

describePayload("the payload of memory", "memory", (image) => {
  it("prints here what it prints on QEMU, but what QEMU leaves out", { timeout: 120_000 }, () => {
    const ours = underHypervisor(image()).text.split("\n");
    const common = (lines: readonly string[]): string[] => lines.filter((line) => !line.startsWith("!"));
    expect(common(ours)).toEqual(common(onQemu(image()).split("\n")));
    expect(ours.filter((line) => line.startsWith("!"))).toEqual(HERE.map((line) => `! ${line}`));
    expect(ours.at(-2)).toBe("done");
  });
});
