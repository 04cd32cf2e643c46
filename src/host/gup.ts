/**
 * pin_user_pages(FOLL_WRITE | FOLL_LONGTERM) on an address space: faults pages in for writing, moves them out of movable
 * zones, raises each frame's pin count, and gives that back.
 */
import { BrokenInvariant } from "../common/errors.ts";
import type { Timeline, TimelineLock } from "../common/timeline.ts";
import type { CostTable } from "./costs.ts";
import type { Frames } from "./frames.ts";
import { HOST_PAGE } from "./host-page.ts";
import { type PageList, type PinnedRun, type Pins, Snapshot } from "./pins.ts";

export type PinResult =
  | { readonly kind: "pinned"; readonly run: PinnedRun }
  /** GUP came to a page that no VMA maps (EFAULT). */
  | { readonly kind: "efault"; readonly page: number };

/** What GUP needs of the address space that it works on: the host's mm. */
interface AddressSpace {
  readonly costs: CostTable;
  readonly frames: Frames;
  readonly pins: Pins;
  readonly mmapLock: TimelineLock;
  readonly extents: boolean;
  readonly generation: number;
  flags(page: number): number;
  has(page: number, bits: number): boolean;
  frameOf(page: number): number;
  faultIn(page: number, write: boolean, timeline: Timeline): boolean;
  splitHuge(page: number, timeline: Timeline): void;
  change(
    first: number,
    pages: number,
    event: "CLEAR",
    timeline: Timeline,
    edit: (page: number) => void,
  ): void;
  moveTo(page: number, frame: number, flags: number): void;
}

export class Gup {
  readonly #mm: AddressSpace;

  constructor(mm: AddressSpace) {
    this.#mm = mm;
  }

  /**
   * pin_user_pages(FOLL_WRITE | FOLL_LONGTERM) over [from, to) of a list: faults pages in for writing, moves them
   * out of movable zones, raises each frame's pin count. The mmap lock is held for reading; costs go to `timeline`.
   */
  pin(list: PageList, from: number, to: number, timeline: Timeline): PinResult {
    const result = this.pinAll([{ list, from, to }], timeline);
    return result.kind === "pinned" ? { kind: "pinned", run: result.runs[0] as PinnedRun } : result;
  }

  /** The same over several runs in one call: all or none, and one charge however the pages are cut into runs. */
  pinAll(
    wanted: readonly { readonly list: PageList; readonly from: number; readonly to: number }[],
    timeline: Timeline,
  ): { readonly kind: "pinned"; readonly runs: readonly PinnedRun[] } | (PinResult & { kind: "efault" }) {
    return this.#mm.mmapLock.hold(timeline, "shared", () => {
      const runs: PinnedRun[] = [];
      let pages = 0;
      for (const { list, from, to } of wanted) {
        const snapshot = this.#verified(list, from, to, timeline);
        if (typeof snapshot === "number") {
          for (const run of runs) this.#mm.pins.remove(run);
          return { kind: "efault", page: snapshot };
        }
        runs.push(this.#mm.pins.add(snapshot, from, to));
        pages += to - from;
      }
      timeline.charge("pin", this.#mm.costs.pinCall + pages * this.#mm.costs.pinPage);
      return { kind: "pinned", runs };
    });
  }

  /** unpin_user_pages_dirty_lock: drops one pin of each page in the run. */
  unpin(run: PinnedRun, timeline: Timeline): void {
    this.unpinAll([run], timeline);
  }

  /** The same over several runs, in one charge. */
  unpinAll(runs: readonly PinnedRun[], timeline: Timeline): void {
    let pages = 0;
    for (const { from, to } of runs) pages += to - from;
    timeline.charge("unpin", pages * this.#mm.costs.unpinPage);
    for (const run of runs) this.#mm.pins.remove(run);
  }

  /** Pins [from, to) of a list again, on the frames that it was pinned on when it was saved. */
  repin(list: PageList, from: number, frames: readonly number[]): PinnedRun {
    // Of no generation: what it vouches for is the pin alone.
    const snapshot = new Snapshot(list, -1);
    snapshot.frames.set(frames, from);
    snapshot.verifiedFrom = from;
    snapshot.verifiedTo = from + frames.length;
    return this.#mm.pins.add(snapshot, from, from + frames.length);
  }

  /** A snapshot that vouches for [from, to), or the page at which GUP fails. */
  #verified(list: PageList, from: number, to: number, timeline: Timeline): Snapshot | number {
    let snapshot = list.snapshot;
    if (!this.#mm.extents || snapshot === undefined || snapshot.generation !== this.#mm.generation)
      snapshot = this.#freshSnapshot(list);
    if (from >= snapshot.verifiedFrom && to <= snapshot.verifiedTo) return snapshot;
    const apart = to < snapshot.verifiedFrom || from > snapshot.verifiedTo;
    if (apart && snapshot.verifiedTo > 0) snapshot = this.#freshSnapshot(list);
    for (let attempt = 0; attempt < 3; attempt++) {
      const bad = this.#longterm(list, from, to, timeline);
      if (bad !== undefined) return bad;
      // Faulting in or migrating may itself have changed the address space: look again, as GUP does.
      if (snapshot.generation !== this.#mm.generation) snapshot = this.#freshSnapshot(list);
      if (this.#record(snapshot, from, to)) return snapshot;
    }
    throw new BrokenInvariant("pages keep moving while they are pinned");
  }

  #freshSnapshot(list: PageList): Snapshot {
    const snapshot = new Snapshot(list, this.#mm.generation);
    list.snapshot = snapshot;
    return snapshot;
  }

  /** Faults in and migrates until every page of [from, to) can be pinned for long. */
  #longterm(list: PageList, from: number, to: number, timeline: Timeline): number | undefined {
    const wanted = HOST_PAGE.present | HOST_PAGE.writable;
    const unwanted = HOST_PAGE.movable | HOST_PAGE.numaHint | HOST_PAGE.ksm;
    for (let i = from; i < to; i++) {
      const page = list.pages[i] as number;
      const flags = this.#mm.flags(page);
      if ((flags & (wanted | unwanted)) === wanted) continue;
      if (!this.#mm.faultIn(page, true, timeline)) return page;
      if (
        this.#mm.has(page, HOST_PAGE.movable) &&
        this.#mm.pins.countOf(page, this.#mm.frameOf(page)) === 0
      ) {
        if (this.#mm.has(page, HOST_PAGE.huge)) this.#mm.splitHuge(page, timeline);
        this.#mm.change(page, 1, "CLEAR", timeline, () =>
          this.#mm.moveTo(page, this.#mm.frames.allocate(), this.#mm.flags(page) & ~HOST_PAGE.movable),
        );
        timeline.charge("pin", this.#mm.costs.migratePage);
      }
    }
    return undefined;
  }

  /** Notes the frames of [from, to) in a snapshot; false if one is not fit to be pinned after all. */
  #record(snapshot: Snapshot, from: number, to: number): boolean {
    const wanted = HOST_PAGE.present | HOST_PAGE.writable;
    for (let i = from; i < to; i++) {
      const page = snapshot.list.pages[i] as number;
      if ((this.#mm.flags(page) & wanted) !== wanted) return false;
      snapshot.frames[i] = this.#mm.frameOf(page);
    }
    const first = snapshot.verifiedTo === 0;
    snapshot.verifiedFrom = first ? from : Math.min(from, snapshot.verifiedFrom);
    snapshot.verifiedTo = first ? to : Math.max(to, snapshot.verifiedTo);
    return true;
  }
}
