/**
 * The layout of the one linear memory: each vCPU's state, soft TLBs and code maps, decoded code, and the content of physical
 * pages. Addresses in it are "host addresses" here: byte offsets.
 */
import { INVERSE_SBOX, SBOX } from "../a64/aes-tables.ts";
import {
  CTLB,
  DTLB,
  dtlbOtherIndex,
  EMPTY_BYTE,
  EMPTY_INDEX,
  EMPTY_OTHER,
  LOG,
  STATE_BYTES,
  TABLES,
} from "../a64/state.ts";
import { PAGE_BYTES } from "../common/address.ts";
import { engine, type LinearMemory } from "../wasm/engine.ts";
import { CODE_CACHE_BYTES, CodeCache } from "./execute/code-cache.ts";
import { LinearPages } from "./page-store.ts";

const WASM_PAGE_BYTES = 0x1_0000;
/** Addresses of WebAssembly have 32 bits. The last page stays away: one past its end would be 0. */
const MOST_WASM_PAGES = 0xffff;
/** Where the first vCPU's area lies: address 0 stays unused, and TABLES lie below. */
const FIRST_VCPU = TABLES.END;
/** For how many contexts there are tables of EL0's translations. */
export const EL0_CONTEXTS = 8;
/** Soft TLBs of a vCPU: EL1 with PAN, EL1 without, and EL0's; code maps: EL1's and EL0's. */
const SOFT_TLBS = 2 + EL0_CONTEXTS;
const CODE_MAPS = 1 + EL0_CONTEXTS;

const roundUp = (value: number, to: number): number => Math.ceil(value / to) * to;

const STATE_AREA = roundUp(STATE_BYTES, 64);
const LOG_AREA = STATE_AREA + (SOFT_TLBS + 1) * DTLB.BYTES + CODE_MAPS * CTLB.BYTES;
/** Places of a vCPU's area, from its base. NO_DTLB is a soft TLB that stays empty. */
export const VCPU_AREA = {
  DTLB: STATE_AREA,
  NO_DTLB: STATE_AREA + SOFT_TLBS * DTLB.BYTES,
  CTLB: STATE_AREA + (SOFT_TLBS + 1) * DTLB.BYTES,
  LOG: LOG_AREA,
  BYTES: roundUp(LOG_AREA + LOG.BYTES, 4096),
} as const;

/** The linear memory of a machine with so many vCPUs. */
export class CpuMemory {
  readonly memory: LinearMemory;
  readonly view: DataView;
  readonly bytes: Uint8Array;
  readonly words: Uint32Array;
  readonly code: CodeCache;
  readonly pages: LinearPages;

  /** @param pages how many physical pages there are: all of them may have content at once, as far as 4 GiB reach */
  constructor(vcpus: number, pages: number) {
    const code = FIRST_VCPU + vcpus * VCPU_AREA.BYTES;
    const content = roundUp(code + CODE_CACHE_BYTES, PAGE_BYTES);
    const end = Math.min(content + pages * PAGE_BYTES, MOST_WASM_PAGES * WASM_PAGE_BYTES);
    const wasmPages = Math.ceil(end / WASM_PAGE_BYTES);
    this.memory = new engine.Memory({ initial: wasmPages, maximum: wasmPages });
    this.view = new DataView(this.memory.buffer);
    this.bytes = new Uint8Array(this.memory.buffer);
    this.words = new Uint32Array(this.memory.buffer);
    this.bytes.set(SBOX, TABLES.SBOX);
    this.bytes.set(INVERSE_SBOX, TABLES.INVERSE_SBOX);
    this.code = new CodeCache(this.view, this.bytes, code);
    this.pages = new LinearPages(this.bytes, content, end, this.code);
  }

  vcpuBase(vcpu: number): number {
    return FIRST_VCPU + vcpu * VCPU_AREA.BYTES;
  }

  emptyDtlb(at: number): void {
    this.bytes.fill(EMPTY_BYTE, at, at + DTLB.BYTES);
    for (const index of [EMPTY_INDEX, dtlbOtherIndex(EMPTY_INDEX)]) {
      const odd = at + index * DTLB.ENTRY_BYTES;
      this.view.setBigUint64(odd + DTLB.RTAG, EMPTY_OTHER, true);
      this.view.setBigUint64(odd + DTLB.WTAG, EMPTY_OTHER, true);
      this.view.setBigUint64(odd + DTLB.STRICT_TAG, EMPTY_OTHER, true);
    }
  }

  emptyCtlb(at: number): void {
    this.bytes.fill(EMPTY_BYTE, at, at + CTLB.BYTES);
    this.view.setBigUint64(at + EMPTY_INDEX * CTLB.ENTRY_BYTES + CTLB.TAG, EMPTY_OTHER, true);
  }
}
