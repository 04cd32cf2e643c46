/**
 * The one linear memory: each vCPU's state, soft TLBs and code maps, decoded instructions, and the content of physical pages.
 * Addresses in it are "host addresses" here: byte offsets.
 */
import { INVERSE_SBOX, SBOX } from "../a64/aes-tables.ts";
import { HANDLER } from "../a64/handlers.ts";
import {
  CTLB,
  DECODED,
  DTLB,
  EMPTY_BYTE,
  EMPTY_INDEX,
  EMPTY_OTHER,
  STATE_BYTES,
  TABLES,
} from "../a64/state.ts";
import { PAGE_BYTES } from "../common/address.ts";
import { engine, type LinearMemory } from "../wasm/engine.ts";

const WASM_PAGE_BYTES = 0x1_0000;
/** Addresses of WebAssembly have 32 bits. The last page stays away: one past its end would be 0. */
const MOST_WASM_PAGES = 0xffff;
/** Where the first vCPU's area lies: address 0 stays unused, and TABLES lie below. */
const FIRST_VCPU = 0x1000;
/** For how many contexts there are tables of EL0's translations. */
export const EL0_CONTEXTS = 8;
/** Soft TLBs of a vCPU: EL1 with PAN, EL1 without, and EL0's; code maps: EL1's and EL0's. */
const SOFT_TLBS = 2 + EL0_CONTEXTS;
const CODE_MAPS = 1 + EL0_CONTEXTS;
const DECODED_PAGES = 3072;

/**
 * The guest has touched more memory than there is room for here. What it is given (--memory) may be more: pages get content
 * when they are first written to.
 */
export class HostMemoryFull extends Error {
  override readonly name = "HostMemoryFull";
  /** Bytes of the pages that have content. */
  readonly bytes: number;

  constructor(bytes: number) {
    super(`${bytes} bytes of guest memory have content`);
    this.bytes = bytes;
  }
}

const roundUp = (value: number, to: number): number => Math.ceil(value / to) * to;

const STATE_AREA = roundUp(STATE_BYTES, 64);
/** Places of a vCPU's area, from its base. NO_DTLB is a soft TLB that stays empty. */
export const VCPU_AREA = {
  DTLB: STATE_AREA,
  NO_DTLB: STATE_AREA + SOFT_TLBS * DTLB.BYTES,
  CTLB: STATE_AREA + (SOFT_TLBS + 1) * DTLB.BYTES,
  BYTES: roundUp(STATE_AREA + (SOFT_TLBS + 1) * DTLB.BYTES + CODE_MAPS * CTLB.BYTES, 4096),
} as const;

export class CpuMemory {
  readonly memory: LinearMemory;
  readonly view: DataView;
  readonly bytes: Uint8Array;
  readonly words: Uint32Array;
  readonly #decoded: number;
  readonly #pages: number;
  readonly #endPage: number;
  #nextPage: number;
  readonly #freePages: number[] = [];
  #nextDecoded: number;
  /** Decoded instructions by the host address of the page that they come from, and the other way round. */
  readonly #decodedOf = new Map<number, number>();
  readonly #pageOf = new Map<number, number>();
  /** Told when all are dropped: code maps must forget them. */
  readonly onDecodedDropped: (() => void)[] = [];

  /** @param pages how many physical pages there are: all of them may have content at once, as far as 4 GiB reach */
  constructor(vcpus: number, pages: number) {
    this.#decoded = FIRST_VCPU + vcpus * VCPU_AREA.BYTES;
    this.#pages = roundUp(this.#decoded + DECODED_PAGES * DECODED.PAGE_BYTES, PAGE_BYTES);
    this.#endPage = Math.min(this.#pages + pages * PAGE_BYTES, MOST_WASM_PAGES * WASM_PAGE_BYTES);
    const wasmPages = Math.ceil(this.#endPage / WASM_PAGE_BYTES);
    this.memory = new engine.Memory({ initial: wasmPages, maximum: wasmPages });
    this.view = new DataView(this.memory.buffer);
    this.bytes = new Uint8Array(this.memory.buffer);
    this.words = new Uint32Array(this.memory.buffer);
    this.bytes.set(SBOX, TABLES.SBOX);
    this.bytes.set(INVERSE_SBOX, TABLES.INVERSE_SBOX);
    this.#nextPage = this.#pages;
    this.#nextDecoded = this.#decoded;
  }

  get wasmPages(): number {
    return this.memory.buffer.byteLength / WASM_PAGE_BYTES;
  }

  vcpuBase(vcpu: number): number {
    return FIRST_VCPU + vcpu * VCPU_AREA.BYTES;
  }

  /** A page of zeros for a frame's content. @throws HostMemoryFull */
  allocatePage(): Uint32Array {
    let at = this.#freePages.pop();
    if (at === undefined) {
      at = this.#nextPage;
      if (at >= this.#endPage) throw new HostMemoryFull(this.#endPage - this.#pages);
      this.#nextPage += PAGE_BYTES;
    } else this.bytes.fill(0, at, at + PAGE_BYTES);
    return new Uint32Array(this.memory.buffer, at, PAGE_BYTES / 4);
  }

  freePage(words: Uint32Array): void {
    this.forgetDecoded(words.byteOffset, PAGE_BYTES);
    this.#freePages.push(words.byteOffset);
  }

  /** The decoded instructions of the page at a host address. */
  decodedOf(page: number): number {
    const known = this.#decodedOf.get(page);
    if (known !== undefined) return known;
    if (this.#nextDecoded + DECODED.PAGE_BYTES > this.#decoded + DECODED_PAGES * DECODED.PAGE_BYTES)
      this.dropDecoded();
    const at = this.#nextDecoded;
    this.#nextDecoded += DECODED.PAGE_BYTES;
    this.bytes.fill(0, at, at + DECODED.PAGE_BYTES);
    this.view.setUint16(at + DECODED.IN_PAGE * DECODED.BYTES, HANDLER.PAGE_END, true);
    this.#decodedOf.set(page, at);
    this.#pageOf.set(at, page);
    return at;
  }

  /** The host address of the page that these instructions come from. */
  pageOf(decoded: number): number | undefined {
    return this.#pageOf.get(decoded);
  }

  /** IC IVAU: what was decoded from these bytes is decoded again when it is executed. Within a page. */
  forgetDecoded(at: number, bytes: number): void {
    const page = at - (at % PAGE_BYTES);
    const decoded = this.#decodedOf.get(page);
    if (decoded === undefined) return;
    const first = decoded + (at - page) * 4;
    this.bytes.fill(0, first, first + bytes * 4);
  }

  /** IC IALLU, and a full pool. */
  dropDecoded(): void {
    this.#decodedOf.clear();
    this.#pageOf.clear();
    this.#nextDecoded = this.#decoded;
    for (const dropped of this.onDecodedDropped) dropped();
  }

  emptyDtlb(at: number): void {
    this.bytes.fill(EMPTY_BYTE, at, at + DTLB.BYTES);
    const odd = at + EMPTY_INDEX * DTLB.ENTRY_BYTES;
    this.view.setBigUint64(odd + DTLB.RTAG, EMPTY_OTHER, true);
    this.view.setBigUint64(odd + DTLB.WTAG, EMPTY_OTHER, true);
    this.view.setBigUint64(odd + DTLB.STRICT_TAG, EMPTY_OTHER, true);
  }

  emptyCtlb(at: number): void {
    this.bytes.fill(EMPTY_BYTE, at, at + CTLB.BYTES);
    this.view.setBigUint64(at + EMPTY_INDEX * CTLB.ENTRY_BYTES + CTLB.TAG, EMPTY_OTHER, true);
  }
}
