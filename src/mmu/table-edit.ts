/** One operation on tables: the descent, and what it does to entries. build.ts is the way in. */
import { addressHi, addressLo, HI, type LeafBits, LO } from "../arm/descriptors.ts";
import { BrokenInvariant, invariant } from "../common/errors.ts";
import type { Access } from "./access.ts";
import { relativePage, type StageConfig } from "./config.ts";
import { isFault } from "./fault.ts";
import type { TableMemory } from "./table-memory.ts";
import { isLeaf, isTable, leafPage, nextTable } from "./translate.ts";

/** Where tables live and where new ones come from. */
export interface TableWriter<Page extends number = number> {
  readonly memory: TableMemory<Page>;
  /** The first 4 KiB page of a granule for a new table, aligned to the granule. It is zeroed here. */
  allocateTablePage(): Page;
}

export interface MapOptions {
  /** The first level at which a block may be made where range and output are aligned. Default 3: pages only. */
  readonly maxBlockLevel?: 1 | 2 | 3;
  /** Sets the contiguous hint where a whole run of entries is mapped. Default false. */
  readonly contiguous?: boolean;
}

/** What an operation did to the tables, for costs and for freeing. */
export interface TableChange<Page extends number = number> {
  /** Descriptors written, without the zeroes of a new table. */
  readonly written: number;
  /** First pages of the tables that were made, in order. */
  readonly allocated: readonly Page[];
  /** First pages of the tables that are no longer reachable: the caller frees them. */
  readonly freed: readonly Page[];
  /** 4 KiB pages that had a leaf before and have none, another or a changed one now. */
  readonly pagesChanged: number;
}

/** Bits of leaf descriptors to set and to clear. */
export interface LeafChange {
  readonly set?: LeafBits;
  readonly clear?: LeafBits;
}

const BUILDER: Access = { by: "inspect", el: 1, write: true };
const NO_BITS: LeafBits = { lo: 0, hi: 0 };

/** log2 of the entries that share a contiguous hint, by level 1 to 3 (ContiguousSize in v8_base.sail). */
const CONTIGUOUS_SHIFT = {
  12: [0, 4, 4, 4],
  14: [0, 0, 5, 7],
  16: [0, 0, 5, 5],
} as const;

/**
 * What is done with the entry of a table that translates [at, end), or with it and some after it, up to `to` at
 * most: returns the end of what was done. All are relative pages.
 */
type EntryEdit = (table: Table, at: number, end: number, to: number) => number;

/** One 4 KiB page of a table, while its entries are edited. */
interface Table {
  readonly page: number;
  readonly level: number;
  readonly words: Uint32Array;
  /** Word of the entry that is edited. */
  index: number;
  changed: boolean;
}

const leafLo = (output: number, leaf: LeafBits, level: number): number =>
  (addressLo(output) | leaf.lo | (level === 3 ? 3 : 1)) >>> 0;

/** The state of one operation: what it made, freed and wrote. */
export class TableEdit<In extends number, Out extends number> {
  private readonly config: StageConfig<In, Out>;
  private readonly writer: TableWriter<Out>;
  private readonly allocated: Out[] = [];
  private readonly freed: Out[] = [];
  private written = 0;
  private pagesChanged = 0;

  constructor(config: StageConfig<In, Out>, writer: TableWriter<Out>) {
    this.config = config;
    this.writer = writer;
  }

  result(): TableChange<Out> {
    const { written, allocated, freed, pagesChanged } = this;
    return { written, allocated, freed, pagesChanged };
  }

  /** The range's place in the input range, after its checks. */
  relative(first: In, pages: number): number {
    const { config } = this;
    const from = relativePage(config, first, false);
    if (from % config.granulePages !== 0 || pages % config.granulePages !== 0 || pages < 0)
      throw new BrokenInvariant(`pages ${first} to ${first + pages} are not whole granules`);
    if (from < 0 || from + pages > config.pages)
      throw new BrokenInvariant(`pages ${first} to ${first + pages} are not inside the input range`);
    return from;
  }

  map(from: number, to: number, outputBias: number, leaf: LeafBits, options: MapOptions): void {
    const { config } = this;
    const blockLevel = Math.max(options.maxBlockLevel ?? 3, config.firstBlockLevel);
    const edit: EntryEdit = (table, at, end, tableEnd) => {
      const { level } = table;
      const covered = config.entryPages[level] as number;
      const output = at + outputBias;
      if (level < 3 && (level < blockLevel || end - at !== covered || output % covered !== 0))
        return this.mapBelow(table, at, end, edit);
      const hint = options.contiguous === true ? this.contiguousRun(level, at, from, to, outputBias) : 0;
      this.dropEntry(table, at, covered);
      this.write(table, leafLo(output, leaf, level), (addressHi(output) | leaf.hi | hint) >>> 0);
      if (level < 3 || options.contiguous === true) return end;
      return this.fill(table, end, tableEnd, (page) => page + outputBias, leaf);
    };
    this.root(from, to, edit);
  }

  mapPages(from: number, outputs: ArrayLike<number>, leaf: LeafBits): void {
    const step = this.config.granulePages;
    const outputOf = (page: number): number => outputs[(page - from) / step] as number;
    const edit: EntryEdit = (table, at, end, tableEnd) => {
      if (table.level < 3) return this.mapBelow(table, at, end, edit);
      const output = outputOf(at);
      this.dropEntry(table, at, step);
      this.write(table, leafLo(output, leaf, 3), (addressHi(output) | leaf.hi) >>> 0);
      return this.fill(table, end, tableEnd, outputOf, leaf);
    };
    this.root(from, from + outputs.length * step, edit);
  }

  private mapBelow(table: Table, at: number, end: number, edit: EntryEdit): number {
    if (!isTable(table.words[table.index] as number, table.level)) this.split(table, at);
    this.below(table, at, end, edit);
    return end;
  }

  /** Writes last-level entries after the current one for as long as they are empty. */
  private fill(
    table: Table,
    from: number,
    to: number,
    outputOf: (page: number) => number,
    leaf: LeafBits,
  ): number {
    const { words } = table;
    const step = this.config.granulePages;
    const lo = leaf.lo | 3;
    let index = table.index + 2;
    let at = from;
    for (; at < to && ((words[index] as number) & LO.valid) === 0; at += step, index += 2) {
      const output = outputOf(at);
      words[index] = addressLo(output) | lo;
      words[index + 1] = addressHi(output) | leaf.hi;
    }
    this.written += (at - from) / step;
    return at;
  }

  /** The hint's bit where the run of entries around `at` is mapped as a whole and its output is aligned. */
  private contiguousRun(level: number, at: number, from: number, to: number, outputBias: number): number {
    const covered = this.config.entryPages[level] as number;
    const group = covered << this.contiguousShift(level);
    const base = at - (at % group);
    const whole = base >= from && base + group <= to && (base + outputBias) % group === 0;
    return whole && group > covered ? HI.contiguous : 0;
  }

  unmap(from: number, to: number): void {
    const { config } = this;
    const edit: EntryEdit = (table, at, end) => {
      const lo = table.words[table.index] as number;
      const { level } = table;
      const covered = config.entryPages[level] as number;
      if ((lo & LO.valid) === 0) return end;
      if (end - at === covered) {
        this.dropEntry(table, at, covered);
        this.write(table, 0, 0);
        return end;
      }
      if (isLeaf(config, lo, level)) this.split(table, at);
      else if (!isTable(lo, level)) return end;
      const next = nextTable(
        config,
        table.words[table.index] as number,
        table.words[table.index + 1] as number,
      );
      this.below(table, at, end, edit);
      if (this.isEmpty(next)) {
        this.freed.push(next as Out);
        this.write(table, 0, 0);
      }
      return end;
    };
    this.root(from, to, edit);
  }

  change(from: number, to: number, change: LeafChange): void {
    const { config } = this;
    const { set = NO_BITS, clear = NO_BITS } = change;
    const edit: EntryEdit = (table, at, end) => {
      const { words, index, level } = table;
      const lo = words[index] as number;
      const hi = words[index + 1] as number;
      if (isLeaf(config, lo, level)) {
        const newLo = ((lo & ~clear.lo) | set.lo) >>> 0;
        const newHi = ((hi & ~clear.hi) | set.hi) >>> 0;
        if (newLo === lo && newHi === hi) return end;
        const covered = config.entryPages[level] as number;
        if (end - at === covered) {
          this.breakContiguous(table, at);
          this.pagesChanged += covered;
          this.write(table, newLo, (newHi & ~HI.contiguous) >>> 0);
          return end;
        }
        this.split(table, at);
      } else if (!isTable(lo, level)) return end;
      this.below(table, at, end, edit);
      return end;
    };
    this.root(from, to, edit);
  }

  private root(from: number, to: number, edit: EntryEdit): void {
    const { config } = this;
    const level = config.startLevel;
    const covered = config.entryPages[level];
    for (let at = from; at < to; ) {
      const word = config.rootWord + 2 * Math.floor(at / covered);
      const end = Math.min(to, ((((word >>> 10) + 1) * 1024 - config.rootWord) / 2) * covered);
      this.entries(config.rootPage + (word >>> 10), word, level, at, end, edit);
      at = end;
    }
  }

  /** The table that the edited entry leads to. */
  private below(table: Table, from: number, to: number, edit: EntryEdit): void {
    const { config } = this;
    const level = table.level + 1;
    const first = nextTable(
      config,
      table.words[table.index] as number,
      table.words[table.index + 1] as number,
    );
    const covered = config.entryPages[level] as number;
    for (let at = from; at < to; ) {
      const word = 2 * ((at / covered) & config.indexMask);
      const end = Math.min(to, (Math.floor(at / covered) + 512 - ((word >>> 1) & 511)) * covered);
      this.entries(first + (word >>> 10), word, level, at, end, edit);
      at = end;
    }
  }

  private entries(
    page: number,
    word: number,
    level: number,
    from: number,
    to: number,
    edit: EntryEdit,
  ): void {
    const covered = this.config.entryPages[level] as number;
    const table: Table = { page, level, words: this.words(page), index: word & 1023, changed: false };
    for (let at = from; at < to; ) {
      const end = Math.min(to, at - (at % covered) + covered);
      const done = edit(table, at, end, to);
      table.index += 2 + (2 * (done - end)) / covered;
      at = done;
    }
    if (table.changed) this.writer.memory.wrote(page as Out);
  }

  private words(page: number): Uint32Array {
    const words = this.writer.memory.page(page as Out, BUILDER);
    if (words === undefined || isFault(words))
      throw new BrokenInvariant(`the table in page ${page} cannot be reached by its builder`);
    return words;
  }

  private write(table: Table, lo: number, hi: number): void {
    table.words[table.index] = lo;
    table.words[table.index + 1] = hi;
    table.changed = true;
    this.written++;
  }

  /** Accounts for what an entry held before it is overwritten as a whole. */
  private dropEntry(table: Table, at: number, covered: number): void {
    const lo = table.words[table.index] as number;
    if ((lo & LO.valid) === 0) return;
    const hi = table.words[table.index + 1] as number;
    if (isLeaf(this.config, lo, table.level)) {
      this.breakContiguous(table, at);
      this.pagesChanged += covered;
    } else if (isTable(lo, table.level)) this.dropTable(nextTable(this.config, lo, hi), table.level + 1);
  }

  private dropTable(first: number, level: number): void {
    const { config } = this;
    const covered = config.entryPages[level] as number;
    for (let page = first; page < first + config.granulePages; page++) {
      const words = this.words(page);
      for (let index = 0; index < 1024; index += 2) {
        const lo = words[index] as number;
        if ((lo & LO.valid) === 0) continue;
        if (isLeaf(config, lo, level)) this.pagesChanged += covered;
        else if (isTable(lo, level))
          this.dropTable(nextTable(config, lo, words[index + 1] as number), level + 1);
      }
    }
    this.freed.push(first as Out);
  }

  private isEmpty(first: number): boolean {
    for (let page = first; page < first + this.config.granulePages; page++) {
      const words = this.words(page);
      for (let index = 0; index < 1024; index += 2)
        if (((words[index] as number) & LO.valid) !== 0) return false;
    }
    return true;
  }

  /** Puts a new table in the place of an invalid entry or of a block, which it then maps as the block did. */
  private split(table: Table, at: number): void {
    const { config } = this;
    const { words, index, level } = table;
    const lo = words[index] as number;
    const hi = words[index + 1] as number;
    const wasLeaf = isLeaf(config, lo, level);
    if (wasLeaf) this.breakContiguous(table, at);
    const first = this.writer.allocateTablePage();
    invariant(first % config.granulePages === 0, `table page ${first} is not aligned to the granule`);
    this.allocated.push(first);
    const step = config.entryPages[level + 1] as number;
    let output = leafPage(config, lo, hi, level);
    const attributesLo = (lo & 0xffc) | (level + 1 === 3 ? 3 : 1);
    const attributesHi = hi & 0xffff0000 & ~HI.contiguous;
    for (let page: number = first; page < first + config.granulePages; page++) {
      const below = this.words(page);
      below.fill(0);
      for (let entry = 0; wasLeaf && entry < 1024; entry += 2, output += step) {
        below[entry] = addressLo(output) | attributesLo;
        below[entry + 1] = addressHi(output) | attributesHi;
        this.written++;
      }
      this.writer.memory.wrote(page as Out);
    }
    this.write(table, (addressLo(first) | 3) >>> 0, addressHi(first));
  }

  private contiguousShift(level: number): number {
    return CONTIGUOUS_SHIFT[this.config.granuleShift][level] as number;
  }

  /** Takes the hint from all entries of a contiguous run before one of them changes: they must be alike. */
  private breakContiguous(table: Table, at: number): void {
    const { words, index, level } = table;
    if (((words[index + 1] as number) & HI.contiguous) === 0) return;
    // A small first table may end before the run does.
    const inTable = level === this.config.startLevel ? this.config.rootEntries : 512;
    const entries = Math.min(1 << this.contiguousShift(level), inTable);
    const covered = this.config.entryPages[level] as number;
    const start = index - 2 * (Math.floor(at / covered) % entries);
    for (let entry = start; entry < start + 2 * entries; entry += 2)
      words[entry + 1] = ((words[entry + 1] as number) & ~HI.contiguous) >>> 0;
    table.changed = true;
  }
}
