/**
 * KVM's software walk of guest stage 1 over a profiling buffer: the pages behind it and the table pages that map it
 * (v6 28/35 gave the AT walker a callback for each descriptor read).
 *
 * A walk is kept while guest memory and the translation registers stay as they are: a buffer whose head has moved on
 * is a slice of one that was walked before. A guest that executes code stores to its tables without anybody being told: of its
 * tables a copy is kept, and compared. What is charged is what reading every descriptor costs, each time.
 */
import { type Ipn, type Vpn, vpn } from "../../common/address.ts";
import type { Timeline } from "../../common/timeline.ts";
import type { CostTable } from "../../host/costs.ts";
import { AT_WRITE, PROFILING_BUFFER_WRITE } from "../../mmu/access.ts";
import { halfOf, type Stage1Config, type Stage1Regime } from "../../mmu/config.ts";
import { isFault } from "../../mmu/fault.ts";
import { PAGE_WORDS, type TableMemory } from "../../mmu/table-memory.ts";
import { translate } from "../../mmu/translate.ts";
import { visitRange } from "../../mmu/visit.ts";
import { GuestPages, type PageRun, PageSet } from "../guest-pages.ts";
import type { Memslots } from "../memslots.ts";
import type { BufferWalk, SpeBuffer, Unbacked, WalkFault } from "./policy.ts";

/** What one visit of a range found, to be used whole or, if it is regular, in slices. */
interface Base {
  readonly firstPage: number;
  readonly pages: GuestPages;
  readonly tables: GuestPages;
  /** For each table page of a regular walk: the first buffer page (as an index) that it maps, and one past the last. */
  readonly tableFrom: Int32Array;
  readonly tableTo: Int32Array;
  /** Only last-level leaves, no page or table twice, no table inside the buffer: slices are as good as walks. */
  readonly regular: boolean;
  readonly leafPages: number;
  readonly leafDescriptors: number;
  readonly contentGeneration: number;
  /** What was in `tables`; undefined: the generation tells. */
  readonly tableWords: readonly Uint32Array[] | undefined;
  readonly regime: Stage1Regime;
  readonly whole: BufferWalk;
}

/** How many walks are kept: a buffer's two halves, and room for a guest that alternates between buffers. */
const KEPT = 4;
const ENTRIES_IN_TABLE_PAGE = PAGE_WORDS / 2;

export interface WalkSource {
  readonly memslots: Memslots;
  readonly costs: CostTable;
  /** Guest memory as KVM reads it (kvm_read_guest): faulted in by the host where it is not present. */
  readonly guestMemory: (timeline: Timeline) => TableMemory<Ipn>;
  /** Frames.contentGeneration. */
  readonly contentGeneration: () => number;
  /** Whether KVM reads a page without a host fault: NUMA balancing takes a table away without changing its content. */
  readonly readable: (page: Ipn) => boolean;
  /** What is in a page that KVM reads without a host fault. Undefined: whatever stores there changes contentGeneration. */
  readonly wordsOf: ((page: Ipn) => Uint32Array) | undefined;
  /** Whether walks may be kept at all. */
  readonly extents: boolean;
}

export class BufferWalker {
  readonly #source: WalkSource;
  #kept: Base[] = [];
  #last: BufferWalk | undefined;
  #lastBase: Base | undefined;

  constructor(source: WalkSource) {
    this.#source = source;
  }

  /** Walks [buffer.firstPage, + pages). The charge is the same whether the walk was kept or done. */
  walk(buffer: SpeBuffer, regime: Stage1Regime, timeline: Timeline): BufferWalk | WalkFault | Unbacked {
    const base = this.#baseFor(buffer, regime);
    const walk = base === undefined ? undefined : this.#slice(base, buffer);
    if (base !== undefined && walk !== undefined && this.#readable(walk.tables) && this.#isUnchanged(base)) {
      this.#charge(timeline, walk.tables.pages, this.#leavesIn(base, buffer));
      return walk;
    }
    const visited = this.#visit(buffer, regime, timeline);
    if (visited.kind !== "visited") return visited;
    this.#charge(timeline, visited.base.tables.length, visited.base.leafDescriptors);
    if (this.#source.extents) this.#kept = [visited.base, ...this.#kept].slice(0, KEPT);
    return visited.base.whole;
  }

  /**
   * The page that the SPU cannot translate at stage 2, by a walk to one VA: the first table page, or the page itself,
   * for which `mapped` is false.
   */
  missing(
    page: Vpn,
    regime: Stage1Regime,
    mapped: (page: Ipn) => boolean,
    timeline: Timeline,
  ): { readonly page: Ipn; readonly onWalk: boolean } | WalkFault | undefined {
    let table: Ipn | undefined;
    const memory = this.#source.guestMemory(timeline);
    let tables = 0;
    const result = translate(halfOf(regime, page), page, AT_WRITE, {
      page: (number, access) => {
        tables += 1;
        if (table === undefined && !mapped(number)) table = number;
        return memory.page(number, access);
      },
      wrote: (number) => memory.wrote(number),
    });
    this.#charge(timeline, tables, 1);
    if (table !== undefined) return { page: table, onWalk: true };
    if (isFault(result)) return { kind: "stage1-fault", fault: result, firstPage: page };
    return mapped(result.outputPage) ? undefined : { page: result.outputPage, onWalk: false };
  }

  /**
   * Where the SPU's writes to [first, first + pages) go, page by page up to the first that faults, access flag and
   * dirty state updated as the SPU would.
   */
  outputs(
    first: Vpn,
    pages: number,
    regime: Stage1Regime,
    timeline: Timeline,
  ): { readonly pages: readonly Ipn[]; readonly fault: WalkFault | undefined } {
    const memory = this.#source.guestMemory(timeline);
    const tables = new Set<Ipn>();
    const found: Ipn[] = [];
    let fault: WalkFault | undefined;
    for (let at = first; at < first + pages && fault === undefined; at = vpn(at + 1)) {
      const result = translate(halfOf(regime, at), at, PROFILING_BUFFER_WRITE, {
        page: (number, access) => {
          tables.add(number);
          return memory.page(number, access);
        },
        wrote: (number) => memory.wrote(number),
      });
      if (isFault(result)) fault = { kind: "stage1-fault", fault: result, firstPage: at };
      else found.push(result.outputPage);
    }
    this.#charge(timeline, tables.size, found.length + (fault === undefined ? 0 : 1));
    return { pages: found, fault };
  }

  #readable(tables: PageSet): boolean {
    for (const { list, from, to } of tables.runs)
      for (let i = from; i < to; i++) if (!this.#source.readable(list.at(i))) return false;
    return true;
  }

  #isUnchanged({ tables, tableWords }: Base): boolean {
    const { wordsOf, readable } = this.#source;
    if (wordsOf === undefined || tableWords === undefined) return true;
    return tableWords.every((words, i) => {
      const table = tables.at(i);
      return readable(table) && isSame(words, wordsOf(table));
    });
  }

  #charge(timeline: Timeline, tablePages: number, leafDescriptors: number): void {
    const { walkTable, walkDescriptor } = this.#source.costs;
    timeline.charge("walk", tablePages * walkTable + leafDescriptors * walkDescriptor);
  }

  #leavesIn(base: Base, { firstPage, pages }: SpeBuffer): number {
    const { leafPages } = base;
    return base.regular
      ? Math.ceil((firstPage + pages) / leafPages) - Math.floor(firstPage / leafPages)
      : base.leafDescriptors;
  }

  #baseFor(buffer: SpeBuffer, regime: Stage1Regime): Base | undefined {
    if (!this.#source.extents) return undefined;
    const generation = this.#source.contentGeneration();
    if (this.#kept.some((base) => base.contentGeneration !== generation || base.regime !== regime))
      this.#kept = this.#kept.filter((b) => b.contentGeneration === generation && b.regime === regime);
    return this.#kept.find((base) =>
      base.regular
        ? buffer.firstPage >= base.firstPage &&
          buffer.firstPage + buffer.pages <= base.firstPage + base.pages.length
        : buffer.firstPage === base.firstPage && buffer.pages === base.whole.buffer.pages,
    );
  }

  /** The part of a kept walk that concerns a buffer; the same value for the same buffer again. */
  #slice(base: Base, buffer: SpeBuffer): BufferWalk {
    const last = this.#last;
    if (
      last !== undefined &&
      this.#lastBase === base &&
      last.buffer.firstPage === buffer.firstPage &&
      last.buffer.pages === buffer.pages
    )
      return last;
    const from = buffer.firstPage - base.firstPage;
    const to = from + buffer.pages;
    if (!base.regular || (from === 0 && to === base.pages.length)) return base.whole;
    const pages = PageSet.of([{ list: base.pages, from, to }]);
    const tables: PageRun[] = [];
    const { tableFrom, tableTo } = base;
    let open = -1;
    for (let i = 0; i <= tableFrom.length; i++) {
      const needed = i < tableFrom.length && (tableFrom[i] as number) < to && (tableTo[i] as number) > from;
      if (needed && open < 0) open = i;
      if (!needed && open >= 0) {
        tables.push({ list: base.tables, from: open, to: i });
        open = -1;
      }
    }
    const walk: BufferWalk = {
      kind: "walked",
      buffer,
      pages,
      tables: PageSet.of(tables),
      all: PageSet.of([...pages.runs, ...tables]),
    };
    this.#last = walk;
    this.#lastBase = base;
    return walk;
  }

  #wordsOf(tables: GuestPages): readonly Uint32Array[] | undefined {
    const { wordsOf } = this.#source;
    if (wordsOf === undefined || !this.#source.extents) return undefined;
    return Array.from({ length: tables.length }, (_, i) => wordsOf(tables.at(i)).slice());
  }

  #visit(
    buffer: SpeBuffer,
    regime: Stage1Regime,
    timeline: Timeline,
  ): { readonly kind: "visited"; readonly base: Base } | WalkFault | Unbacked {
    const { memslots } = this.#source;
    const config = halfOf(regime, vpn(buffer.firstPage));
    const outputs = new Int32Array(buffer.pages);
    const tables: number[] = [];
    const levels: number[] = [];
    let fault: WalkFault | undefined;
    let leavesAtLastLevel = true;
    let leafDescriptors = 0;
    visitRange(config, vpn(buffer.firstPage), buffer.pages, AT_WRITE, this.#source.guestMemory(timeline), {
      leaf: (first, output, pages, _attributes, level) => {
        const at = first - buffer.firstPage;
        for (let i = 0; i < pages; i++) outputs[at + i] = output + i;
        const span = level >= 0 ? (config.entryPages[level as 0 | 1 | 2 | 3] as number) : pages;
        leafDescriptors += Math.ceil((first + pages) / span) - Math.floor(first / span);
        if (level !== 3) leavesAtLastLevel = false;
      },
      table: (page, level) => {
        tables.push(page);
        levels.push(level);
      },
      hole: (first, _pages, found) => {
        fault ??= { kind: "stage1-fault", fault: found, firstPage: first };
      },
    });
    if (fault !== undefined) {
      this.#charge(timeline, tables.length, fault.firstPage - buffer.firstPage + 1);
      return fault;
    }
    const pages = listOf(outputs, memslots, false);
    const tableList = listOf(Int32Array.from(tables), memslots, true);
    const unbacked = pages.unbacked ?? tableList.unbacked;
    if (unbacked !== undefined) return { kind: "unbacked", page: unbacked };
    const allTables = PageSet.of([{ list: tableList.list, from: 0, to: tableList.list.length }]);
    const allPages = PageSet.of([{ list: pages.list, from: 0, to: pages.list.length }]);
    const apart = allTables.minus(allPages);
    const regular =
      leavesAtLastLevel &&
      pages.list.length === buffer.pages &&
      tableList.list.length === tables.length &&
      apart.pages === allTables.pages;
    const spans = regular ? tableSpans(config, levels, buffer) : { from: NONE, to: NONE };
    const whole: BufferWalk = {
      kind: "walked",
      buffer,
      pages: allPages,
      tables: allTables,
      all: PageSet.of([...allPages.runs, ...apart.runs]),
    };
    return {
      kind: "visited",
      base: {
        firstPage: buffer.firstPage,
        pages: pages.list,
        tables: tableList.list,
        tableFrom: spans.from,
        tableTo: spans.to,
        regular,
        leafPages: config.entryPages[3],
        leafDescriptors,
        contentGeneration: this.#source.contentGeneration(),
        tableWords: this.#wordsOf(tableList.list),
        regime,
        whole,
      },
    };
  }
}

const NONE = new Int32Array(0);

function isSame(a: Uint32Array, b: Uint32Array): boolean {
  for (let i = 0; i < PAGE_WORDS; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** A list without duplicates, and the first page that no memslot has. */
function listOf(
  pages: Int32Array,
  memslots: Memslots,
  areTables: boolean,
): { readonly list: GuestPages; readonly unbacked: Ipn | undefined } {
  const kept = hasRepeats(pages) ? Int32Array.from(new Set(pages)) : pages;
  const host = new Int32Array(kept.length);
  let unbacked: Ipn | undefined;
  for (let i = 0; i < kept.length; i++) {
    const page = kept[i] as Ipn;
    const hostPage = memslots.hostPageOf(page);
    host[i] = hostPage;
    if (hostPage < 0) unbacked ??= page;
  }
  return { list: new GuestPages(kept, host, areTables), unbacked };
}

function hasRepeats(pages: Int32Array): boolean {
  const sorted = pages.slice().sort();
  for (let i = 1; i < sorted.length; i++) if (sorted[i] === sorted[i - 1]) return true;
  return false;
}

/**
 * Which buffer pages each table page maps. Without blocks and holes, the n-th table page of a level is the n-th aligned
 * span of its reach.
 */
function tableSpans(
  config: Stage1Config,
  levels: readonly number[],
  buffer: SpeBuffer,
): { readonly from: Int32Array; readonly to: Int32Array } {
  const from = new Int32Array(levels.length);
  const to = new Int32Array(levels.length);
  const next = new Map<number, number>();
  const relative = buffer.firstPage - (config.firstPage === 0 ? 0 : config.firstPage);
  levels.forEach((level, i) => {
    const reach = (config.entryPages[level as 0 | 1 | 2 | 3] as number) * ENTRIES_IN_TABLE_PAGE;
    const nth = next.get(level) ?? 0;
    next.set(level, nth + 1);
    const start = (Math.floor(relative / reach) + nth) * reach - relative;
    from[i] = Math.max(start, -1);
    to[i] = Math.min(start + reach, buffer.pages + 1);
  });
  return { from, to };
}
