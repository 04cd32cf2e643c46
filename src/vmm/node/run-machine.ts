/** Runs a machine in real time until it ends, or somebody ends it. */
import { HostMemoryFull } from "../../cpu/memory.ts";
import type { VirtualMachine } from "../virtual-machine.ts";
import type { Input } from "./terminal.ts";

/** Why a machine stopped. */
export type Stopped = "off" | "reset" | "asleep" | "timeout" | "quit" | "done" | "memory";

export interface RunOptions {
  /** Wall-clock milliseconds after which it is stopped; 0: never. */
  readonly timeoutMs: number;
  readonly input: Input | undefined;
  /** Where input goes: as many bytes as are taken are returned. */
  readonly feed: (bytes: Uint8Array) => number;
  /** Told once that no input will come any more. */
  readonly onInputEnd?: () => void;
  /** Asked after each stretch: whether what the machine was run for is done. */
  readonly isDone: () => boolean;
  /** Waited for before the guest goes on: whoever reads its output must catch up. */
  readonly settled?: () => Promise<void> | undefined;
  /** Keeps the guest's time from running ahead of the clock: for people at a console. */
  readonly paced: boolean;
}

/** Steps of the machine between two looks at the outside: about ten milliseconds. */
const STEPS = 16;
/** How long to wait for input while every vCPU sleeps. */
const ASLEEP_MS = 200;
/** How far ahead of the clock a paced guest may be. */
const AHEAD_MS = 5;
const NS_PER_MS = 1e6;

/**
 * Runs until `isDone`, the machine's end, the timeout, Ctrl-A x, or until there is no memory left for it: then it was stopped
 * in the middle of an instruction, and can only be looked at.
 */
export async function runMachine(vm: VirtualMachine, options: RunOptions): Promise<Stopped> {
  try {
    return await runUntil(vm, options);
  } catch (error) {
    if (error instanceof HostMemoryFull) return "memory";
    throw error;
  }
}

async function runUntil(vm: VirtualMachine, options: RunOptions): Promise<Stopped> {
  const { input, timeoutMs } = options;
  const startedMs = performance.now();
  const startedNs = vm.machine.nowNs;
  let endTold = false;
  for (;;) {
    const state = vm.run(STEPS);
    if (options.isDone()) return "done";
    if (state === "off" || state === "reset") return state;
    if (state === "shutdown") return "off";
    if (input?.quit === true) return "quit";
    const full = options.settled?.();
    if (full !== undefined) await full;
    const elapsedMs = performance.now() - startedMs;
    if (timeoutMs > 0 && elapsedMs > timeoutMs) return "timeout";
    let fed = 0;
    const piece = input?.waiting.first;
    if (piece !== undefined) {
      fed = options.feed(piece);
      input?.waiting.drop(fed);
      input?.taken();
    }
    if (input?.ended === true && input.waiting.length === 0 && !endTold) {
      endTold = true;
      fed = 1;
      options.onInputEnd?.();
    }
    if (fed === 0 && state === "asleep") {
      if (input === undefined || input.ended) return "asleep";
      await input.wait(timeoutMs > 0 ? Math.min(ASLEEP_MS, timeoutMs) : ASLEEP_MS);
      continue;
    }
    const aheadMs = (vm.machine.nowNs - startedNs) / NS_PER_MS - elapsedMs;
    if (options.paced && aheadMs > AHEAD_MS && input !== undefined) await input.wait(aheadMs);
    else await new Promise((resolve) => setImmediate(resolve));
  }
}
