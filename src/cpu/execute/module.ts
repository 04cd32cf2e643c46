/** What the modules that an interpreter is made of have in common. */
import type { AccessEmitter } from "../../a64/access.ts";
import { ModuleBuilder } from "../../wasm/module-builder.ts";

/** Jumps that are counted. */
export interface CountedJumps {
  /** Where ENTRY of a decoded instruction lies: this more than a quarter of its address. */
  readonly entriesAt: number;
  /** After how many jumps to it WebAssembly is left. Below ENTRY.BLOCKS. */
  readonly hotAfter: number;
}

export interface ModuleOptions {
  readonly memoryPages: number;
  /** Whether operand types are checked, which takes longer. */
  readonly checked?: boolean;
  /** How instructions make their accesses; by the soft TLB if left out. */
  readonly access?: AccessEmitter | undefined;
  /** Undefined: jumps are not counted, and nothing is translated. */
  readonly translation?: CountedJumps | undefined;
  /** Whether ops are logged (LOG in a64/state.ts); their accesses are if `access` does it. */
  readonly logs?: boolean | undefined;
}

/** Starts a module that imports env.memory. */
export function moduleBuilder(name: string, { memoryPages, checked }: ModuleOptions): ModuleBuilder {
  const m = new ModuleBuilder({
    buffer: new Uint8Array(0x4_0000),
    ...(checked === undefined ? {} : { checked }),
    name,
  });
  m.importMemory("env", "memory", { min: memoryPages, max: memoryPages });
  return m;
}

/** What a handler outside of the loop returns. */
export const STATUS = {
  /** The instruction is done. */
  DONE: 0,
  /** WebAssembly is to be left; STATE.REASON says why. */
  LEFT: 1,
  /** It is done, and the core is to look at interrupts, or a store. */
  DONE_AND_STOP: 2,
  /** The access in SLOW_* is to be looked for. */
  SLOW: 3,
} as const;
