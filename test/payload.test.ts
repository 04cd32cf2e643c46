/** A bare-metal program under the hypervisor and on QEMU's virt machine: the same lines on the console. */
import { expect, it } from "vitest";
import { describePayload, onQemu, underHypervisor } from "./payload/bare-metal.ts";

describePayload("the payload", "exceptions", (image) => {
  it("prints here what it prints on QEMU", { timeout: 120_000 }, () => {
    const ours = underHypervisor(image());
    expect(ours.text.split("\n")).toEqual(onQemu(image()).split("\n"));
    expect(ours.text).toMatch(/done\n$/);
    expect(ours.ending).toBe("off");
  });

  it("runs alike twice", { timeout: 120_000 }, () => {
    const first = underHypervisor(image());
    const second = underHypervisor(image());
    expect(second.text).toBe(first.text);
    expect(second.machine.instructions).toBe(first.machine.instructions);
  });
});
