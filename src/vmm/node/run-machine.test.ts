import { expect, it } from "vitest";
import { HostMemoryFull } from "../../cpu/memory.ts";
import type { VirtualMachine } from "../virtual-machine.ts";
import { runMachine } from "./run-machine.ts";

const options = { timeoutMs: 0, input: undefined, feed: () => 0, isDone: () => false, paced: false } as const;
/** A machine that fails in its second stretch. */
function failing(error: Error): VirtualMachine {
  let stretches = 0;
  const run = (): string => {
    stretches += 1;
    if (stretches === 2) throw error;
    return "running";
  };
  return { run, machine: { nowNs: 0 } } as unknown as VirtualMachine;
}

it("a machine ends where there is no memory left for its guest, and what else is thrown is a bug", async () => {
  expect(await runMachine(failing(new HostMemoryFull(5)), options)).toBe("memory");
  await expect(runMachine(failing(new Error("odd")), options)).rejects.toThrow("odd");
});
