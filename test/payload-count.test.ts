/**
 * Instructions by exception level, to the last one: EL0 code of a known length under interrupts and faults. QEMU counts by
 * its clock, so there is nothing to compare with.
 */
import { expect, it } from "vitest";
import { describePayload, underHypervisor } from "./payload/bare-metal.ts";

/** 25,000 turns of four instructions, and SVC. */
const AT_EL0 = 100_001;

describePayload("the payload that counts", "count", (image) => {
  it("counts each instruction once, where it was executed", { timeout: 120_000 }, () => {
    const measured = (what: string, interrupts: string): string[] => [
      what,
      `EL0: ${AT_EL0}`,
      "EL1 too many: 0",
      "cycles too many: 0",
      // The SVC, and the return to EL0 at first.
      "exceptions but interrupts and faults: 1",
      "returns but of exceptions: 2",
      `${interrupts} interrupts`,
      "faults: 1",
    ];
    expect(underHypervisor(image()).text.split("\n")).toEqual([
      ...measured("without a timer", "no"),
      ...measured("every 31 ticks", "many"),
      ...measured("every 9 ticks", "many"),
      "done",
      "",
    ]);
  });
});
