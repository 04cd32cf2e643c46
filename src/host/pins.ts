/**
 * Pins held by pin_user_pages(FOLL_LONGTERM), kept as runs over lists of pages.
 *
 * A `PageList` is a fixed order of host pages (a guest buffer, say). A `Snapshot` is what GUP found under it at one
 * generation of the address space: the frame of each page. A pin is a run of a snapshot. Toggling the same run a
 * thousand times changes one counter; counts per page are derived when somebody asks.
 */
import { BrokenInvariant } from "../common/errors.ts";

/** Host virtual page numbers in the owner's order, without duplicates. */
export class PageList {
  readonly pages: Int32Array;
  #indexOf: Map<number, number> | undefined;
  /** The newest snapshot of this list, if it is still worth asking. */
  snapshot: Snapshot | undefined;

  constructor(pages: Int32Array) {
    this.pages = pages;
  }

  /** Where a page stands in the list, or -1. */
  indexOf(page: number): number {
    if (this.#indexOf === undefined) {
      this.#indexOf = new Map();
      this.pages.forEach((p, i) => {
        this.#indexOf?.set(p, i);
      });
    }
    return this.#indexOf.get(page) ?? -1;
  }
}

interface CountedRun {
  from: number;
  to: number;
  count: number;
}

/** The frames that GUP found for [verifiedFrom, verifiedTo) of a list, valid while `generation` is the mm's. */
export class Snapshot {
  readonly list: PageList;
  readonly generation: number;
  readonly frames: Int32Array;
  verifiedFrom = 0;
  verifiedTo = 0;
  /** Live pins, disjoint unless pinned twice; few, since each vCPU holds one or two runs. */
  readonly runs: CountedRun[] = [];

  constructor(list: PageList, generation: number) {
    this.list = list;
    this.generation = generation;
    this.frames = new Int32Array(list.pages.length);
  }

  countAt(index: number): number {
    let count = 0;
    for (const run of this.runs) if (index >= run.from && index < run.to) count += run.count;
    return count;
  }
}

/** Pages [from, to) of a snapshot's list, each pinned once by the holder of this value. */
export interface PinnedRun {
  readonly snapshot: Snapshot;
  readonly from: number;
  readonly to: number;
}

/** Told of each pin and unpin. */
export interface PinCounter {
  pinned(run: PinnedRun): void;
  unpinned(run: PinnedRun): void;
}

/** Every pin of one address space. */
export class Pins {
  readonly #live = new Set<Snapshot>();
  readonly #counter: PinCounter;
  #pages = 0;

  constructor(counter: PinCounter) {
    this.#counter = counter;
  }

  /** Pages pinned, each as often as it is pinned. */
  get pages(): number {
    return this.#pages;
  }

  add(snapshot: Snapshot, from: number, to: number): PinnedRun {
    if (from < snapshot.verifiedFrom || to > snapshot.verifiedTo || from >= to)
      throw new BrokenInvariant(`a pin of [${from}, ${to}) that GUP has not been over`);
    const same = snapshot.runs.find((run) => run.from === from && run.to === to);
    if (same !== undefined) same.count += 1;
    else snapshot.runs.push({ from, to, count: 1 });
    this.#pages += to - from;
    this.#live.add(snapshot);
    const run = { snapshot, from, to };
    this.#counter.pinned(run);
    return run;
  }

  /** Drops one pin of each page in the run, which may be a part of what was pinned together. */
  remove(run: PinnedRun): void {
    const { snapshot, from, to } = run;
    let at = from;
    while (at < to) {
      const index = snapshot.runs.findIndex((r) => r.from <= at && at < r.to);
      const held = snapshot.runs[index];
      if (held === undefined) throw new BrokenInvariant(`unpin of a page (index ${at}) that is not pinned`);
      const end = Math.min(held.to, to);
      held.count -= 1;
      if (held.count === 0) snapshot.runs.splice(index, 1);
      if (held.from < at) this.#restore(snapshot, held.from, at);
      if (end < held.to) this.#restore(snapshot, end, held.to);
      at = end;
    }
    this.#pages -= to - from;
    this.#counter.unpinned(run);
    if (snapshot.runs.length === 0) this.#live.delete(snapshot);
  }

  /** How often the frame behind a host page is pinned right now. */
  countOf(page: number, frame: number): number {
    let count = 0;
    for (const snapshot of this.#live) {
      const index = snapshot.list.indexOf(page);
      if (index >= 0 && snapshot.frames[index] === frame) count += snapshot.countAt(index);
    }
    return count;
  }

  #restore(snapshot: Snapshot, from: number, to: number): void {
    const same = snapshot.runs.find((run) => run.from === from && run.to === to);
    if (same !== undefined) same.count += 1;
    else snapshot.runs.push({ from, to, count: 1 });
  }
}
