/** Runs a machine in real time until it ends, or somebody ends it. */
import { HostMemoryFull } from "../../cpu/page-store.ts";
import type { Errand, Stopped } from "../guest-session.ts";
import type { Ending } from "../machine-loop.ts";
import type { VirtualMachine } from "../virtual-machine.ts";
import type { Input } from "./terminal.ts";

export interface RunOptions {
  /** Wall-clock milliseconds after which it is stopped; 0: never. */
  readonly timeoutMs: number;
  readonly input: Input | undefined;
  /** Waited for before the guest goes on: whoever reads its output must catch up. */
  readonly settled?: () => Promise<void> | undefined;
  /** Keeps the guest's time from running ahead of the clock: for people at a console. */
  readonly paced: boolean;
  /**
   * How much the guest has said so far, of one that speaks with whoever the input comes from: where that has ended, and the
   * guest does and says nothing for an hour of its time, it waits for more, and is stopped as "idle".
   */
  readonly said?: () => number;
}

/** Turns between two instants at which input may come: by the guest's doing, so that the same input comes at the same one. */
const WINDOW_TURNS = 64;
/** How long signals, timers and streams of this process may wait for the guest. A turn takes some milliseconds at most. */
const LOOK_MS = 10;
/** How long to wait for input while every vCPU sleeps. */
const ASLEEP_MS = 200;
/** The longest wait for anything: Node's timers know no longer one than 24 days. */
const LONGEST_WAIT_MS = 60_000;
/** A guest that waits for input in vain does less than this of what it could, for so long. */
const IDLE_NS = 3600e9;
const IDLE_SHARE = 0.01;
/** How far ahead of the clock a paced guest may be. */
const AHEAD_MS = 5;
const NS_PER_MS = 1e6;

/** Runs until its errand is done, the machine's end, the timeout, Ctrl-A x, or until there is no memory left for it. */
export async function runMachine(vm: VirtualMachine, errand: Errand, options: RunOptions): Promise<Stopped> {
  try {
    return await runUntil(vm, errand, options);
  } catch (error) {
    if (error instanceof HostMemoryFull) return "memory";
    throw error;
  }
}

async function runUntil(vm: VirtualMachine, errand: Errand, options: RunOptions): Promise<Stopped> {
  const { input, timeoutMs } = options;
  const { machine } = vm;
  const startedMs = performance.now();
  const elapsedMs = (): number => performance.now() - startedMs;
  const isPaced = options.paced && input !== undefined;
  /** The instant of the guest's time at which the clock was at `startedMs`. */
  let startedNs = machine.nowNs;
  const clockNs = (): number => startedNs + elapsedMs() * NS_PER_MS;
  /** How far the guest would be ahead of the clock if it went on; nothing makes it go on where all sleep. */
  const aheadMs = (): number =>
    isPaced && machine.nextNs !== Number.POSITIVE_INFINITY ? (machine.nextNs - clockNs()) / NS_PER_MS : 0;
  /** A guest that was too busy to keep up does not make up for it by waiting less: a second is one to whoever sits there. */
  const fallBehind = (): void => {
    if (isPaced) startedNs -= Math.max(0, clockNs() - machine.nowNs - AHEAD_MS * NS_PER_MS);
  };
  const waitForInput = async (milliseconds: number): Promise<void> => {
    const restMs = timeoutMs > 0 ? Math.max(0, timeoutMs - elapsedMs()) : Number.POSITIVE_INFINITY;
    await input?.wait(Math.min(milliseconds, restMs, LONGEST_WAIT_MS));
    // What was typed meanwhile comes when it was typed.
    if (isPaced) machine.idleTo(clockNs());
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
      fallBehind();
      if (errand.isDone()) return "done";
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

  let last = { said: -1, atNs: 0, instructions: 0 };
  const waitsInVain = (): boolean => {
    if (options.said === undefined || (input !== undefined && (!input.ended || input.waiting.length > 0)))
      return false;
    const said = options.said();
    const ns = machine.nowNs - last.atNs;
    if (said === last.said && ns < IDLE_NS) return false;
    const share = (vm.instructions - last.instructions) / (ns * vm.code.implementation.cyclesPerNs);
    const isIdle = said === last.said && share < IDLE_SHARE;
    last = { said, atNs: machine.nowNs, instructions: vm.instructions };
    return isIdle;
  };

  let endTold = false;
  for (;;) {
    const state = await window();
    if (state === "shutdown") return "off";
    if (state !== "running" && state !== "asleep") return state;
    if (waitsInVain()) return "idle";
    let fed = 0;
    const piece = input?.waiting.first;
    if (piece !== undefined) {
      fed = errand.feed(piece);
      input?.waiting.drop(fed);
      input?.taken();
    }
    if (input?.ended === true && input.waiting.length === 0 && !endTold) {
      endTold = true;
      fed = 1;
      errand.onInputEnd?.();
    }
    if (fed > 0) continue;
    if (state === "asleep") {
      if (input === undefined || input.ended) return "asleep";
      await waitForInput(ASLEEP_MS);
    } else if (aheadMs() > AHEAD_MS) await waitForInput(aheadMs());
  }
}
