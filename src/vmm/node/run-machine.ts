/** Runs a machine in real time: its console on the terminal, until it ends, or somebody ends it. */
import type { VirtualMachine } from "../virtual-machine.ts";

/** Why a machine stopped. */
export type Stopped = "off" | "reset" | "asleep" | "timeout" | "quit";

export interface RunOptions {
  /** Wall-clock milliseconds after which it is stopped. */
  readonly timeoutMs: number | undefined;
  /** Where characters for the console come from, if anywhere: a terminal in raw mode, or a pipe. */
  readonly input: NodeJS.ReadStream | undefined;
}

/** Steps of the machine between two looks at the outside: about ten milliseconds. */
const STEPS = 16;
/** How long to wait for input while every vCPU sleeps. */
const ASLEEP_MS = 20;
const CTRL_A = 1;

/** Keys typed on a terminal: Ctrl-A x ends, Ctrl-A Ctrl-A sends one. */
class Keys {
  readonly typed: number[] = [];
  quit = false;
  #escaped = false;

  take(bytes: Uint8Array): void {
    for (const byte of bytes) {
      if (this.#escaped) {
        this.#escaped = false;
        if (byte === 0x78) this.quit = true;
        else if (byte === CTRL_A) this.typed.push(byte);
      } else if (byte === CTRL_A) this.#escaped = true;
      else this.typed.push(byte);
    }
  }
}

/** Runs until the machine ends. The terminal is as before afterwards, however it ends. */
export async function runMachine(vm: VirtualMachine, options: RunOptions): Promise<Stopped> {
  const { input, timeoutMs } = options;
  const keys = new Keys();
  let ended = input === undefined;
  const onData = (data: Uint8Array): void => keys.take(data);
  const onEnd = (): void => {
    ended = true;
  };
  const raw = input?.isTTY === true;
  if (raw) input.setRawMode(true);
  input?.on("data", onData).on("end", onEnd).resume();
  const startedMs = performance.now();
  try {
    for (;;) {
      const state = vm.run(STEPS);
      if (state === "off" || state === "reset") return state;
      if (state === "shutdown") return "off";
      if (keys.quit) return "quit";
      if (timeoutMs !== undefined && performance.now() - startedMs > timeoutMs) return "timeout";
      if (keys.typed.length > 0) keys.typed.splice(0, vm.type(keys.typed));
      else if (state === "asleep") {
        if (ended) return "asleep";
        await new Promise((resolve) => setTimeout(resolve, ASLEEP_MS));
        continue;
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
  } finally {
    input?.off("data", onData).off("end", onEnd).pause();
    if (raw) input.setRawMode(false);
  }
}
