/** The cases on a core of ours: EL0 in the address space of the cases, what reaches EL1 ends a case. */

import { STATE } from "../../src/a64/state.ts";
import type { Core } from "../../src/cpu/core.ts";
import type { Translation } from "../../src/cpu/execute/translator.ts";
import type { CpuMemory } from "../../src/cpu/memory.ts";
import { BREAK, fillData, INPUT, OUTPUT, PLACES, SIGNAL, SUM_START, startOf, sumData } from "./format.ts";
import { signalOf, UserSpace } from "./user-space.ts";

const PAGE_WORDS = 1024;
/** Many times what a case has, whose branches go forward or to themselves. */
const MOST_INSTRUCTIONS = 64;

export class CaseMachine {
  readonly core: Core;
  readonly #memory: CpuMemory;
  readonly #space: UserSpace;
  readonly #data: readonly [Uint32Array, Uint32Array];
  readonly #codePages: Uint32Array[] = [];
  readonly #slot: Uint32Array;
  readonly #base: number;

  constructor(translation?: Translation) {
    const codePages = PLACES.codeBytes / 4096;
    const space = new UserSpace(codePages + 64, translation);
    this.#space = space;
    this.core = space.core;
    this.#memory = space.memory;
    this.#base = space.memory.vcpuBase(0);
    for (let i = 0; i < codePages; i++) {
      const page = space.allocate();
      this.#codePages.push(space.pages[page]!);
      space.map(PLACES.code + BigInt(i * 4096), page, "code");
    }
    const breaks = space.allocate();
    space.pages[breaks]!.fill(BREAK);
    const slot = space.allocate();
    this.#slot = space.pages[slot]!.fill(BREAK);
    const middle = PLACES.branchesBytes / 2;
    for (let at = 0; at < PLACES.branchesBytes; at += 4096)
      space.map(PLACES.branches + BigInt(at), at === middle ? slot : breaks, "code");
    // The pages of data are no neighbours in memory.
    const second = space.allocate();
    const first = space.allocate();
    space.map(PLACES.data, first, "data");
    space.map(PLACES.data + 4096n, second, "data");
    this.#data = [space.pages[first]!, space.pages[second]!];
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
    this.#space.enterEl0(startOf(index, branches));
    bytes.set(cases.subarray(at + INPUT.X, at + INPUT.X + 248), this.#base + STATE.X);
    bytes.set(cases.subarray(at + INPUT.V, at + INPUT.V + 512), this.#base + STATE.V);
    state.sp = view.getBigUint64(at + INPUT.SP, true);
    state.nzcv = view.getUint32(at + INPUT.NZCV, true);
    state.set32("FPCR", view.getUint32(at + INPUT.FPCR, true));
    state.set32("FPSR", view.getUint32(at + INPUT.FPSR, true));
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
