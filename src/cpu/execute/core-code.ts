/** What the cores of a machine have in common: their decoder, and what executes what it has decoded. */
import { Decoder } from "../../a64/decoder.ts";
import type { Semantics } from "../../a64/emit.ts";
import { type Fields, fieldsOf, type Row } from "../../a64/encoding.ts";
import { ALL_ROWS } from "../../a64/encodings/index.ts";
import { type Encoded, HANDLER, Handlers, writeDecoded } from "../../a64/handlers.ts";
import { SEMANTICS } from "../../a64/semantics/index.ts";
import { DECODED } from "../../a64/state.ts";
import { BrokenInvariant } from "../../common/errors.ts";
import type { FunctionTable } from "../../wasm/engine.ts";
import { checkImplementation, IMPLEMENTATION, type Implementation } from "../implementation.ts";
import type { CpuMemory } from "../memory.ts";
import { Interpreter } from "./interpreter.ts";
import { TRANSLATION, type Translation, Translator } from "./translator.ts";

/** How many words are kept decoded for when they are met elsewhere. */
const KNOWN_WORDS = 0x1_0000;
const DECODED_WORDS = DECODED.BYTES / 4;
/** How many of the words that TypeScript carries out are kept with their encodings. */
const KNOWN_INSTRUCTIONS = 0x1000;

/** The encoding of a word, and its fields. */
export interface Instruction {
  readonly row: Row;
  readonly fields: Fields;
}

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

  readonly #instructions = new Map<number, Instruction>();

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

  /** Whether this word is what was decoded to a host address. */
  isDecodedTo(at: number, word: number): boolean {
    const { words } = this.memory;
    const first = at >>> 2;
    const known = this.#known.get(word);
    if (known !== undefined) {
      for (let i = 0; i < DECODED_WORDS; i++) if (words[first + i] !== this.#pool[known + i]) return false;
      return true;
    }
    const before = words.slice(first, first + DECODED_WORDS);
    this.decodeTo(at, word);
    return before.every((each, i) => each === words[first + i]);
  }

  /** The encoding of a word that was decoded as one which TypeScript carries out. */
  instructionOf(word: number): Instruction {
    const known = this.#instructions.get(word);
    if (known !== undefined) return known;
    const row = this.decoder.decode(word);
    if (row === undefined) throw new BrokenInvariant(`${word.toString(16)} is no instruction`);
    const instruction = { row, fields: fieldsOf(row, word) };
    // A guest can have any number of them.
    if (this.#instructions.size === KNOWN_INSTRUCTIONS) this.#instructions.clear();
    this.#instructions.set(word, instruction);
    return instruction;
  }
}
