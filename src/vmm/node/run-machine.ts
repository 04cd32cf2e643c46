/** Runs a machine in real time until it ends, or somebody ends it. */
import { HostMemoryFull } from "../../cpu/memory.ts";
import type { Ending } from "../machine.ts";
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

/** Turns between two instants at which input may come: by the guest's doing, so that the same input comes at the same one. */
const WINDOW_TURNS = 64;
/** How long signals, timers and streams of this process may wait for the guest. A turn takes some milliseconds at most. */
const LOOK_MS = 10;
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
  const { machine } = vm;
  const startedMs = performance.now();
  const startedNs = machine.nowNs;
  const elapsedMs = (): number => performance.now() - startedMs;
  /** How far the guest would be ahead of the clock if it went on. */
  const aheadMs = (): number =>
    options.paced && input !== undefined ? (machine.nextNs - startedNs) / NS_PER_MS - elapsedMs() : 0;
  const waitForInput = async (milliseconds: number): Promise<void> => {
    const restMs = timeoutMs > 0 ? Math.max(0, timeoutMs - elapsedMs()) : Number.POSITIVE_INFINITY;
    await input?.wait(Math.min(milliseconds, restMs));
    // What was typed meanwhile comes when it was typed.
    if (options.paced) machine.idleTo(startedNs + elapsedMs() * NS_PER_MS);
  };
  let lookedMs = startedMs;
  const isLate = (): boolean => performance.now() - lookedMs >= LOOK_MS;
  const isEnough = (): boolean => isLate() || aheadMs() > AHEAD_MS;

  /** Some turns, with looks at the outside between them. */
  const window = async (): Promise<Ending | Stopped> => {
    const end = machine.turns + WINDOW_TURNS;
    for (;;) {
      if (input?.quit === true) return "quit";
      if (timeoutMs > 0 && elapsedMs() > timeoutMs) return "timeout";
      if (machine.turns >= end || aheadMs() > AHEAD_MS) return "running";
      const state = vm.run(end - machine.turns, isEnough);
      if (options.isDone()) return "done";
      if (state !== "running" && state !== "asleep") return state;
      const full = options.settled?.();
      if (full !== undefined) await full;
      if (isLate()) {
        await new Promise((resolve) => setImmediate(resolve));
        lookedMs = performance.now();
      }
      if (state === "asleep") return state;
    }
  };

  let endTold = false;
  for (;;) {
    const state = await window();
    if (state === "shutdown") return "off";
    if (state !== "running" && state !== "asleep") return state;
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
    if (fed > 0) continue;
    if (state === "asleep") {
      if (input === undefined || input.ended) return "asleep";
      await waitForInput(ASLEEP_MS);
    } else if (aheadMs() > AHEAD_MS) await waitForInput(aheadMs());
  }
}
