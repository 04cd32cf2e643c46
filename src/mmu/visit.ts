/**
 * Visiting a range of pages: the same answers as translating each page, at a few nanoseconds a descriptor.
 *
 * Consecutive pages whose answers continue each other are told as one run, whatever descriptors they came from.
 */
import { type Access, INSPECT, WALK_READ, WALK_UPDATE } from "./access.ts";
import { relativePage, type StageConfig } from "./config.ts";
import { type Fault, faultAt, isFault, type Level } from "./fault.ts";
import { leafKey, leafVerdict } from "./leaf.ts";
import type { TableMemory } from "./table-memory.ts";
import {
  isLeaf,
  isTable,
  leafPage,
  nextTable,
  tablePermissionsOf,
  translate,
  unreadableTable,
} from "./translate.ts";
import type { Attributes } from "./verdict.ts";

/** Who is told what a range contains. Runs come in order of pages; a table before what it maps. */
export interface RangeVisitor<In extends number = number, Out extends number = number> {
  /** `pages` pages from `first` go to as many from `output`, with the same attributes, at the same level. */
  leaf(first: In, output: Out, pages: number, attributes: Attributes, level: Level): void;
  /** A 4 KiB page of a table was read (for the first time in this visit). */
  table?(page: Out, level: Level): void;
  /** `pages` pages from `first` fault alike. Page numbers in `fault` are those of the first. */
  hole?(first: In, pages: number, fault: Fault): void;
}

/** What a visit read, so that a cost per descriptor can be charged. */
export interface VisitCounts {
  /** Descriptors read at levels 0 to 3, each once. */
  readonly descriptors: readonly [number, number, number, number];
  /** Distinct 4 KiB pages of tables that were read. */
  readonly tablePages: number;
}

/**
 * Tells a visitor what every page of a range translates to, as `translate` would with the same access: updates of
 * access flag and dirty state included.
 * @param first,pages the range in 4 KiB pages, at any alignment. What lies outside of the stage's input range is a hole.
 */
export function visitRange<In extends number, Out extends number>(
  config: StageConfig<In, Out>,
  first: In,
  pages: number,
  access: Access,
  memory: TableMemory<Out>,
  visitor: RangeVisitor<In, Out>,
): VisitCounts {
  const visit = new Visit(config, first, access, memory, visitor);
  visit.range(pages);
  return { descriptors: visit.descriptors, tablePages: visit.tablePages.size };
}

const sameFault = (a: Fault, b: Fault, distance: number): boolean =>
  a.kind === b.kind &&
  a.level === b.level &&
  a.stage === b.stage &&
  a.onWalk === b.onWalk &&
  a.write === b.write &&
  (a.vpn === undefined ? b.vpn === undefined : b.vpn === a.vpn + distance) &&
  (a.ipn === b.ipn || (!a.onWalk && a.ipn !== undefined && b.ipn === a.ipn + distance));

/** The type and the bits of leafKey: two leaves of one table that agree in them have the same verdict. */
const LO_ALIKE = 0xfff;
const HI_ALIKE = 0xfd << 19;

/** One visit's state: the run that has not been told yet, and what was counted. */
class Visit<In extends number, Out extends number> {
  readonly descriptors: [number, number, number, number] = [0, 0, 0, 0];
  readonly tablePages = new Set<number>();
  private readonly config: StageConfig<In, Out>;
  private readonly access: Access;
  private readonly walkAccess: Access;
  private readonly memory: TableMemory<Out>;
  private readonly visitor: RangeVisitor<In, Out>;
  private readonly first: number;
  /** Input page minus relative page. */
  private readonly bias: number;
  /** The run: its first page, its output, its length (0: none) and either its attributes or its fault. */
  private runFirst = 0;
  private runOutput = 0;
  private runPages = 0;
  private runAttributes: Attributes | undefined;
  private runLevel: Level = 0;
  private runFault: Fault | undefined;

  constructor(
    config: StageConfig<In, Out>,
    first: In,
    access: Access,
    memory: TableMemory<Out>,
    visitor: RangeVisitor<In, Out>,
  ) {
    this.config = config;
    this.first = first;
    this.access = access;
    this.walkAccess = access.by === "inspect" ? INSPECT : WALK_READ;
    this.memory = memory;
    this.visitor = visitor;
    this.bias = first - relativePage(config, first, access.by === "fetch");
  }

  range(pages: number): void {
    const { config, bias } = this;
    if (!config.enabled) this.disabled(pages);
    else {
      const from = this.first - bias;
      const to = from + pages;
      const refuses = config.refuses || (config.el0Prevented && this.access.el === 0);
      const low = refuses ? to : Math.min(Math.max(from, 0), to);
      const high = refuses ? to : Math.max(Math.min(to, config.pages), low);
      this.hole(from, low, "translation", 0);
      if (low < high) this.root(low, high);
      this.hole(high, to, "translation", 0);
    }
    this.flush();
  }

  /** A stage that is off is flat, but for the end of physical memory. */
  private disabled(pages: number): void {
    for (let page = this.first; page < this.first + pages; page++) {
      const answer = translate(this.config, page as In, this.access, this.memory);
      if (isFault(answer)) this.fault(page, 1, answer);
      else this.leaf(page, answer.outputPage, 1, answer.attributes, 0);
    }
  }

  /** The first table: it may start in the middle of a page, and concatenated ones go on over many pages. */
  private root(from: number, to: number): void {
    const { config } = this;
    const level = config.startLevel;
    const covered = config.entryPages[level];
    // The table is aligned to its size, so it is inside of the output range as a whole or not at all.
    if (config.rootPage >= config.outputPages) {
      this.hole(from, to, "address-size", 0);
      return;
    }
    for (let at = from; at < to; ) {
      const word = config.rootWord + 2 * Math.floor(at / covered);
      const page = word >>> 10;
      const end = Math.min(to, (((page + 1) * 1024 - config.rootWord) / 2) * covered);
      this.entries(config.rootPage + page, word, level, 0, at, end);
      at = end;
    }
  }

  /** A table below the first: one granule, with each of its 4 KiB pages read on its own. */
  private table(table: number, level: number, tablePermissions: number, from: number, to: number): void {
    const { config } = this;
    const covered = config.entryPages[level] as number;
    for (let at = from; at < to; ) {
      const word = 2 * ((at / covered) & config.indexMask);
      const remaining = 512 - ((word >>> 1) & 511);
      const end = Math.min(to, (Math.floor(at / covered) + remaining) * covered);
      this.entries(table + (word >>> 10), word, level, tablePermissions, at, end);
      at = end;
    }
  }

  /** The entries of one 4 KiB page of a table, from the one at `word` on, that translate [from, to). */
  private entries(
    page: number,
    word: number,
    level: number,
    tablePermissions: number,
    from: number,
    to: number,
  ): void {
    const { config, access, bias } = this;
    if (!this.tablePages.has(page)) {
      this.tablePages.add(page);
      this.visitor.table?.(page as Out, level as Level);
    }
    const words = this.memory.page(page as Out, this.walkAccess);
    if (words === undefined || isFault(words)) {
      for (let at = from; at < to; at++)
        this.fault(at + bias, 1, unreadableTable(config, words, level as Level, at + bias, access));
      return;
    }
    const covered = config.entryPages[level] as number;
    const { outputPages } = config;
    let wrote = false;
    let index = word & 1023;
    for (let at = from; at < to; index += 2) {
      const lo = words[index] as number;
      const hi = words[index + 1] as number;
      const end = covered === 1 ? at + 1 : Math.min(to, at - (at % covered) + covered);
      if (isLeaf(config, lo, level)) {
        const output = leafPage(config, lo, hi, level) + (covered === 1 ? 0 : at % covered);
        const verdict = leafVerdict(config, leafKey(lo, hi, tablePermissions), access);
        if (output >= outputPages) this.hole(at, end, "address-size", level as Level);
        else if (verdict.fault !== undefined) this.hole(at, end, verdict.fault, level as Level);
        else if (!verdict.updates || this.update(page, index, lo, verdict, level as Level, at, end)) {
          wrote ||= verdict.updates;
          this.leaf(at + bias, output, end - at, verdict.attributes, level as Level);
          if (level === 3 && !verdict.updates) {
            const more = this.alike(words, index + 2, lo, hi, end, to);
            index += 2 * more;
            at = Math.min(to, end + more * covered);
            continue;
          }
        }
      } else if (isTable(lo, level)) {
        const next = nextTable(config, lo, hi);
        if (next >= outputPages) this.hole(at, end, "address-size", level as Level);
        else this.table(next, level + 1, tablePermissions | tablePermissionsOf(config, hi), at, end);
      } else this.hole(at, end, "translation", level as Level);
      at = end;
    }
    this.descriptors[level] =
      (this.descriptors[level] as number) + Math.floor((to - 1) / covered) - Math.floor(from / covered) + 1;
    if (wrote) this.memory.wrote(page as Out);
  }

  /**
   * Goes on over last-level entries that say the same as the one before, whose leaf is the current run: wherever
   * they point to, the verdict is the same. This loop is where a visit spends its time.
   * @returns how many entries it took
   */
  private alike(words: Uint32Array, from: number, lo: number, hi: number, first: number, to: number): number {
    const { config, bias, visitor } = this;
    const { outputPages, granulePages } = config;
    const pageMask = -granulePages;
    const keyLo = lo & LO_ALIKE;
    const keyHi = hi & HI_ALIKE;
    const attributes = this.runAttributes as Attributes;
    let { runFirst, runOutput } = this;
    let next = runOutput + this.runPages;
    let index = from;
    let at = first;
    for (; at + granulePages <= to; at += granulePages, index += 2) {
      const itsLo = words[index] as number;
      const itsHi = words[index + 1] as number;
      if ((itsLo & LO_ALIKE) !== keyLo || (itsHi & HI_ALIKE) !== keyHi) break;
      const output = (itsHi & 0xffff) * 0x100000 + ((itsLo >>> 12) & pageMask);
      if (output !== next) {
        if (output >= outputPages) break;
        visitor.leaf(runFirst as In, runOutput as Out, at + bias - runFirst, attributes, 3);
        runFirst = at + bias;
        runOutput = output;
      }
      next = output + granulePages;
    }
    this.runFirst = runFirst;
    this.runOutput = runOutput;
    this.runPages = next - runOutput;
    return (index - from) / 2;
  }

  /** Marks a leaf as accessed or dirty. False where the table may not be written: those pages are then a hole. */
  private update(
    page: number,
    index: number,
    lo: number,
    verdict: { readonly setLo: number; readonly clearLo: number },
    level: Level,
    from: number,
    to: number,
  ): boolean {
    const words = this.memory.page(page as Out, WALK_UPDATE);
    if (words === undefined || isFault(words)) {
      for (let at = from; at < to; at++)
        this.fault(
          at + this.bias,
          1,
          unreadableTable(this.config, words, level, at + this.bias, this.access),
        );
      return false;
    }
    words[index] = (lo | verdict.setLo) & ~verdict.clearLo;
    return true;
  }

  private leaf(first: number, output: number, pages: number, attributes: Attributes, level: Level): void {
    if (
      this.runPages !== 0 &&
      this.runAttributes === attributes &&
      this.runOutput + this.runPages === output &&
      this.runLevel === level
    ) {
      this.runPages += pages;
      return;
    }
    this.flush();
    this.runFirst = first;
    this.runOutput = output;
    this.runPages = pages;
    this.runAttributes = attributes;
    this.runLevel = level;
  }

  private hole(from: number, to: number, kind: Fault["kind"], level: Level): void {
    if (from >= to) return;
    const { config, access } = this;
    const first = from + this.bias;
    this.fault(
      first,
      to - from,
      faultAt(config.stage, kind, level, first, access.write, access.by === "walk"),
    );
  }

  private fault(first: number, pages: number, fault: Fault): void {
    if (this.runFault !== undefined && sameFault(this.runFault, fault, first - this.runFirst)) {
      this.runPages += pages;
      return;
    }
    this.flush();
    this.runFirst = first;
    this.runPages = pages;
    this.runFault = fault;
  }

  /** Tells the run. Our own state is settled first: the visitor may do anything. */
  private flush(): void {
    const { runFirst, runPages, runOutput, runAttributes, runLevel, runFault } = this;
    this.runPages = 0;
    this.runAttributes = undefined;
    this.runFault = undefined;
    if (runFault !== undefined) this.visitor.hole?.(runFirst as In, runPages, runFault);
    else if (runAttributes !== undefined)
      this.visitor.leaf(runFirst as In, runOutput as Out, runPages, runAttributes, runLevel);
  }
}
