/**
 * Huge folios, and what pins keep of them: Linux frees, moves or swaps a folio as a whole or splits it before, and it can do
 * none of that while any of its pages is pinned. So a pin of one page keeps all 2 MiB from reclaim.
 *
 * Splitting a PMD's mapping (thp-split, a page that is migrated out of a movable zone) leaves the folio as it is; taking a page
 * away from it splits it, unless a pin keeps it.
 */
import { HUGE_PAGES } from "./frames.ts";
import type { PinnedRun, Snapshot } from "./pins.ts";

/** A page of a list: in a base page, or not looked at. */
const BASE = -1;
const UNKNOWN = -2;

/**
 * How many pages of a run of a snapshot lie in base pages, and in each huge folio. It moves from one run to the next by the pages
 * that the two differ in: a buffer's window moves by some pages at each enable, and has tens of thousands.
 *
 * What a page lies in is looked up once: it can only change while the page is not pinned, and then its snapshot is out of date.
 */
class Footprint {
  basePages = 0;
  /** The numbers of the folios of any run so far. */
  readonly folios: number[] = [];
  /** Pages in each of them. */
  readonly pages: number[] = [];
  readonly #snapshot: Snapshot;
  readonly #huge: ReadonlySet<number>;
  /** By index in the list: the place of its folio in `folios`, BASE or UNKNOWN. */
  readonly #placeOf: Int32Array;
  readonly #placeOfFolio = new Map<number, number>();
  #from = 0;
  #to = 0;

  constructor(snapshot: Snapshot, huge: ReadonlySet<number>) {
    this.#snapshot = snapshot;
    this.#huge = huge;
    this.#placeOf = new Int32Array(snapshot.frames.length).fill(UNKNOWN);
  }

  /** Makes it that of pages [from, to) of the list, all of them pinned. */
  moveTo(from: number, to: number): void {
    if (from >= this.#to || to <= this.#from) {
      this.#count(this.#from, this.#to, -1);
      this.#count(from, to, 1);
    } else {
      this.#count(from, this.#from, 1);
      this.#count(this.#from, from, -1);
      this.#count(this.#to, to, 1);
      this.#count(to, this.#to, -1);
    }
    this.#from = from;
    this.#to = to;
  }

  #count(from: number, to: number, sign: 1 | -1): void {
    for (let i = from; i < to; i++) {
      let place = this.#placeOf[i] as number;
      if (place === UNKNOWN) {
        place = this.#lookUp(this.#snapshot.frames[i] as number);
        this.#placeOf[i] = place;
      }
      if (place === BASE) this.basePages += sign;
      else this.pages[place]! += sign;
    }
  }

  #lookUp(frame: number): number {
    const folio = folioOf(frame);
    if (!this.#huge.has(folio)) return BASE;
    const known = this.#placeOfFolio.get(folio);
    if (known !== undefined) return known;
    const place = this.folios.length;
    this.folios.push(folio);
    this.pages.push(0);
    this.#placeOfFolio.set(folio, place);
    return place;
  }
}

const folioOf = (frame: number): number => Math.floor(frame / HUGE_PAGES);

/** The numbers of the huge folios: frame / 512. */
export type FoliosState = readonly number[];

export class Folios {
  readonly #huge = new Set<number>();
  /** Pins of pages of each huge folio, by its number. */
  #pins = new Uint32Array(0);
  /** How many folios have any. */
  #pinnedFolios = 0;
  #basePages = 0;
  readonly #footprints = new WeakMap<Snapshot, Footprint>();

  /** 512 frames from this one on have become a folio. */
  made(firstFrame: number): void {
    this.#huge.add(folioOf(firstFrame));
  }

  isHuge(frame: number): boolean {
    return this.#huge.has(folioOf(frame));
  }

  /** The host takes a page off its frame: a huge folio that no pin keeps is split. */
  taken(frame: number): void {
    const folio = folioOf(frame);
    if ((this.#pins[folio] ?? 0) === 0) this.#huge.delete(folio);
  }

  pinned(run: PinnedRun): void {
    this.#count(run, 1);
  }

  unpinned(run: PinnedRun): void {
    this.#count(run, -1);
  }

  /** Pages that pins keep from reclaim: base pages as often as they are pinned, each huge folio once and as a whole. */
  get unreclaimablePages(): number {
    return this.#basePages + HUGE_PAGES * this.#pinnedFolios;
  }

  save(): FoliosState {
    return [...this.#huge];
  }

  /** Nothing is pinned. */
  restore(state: FoliosState): void {
    this.#huge.clear();
    for (const folio of state) this.#huge.add(folio);
  }

  #count({ snapshot, from, to }: PinnedRun, sign: 1 | -1): void {
    if (this.#huge.size === 0) {
      this.#basePages += sign * (to - from);
      return;
    }
    let footprint = this.#footprints.get(snapshot);
    if (footprint === undefined) {
      footprint = new Footprint(snapshot, this.#huge);
      this.#footprints.set(snapshot, footprint);
    }
    footprint.moveTo(from, to);
    const { folios, pages } = footprint;
    this.#basePages += sign * footprint.basePages;
    for (let i = 0; i < folios.length; i++) {
      const folio = folios[i] as number;
      const before = this.#pinsOf(folio);
      const after = before + sign * (pages[i] as number);
      this.#pins[folio] = after;
      if (before === 0 && after > 0) this.#pinnedFolios += 1;
      if (before > 0 && after === 0) this.#pinnedFolios -= 1;
    }
  }

  #pinsOf(folio: number): number {
    if (folio >= this.#pins.length) {
      const grown = new Uint32Array(2 * folio + 1);
      grown.set(this.#pins);
      this.#pins = grown;
    }
    return this.#pins[folio] as number;
  }
}
