/**
 * Breakpoints, watchpoints, software step and TLBI by address, by a bare-metal program that prints the same here and on
 * QEMU. What QEMU lacks (the OS lock's effect, TDCC, claim tags, unlinked context breakpoints) is in src/cpu/debug.test.ts.
 */
import { expect, it } from "vitest";
import type { Ending } from "../src/vmm/machine-loop.ts";
import type { VirtualMachine } from "../src/vmm/virtual-machine.ts";
import { describePayload, machineWith, onQemu, underHypervisor } from "./payload/bare-metal.ts";

/** In calls of `run`, each of which ends after some exits: in the middle of lines, and of everything else. */
const SNAPSHOT_EVERY = 37;

describePayload("the debug payload", "debug", (image) => {
  it("prints here what it prints on QEMU", { timeout: 120_000 }, () => {
    const ours = underHypervisor(image());
    expect(ours.text.split("\n")).toEqual(onQemu(image()).split("\n"));
    expect(ours.text).toMatch(/done\n$/);
    expect(ours.ending).toBe("off");
  });

  it("goes on alike where a snapshot lies between", { timeout: 120_000 }, () => {
    const whole = underHypervisor(image());
    let text = "";
    const make = (from?: string): VirtualMachine =>
      machineWith(from, (more) => {
        text += more;
      });
    let machine = make(image());
    let restored = 0;
    for (let i = 0, ending: Ending = "running"; ending === "running"; i++) {
      ending = machine.run(16);
      if (i % SNAPSHOT_EVERY !== 0 || ending !== "running") continue;
      const saved = machine.save();
      if (typeof saved === "string") continue;
      machine = make();
      machine.restore(JSON.parse(JSON.stringify(saved.state)), saved.pages);
      restored++;
    }
    expect(restored).toBeGreaterThan(20);
    expect(text).toBe(whole.text);
    expect(machine.instructions).toBe(whole.machine.instructions);
  });
});
