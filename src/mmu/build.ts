/**
 * Building tables: KVM's stage 2 and the guest model's stage 1 alike. All ranges are in 4 KiB pages and must be
 * whole granules of the configuration.
 *
 * Only tables change here. Break-before-make and TLB invalidation are the caller's: it knows who may be walking.
 */
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

/**
 * Maps a range to consecutive output pages. What was mapped there is replaced; a block that is only partly in the
 * range is split first; a table that a block replaces is freed with everything below it.
 */
export function mapRange<In extends number, Out extends number>(
  config: StageConfig<In, Out>,
  writer: TableWriter<Out>,
  first: In,
  output: Out,
  pages: number,
  attributes: LeafBits,
  options: MapOptions = {},
): TableChange<Out> {
  invariant(output % config.granulePages === 0, `output page ${output} is not aligned to the granule`);
  invariant(output + pages <= config.outputPages, `output page ${output + pages} is beyond the output size`);
  const edit = new TableEdit(config, writer);
  const from = edit.relative(first, pages);
  edit.map(from, from + pages, output - from, attributes, options);
  return edit.result();
}

/**
 * Removes what is mapped in a range; blocks that are only partly in it are split. Tables left without a valid
 * descriptor are taken out and reported, the first table excepted.
 */
export function unmapRange<In extends number, Out extends number>(
  config: StageConfig<In, Out>,
  writer: TableWriter<Out>,
  first: In,
  pages: number,
): TableChange<Out> {
  const edit = new TableEdit(config, writer);
  const from = edit.relative(first, pages);
  edit.unmap(from, from + pages);
  return edit.result();
}

/** Bits of leaf descriptors to set and to clear. */
export interface LeafChange {
  readonly set?: LeafBits;
  readonly clear?: LeafBits;
}

/**
 * Changes the attributes of whatever is mapped in a range (write protection, access flag, dirty state); blocks
 * that are only partly in it are split.
 */
export function changeRange<In extends number, Out extends number>(
  config: StageConfig<In, Out>,
  writer: TableWriter<Out>,
  first: In,
  pages: number,
  change: LeafChange,
): TableChange<Out> {
  const edit = new TableEdit(config, writer);
  const from = edit.relative(first, pages);
  edit.change(from, from + pages, change);
  return edit.result();
}

const BUILDER: Access = { by: "inspect", el: 1, write: true };
const NO_BITS: LeafBits = { lo: 0, hi: 0 };

/** log2 of the entries that share a contiguous hint, by level 1 to 3 (ContiguousSize in v8_base.sail). */
const CONTIGUOUS_SHIFT = {
  12: [0, 4, 4, 4],
  14: [0, 0, 5, 7],
  16: [0, 0, 5, 5],
} as const;

/** What is done with the entries of a table that lie in the range; at and end are relative pages. */
type EntryEdit = (table: Table, at: number, end: number) => void;

/** One 4 KiB page of a table, while its entries are edited. */
interface Table {
  readonly page: number;
  readonly level: number;
  readonly words: Uint32Array;
  /** Word of the entry that is edited. */
  index: number;
  changed: boolean;
}

class TableEdit<In extends number, Out extends number> {
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
    invariant(
      from % config.granulePages === 0 && pages % config.granulePages === 0 && pages >= 0,
      `pages ${first} to ${first + pages} are not whole granules`,
    );
    invariant(from >= 0 && from + pages <= config.pages, `page ${first + pages} is beyond the input range`);
    return from;
  }

  map(from: number, to: number, outputBias: number, leaf: LeafBits, options: MapOptions): void {
    const { config } = this;
    const blockLevel = Math.max(options.maxBlockLevel ?? 3, config.firstBlockLevel);
    const edit: EntryEdit = (table, at, end) => {
      const { level } = table;
      const covered = config.entryPages[level] as number;
      const output = at + outputBias;
      if (level === 3 || (level >= blockLevel && end - at === covered && output % covered === 0)) {
        const group = covered << this.contiguousShift(level);
        const base = at - (at % group);
        const hinted =
          options.contiguous === true &&
          base >= from &&
          base + group <= to &&
          outputBias % group === 0 &&
          group > covered;
        this.dropEntry(table, at, covered);
        this.write(
          table,
          (addressLo(output) | leaf.lo | (level === 3 ? 3 : 1)) >>> 0,
          (addressHi(output) | leaf.hi | (hinted ? HI.contiguous : 0)) >>> 0,
        );
      } else {
        if (!isTable(table.words[table.index] as number, level)) this.split(table, at);
        this.below(table, at, end, edit);
      }
    };
    this.root(from, to, edit);
  }

  unmap(from: number, to: number): void {
    const { config } = this;
    const edit: EntryEdit = (table, at, end) => {
      const lo = table.words[table.index] as number;
      const { level } = table;
      const covered = config.entryPages[level] as number;
      if ((lo & LO.valid) === 0) return;
      if (end - at === covered) {
        this.dropEntry(table, at, covered);
        this.write(table, 0, 0);
        return;
      }
      if (isLeaf(config, lo, level)) this.split(table, at);
      else if (!isTable(lo, level)) return;
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
        if (newLo === lo && newHi === hi) return;
        const covered = config.entryPages[level] as number;
        if (end - at === covered) {
          this.breakContiguous(table, at);
          this.pagesChanged += covered;
          this.write(table, newLo, (newHi & ~HI.contiguous) >>> 0);
          return;
        }
        this.split(table, at);
      } else if (!isTable(lo, level)) return;
      this.below(table, at, end, edit);
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
    for (let at = from; at < to; table.index += 2) {
      const end = Math.min(to, at - (at % covered) + covered);
      edit(table, at, end);
      at = end;
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
