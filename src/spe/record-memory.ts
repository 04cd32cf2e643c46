/**
 * Where an SPU's records go: its writes through the translation regime of whoever owns the buffer. EL1's is both stages, with a
 * small TLB of their combined translations; EL2's is the hypervisor's own map.
 */
import { type Ipn, PAGE_BYTES, type Pfn, type Vpn, vpn } from "../common/address.ts";
import { PROFILING_BUFFER_WRITE } from "../mmu/access.ts";
import { halfOf, type Stage1Regime, type Stage2Config } from "../mmu/config.ts";
import { faultStatusCode, isFault } from "../mmu/fault.ts";
import type { TableMemory } from "../mmu/table-memory.ts";
import { translateBoth } from "../mmu/translate.ts";
import { type PeContext, ProfilingBufferOwner } from "./enables.ts";
import type { RecordFault, RecordMemory } from "./outcomes.ts";

export interface RecordTranslation {
  /** EL1&0 stage 1 as its registers select it now: the same value until one of them is written. */
  readonly stage1: () => Stage1Regime;
  readonly stage2: Stage2Config;
  /** Physical memory, stage-2 tables included. */
  readonly physical: TableMemory<Pfn>;
  /** EL2's translation of a page, for while the buffer is its own. */
  readonly ownBuffer: (page: Vpn) => Pfn;
  /** Told of each page of EL1's that is about to be written to. */
  readonly onRecordPage: ((ipn: Ipn, frame: Pfn) => void) | undefined;
}

/** Entries in the TLB: a few pages, since records are written in order. */
const TLB_ENTRIES = 16;

/** A translation that is kept: VA page, IPA page, frame. */
interface TlbEntry {
  readonly page: Vpn;
  readonly ipn: Ipn;
  readonly frame: Pfn;
}

export type RecordTlb = readonly TlbEntry[];

export class TranslatedRecords implements RecordMemory {
  readonly #translation: RecordTranslation;
  readonly #pe: PeContext;
  #tlb: TlbEntry[] = [];
  /** The regime of what the TLB has: another one has translations of its own. */
  #regime: Stage1Regime | undefined;
  /** Memory that was written to last, and its bytes. */
  #stored: Uint32Array | undefined;
  #storedBytes: Uint8Array = new Uint8Array();

  /** @param pe the PE of the SPU: who owns the buffer */
  constructor(translation: RecordTranslation, pe: PeContext) {
    this.#translation = translation;
    this.#pe = pe;
  }

  /** Whether a page can be written to. */
  translates(page: Vpn): boolean {
    return "frame" in this.#translate(page);
  }

  write(page: Vpn, offset: number, size: number, bytes: Uint8Array | undefined): RecordFault | undefined {
    const first = this.#translate(page);
    if (!("frame" in first)) return first;
    const inFirst = Math.min(size, PAGE_BYTES - offset);
    const second = inFirst < size ? this.#translate(vpn(page + 1)) : undefined;
    if (second !== undefined && !("frame" in second)) return second;
    if (bytes === undefined) return undefined;
    if (second === undefined) {
      this.#store(first.frame, offset, bytes);
      return undefined;
    }
    this.#store(first.frame, offset, bytes.subarray(0, inFirst));
    this.#store(second.frame, 0, bytes.subarray(inFirst, size));
    return undefined;
  }

  /** TLBI by IPA, from the hypervisor: pages [first, first + pages). */
  invalidateByIpa(first: Ipn, pages: number): void {
    this.#tlb = this.#tlb.filter((entry) => entry.ipn < first || entry.ipn >= first + pages);
  }

  /** TLBI, from the guest itself. */
  invalidateAll(): void {
    this.#tlb = [];
  }

  save(): RecordTlb {
    return [...this.#tlb];
  }

  restore(tlb: RecordTlb): void {
    this.#tlb = [...tlb];
    this.#regime = undefined;
  }

  #translate(page: Vpn): { readonly frame: Pfn } | RecordFault {
    const { stage1, stage2, physical, ownBuffer, onRecordPage } = this.#translation;
    if (ProfilingBufferOwner(this.#pe) === 2) return { frame: ownBuffer(page) };
    const regime = stage1();
    if (this.#regime !== undefined && this.#regime !== regime) this.#tlb = [];
    this.#regime = regime;
    // Most records lie in the page of the one before.
    const last = this.#tlb.at(-1);
    const hit = last?.page === page ? last : this.#tlb.find((entry) => entry.page === page);
    if (hit !== undefined) {
      onRecordPage?.(hit.ipn, hit.frame);
      return hit;
    }
    const result = translateBoth(halfOf(regime, page), stage2, page, PROFILING_BUFFER_WRITE, physical);
    if (isFault(result))
      return {
        kind: result.kind === "external" ? "external" : "mmu",
        stage: result.stage,
        dfsc: faultStatusCode(result),
      };
    const entry = { page, ipn: result.stage1.outputPage, frame: result.outputPage };
    this.#tlb.push(entry);
    if (this.#tlb.length > TLB_ENTRIES) this.#tlb.shift();
    onRecordPage?.(entry.ipn, entry.frame);
    return entry;
  }

  #store(frame: Pfn, offset: number, bytes: Uint8Array): void {
    const { physical } = this.#translation;
    const words = physical.page(frame, PROFILING_BUFFER_WRITE);
    // What translates to where no memory is, is lost.
    if (words === undefined || isFault(words)) return;
    if (words !== this.#stored) {
      this.#stored = words;
      this.#storedBytes = new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
    }
    this.#storedBytes.set(bytes, offset);
    // A buffer may lie over somebody's tables: what was read from them no longer holds.
    physical.wrote(frame);
  }
}
