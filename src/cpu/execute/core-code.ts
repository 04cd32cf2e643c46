/** What the cores of a machine have in common: their decoder, and what executes what it has decoded. */
import { Decoder } from "../../a64/decoder.ts";
import type { Semantics } from "../../a64/emit.ts";
import { ALL_ROWS } from "../../a64/encodings/index.ts";
import { type Encoded, HANDLER, Handlers, writeDecoded } from "../../a64/handlers.ts";
import { SEMANTICS } from "../../a64/semantics/index.ts";
import { DECODED } from "../../a64/state.ts";
import type { FunctionTable } from "../../wasm/engine.ts";
import { checkImplementation, IMPLEMENTATION, type Implementation } from "../implementation.ts";
import type { CpuMemory } from "../memory.ts";
import { Interpreter } from "./interpreter.ts";
import { TRANSLATION, type Translation, Translator } from "./translator.ts";

/** How many words are kept decoded for when they are met elsewhere. */
const KNOWN_WORDS = 0x1_0000;
const DECODED_WORDS = DECODED.BYTES / 4;

export class CoreCode {
  readonly memory: CpuMemory;
  readonly implementation: Implementation;
  readonly decoder: Decoder;
  readonly handlers: Handlers;
  readonly interpreter: Interpreter;
  readonly translator: Translator;
  /** Instructions that are UNDEFINED to the guest, by word, with how often they were met. */
  readonly undefinedWords = new Map<number, number>();

  /** Decoded instructions by word, of which a program has few. */
  readonly #known = new Map<number, number>();
  readonly #pool = new Uint32Array(DECODED_WORDS * KNOWN_WORDS);

  #careful: Interpreter | undefined;
  /** Handlers that decoded instructions name. */
  readonly #needed = new Map<number, Encoded>();

  constructor(
    memory: CpuMemory,
    implementation: Implementation = IMPLEMENTATION,
    translation: Translation = TRANSLATION,
  ) {
    checkImplementation(implementation);
    this.memory = memory;
    this.implementation = implementation;
    this.decoder = new Decoder(implementation.features);
    const semantics: Readonly<Record<string, Semantics | undefined>> = SEMANTICS;
    this.handlers = new Handlers(ALL_ROWS, (row) => semantics[row.name]);
    this.interpreter = new Interpreter(this.handlers, memory.memory, {
      translation: { entriesAt: memory.code.entriesAt, hotAfter: translation.hotAfter },
    });
    const { blocks } = this.interpreter;
    this.translator = new Translator(memory, this.handlers, blocks as FunctionTable, translation);
  }

  /** The same semantics, with ops and accesses logged (LOG in a64/state.ts): for ops that somebody wants to see. */
  get careful(): Interpreter {
    if (this.#careful === undefined) {
      this.#careful = new Interpreter(this.handlers, this.memory.memory, { logs: true });
      for (const [id, encoded] of this.#needed) this.#careful.need(encoded, id);
    }
    return this.#careful;
  }

  #need(encoded: Encoded, id: number): void {
    if (this.#needed.has(id)) return;
    this.#needed.set(id, encoded);
    this.interpreter.need(encoded, id);
    this.#careful?.need(encoded, id);
  }

  /** Decodes a word to a host address. */
  decodeTo(at: number, word: number): void {
    const { words, view } = this.memory;
    const known = this.#known.get(word);
    if (known !== undefined) {
      for (let i = 0; i < DECODED_WORDS; i++) words[(at >>> 2) + i] = this.#pool[known + i]!;
      return;
    }
    const row = this.decoder.decode(word);
    const encoded = row === undefined ? undefined : this.handlers.encoded(row);
    if (encoded === undefined) view.setUint16(at + DECODED.HANDLER, HANDLER.UNDEFINED, true);
    else this.#need(encoded, writeDecoded(view, at, encoded, word));
    const to = DECODED_WORDS * this.#known.size;
    if (to === this.#pool.length) return;
    this.#known.set(word, to);
    for (let i = 0; i < DECODED_WORDS; i++) this.#pool[to + i] = words[(at >>> 2) + i]!;
  }
}
