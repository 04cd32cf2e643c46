/** A core with nothing around it but an address space: it executes at EL0, and what reaches EL1 ends it. */
import { EC } from "../../src/arm/syndromes.ts";
import { lonePlatform } from "../../src/cpu/core.testing.ts";
import { Core } from "../../src/cpu/core.ts";
import { CoreCode } from "../../src/cpu/execute/core-code.ts";
import type { Translation } from "../../src/cpu/execute/translator.ts";
import { IMPLEMENTATION } from "../../src/cpu/implementation.ts";
import { CpuMemory } from "../../src/cpu/memory.ts";
import { SIGNAL } from "./format.ts";

const VECTORS = 0x30_2000_0000n;
/** HVC #0. */
const HVC = 0xd400_0002;
const LEAF = { user: 0x40 | 0x700 | 3, kernel: 0x700 | 3 } as const;
/** UXN and PXN, in the upper half. */
const EXECUTE_NEVER = 3 << 21;
/** 39-bit VA, TBI0, write-back tables. */
const TCR = (1n << 37n) | (5n << 32n) | (1n << 23n) | 0x3500n | 25n;
/** M, C, I, and what EL0 may do: DZE, UCT, UCI. */
const SCTLR = 0x30d0_0800n | 1n | 4n | (1n << 12n) | (1n << 14n) | (1n << 15n) | (1n << 26n) | 0x18n;

export class UserSpace {
  readonly core: Core;
  readonly memory: CpuMemory;
  /** Physical pages by number. */
  readonly pages: Uint32Array[] = [];
  readonly #root: number;

  /** @param pages how many there may be, tables among them */
  constructor(pages: number, translation?: Translation) {
    this.memory = new CpuMemory(1, pages);
    this.core = new Core(0, new CoreCode(this.memory, IMPLEMENTATION, translation), lonePlatform(this.pages));
    this.#root = this.allocate();
    const vectors = this.allocate();
    this.pages[vectors]!.fill(HVC);
    this.#map(VECTORS, vectors, LEAF.kernel, 0);
    const { state, space, exceptions } = this.core;
    state.set64("TCR_EL1", TCR);
    state.set64("TTBR0_EL1", BigInt(this.#root) << 12n);
    state.set64("MAIR_EL1", 0xffn);
    state.set64("SCTLR_EL1", SCTLR);
    state.set64("VBAR_EL1", VECTORS);
    state.set64("CPACR_EL1", 3n << 20n);
    space.registersChanged();
    exceptions.controlsChanged();
  }

  /** A page of zeros. */
  allocate(): number {
    return this.pages.push(this.memory.pages.allocatePage()) - 1;
  }

  /** Maps a page for EL0 to read and write, and to execute unless it is data. */
  map(va: bigint, page: number, kind: "code" | "data"): void {
    this.#map(va, page, LEAF.user, kind === "data" ? EXECUTE_NEVER : 0);
  }

  #map(va: bigint, page: number, flags: number, upper: number): void {
    let table = this.#root;
    for (const shift of [30n, 21n]) {
      const index = Number((va >> shift) & 511n);
      const words = this.pages[table]!;
      if ((words[2 * index]! & 1) === 0) words[2 * index] = (this.allocate() << 12) | 3;
      table = words[2 * index]! >>> 12;
    }
    const index = Number((va >> 12n) & 511n);
    this.pages[table]![2 * index] = ((page << 12) | flags) >>> 0;
    this.pages[table]![2 * index + 1] = upper;
  }

  /** Goes to EL0, with nothing left of what was before. */
  enterEl0(pc: bigint): void {
    const { state, space } = this.core;
    state.select(0, 0);
    space.select();
    state.set32("MONITOR_SET", 0);
    state.set32("SS", 0);
    state.set32("IL", 0);
    state.set64("ESR_EL1", 0n);
    state.pc = pc;
  }
}

/** The signal that Linux makes of a syndrome (arch/arm64/kernel/entry-common.c, mm/fault.c). */
export function signalOf(esr: bigint): number {
  const ec = Number(esr >> 26n) & 0x3f;
  const status = Number(esr & 0x3fn);
  switch (ec) {
    case EC.brk64:
      return SIGNAL.TRAP;
    case EC.dataAbortLower:
      return status === 0x21 ? SIGNAL.BUS : SIGNAL.SEGV;
    case EC.instructionAbortLower:
      return SIGNAL.SEGV;
    case EC.pcAlignment:
    case EC.spAlignment:
      return SIGNAL.BUS;
    default:
      return SIGNAL.ILL;
  }
}
