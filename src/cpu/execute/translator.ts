/** Translates code that is hot: modules of many blocks, since a module has a price of its own. */
import { HANDLER, type Handler, type Handlers } from "../../a64/handlers.ts";
import { SYSTEM } from "../../a64/semantics/branches.ts";
import { ENTRY } from "../../a64/state.ts";
import { engine, type FunctionTable } from "../../wasm/engine.ts";
import type { CpuMemory } from "../memory.ts";
import { blocksFrom, emitBlocks, type Instructions } from "./block.ts";
import { moduleBuilder } from "./module.ts";

const WASM_PAGE_BYTES = 0x1_0000;
/** Each module of V8's takes a mapping of the process's, of which Linux gives 65,530, and some 20 KB. */
const MOST_MODULES = 4096;

/** When code is translated. Results do not depend on it. */
export interface Translation {
  /** After how many jumps to a place what begins there is worth a block. */
  readonly hotAfter: number;
  /** How many such places are waited for, since each module has a price of its own, */
  readonly batch: number;
  /** and for how many instructions at most. */
  readonly patience: number;
}

export const TRANSLATION: Translation = { hotAfter: 1000, batch: 64, patience: 1_000_000 };

/** Handlers that do nothing but leave, by a fixed value of theirs that says so. */
const LEAVES: readonly (readonly [fixed: string, value: number])[] = [
  ["register", 0],
  ["pstateField", 0],
  ["waits", 1],
  ["sysHere", 0],
];

const isTranslatable = ({ semantics, fixed }: Handler): boolean =>
  semantics !== SYSTEM &&
  semantics.unfixed !== true &&
  !LEAVES.some(([name, value]) => fixed.get(name) === value);

export class Translator {
  readonly #memory: CpuMemory;
  readonly #handlers: Handlers;
  readonly #table: FunctionTable;
  readonly #instructions: Instructions;
  readonly #translation: Translation;
  readonly #byId = new Map<number, Handler | undefined>();
  /** Blocks that were made so far. */
  made = 0;
  #waiting: number[] = [];
  /** For how many instructions more what waits may wait. */
  #patience = 0;
  #next: number = ENTRY.BLOCKS;
  #modules = 0;

  /** @param table where blocks go, by their numbers */
  constructor(memory: CpuMemory, handlers: Handlers, table: FunctionTable, translation: Translation) {
    this.#translation = translation;
    this.#memory = memory;
    this.#handlers = handlers;
    this.#table = table;
    const { code, view, words } = memory;
    const warm = Math.ceil(translation.hotAfter / 8);
    this.#instructions = {
      view,
      handlerOf: (id) => this.#handlerOf(id),
      isWarm: (at) => {
        const count = words[code.entryOf(at) >>> 2]!;
        return count >= warm && count < ENTRY.BLOCKS;
      },
    };
    memory.code.onDropped.push(() => {
      this.#waiting = [];
      this.#next = ENTRY.BLOCKS;
      this.#modules = 0;
    });
  }

  /** A decoded instruction was jumped to often. */
  hot(at: number): void {
    const { batch, patience } = this.#translation;
    if (this.#waiting.length === 0) this.#patience = patience;
    this.#waiting.push(at);
    if (this.#waiting.length >= batch) this.#translateWaiting();
  }

  /** So many instructions have been executed. */
  passed(instructions: number): void {
    if (this.#waiting.length === 0) return;
    this.#patience -= instructions;
    if (this.#patience < 0) this.#translateWaiting();
  }

  #translateWaiting(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#translate(waiting);
  }

  #handlerOf(id: number): Handler | undefined {
    if (id <= HANDLER.UNDEFINED) return undefined;
    if (!this.#byId.has(id)) {
      const handler = this.#handlers.handlerOf(id);
      this.#byId.set(id, handler !== undefined && isTranslatable(handler) ? handler : undefined);
    }
    return this.#byId.get(id);
  }

  #translate(places: readonly number[]): void {
    const { code, memory, words } = this.#memory;
    const byPage = new Map<number, number[]>();
    for (const at of places) {
      const page = code.placeOf(at);
      // What was told of may have been forgotten since.
      if (page === undefined || words[code.entryOf(at) >>> 2] !== this.#translation.hotAfter) continue;
      const known = byPage.get(page.decoded);
      if (known === undefined) byPage.set(page.decoded, [at]);
      else known.push(at);
    }
    const m = moduleBuilder("blocks", { memoryPages: memory.buffer.byteLength / WASM_PAGE_BYTES });
    const functions = [...byPage].flatMap(([decoded, heads]) => [
      ...emitBlocks(m, this.#instructions, decoded, blocksFrom(this.#instructions, decoded, heads)),
    ]);
    if (functions.length === 0) return;
    const hasRoom = this.#next + functions.length <= ENTRY.BLOCKS + ENTRY.MOST_BLOCKS;
    if (!hasRoom || this.#modules === MOST_MODULES) {
      // What is still hot will be translated anew, and takes the places of the others.
      code.drop();
      return;
    }
    this.#modules += 1;
    for (const [at, func] of functions) m.export(String(at), func);
    const { exports } = new engine.Instance(new engine.Module(m.finish()), { env: { memory } });
    this.made += functions.length;
    for (const [at] of functions) {
      this.#table.set(this.#next, exports[String(at)]);
      words[code.entryOf(at) >>> 2] = this.#next;
      this.#next += 1;
    }
  }
}
