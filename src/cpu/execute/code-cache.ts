/**
 * Decoded code: for each page of the linear memory that was executed, its instructions as the interpreter takes them
 * (a64/state.ts, DECODED). A pool in the linear memory, which is emptied when it is full.
 *
 * A page's decoded code has a place there, and each place a generation, which is another one as soon as any of what was decoded
 * there is not good any more. Who derives something from it keeps place and generation, and compares.
 */
import { HANDLER } from "../../a64/handlers.ts";
import { DECODED, ENTRY, TABLES } from "../../a64/state.ts";
import { PAGE_BYTES } from "../../common/address.ts";

/** How many pages' code there is room for. */
const PAGES = 3072;
/** Bytes of decoded code to a byte of code. */
const SCALE = DECODED.BYTES / 4;

const DECODED_BYTES = PAGES * DECODED.PAGE_BYTES;
/** Which bit is a page's, by its host address: a byte has those of eight pages. */
const { CODE_PAGES } = TABLES;
const PAGE = Math.log2(PAGE_BYTES);
const PAGES_IN_BYTE = PAGE + 3;
/** Bytes of decoded instructions to one of their ENTRYs. */
const ENTRY_SCALE = DECODED.BYTES / ENTRY.BYTES;

export const CODE_CACHE_BYTES = DECODED_BYTES + DECODED_BYTES / ENTRY_SCALE;

/** The decoded code of a page, and the page: host addresses. */
export interface DecodedPlace {
  readonly decoded: number;
  readonly page: number;
}

export class CodeCache {
  readonly #view: DataView;
  readonly #bytes: Uint8Array;
  readonly #start: number;
  /** Where ENTRY of a decoded instruction lies: this more than a quarter of its address. */
  readonly entriesAt: number;
  #next: number;
  /** Decoded code by the host address of its page, and the other way round. */
  readonly #decodedOf = new Map<number, number>();
  readonly #pageOf = new Map<number, number>();
  /** By place. */
  readonly #generations = new Uint32Array(PAGES);
  /** Told when all of it is dropped: code maps must forget it. */
  readonly onDropped: (() => void)[] = [];

  /** @param start where CODE_CACHE_BYTES of the memory are the cache's */
  constructor(view: DataView, bytes: Uint8Array, start: number) {
    this.#view = view;
    this.#bytes = bytes;
    this.#start = start;
    this.#next = start;
    this.entriesAt = start + DECODED_BYTES - start / ENTRY_SCALE;
  }

  /** ENTRY of a decoded instruction: its host address. */
  entryOf(at: number): number {
    return this.entriesAt + at / ENTRY_SCALE;
  }

  #clearEntries(decoded: number, pages: number): void {
    const first = this.entryOf(decoded);
    this.#bytes.fill(0, first, first + (pages * DECODED.PAGE_BYTES) / ENTRY_SCALE);
  }

  /** The decoded code of the page at a host address. */
  decodedOf(page: number): number {
    const known = this.#decodedOf.get(page);
    if (known !== undefined) return known;
    if (this.#next === this.#start + DECODED_BYTES) this.drop();
    const at = this.#next;
    this.#next += DECODED.PAGE_BYTES;
    this.#bytes.fill(0, at, at + DECODED.PAGE_BYTES);
    this.#view.setUint16(at + DECODED.IN_PAGE * DECODED.BYTES, HANDLER.PAGE_END, true);
    this.#decodedOf.set(page, at);
    this.#pageOf.set(at, page);
    this.#bytes[CODE_PAGES + (page >>> PAGES_IN_BYTE)]! |= 1 << ((page >>> PAGE) & 7);
    return at;
  }

  /** The host address of the page whose decoded code this is; undefined if it is none any more. */
  pageOf(decoded: number): number | undefined {
    return this.#pageOf.get(decoded);
  }

  /** Which page's decoded code has something at `at`; undefined if that is none any more. */
  placeOf(at: number): DecodedPlace | undefined {
    const decoded = at - ((at - this.#start) % DECODED.PAGE_BYTES);
    const page = this.#pageOf.get(decoded);
    return page === undefined ? undefined : { decoded, page };
  }

  /** The generation of the decoded code that has a place, or had. */
  generationOf(decoded: number): number {
    return this.#generations[(decoded - this.#start) / DECODED.PAGE_BYTES] as number;
  }

  /** IC IVAU, and stores by others than the guest: what these bytes were is decoded again when it is executed. Within a page. */
  forget(at: number, bytes: number): void {
    const page = at - (at % PAGE_BYTES);
    const decoded = this.#decodedOf.get(page);
    if (decoded === undefined) return;
    const first = decoded + (at - page) * SCALE;
    this.#bytes.fill(0, first, first + bytes * SCALE);
    this.#clearEntries(decoded, 1);
    this.#generations[(decoded - this.#start) / DECODED.PAGE_BYTES]! += 1;
  }

  /** IC IALLU, and a full pool. */
  drop(): void {
    const used = (this.#next - this.#start) / DECODED.PAGE_BYTES;
    for (let place = 0; place < used; place++) this.#generations[place]! += 1;
    this.#clearEntries(this.#start, used);
    this.#bytes.fill(0, CODE_PAGES, TABLES.END);
    this.#decodedOf.clear();
    this.#pageOf.clear();
    this.#next = this.#start;
    for (const dropped of this.onDropped) dropped();
  }
}
