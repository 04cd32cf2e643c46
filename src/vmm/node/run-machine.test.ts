import { afterEach, expect, it, vi } from "vitest";
import { HostMemoryFull } from "../../cpu/page-store.ts";
import type { VirtualMachine } from "../virtual-machine.ts";
import { runMachine } from "./run-machine.ts";
import { ByteQueue, type Input, wholeInput } from "./terminal.ts";

const errand = { feed: () => 0, isDone: () => false } as const;
const options = { timeoutMs: 0, input: undefined, paced: false } as const;
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
  expect(await runMachine(failing(new HostMemoryFull(5)), errand, options)).toBe("memory");
  await expect(runMachine(failing(new Error("odd")), errand, options)).rejects.toThrow("odd");
});

afterEach(() => void vi.useRealTimers());

const NS_PER_MS = 1e6;
const HOUR_NS = 3600e9;

/** Somebody at a terminal who types nothing, and leaves after some waits, which take no time here. */
function terminal(waits: number): { readonly input: Input; readonly waitedMs: number[] } {
  const waitedMs: number[] = [];
  const input: Input = {
    waiting: new ByteQueue(),
    ended: false,
    get quit() {
      return waitedMs.length >= waits;
    },
    taken: () => undefined,
    wait: async (milliseconds) => {
      waitedMs.push(Math.round(milliseconds));
      vi.advanceTimersByTime(milliseconds);
    },
    close: () => undefined,
  };
  return { input, waitedMs };
}

/** A machine whose every turn executes `instructions`, which take this computer `hostMs`, and sleeps for `sleepNs`. */
function sleeper(sleepNs: number, hostMs = 0, instructions = 0) {
  const machine = {
    nowNs: 0,
    nextNs: 0,
    turns: 0,
    idleTo: (atNs: number) => {
      machine.nowNs = Math.min(atNs, machine.nextNs);
    },
  };
  const vm = {
    machine,
    code: { implementation: { cyclesPerNs: 2 } },
    instructions: 0,
    run: (): string => {
      machine.turns += 1;
      vm.instructions += instructions;
      machine.nowNs = Math.max(machine.nowNs, machine.nextNs);
      vi.advanceTimersByTime(hostMs);
      machine.nextNs = machine.nowNs + sleepNs;
      return "running";
    },
  };
  return vm as typeof vm & VirtualMachine;
}

it("paces a guest at a console: it sleeps as long as it has asked for, however long it was busy before", async () => {
  vi.useFakeTimers({ toFake: ["performance", "setTimeout", "clearTimeout"] });
  for (const hostMs of [0, 5000]) {
    const { input, waitedMs } = terminal(3);
    const stopped = await runMachine(sleeper(2000 * NS_PER_MS, hostMs), errand, {
      ...options,
      input,
      paced: true,
    });
    expect(stopped).toBe("quit");
    for (const ms of waitedMs) expect(ms).toBeGreaterThanOrEqual(1990);
    for (const ms of waitedMs) expect(ms).toBeLessThanOrEqual(2000);
  }
});

it("waits for a timer that is due in years without Node's running over", async () => {
  vi.useFakeTimers({ toFake: ["performance", "setTimeout", "clearTimeout"] });
  const { input, waitedMs } = terminal(3);
  await runMachine(sleeper(10_000 * HOUR_NS), errand, { ...options, input, paced: true });
  expect(Math.max(...waitedMs)).toBeLessThan(2 ** 31);
});

it("stops a guest that waits for input in vain, and none that does or says something", async () => {
  vi.useFakeTimers({ toFake: ["performance", "setTimeout", "clearTimeout"] });
  const input = wholeInput(new Uint8Array());
  const idle = sleeper(HOUR_NS / 10);
  expect(await runMachine(idle, errand, { ...options, input, said: () => 0 })).toBe("idle");
  expect(idle.machine.nowNs).toBeGreaterThanOrEqual(HOUR_NS);

  const toTen = (of: VirtualMachine) => ({ ...errand, isDone: () => of.machine.nowNs > 10 * HOUR_NS });
  const busy = sleeper(HOUR_NS / 10, 0, HOUR_NS / 10);
  expect(await runMachine(busy, toTen(busy), { ...options, input, said: () => 0 })).toBe("done");

  const speaks = sleeper(HOUR_NS / 10);
  const said = (): number => Math.floor(speaks.machine.nowNs / (HOUR_NS / 2));
  expect(await runMachine(speaks, toTen(speaks), { ...options, input, said })).toBe("done");

  // More may come.
  const open = sleeper(HOUR_NS / 10);
  const { input: keyboard } = terminal(1);
  const listening = { ...options, input: keyboard, said: () => 0 };
  expect(await runMachine(open, toTen(open), listening)).toBe("done");
});
