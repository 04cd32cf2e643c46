/**
 * Sets of guest pages as pin policies and KVM handle them: runs of fixed lists, because an experiment compares the
 * same 32,768 pages a thousand times. Two sets over the same list compare by their runs; others page by page.
 */
import { type Ipn, ipn } from "../common/address.ts";
import { type Extent, normalise, subtract } from "../common/extents.ts";
import { PageList } from "../host/pins.ts";

/** More than a list may have entries (8 GiB); times a page number below 2^31 it is still exact. */
const INDICES = 2 ** 21;

/** Guest pages in a fixed order, without duplicates, each with the host page behind it. */
export class GuestPages {
  readonly ipns: Int32Array;
  readonly host: PageList;
  /** Whether these are the guest's stage-1 tables, for the count in reports. */
  readonly areTables: boolean;
  /** Page number and index as one number, sorted: cheaper to make than a Map of tens of thousands of pages. */
  #order: Float64Array | undefined;
  readonly #shared = new WeakMap<GuestPages, Shared | "scattered">();
  /** [from, to) of the list known to be mapped writable at stage 2, as of a generation of the stage 2. */
  mapped = { generation: -1, from: 0, to: 0 };

  /**
   * @param ipns page numbers, none twice
   * @param hostPages the host page behind each, through its memslot
   */
  constructor(ipns: Int32Array, hostPages: Int32Array, areTables = false) {
    this.ipns = ipns;
    this.areTables = areTables;
    this.host = new PageList(hostPages);
  }

  get length(): number {
    return this.ipns.length;
  }

  at(index: number): Ipn {
    return ipn(this.ipns[index] as number);
  }

  /** Where a page stands in the list, or -1. */
  indexOf(page: number): number {
    if (this.#order === undefined) {
      const order = new Float64Array(this.ipns.length);
      for (let i = 0; i < order.length; i++) order[i] = (this.ipns[i] as number) * INDICES + i;
      this.#order = order.sort();
    }
    const order = this.#order;
    let low = 0;
    let high = order.length;
    const wanted = page * INDICES;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((order[middle] as number) < wanted) low = middle + 1;
      else high = middle;
    }
    const found = order[low];
    return found !== undefined && found < wanted + INDICES ? found - wanted : -1;
  }

  /**
   * What this list shares with another: one stretch (perhaps empty), as walks of the same buffer from different heads
   * do, or scattered pages. Found once for each pair.
   */
  sharedWith(other: GuestPages): Shared | "scattered" {
    const known = this.#shared.get(other);
    if (known !== undefined) return known;
    const found = this.#findShared(other);
    this.#shared.set(other, found);
    return found;
  }

  #findShared(other: GuestPages): Shared | "scattered" {
    let from = -1;
    let to = -1;
    let shift = 0;
    for (let i = 0; i < this.length; i++) {
      const at = other.indexOf(this.ipns[i] as number);
      if (at < 0) {
        if (from >= 0 && to < 0) to = i;
      } else if (from < 0) {
        from = i;
        shift = at - i;
      } else if (to >= 0 || at - i !== shift) return "scattered";
    }
    if (from < 0) return { from: 0, to: 0, shift: 0 };
    return { from, to: to < 0 ? this.length : to, shift };
  }
}

/** The pages that two lists have in common where they are one stretch of both: entry i is the other's i + shift. */
interface Shared {
  readonly from: number;
  readonly to: number;
  readonly shift: number;
}

/** Pages [from, to) of a list. */
export interface PageRun {
  readonly list: GuestPages;
  readonly from: number;
  readonly to: number;
}

/** An immutable set of guest pages. */
export class PageSet {
  static readonly empty = new PageSet([]);
  /** Disjoint: no page is in two runs. */
  readonly runs: readonly PageRun[];
  readonly pages: number;
  #lastAsked: PageSet | undefined;
  #covered = false;

  private constructor(runs: readonly PageRun[]) {
    this.runs = runs;
    this.pages = runs.reduce((sum, run) => sum + run.to - run.from, 0);
  }

  /** A set of runs that the caller knows to be disjoint. */
  static of(runs: readonly PageRun[]): PageSet {
    const kept = runs.filter((run) => run.to > run.from);
    return kept.length === 0 ? PageSet.empty : new PageSet(kept);
  }

  get isEmpty(): boolean {
    return this.pages === 0;
  }

  has(page: Ipn): boolean {
    return this.runs.some((run) => {
      const index = run.list.indexOf(page);
      return index >= run.from && index < run.to;
    });
  }

  /** The set of this one page if it is in this set, otherwise the empty set. */
  only(page: Ipn): PageSet {
    return PageSet.of(
      this.runs.flatMap(({ list, from, to }) => {
        const index = list.indexOf(page);
        return index >= from && index < to ? [{ list, from: index, to: index + 1 }] : [];
      }),
    );
  }

  /** The pages of this set that are not in `other`. */
  minus(other: PageSet): PageSet {
    if (other.isEmpty || this.isEmpty) return this;
    if (other === this || this.runs.every((run) => other.#hasRun(run))) return PageSet.empty;
    if (this.pages + other.pages <= FEW_PAGES) {
      const out = marked(this.runs, other.runs);
      if (out !== undefined) return PageSet.of(out);
    }
    const out: PageRun[] = [];
    for (const run of this.runs) {
      const known: Extent[] = [];
      const strange: PageRun[] = [];
      for (const r of other.runs) {
        const shared =
          r.list === run.list ? { from: r.from, to: r.to, shift: 0 } : run.list.sharedWith(r.list);
        if (shared === "scattered") {
          strange.push(r);
          continue;
        }
        const first = Math.max(shared.from, r.from - shared.shift);
        const end = Math.min(shared.to, r.to - shared.shift);
        if (end > first) known.push({ first, pages: end - first });
      }
      const left = subtract([{ first: run.from, pages: run.to - run.from }], normalise(known));
      for (const piece of left)
        out.push(...withoutStrange(run.list, piece.first, piece.first + piece.pages, strange));
    }
    return PageSet.of(out);
  }

  #hasRun(run: PageRun): boolean {
    for (const own of this.runs)
      if (own.list === run.list && own.from <= run.from && own.to >= run.to) return true;
    return false;
  }

  /** Whether every page of `other` is in this set. A policy asks the same at each enable: neither set ever changes. */
  covers(other: PageSet): boolean {
    if (this.#lastAsked !== other) {
      this.#covered = other.minus(this).isEmpty;
      this.#lastAsked = other;
    }
    return this.#covered;
  }

  /** This set and the pages of `other` that it does not have. */
  plus(other: PageSet): PageSet {
    if (other.isEmpty) return this;
    if (this.isEmpty) return other;
    return PageSet.of(joined([...this.runs, ...other.minus(this).runs]));
  }

  /** The pages as sorted, disjoint extents of IPA page numbers. */
  extents(): Extent[] {
    const out: Extent[] = [];
    for (const { list, from, to } of this.runs)
      for (let i = from; i < to; i++) out.push({ first: list.ipns[i] as number, pages: 1 });
    return normalise(out);
  }

  /** Calls `visit` for every page, in the order of the lists. */
  each(visit: (page: Ipn, run: PageRun, index: number) => void): void {
    for (const run of this.runs) for (let i = run.from; i < run.to; i++) visit(run.list.at(i), run, i);
  }
}

/** Up to so many pages are compared one by one sooner than lists are related to each other. */
const FEW_PAGES = 8_192;
/** Page numbers up to 32 GiB can be marked. */
const MARKED_PAGES = 2 ** 23;
let marks = new Uint32Array(0);
let mark = 0;

/** The pieces of `runs` that are not in `others`, by marking those; undefined where page numbers are too high. */
function marked(runs: readonly PageRun[], others: readonly PageRun[]): PageRun[] | undefined {
  mark = mark === 0xffff_ffff ? 1 : mark + 1;
  if (mark === 1) marks.fill(0);
  for (const { list, from, to } of others)
    for (let i = from; i < to; i++) {
      const page = list.ipns[i] as number;
      if (page >= marks.length) {
        if (page >= MARKED_PAGES) return undefined;
        const grown = new Uint32Array(Math.min(MARKED_PAGES, 2 * page + 1));
        grown.set(marks);
        marks = grown;
      }
      marks[page] = mark;
    }
  const out: PageRun[] = [];
  for (const { list, from, to } of runs) {
    let start = -1;
    for (let i = from; i < to; i++) {
      const gone = marks[list.ipns[i] as number] === mark;
      if (!gone && start < 0) start = i;
      if (gone && start >= 0) {
        out.push({ list, from: start, to: i });
        start = -1;
      }
    }
    if (start >= 0) out.push({ list, from: start, to });
  }
  return out;
}

/** The pieces of [from, to) of a list whose pages are in none of the runs of other lists. */
function withoutStrange(list: GuestPages, from: number, to: number, strange: readonly PageRun[]): PageRun[] {
  if (strange.length === 0) return [{ list, from, to }];
  const out: PageRun[] = [];
  let start = -1;
  for (let i = from; i < to; i++) {
    const page = list.at(i);
    const inOther = strange.some((run) => {
      const index = run.list.indexOf(page);
      return index >= run.from && index < run.to;
    });
    if (!inOther && start < 0) start = i;
    if (inOther && start >= 0) {
      out.push({ list, from: start, to: i });
      start = -1;
    }
  }
  if (start >= 0) out.push({ list, from: start, to });
  return out;
}

/** Joins runs of the same list that touch. */
function joined(runs: readonly PageRun[]): PageRun[] {
  const out: PageRun[] = [];
  for (const list of new Set(runs.map((run) => run.list))) {
    const own = runs.filter((run) => run.list === list);
    const extents = normalise(own.map((run) => ({ first: run.from, pages: run.to - run.from })));
    out.push(...extents.map((e) => ({ list, from: e.first, to: e.first + e.pages })));
  }
  return out;
}
