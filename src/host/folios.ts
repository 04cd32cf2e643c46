/**
 * Huge folios, and what pins keep of them: Linux frees, moves or swaps a folio as a whole or splits it before, and it can do
 * none of that while any of its pages is pinned. So a pin of one page keeps all 2 MiB from reclaim.
 *
 * Splitting a PMD's mapping (thp-split, a page that is migrated out of a movable zone) leaves the folio as it is; taking a page
 * away from it splits it, unless a pin keeps it.
 */
import { HUGE_PAGES } from "./frames.ts";
import type { PinnedRun, Snapshot } from "./pins.ts";

/** How many pages of a run of pins lie in base pages, and in each huge folio. */
interface Footprint {
  readonly from: number;
  readonly to: number;
  readonly basePages: number;
  readonly byFolio: ReadonlyMap<number, number>;
}

const folioOf = (frame: number): number => Math.floor(frame / HUGE_PAGES);

/** The numbers of the huge folios: frame / 512. */
export type FoliosState = readonly number[];

export class Folios {
  readonly #huge = new Set<number>();
  /** Pins of pages of each huge folio that has any. */
  readonly #pins = new Map<number, number>();
  #basePages = 0;
  /** Of each snapshot the last one that was asked for: experiments toggle one run a thousand times. */
  readonly #last = new WeakMap<Snapshot, Footprint>();

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
    if (!this.#pins.has(folio)) this.#huge.delete(folio);
  }

  pinned(run: PinnedRun): void {
    this.#count(run, 1);
  }

  unpinned(run: PinnedRun): void {
    this.#count(run, -1);
  }

  /** Pages that pins keep from reclaim: base pages as often as they are pinned, each huge folio once and as a whole. */
  get unreclaimablePages(): number {
    return this.#basePages + HUGE_PAGES * this.#pins.size;
  }

  save(): FoliosState {
    return [...this.#huge];
  }

  /** Nothing is pinned. */
  restore(state: FoliosState): void {
    this.#huge.clear();
    for (const folio of state) this.#huge.add(folio);
  }

  #count(run: PinnedRun, sign: 1 | -1): void {
    const { basePages, byFolio } = this.#footprint(run);
    this.#basePages += sign * basePages;
    for (const [folio, pages] of byFolio) {
      const count = (this.#pins.get(folio) ?? 0) + sign * pages;
      if (count === 0) this.#pins.delete(folio);
      else this.#pins.set(folio, count);
    }
  }

  #footprint({ snapshot, from, to }: PinnedRun): Footprint {
    const last = this.#last.get(snapshot);
    if (last?.from === from && last.to === to) return last;
    const byFolio = new Map<number, number>();
    let basePages = to - from;
    if (this.#huge.size > 0)
      for (let i = from; i < to; i++) {
        const folio = folioOf(snapshot.frames[i] as number);
        if (!this.#huge.has(folio)) continue;
        basePages -= 1;
        byFolio.set(folio, (byFolio.get(folio) ?? 0) + 1);
      }
    const footprint = { from, to, basePages, byFolio };
    this.#last.set(snapshot, footprint);
    return footprint;
  }
}
