/** A core with nothing around it: EL0 in the address space of the cases, what reaches EL1 ends a case. */

import { STATE } from "../../src/a64/state.ts";
import { EC } from "../../src/arm/syndromes.ts";
import { lonePlatform } from "../../src/cpu/core.testing.ts";
import { Core } from "../../src/cpu/core.ts";
import { CoreCode } from "../../src/cpu/execute/core-code.ts";
import type { Translation } from "../../src/cpu/execute/translator.ts";
import { IMPLEMENTATION } from "../../src/cpu/implementation.ts";
import { CpuMemory } from "../../src/cpu/memory.ts";
import { BREAK, fillData, INPUT, OUTPUT, PLACES, SIGNAL, SUM_START, startOf, sumData } from "./format.ts";

const PAGE_WORDS = 1024;
/** Many times what a case has, whose branches go forward or to themselves. */
const MOST_INSTRUCTIONS = 64;
const VECTORS = 0x30_2000_0000n;
/** HVC #0. */
const HVC = 0xd400_0002;
const LEAF = { user: 0x40 | 0x700 | 3, kernel: 0x700 | 3 } as const;
/** UXN and PXN, in the upper half: data is not executed. */
const EXECUTE_NEVER = 3 << 21;
/** 39-bit VA, TBI0, write-back tables. */
const TCR = (1n << 37n) | (5n << 32n) | (1n << 23n) | 0x3500n | 25n;
/** M, C, I, and what EL0 may do: DZE, UCT, UCI. */
const SCTLR = 0x30d0_0800n | 1n | 4n | (1n << 12n) | (1n << 14n) | (1n << 15n) | (1n << 26n) | 0x18n;

export class CaseMachine {
  readonly core: Core;
  readonly #memory: CpuMemory;
  readonly #pages: Uint32Array[] = [];
  readonly #data: readonly [Uint32Array, Uint32Array];
  readonly #codePages: Uint32Array[] = [];
  readonly #slot: Uint32Array;
  readonly #base: number;

  constructor(translation?: Translation) {
    const codePages = PLACES.codeBytes / 4096;
    const memory = new CpuMemory(1, codePages + 64);
    this.#memory = memory;
    this.#base = memory.vcpuBase(0);
    const code = new CoreCode(memory, IMPLEMENTATION, translation);
    const pages = this.#pages;
    this.core = new Core(0, code, lonePlatform(pages));
    const root = this.#allocate();
    const map = (va: bigint, page: number, flags: number, upper = 0): void =>
      this.#map(root, va, page, flags, upper);
    for (let i = 0; i < codePages; i++) {
      const page = this.#allocate();
      this.#codePages.push(this.#pages[page]!);
      map(PLACES.code + BigInt(i * 4096), page, LEAF.user);
    }
    const breaks = this.#allocate();
    this.#pages[breaks]!.fill(BREAK);
    const slot = this.#allocate();
    this.#slot = this.#pages[slot]!.fill(BREAK);
    for (let i = 0; i < PLACES.branchesBytes / 4096; i++)
      map(
        PLACES.branches + BigInt(i * 4096),
        i * 4096 === PLACES.branchesBytes / 2 ? slot : breaks,
        LEAF.user,
      );
    // The pages of data are no neighbours in memory.
    const second = this.#allocate();
    const first = this.#allocate();
    map(PLACES.data, first, LEAF.user, EXECUTE_NEVER);
    map(PLACES.data + 4096n, second, LEAF.user, EXECUTE_NEVER);
    this.#data = [this.#pages[first]!, this.#pages[second]!];
    const vectors = this.#allocate();
    this.#pages[vectors]!.fill(HVC);
    map(VECTORS, vectors, LEAF.kernel);
    const { state, space, exceptions } = this.core;
    state.set64("TCR_EL1", TCR);
    state.set64("TTBR0_EL1", BigInt(root) << 12n);
    state.set64("MAIR_EL1", 0xffn);
    state.set64("SCTLR_EL1", SCTLR);
    state.set64("VBAR_EL1", VECTORS);
    state.set64("CPACR_EL1", 3n << 20n);
    space.registersChanged();
    exceptions.controlsChanged();
  }

  #allocate(): number {
    return this.#pages.push(this.#memory.pages.allocatePage()) - 1;
  }

  #map(root: number, va: bigint, page: number, flags: number, upper: number): void {
    let table = root;
    for (const shift of [30n, 21n]) {
      const index = Number((va >> shift) & 511n);
      const words = this.#pages[table]!;
      if ((words[2 * index]! & 1) === 0) words[2 * index] = (this.#allocate() << 12) | 3;
      table = words[2 * index]! >>> 12;
    }
    const index = Number((va >> 12n) & 511n);
    this.#pages[table]![2 * index] = ((page << 12) | flags) >>> 0;
    this.#pages[table]![2 * index + 1] = upper;
  }

  /** Writes the code of a batch. */
  load(cases: Uint8Array, count: number): void {
    const view = new DataView(cases.buffer, cases.byteOffset);
    const { slotWords } = PLACES;
    for (const page of this.#codePages) page.fill(0);
    for (let i = 0; i < count; i++) this.#write(this.#codePages, i * slotWords, view, i * INPUT.BYTES);
    this.#memory.code.drop();
  }

  #write(pages: readonly Uint32Array[], word: number, view: DataView, at: number): void {
    const words = view.getUint32(at + INPUT.COUNT, true);
    for (let j = 0; j < PLACES.slotWords; j++) {
      const value = j < words ? view.getUint32(at + INPUT.WORDS + 4 * j, true) : BREAK;
      pages[Math.floor((word + j) / PAGE_WORDS)]![(word + j) % PAGE_WORDS] = value;
    }
  }

  /** Runs case `index` of the batch that was loaded, and writes what came of it. */
  run(cases: Uint8Array, index: number, results: Uint8Array): void {
    const { core } = this;
    const { state } = core;
    const { bytes } = this.#memory;
    const at = index * INPUT.BYTES;
    const view = new DataView(cases.buffer, cases.byteOffset);
    const branches = view.getUint32(at + INPUT.BRANCHES, true) !== 0;
    if (branches) {
      this.#write([this.#slot], 0, view, at);
      this.#memory.code.forget(this.#slot.byteOffset, 4 * PLACES.slotWords);
    }
    const seed = view.getUint32(at + INPUT.MEMORY_SEED, true);
    if (seed !== 0) {
      const rest = fillData(this.#data[0], 0, PAGE_WORDS, seed | 0);
      fillData(this.#data[1], 0, PAGE_WORDS, rest);
    }
    state.select(0, 0);
    core.space.select();
    bytes.set(cases.subarray(at + INPUT.X, at + INPUT.X + 248), this.#base + STATE.X);
    bytes.set(cases.subarray(at + INPUT.V, at + INPUT.V + 512), this.#base + STATE.V);
    state.sp = view.getBigUint64(at + INPUT.SP, true);
    state.nzcv = view.getUint32(at + INPUT.NZCV, true);
    state.set32("FPCR", view.getUint32(at + INPUT.FPCR, true));
    state.set32("FPSR", view.getUint32(at + INPUT.FPSR, true));
    state.set32("MONITOR_SET", 0);
    state.set32("SS", 0);
    state.set32("IL", 0);
    state.set64("ESR_EL1", 0n);
    state.pc = startOf(index, branches);
    const exit = core.run(MOST_INSTRUCTIONS);
    const out = new DataView(results.buffer, results.byteOffset + index * OUTPUT.BYTES, OUTPUT.BYTES);
    const target = results.subarray(index * OUTPUT.BYTES);
    target.set(bytes.subarray(this.#base + STATE.X, this.#base + STATE.X + 248), OUTPUT.X);
    target.set(bytes.subarray(this.#base + STATE.V, this.#base + STATE.V + 512), OUTPUT.V);
    out.setBigUint64(OUTPUT.SP, state.get64("SP_EL0"), true);
    out.setBigUint64(OUTPUT.PC, state.get64("ELR_EL1"), true);
    out.setUint32(OUTPUT.NZCV, Number(state.get64("SPSR_EL1") & 0xf000_0000n), true);
    out.setUint32(OUTPUT.FPSR, state.get32("FPSR"), true);
    out.setUint32(
      OUTPUT.SIGNAL,
      exit.kind === "hvc" && state.el === 1
        ? signalOf(state.get64("ESR_EL1"))
        : exit.kind === "budget"
          ? SIGNAL.PROF
          : 0,
      true,
    );
    let sum = 0;
    if (seed !== 0)
      sum = sumData(this.#data[1], 0, PAGE_WORDS, sumData(this.#data[0], 0, PAGE_WORDS, SUM_START));
    out.setUint32(OUTPUT.MEMORY, sum >>> 0, true);
  }
}

/** The signal that Linux makes of a syndrome (arch/arm64/kernel/entry-common.c, mm/fault.c). */
function signalOf(esr: bigint): number {
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
