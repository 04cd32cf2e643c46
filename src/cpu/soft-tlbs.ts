/**
 * The soft TLBs and code maps of a core: which table WebAssembly looks into, what they hold, and what TLBI takes away.
 *
 * EL1 has a soft TLB for each value of PAN, and a code map. EL0 has a pair of its own for each of the last few contexts (the
 * values of TTBR0_EL1 and TTBR1_EL1, ASID and all), so that switching between programs forgets neither the kernel's
 * translations nor theirs. Entries of EL1's tables that belong to a context go when it does.
 */
import {
  CTLB,
  DTLB,
  dtlbIndexOf,
  dtlbIndexOfPage,
  dtlbOtherIndex,
  EMPTY_BYTE,
  EMPTY_INDEX,
  EMPTY_OTHER,
  STRICT,
} from "../a64/state.ts";
import type { Ipn } from "../common/address.ts";
import { type CpuMemory, EL0_CONTEXTS, VCPU_AREA } from "./memory.ts";
import type { VcpuState } from "./vcpu-state.ts";

/** VA[55:12], which a TLBI names, has this many values. */
const TAGLESS_PAGES = 2 ** 44;
const EMPTY = BigInt(`0x${EMPTY_BYTE.toString(16).repeat(8)}`);
const OTHER_EMPTY_INDEX = dtlbOtherIndex(EMPTY_INDEX);
const isOdd = (index: number): boolean => index === EMPTY_INDEX || index === OTHER_EMPTY_INDEX;
const emptyTag = (index: number): bigint => (isOdd(index) ? EMPTY_OTHER : EMPTY);
/** The same by halves: TLBIs come by the thousand. */
const halvesOf = (tag: bigint) => [Number(tag & 0xffff_ffffn), Number(tag >> 32n)] as const;
const EMPTY_HALVES = halvesOf(EMPTY);
const EMPTY_OTHER_HALVES = halvesOf(EMPTY_OTHER);

/** Tables of each kind, in the order in which they lie: EL1's, and EL0's by context. */
const EL1_TLBS = 2;
const TLBS = EL1_TLBS + EL0_CONTEXTS;
const EL1_MAPS = 1;
const MAPS = EL1_MAPS + EL0_CONTEXTS;

/** An entry of a soft TLB: where it lies, and which of its table it is. */
export interface TlbEntry {
  readonly entry: number;
  readonly index: number;
}

/** Which EL0 tables there are for a context, and when they were taken up last. */
interface Context {
  readonly ttbr0: bigint;
  readonly ttbr1: bigint;
  usedAt: number;
}

/** Everything that is cached, by place: tables in their order, entries one after the other. */
export interface Translations {
  readonly data: readonly (readonly [
    place: number,
    readTag: string,
    writeTag: string,
    strict: readonly [tag: string, goodFor: number],
    frame: number,
    ipn: Ipn,
  ])[];
  readonly code: readonly (readonly [place: number, tag: string, frame: number, ipn: Ipn])[];
  readonly blocks: readonly (readonly [pages: number, blocks: readonly number[]])[];
  readonly contexts: readonly (readonly [ttbr0: string, ttbr1: string, usedAt: number] | null)[];
  readonly current: number | null;
  readonly ofContext: { readonly data: readonly number[]; readonly code: readonly number[] };
}

export class SoftTlbs {
  readonly #memory: CpuMemory;
  readonly #state: VcpuState;
  readonly #tlbs: number;
  readonly #maps: number;
  #contexts: (Context | undefined)[] = new Array(EL0_CONTEXTS).fill(undefined);
  /** The current context's place; undefined until EL0's tables are needed. */
  #current: number | undefined;
  #uses = 0;
  /** Places in EL1's tables whose entries are good for the current context only. */
  readonly #dataOfContext = new Set<number>();
  readonly #codeOfContext = new Set<number>();
  /** The guest page that an entry leads to, by place: what a TLBI by IPA names. */
  readonly #dataIpns = new Float64Array(TLBS * DTLB.ENTRIES);
  readonly #codeIpns = new Float64Array(MAPS * CTLB.ENTRIES);
  /** Which tables may hold anything: emptying one is for 256 KiB, and a guest may ask for it with each instruction. */
  readonly #filledTlbs = new Uint8Array(TLBS).fill(1);
  readonly #filledMaps = new Uint8Array(MAPS).fill(1);
  /** Which soft TLBs may have pages in their other places. */
  readonly #movedIn = new Uint8Array(TLBS);
  /**
   * Places that stores to a page of the linear memory were let through by, and others beside them: tables are too large to be
   * searched for it each time that somebody waits for a store.
   */
  readonly #storing = new Map<number, number[]>();
  /**
   * Leaves of more than 4 KiB of which pages were cached since the last flush: by their size in pages, VA[55:12] divided by
   * it. A TLBI for any address in one must forget all of its pages.
   */
  readonly #blocks = new Map<number, Set<number>>();

  constructor(memory: CpuMemory, state: VcpuState) {
    this.#memory = memory;
    this.#state = state;
    this.#tlbs = state.base + VCPU_AREA.DTLB;
    this.#maps = state.base + VCPU_AREA.CTLB;
    memory.emptyDtlb(state.base + VCPU_AREA.NO_DTLB);
    memory.code.onDropped.push(() => {
      for (let i = 0; i < MAPS; i++) this.#emptyMap(i);
      this.#codeOfContext.clear();
    });
  }

  #tlb(table: number): number {
    return this.#tlbs + table * DTLB.BYTES;
  }

  #map(table: number): number {
    return this.#maps + table * CTLB.BYTES;
  }

  #emptyTlb(table: number): void {
    if (this.#filledTlbs[table] === 0) return;
    this.#filledTlbs[table] = 0;
    this.#movedIn[table] = 0;
    this.#memory.emptyDtlb(this.#tlb(table));
  }

  #emptyMap(table: number): void {
    if (this.#filledMaps[table] === 0) return;
    this.#filledMaps[table] = 0;
    this.#memory.emptyCtlb(this.#map(table));
  }

  // ---- Which tables count ----

  /** The exception level, PAN, UAO or the context changed. */
  select(): void {
    const { el, words, at } = this.#state;
    if (el === 0) {
      this.needEl0();
      words[at.DTLB] = this.#el0Tlb;
      words[at.DTLB_EL0] = this.#el0Tlb;
      words[at.CTLB] = this.#map(EL1_MAPS + (this.#current as number));
      return;
    }
    const own = this.#tlb(words[at.PAN] === 1 ? 0 : 1);
    words[at.DTLB] = own;
    words[at.DTLB_EL0] = words[at.UAO] === 1 ? own : this.#el0Tlb;
    words[at.CTLB] = this.#map(0);
  }

  get #el0Tlb(): number {
    return this.#current === undefined
      ? this.#state.base + VCPU_AREA.NO_DTLB
      : this.#tlb(EL1_TLBS + this.#current);
  }

  /** TTBR0_EL1 or TTBR1_EL1 was written and no more than the ASID and EL0's tables may differ. */
  contextChanged(): void {
    for (const place of this.#dataOfContext) this.empty(this.#entryAt(place));
    this.#dataOfContext.clear();
    for (const place of this.#codeOfContext) this.#emptyCode(place);
    this.#codeOfContext.clear();
    // Which context it is can wait: on the way from one program to another there are some that nobody runs in.
    this.#current = undefined;
    this.select();
  }

  /** EL0's tables are about to be used. */
  needEl0(): void {
    if (this.#current !== undefined) return;
    const [ttbr0, ttbr1] = [this.#state.get64("TTBR0_EL1"), this.#state.get64("TTBR1_EL1")];
    let place = this.#contexts.findIndex((each) => each?.ttbr0 === ttbr0 && each.ttbr1 === ttbr1);
    if (place < 0) {
      const usedAt = this.#contexts.map((each) => each?.usedAt ?? -1);
      place = usedAt.indexOf(Math.min(...usedAt));
      this.#emptyContext(place);
    }
    this.#contexts[place] = { ttbr0, ttbr1, usedAt: this.#uses++ };
    this.#current = place;
    const state = this.#state;
    if (state.el === 0 || state.get32("UAO") === 0) state.set32("DTLB_EL0", this.#el0Tlb);
  }

  // ---- What they hold ----

  /**
   * Caches a page for loads or stores: its host address, which guest page it is, whether it is the same in every context, and
   * whether its accesses must be aligned (`strict`).
   */
  fill(
    va: bigint,
    page: number,
    kind: {
      readonly ipn: Ipn;
      readonly write: boolean;
      readonly unprivileged: boolean;
      readonly global: boolean;
      readonly strict: boolean;
    },
  ): TlbEntry {
    const state = this.#state;
    const { view, words } = this.#memory;
    if (kind.unprivileged) this.needEl0();
    const table = state.words[kind.unprivileged ? state.at.DTLB_EL0 : state.at.DTLB] as number;
    const index = dtlbIndexOf(va);
    const entry = table + index * DTLB.ENTRY_BYTES;
    const tag = va & ~0xfffn;
    this.#makeRoom(table, index, tag);
    const isSamePage = words[(entry + DTLB.ADDRESS) >>> 2] === page;
    const strict = words[(entry + DTLB.STRICT) >>> 2] as number;
    if (kind.strict) {
      const isSame = isSamePage && view.getBigUint64(entry + DTLB.STRICT_TAG, true) === tag;
      this.empty({ entry, index });
      view.setBigUint64(entry + DTLB.STRICT_TAG, tag, true);
      view.setUint32(
        entry + DTLB.STRICT,
        (isSame ? strict : 0) | (kind.write ? STRICT.WRITE : STRICT.READ),
        true,
      );
    } else {
      const other = entry + (kind.write ? DTLB.RTAG : DTLB.WTAG);
      if (!isSamePage || view.getBigUint64(other, true) !== tag)
        view.setBigUint64(other, emptyTag(index), true);
      view.setBigUint64(entry + (kind.write ? DTLB.WTAG : DTLB.RTAG), tag, true);
      if (strict !== 0) {
        view.setBigUint64(entry + DTLB.STRICT_TAG, emptyTag(index), true);
        view.setUint32(entry + DTLB.STRICT, 0, true);
      }
    }
    view.setUint32(entry + DTLB.ADDRESS, page, true);
    const place = (entry - this.#tlbs) / DTLB.ENTRY_BYTES;
    this.#dataIpns[place] = kind.ipn;
    this.#filledTlbs[Math.floor(place / DTLB.ENTRIES)] = 1;
    if (kind.write) this.#noteStores(page, place);
    if (!kind.global && place < EL1_TLBS * DTLB.ENTRIES) this.#dataOfContext.add(place);
    return { entry, index };
  }

  /** A page comes to its place in a soft TLB: another one that has the same place goes to its other place. */
  #makeRoom(table: number, index: number, tag: bigint): void {
    const { view, words } = this.#memory;
    const empty = emptyTag(index);
    const entry = table + index * DTLB.ENTRY_BYTES;
    const otherIndex = dtlbOtherIndex(index);
    const other = table + otherIndex * DTLB.ENTRY_BYTES;
    if (
      view.getBigUint64(other + DTLB.RTAG, true) === tag ||
      view.getBigUint64(other + DTLB.WTAG, true) === tag
    )
      this.empty({ entry: other, index: otherIndex });
    const read = view.getBigUint64(entry + DTLB.RTAG, true);
    const write = view.getBigUint64(entry + DTLB.WTAG, true);
    const held = read === empty ? write : read;
    // What is in its other place here has had its turn.
    if (held === empty || held === tag || dtlbIndexOf(held) !== index) return;
    const page = words[(entry + DTLB.ADDRESS) >>> 2] as number;
    view.setBigUint64(other + DTLB.RTAG, read, true);
    view.setBigUint64(other + DTLB.WTAG, write, true);
    view.setUint32(other + DTLB.ADDRESS, page, true);
    view.setUint32(other + DTLB.STRICT, 0, true);
    view.setBigUint64(other + DTLB.STRICT_TAG, empty, true);
    const from = (entry - this.#tlbs) / DTLB.ENTRY_BYTES;
    const to = (other - this.#tlbs) / DTLB.ENTRY_BYTES;
    this.#dataIpns[to] = this.#dataIpns[from] as number;
    if (write !== empty) this.#noteStores(page, to);
    if (this.#dataOfContext.has(from)) this.#dataOfContext.add(to);
    this.#movedIn[Math.floor(to / DTLB.ENTRIES)] = 1;
  }

  /** The host address of a VA that loads, or stores, of the current level may use without a walk; undefined: it takes one. */
  hostAddressOf(va: bigint, write: boolean, unprivileged: boolean): number | undefined {
    const { view } = this.#memory;
    const { words, at } = this.#state;
    const table = words[unprivileged ? at.DTLB_EL0 : at.DTLB] as number;
    const tag = va & ~0xfffn;
    const index = dtlbIndexOf(va);
    for (const place of [index, dtlbOtherIndex(index)]) {
      const entry = table + place * DTLB.ENTRY_BYTES;
      if (view.getBigUint64(entry + (write ? DTLB.WTAG : DTLB.RTAG), true) === tag)
        return view.getUint32(entry + DTLB.ADDRESS, true) + Number(va & 0xfffn);
    }
    return undefined;
  }

  /** Caches where the decoded instructions of the page of PC are. */
  fillCode(pc: bigint, decoded: number, ipn: Ipn, global: boolean): void {
    const { view } = this.#memory;
    const entry = this.#codeEntry(Number(BigInt.asUintN(32, pc)));
    view.setBigUint64(entry + CTLB.TAG, pc & ~0xfffn, true);
    view.setUint32(entry + CTLB.DECODED, decoded, true);
    const place = (entry - this.#maps) / CTLB.ENTRY_BYTES;
    this.#codeIpns[place] = ipn;
    this.#filledMaps[Math.floor(place / CTLB.ENTRIES)] = 1;
    if (!global && place < EL1_MAPS * CTLB.ENTRIES) this.#codeOfContext.add(place);
  }

  /** A page was found in a leaf of more than 4 KiB. */
  foundBlock(page: number, leafPages: number): void {
    let blocks = this.#blocks.get(leafPages);
    if (blocks === undefined) {
      blocks = new Set();
      this.#blocks.set(leafPages, blocks);
    }
    blocks.add(Math.floor((page % TAGLESS_PAGES) / leafPages));
  }

  /**
   * The decoded instructions of the page of PC, which WebAssembly has just used.
   * @param pcLow PC[31:0]
   */
  decodedAt(pcLow: number): number {
    return this.#memory.words[(this.#codeEntry(pcLow) + CTLB.DECODED) >>> 2] as number;
  }

  /** Whether the code map of the current level has the page of an address that instructions may have. */
  isCodeMapped(pc: bigint): boolean {
    const tag = this.#memory.view.getBigUint64(
      this.#codeEntry(Number(BigInt.asUintN(32, pc))) + CTLB.TAG,
      true,
    );
    return (pc & 3n) === 0n && tag === (pc & ~0xfffn);
  }

  /** The place of a page in the current code map, by PC[31:0]. */
  #codeEntry(pcLow: number): number {
    const { words, at } = this.#state;
    return (words[at.CTLB] as number) + ((pcLow >>> 12) & (CTLB.ENTRIES - 1)) * CTLB.ENTRY_BYTES;
  }

  // ---- What is forgotten ----

  /** Forgets one entry. */
  empty({ entry, index }: TlbEntry): void {
    this.#emptyTag(entry + DTLB.RTAG, index);
    this.#emptyTag(entry + DTLB.WTAG, index);
    this.#emptyTag(entry + DTLB.STRICT_TAG, index);
  }

  #emptyTag(at: number, index: number): void {
    const { words } = this.#memory;
    const [low, high] = isOdd(index) ? EMPTY_OTHER_HALVES : EMPTY_HALVES;
    words[at >>> 2] = low;
    words[(at >>> 2) + 1] = high;
  }

  #noteStores(page: number, place: number): void {
    const known = this.#storing.get(page);
    if (known === undefined) this.#storing.set(page, [place]);
    else if (!known.includes(place)) known.push(place);
  }

  /** Forgets, in every table, that a page of the linear memory may be stored to: the next store asks. */
  forgetStores(page: number): void {
    const { view, words } = this.#memory;
    for (const place of this.#storing.get(page) ?? []) {
      const { entry, index } = this.#entryAt(place);
      if (words[(entry + DTLB.ADDRESS) >>> 2] !== page) continue;
      view.setBigUint64(entry + DTLB.WTAG, emptyTag(index), true);
      view.setUint32(entry + DTLB.STRICT, view.getUint32(entry + DTLB.STRICT, true) & ~STRICT.WRITE, true);
    }
    this.#storing.delete(page);
  }

  #entryAt(place: number): TlbEntry {
    return { entry: this.#tlbs + place * DTLB.ENTRY_BYTES, index: place % DTLB.ENTRIES };
  }

  #emptyCode(place: number): void {
    this.#emptyTag(this.#maps + place * CTLB.ENTRY_BYTES + CTLB.TAG, place % CTLB.ENTRIES);
  }

  #emptyContext(place: number): void {
    this.#emptyTlb(EL1_TLBS + place);
    this.#emptyMap(EL1_MAPS + place);
  }

  /** Forgets what comes from an EL0 context; its tables may be in use. */
  #forgetContext(place: number): void {
    if (place === this.#current) this.#emptyContext(place);
    else this.#contexts[place] = undefined;
  }

  /** Forgets every translation. */
  flush(): void {
    for (let i = 0; i < EL1_TLBS; i++) this.#emptyTlb(i);
    for (let i = 0; i < EL1_MAPS; i++) this.#emptyMap(i);
    for (let i = 0; i < EL0_CONTEXTS; i++) this.#forgetContext(i);
    this.#dataOfContext.clear();
    this.#codeOfContext.clear();
    for (const blocks of this.#blocks.values()) blocks.clear();
    this.#storing.clear();
  }

  /** Forgets the translations of a page, VA[55:12], in all contexts. */
  forgetPage(page: number): void {
    for (const [pages, blocks] of this.#blocks)
      if (blocks.has(Math.floor(page / pages))) {
        this.flush();
        return;
      }
    const index = dtlbIndexOfPage(page);
    const other = dtlbOtherIndex(index);
    for (let i = 0; i < TLBS; i++)
      if (this.#isUsed(i - EL1_TLBS)) {
        this.empty(this.#entryAt(i * DTLB.ENTRIES + index));
        if (this.#movedIn[i] === 1) this.#emptyMovedIn(this.#entryAt(i * DTLB.ENTRIES + other));
      }
    this.forgetCode(page);
  }

  /** Forgets an entry if its page has its place elsewhere. */
  #emptyMovedIn(at: TlbEntry): void {
    const { view } = this.#memory;
    const read = view.getBigUint64(at.entry + DTLB.RTAG, true);
    const held = read === emptyTag(at.index) ? view.getBigUint64(at.entry + DTLB.WTAG, true) : read;
    if (held !== emptyTag(at.index) && dtlbIndexOf(held) !== at.index) this.empty(at);
  }

  /** TLBI by IPA: forgets the translations that lead to guest pages [first, first + pages), at every level. */
  forgetIpns(first: Ipn, pages: number): void {
    const isNamed = (ipn: number): boolean => ipn >= first && ipn < first + pages;
    for (let i = 0; i < TLBS; i++)
      if (this.#isUsed(i - EL1_TLBS))
        for (let place = i * DTLB.ENTRIES; place < (i + 1) * DTLB.ENTRIES; place++)
          if (isNamed(this.#dataIpns[place] as number)) this.empty(this.#entryAt(place));
    for (let i = 0; i < MAPS; i++)
      if (this.#isUsed(i - EL1_MAPS))
        for (let place = i * CTLB.ENTRIES; place < (i + 1) * CTLB.ENTRIES; place++)
          if (isNamed(this.#codeIpns[place] as number)) this.#emptyCode(place);
  }

  /** Forgets code of a page, by the low bits of its number at least, at both levels. */
  forgetCode(page: number): void {
    for (let i = 0; i < MAPS; i++)
      if (this.#isUsed(i - EL1_MAPS)) this.#emptyCode(i * CTLB.ENTRIES + (page % CTLB.ENTRIES));
  }

  /** Whether the tables of a context, or of EL1 (a place below 0), hold anything. */
  #isUsed(place: number): boolean {
    return place < 0 || this.#contexts[place] !== undefined;
  }

  /** Forgets what is not global of the contexts that `isOf` says yes to. */
  forgetContexts(isOf: (ttbr0: bigint, ttbr1: bigint) => boolean): void {
    this.#contexts.forEach((context, place) => {
      if (context !== undefined && isOf(context.ttbr0, context.ttbr1)) this.#forgetContext(place);
    });
    for (const place of this.#dataOfContext) this.empty(this.#entryAt(place));
    for (const place of this.#codeOfContext) this.#emptyCode(place);
  }

  // ---- Snapshots ----

  /** Every cached translation, with pages by frame: they may hold what tables do not say any more. */
  save(frameAt: (hostPage: number) => number): Translations {
    const { view } = this.#memory;
    const data: Translations["data"][number][] = [];
    for (let place = 0; place < TLBS * DTLB.ENTRIES; place++) {
      const { entry, index } = this.#entryAt(place);
      if (!this.#isUsed(Math.floor(place / DTLB.ENTRIES) - EL1_TLBS)) continue;
      const read = view.getBigUint64(entry + DTLB.RTAG, true);
      const write = view.getBigUint64(entry + DTLB.WTAG, true);
      const strict = view.getBigUint64(entry + DTLB.STRICT_TAG, true);
      if (read === emptyTag(index) && write === emptyTag(index) && strict === emptyTag(index)) continue;
      const goodFor = strict === emptyTag(index) ? 0 : view.getUint32(entry + DTLB.STRICT, true);
      const frame = frameAt(view.getUint32(entry + DTLB.ADDRESS, true));
      const ipn = this.#dataIpns[place] as Ipn;
      data.push([place, String(read), String(write), [String(strict), goodFor], frame, ipn]);
    }
    const code: Translations["code"][number][] = [];
    for (let place = 0; place < MAPS * CTLB.ENTRIES; place++) {
      if (!this.#isUsed(Math.floor(place / CTLB.ENTRIES) - EL1_MAPS)) continue;
      const entry = this.#maps + place * CTLB.ENTRY_BYTES;
      const tag = view.getBigUint64(entry + CTLB.TAG, true);
      if (tag === emptyTag(place % CTLB.ENTRIES)) continue;
      const page = this.#memory.code.pageOf(view.getUint32(entry + CTLB.DECODED, true));
      if (page !== undefined) code.push([place, String(tag), frameAt(page), this.#codeIpns[place] as Ipn]);
    }
    return {
      data,
      code,
      blocks: [...this.#blocks].map(([pages, blocks]) => [pages, [...blocks]]),
      contexts: this.#contexts.map((each) =>
        each === undefined ? null : [String(each.ttbr0), String(each.ttbr1), each.usedAt],
      ),
      current: this.#current ?? null,
      ofContext: { data: [...this.#dataOfContext], code: [...this.#codeOfContext] },
    };
  }

  /** Takes what `save` gave; the vCPU's state must be there already. */
  restore(saved: Translations, pageOf: (frame: number) => number): void {
    const { view } = this.#memory;
    this.flush();
    for (let i = 0; i < EL0_CONTEXTS; i++) this.#emptyContext(i);
    this.#contexts = saved.contexts.map((each) =>
      each === null ? undefined : { ttbr0: BigInt(each[0]), ttbr1: BigInt(each[1]), usedAt: each[2] },
    );
    this.#uses = 1 + Math.max(-1, ...saved.contexts.map((each) => each?.[2] ?? -1));
    this.#current = saved.current ?? undefined;
    for (const [pages, of] of saved.blocks) this.#blocks.set(pages, new Set(of));
    for (const place of saved.ofContext.data) this.#dataOfContext.add(place);
    for (const place of saved.ofContext.code) this.#codeOfContext.add(place);
    this.#filledTlbs.fill(1);
    this.#filledMaps.fill(1);
    this.#movedIn.fill(1);
    for (const [place, read, write, [strict, goodFor], frame, ipn] of saved.data) {
      this.#dataIpns[place] = ipn;
      const { entry } = this.#entryAt(place);
      view.setBigUint64(entry + DTLB.RTAG, BigInt(read), true);
      view.setBigUint64(entry + DTLB.WTAG, BigInt(write), true);
      view.setBigUint64(entry + DTLB.STRICT_TAG, BigInt(strict), true);
      view.setUint32(entry + DTLB.STRICT, goodFor, true);
      view.setUint32(entry + DTLB.ADDRESS, pageOf(frame), true);
      this.#noteStores(pageOf(frame), place);
    }
    for (const [place, tag, frame, ipn] of saved.code) {
      this.#codeIpns[place] = ipn;
      const decoded = this.#memory.code.decodedOf(pageOf(frame));
      const entry = this.#maps + place * CTLB.ENTRY_BYTES;
      view.setBigUint64(entry + CTLB.TAG, BigInt(tag), true);
      view.setUint32(entry + CTLB.DECODED, decoded, true);
    }
    this.select();
  }
}
