/** What lies at PC: the word in memory, and what it was decoded to (a64/state.ts, DECODED). Its page is in the code map. */
import { HANDLER } from "../a64/handlers.ts";
import { DECODED, ENTRY } from "../a64/state.ts";
import { BrokenInvariant } from "../common/errors.ts";
import type { CoreCode } from "./execute/core-code.ts";
import type { SoftTlbs } from "./soft-tlbs.ts";
import type { VcpuState } from "./vcpu-state.ts";

/** Instructions that are decoded at once. */
const DECODE_AHEAD = 16;

/** Few translated blocks have more instructions. */
const LONG_BLOCK = 64;

export class CodeAtPc {
  readonly #state: VcpuState;
  readonly #tlbs: SoftTlbs;
  readonly #code: CoreCode;

  constructor(state: VcpuState, tlbs: SoftTlbs, code: CoreCode) {
    this.#state = state;
    this.#tlbs = tlbs;
    this.#code = code;
  }

  /** The host address of the decoded instruction. */
  get decodedAt(): number {
    const { pcLow } = this.#state;
    return this.#tlbs.decodedAt(pcLow) + (pcLow & 0xfff) * (DECODED.BYTES / 4);
  }

  /** The host address of the page, and that of its decoded instructions. */
  #place(): { readonly page: number; readonly decoded: number } {
    const decoded = this.#tlbs.decodedAt(this.#state.pcLow);
    const page = this.#code.memory.code.pageOf(decoded);
    if (page === undefined) throw new BrokenInvariant("no page behind the decoded instructions at PC");
    return { page, decoded };
  }

  /** The instruction, as memory has it. */
  word(): number {
    const { page } = this.#place();
    return this.#code.memory.words[(page + (this.#state.pcLow & 0xfff)) >>> 2] as number;
  }

  /** Whether it has not been decoded. */
  get isUndecoded(): boolean {
    return this.#code.memory.view.getUint16(this.decodedAt + DECODED.HANDLER, true) === HANDLER.DECODE;
  }

  /** Whether it lies in a block that has been translated: one begins there, or not far before. */
  get isTranslated(): boolean {
    const { code, words } = this.#code.memory;
    const at = this.decodedAt;
    const first = at - ((this.#state.pcLow & 0xfff) >> 2) * DECODED.BYTES;
    for (let i = at; i >= Math.max(first, at - LONG_BLOCK * DECODED.BYTES); i -= DECODED.BYTES)
      if ((words[code.entryOf(i) >>> 2] as number) >= ENTRY.BLOCKS) return true;
    return false;
  }

  /** Decodes it, and some of what follows: it will be executed, too, most likely. */
  decode(): void {
    const { view } = this.#code.memory;
    const { page, decoded } = this.#place();
    const first = (this.#state.pcLow & 0xfff) >> 2;
    const end = Math.min(first + DECODE_AHEAD, DECODED.IN_PAGE);
    for (let i = first; i < end; i++) {
      const at = decoded + i * DECODED.BYTES;
      if (i > first && view.getUint16(at + DECODED.HANDLER, true) !== HANDLER.DECODE) break;
      this.#code.decodeTo(at, view.getUint32(page + 4 * i, true));
    }
  }

  /**
   * Makes sure that the word in memory is what was decoded. The guest may have stored another instruction there since, which
   * without IC IVAU it may be given or not; what TypeScript carries out is the one in memory.
   * @param word what memory has
   * @returns whether it is another one: it is decoded, and what was made of the old one is forgotten
   */
  isDecodedAnew(word: number): boolean {
    const at = this.decodedAt;
    if (this.#code.isDecodedTo(at, word)) return false;
    const { code } = this.#code.memory;
    const place = code.placeOf(at);
    if (place !== undefined) code.forget(place.page + (this.#state.pcLow & 0xfff), 4);
    this.#code.decodeTo(at, word);
    return true;
  }
}
