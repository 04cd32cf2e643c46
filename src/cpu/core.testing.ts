/** A core by itself, for tests: EL1, no stage 2, nothing around it. */
import type { Ipn, Pfn } from "../common/address.ts";
import { stage2Config } from "../mmu/config.ts";
import { Core } from "./core.ts";
import { CoreCode } from "./execute/core-code.ts";
import type { Translation } from "./execute/translator.ts";
import { IMPLEMENTATION, type Implementation } from "./implementation.ts";
import { CpuMemory } from "./memory.ts";
import type { CorePlatform } from "./platform.ts";

const PAGES = 32;
export const CODE = 0x1000;
const VECTORS = 0x2000;
/** A page of zeros that code may use. */
export const DATA = 0x3000n;
/** HVC #0 is what a vector holds, and HVC #1 what follows code. */
const HVC = 0xd400_0002;
const DONE = HVC | (1 << 5);

export interface Bare {
  readonly core: Core;
  readonly memory: CpuMemory;
  readonly pages: readonly Uint32Array[];
  /**
   * Executes words at EL1 with what the registers hold.
   * @returns undefined where they have all happened, or the syndrome of the exception that one of them had
   */
  execute(words: readonly number[]): bigint | undefined;
}

/** Nothing around a core but physical pages, which may still become more. */
export const lonePlatform = (pages: readonly Uint32Array[]): CorePlatform => ({
  stage2: stage2Config({ VTCR_EL2: 0n, VTTBR_EL2: 0n, HCR_EL2: 0n }),
  physical: { page: (page) => pages[page], wrote: () => undefined },
  contentOf: (frame: Pfn) => pages[frame]!,
  isMemory: (page: Ipn) => page < pages.length,
  mpidr: 0n,
  traps: () => false,
  isAhead: () => false,
  mustWait: () => false,
  streamed: () => false,
  isWatched: () => false,
  stored: () => undefined,
  readRegister: () => undefined,
  writeRegister: () => false,
  broadcast: () => undefined,
});

/**
 * A core out of reset with its MMU off, FP and SIMD allowed.
 * @param translation when it translates code; by default as machines do
 * @param platform what is around it, beside its pages
 */
export function bareCore(
  implementation: Implementation = IMPLEMENTATION,
  translation?: Translation,
  platform: Partial<CorePlatform> = {},
): Bare {
  const memory = new CpuMemory(1, PAGES);
  const pages = Array.from({ length: PAGES }, () => memory.pages.allocatePage());
  const core = new Core(0, new CoreCode(memory, implementation, translation), {
    ...lonePlatform(pages),
    ...platform,
  });
  const { state } = core;
  state.set64("VBAR_EL1", BigInt(VECTORS));
  state.set64("CPACR_EL1", 3n << 20n);
  core.exceptions.controlsChanged();
  pages[VECTORS >> 12]!.fill(HVC);
  return {
    core,
    memory,
    pages,
    execute: (words) => {
      pages[CODE >> 12]!.set([...words, DONE]);
      memory.code.drop();
      state.pc = BigInt(CODE);
      const exit = core.run(64);
      if (exit.kind !== "hvc") throw new Error(`the core stopped for ${exit.kind}`);
      return exit.imm === 1 ? undefined : state.get64("ESR_EL1");
    },
  };
}
