/**
 * The VMM's address space as Linux mm keeps it: which host page is backed by which frame, and how that changes. GUP
 * with FOLL_LONGTERM semantics, MMU notifiers, RLIMIT_MEMLOCK. Page numbers here are host virtual page numbers
 * counted from the start of the first mapping.
 *
 * Invariants: a frame backs at most one host page, or several read-only ones (KSM); whatever changes a present page's frame or takes permissions
 * away goes through the notifiers and raises `generation`; a pinned frame is never freed before its last unpin.
 */
import { type Timeline, TimelineLock, type TimelineLockState } from "../common/timeline.ts";
import type { CostTable } from "./costs.ts";
import { Folios, type FoliosState } from "./folios.ts";
import { Frames, type FramesState, HUGE_PAGES, type PageStore } from "./frames.ts";
import { Gup } from "./gup.ts";
import { HOST_PAGE, NO_FRAME } from "./host-page.ts";
import { Pins } from "./pins.ts";

/** What backs guest memory. */
export const BACKINGS = ["base", "thp", "hugetlb-2M", "guest-memfd"] as const;
export type Backing = (typeof BACKINGS)[number];

/** enum mmu_notifier_event, include/linux/mmu_notifier.h. */
export type NotifierEvent =
  | "UNMAP"
  | "CLEAR"
  | "PROTECTION_VMA"
  | "PROTECTION_PAGE"
  | "SOFT_DIRTY"
  | "RELEASE"
  | "MIGRATE";

/** What a secondary MMU registers: both ends of every invalidation (mmu_notifier_ops). */
export interface MmuNotifier {
  /** Pages [first, first + pages) are about to change; no new secondary mappings until the end. */
  invalidateRangeStart(first: number, pages: number, event: NotifierEvent, timeline: Timeline): void;
  /** The change is done; what the pages are now can be looked up. */
  invalidateRangeEnd(first: number, pages: number, event: NotifierEvent, timeline: Timeline): void;
}

/** Pages of one state whose frames follow each other: the first page, how many, the first frame (or -1), HOST_PAGE bits. */
type SavedRun = readonly [page: number, pages: number, frame: number, flags: number];

export interface HostMmState {
  readonly runs: readonly SavedRun[];
  readonly generation: number;
  readonly swap: readonly (readonly [page: number, words: readonly number[]])[];
  readonly frames: FramesState;
  readonly folios: FoliosState;
  readonly mmapLock: TimelineLockState;
}

export class HostMm {
  readonly frames: Frames;
  readonly folios = new Folios();
  readonly pins = new Pins(this.folios);
  readonly gup = new Gup(this);
  readonly mmapLock = new TimelineLock("mmap_lock");
  readonly costs: CostTable;
  /** Whether snapshots may vouch for pages that were looked at before. Off in the test of the caches. */
  readonly extents: boolean;
  #frameOf = new Int32Array(0);
  #flags = new Uint8Array(0);
  #backing: Backing[] = [];
  #backingOf = new Uint8Array(0);
  #notifiers: MmuNotifier[] = [];
  #generation = 0;
  readonly #swap = new Map<number, Uint32Array>();

  constructor(
    costs: CostTable,
    options: { readonly extents: boolean; readonly store?: PageStore | undefined } = { extents: true },
  ) {
    this.frames = new Frames(options.store);
    this.costs = costs;
    this.extents = options.extents;
  }

  /** Changes whenever a page that was present is no longer what it was. */
  get generation(): number {
    return this.#generation;
  }

  get pages(): number {
    return this.#flags.length;
  }

  register(notifier: MmuNotifier): void {
    this.#notifiers.push(notifier);
  }

  unregister(notifier: MmuNotifier): void {
    this.#notifiers = this.#notifiers.filter((n) => n !== notifier);
  }

  /**
   * mmap(MAP_ANONYMOUS) or the memfd's like: a new mapping, nothing present.
   * @returns its first page, aligned to 2 MiB
   */
  mmap(pages: number, backing: Backing): number {
    const first = Math.ceil(this.pages / HUGE_PAGES) * HUGE_PAGES;
    const total = first + pages;
    const grow = <T extends Int32Array | Uint8Array>(to: T, from: T): T => {
      to.set(from);
      return to;
    };
    this.#frameOf = grow(new Int32Array(total).fill(NO_FRAME), this.#frameOf);
    this.#flags = grow(new Uint8Array(total), this.#flags);
    this.#backingOf = grow(new Uint8Array(total), this.#backingOf);
    this.#backing.push(backing);
    this.#flags.fill(HOST_PAGE.mapped, first, total);
    this.#backingOf.fill(this.#backing.length - 1, first, total);
    return first;
  }

  /** munmap: the pages are gone, and their frames with them unless pinned. */
  munmap(first: number, pages: number, timeline: Timeline): void {
    for (const edge of [first, first + pages])
      if (edge % HUGE_PAGES !== 0 && this.has(edge, HOST_PAGE.huge)) this.splitHuge(edge, timeline);
    this.change(first, pages, "UNMAP", timeline, (page) => {
      this.zap(page);
      this.#flags[page] = 0;
    });
  }

  /** What `restore` takes: everything but the frames' content, and pins, which belong to who holds them. */
  save(): HostMmState {
    const runs: [number, number, number, number][] = [];
    for (let page = 0; page < this.pages; page++) {
      const frame = this.#frameOf[page] as number;
      const flags = this.flags(page);
      const last = runs.at(-1);
      const follows =
        last?.[3] === flags && (last[2] === NO_FRAME ? frame === NO_FRAME : frame === last[2] + last[1]);
      if (last !== undefined && follows) last[1] += 1;
      else runs.push([page, 1, frame, flags]);
    }
    return {
      runs,
      generation: this.#generation,
      swap: [...this.#swap].map(([page, words]) => [page, [...words]] as const),
      frames: this.frames.save(),
      folios: this.folios.save(),
      mmapLock: this.mmapLock.save(),
    };
  }

  /** Into an address space with the same mappings, nothing pinned. */
  restore({ runs, generation, swap, frames, folios, mmapLock }: HostMmState): void {
    for (const [page, pages, frame, flags] of runs)
      for (let i = 0; i < pages; i++) {
        this.#frameOf[page + i] = frame === NO_FRAME ? NO_FRAME : frame + i;
        this.#flags[page + i] = flags;
      }
    this.#generation = generation;
    this.#swap.clear();
    for (const [page, words] of swap) this.#swap.set(page, Uint32Array.from(words));
    this.frames.restore(frames);
    this.folios.restore(folios);
    this.mmapLock.restore(mmapLock);
  }

  flags(page: number): number {
    return this.#flags[page] ?? 0;
  }

  has(page: number, bits: number): boolean {
    return (this.flags(page) & bits) === bits;
  }

  /** The frame behind a page, or -1 where none is present. */
  frameOf(page: number): number {
    return this.has(page, HOST_PAGE.present) ? (this.#frameOf[page] as number) : NO_FRAME;
  }

  backingOf(page: number): Backing {
    return this.#backing[this.#backingOf[page] as number] ?? "base";
  }

  isPinned(page: number): boolean {
    const frame = this.frameOf(page);
    return frame !== NO_FRAME && this.pins.countOf(page, frame) > 0;
  }

  /** Whether an access by CPU or device goes through without a host fault. */
  accessible(page: number, write: boolean): boolean {
    const flags = this.flags(page);
    return (
      (flags & HOST_PAGE.present) !== 0 &&
      (flags & HOST_PAGE.numaHint) === 0 &&
      (!write || (flags & HOST_PAGE.writable) !== 0)
    );
  }

  /**
   * Marks [first, first + pages) as lying in ZONE_MOVABLE (or not): where a scenario wants such frames. guest_memfd
   * never allocates there (kvm_gmem_get_folio's mapping is unmovable).
   */
  setMovable(first: number, pages: number, movable: boolean): void {
    for (let page = first; page < first + pages; page++)
      this.#flags[page] =
        movable && this.backingOf(page) !== "guest-memfd"
          ? this.flags(page) | HOST_PAGE.movable
          : this.flags(page) & ~HOST_PAGE.movable;
    this.#generation += 1;
  }

  /**
   * handle_mm_fault: makes a page accessible, on the timeline of whoever touched it.
   * @returns false where no VMA maps the page (SIGSEGV or EFAULT)
   */
  faultIn(page: number, write: boolean, timeline: Timeline, charge = true): boolean {
    const flags = this.flags(page);
    if ((flags & HOST_PAGE.mapped) === 0) return false;
    if (this.accessible(page, write)) return true;
    let ns = 0;
    if ((flags & HOST_PAGE.present) === 0) ns = this.#allocate(page);
    else if ((flags & HOST_PAGE.numaHint) !== 0) {
      ns = this.costs.hostPageWork;
      // A PMD is restored as a whole (do_huge_pmd_numa_page).
      const huge = (flags & HOST_PAGE.huge) !== 0;
      const from = huge ? page - (page % HUGE_PAGES) : page;
      for (let p = from; p < from + (huge ? HUGE_PAGES : 1); p++)
        this.#flags[p] = this.flags(p) & ~HOST_PAGE.numaHint;
    }
    if (write && (this.flags(page) & HOST_PAGE.writable) === 0) ns += this.#breakSharing(page, timeline);
    if (charge) timeline.charge("stage2", ns);
    return true;
  }

  /**
   * Changes pages under the notifiers: start, then `edit` for each page, then end. Every host event that takes a
   * page away, moves it or lowers its permissions comes through here.
   */
  change(
    first: number,
    pages: number,
    event: NotifierEvent,
    timeline: Timeline,
    edit: (page: number) => void,
  ): void {
    for (const notifier of this.#notifiers) notifier.invalidateRangeStart(first, pages, event, timeline);
    this.#generation += 1;
    for (let page = first; page < first + pages; page++) edit(page);
    for (const notifier of this.#notifiers) notifier.invalidateRangeEnd(first, pages, event, timeline);
  }

  /** Inside `change`: drops the page; a pinned frame lives on, detached, until it is unpinned. */
  zap(page: number): void {
    const frame = this.frameOf(page);
    if (frame !== NO_FRAME && this.pins.countOf(page, frame) === 0 && !this.has(page, HOST_PAGE.ksm))
      this.frames.drop(frame);
    else if (frame !== NO_FRAME && this.frames.hasContent(frame)) this.frames.wrote();
    if (frame !== NO_FRAME) this.folios.taken(frame);
    if (this.#swap.delete(page)) this.frames.wrote();
    this.#frameOf[page] = NO_FRAME;
    this.#flags[page] = this.flags(page) & (HOST_PAGE.mapped | HOST_PAGE.movable);
  }

  /** Inside `change`: writes the page out; content comes back with the next fault. */
  swapOut(page: number): void {
    const frame = this.frameOf(page);
    if (frame === NO_FRAME) return;
    this.#swap.set(page, this.frames.read(frame).slice());
    this.frames.drop(frame);
    this.folios.taken(frame);
    this.#frameOf[page] = NO_FRAME;
    this.#flags[page] = HOST_PAGE.mapped | HOST_PAGE.swapped;
  }

  /** Inside `change`: the page gets another frame with the same content, outside of movable zones. */
  moveTo(page: number, frame: number, flags: number): void {
    const old = this.frameOf(page);
    if (old !== NO_FRAME) {
      if (this.has(page, HOST_PAGE.ksm)) this.frames.copy(old, frame);
      else this.frames.move(old, frame);
      this.folios.taken(old);
    }
    this.#frameOf[page] = frame;
    this.#flags[page] = flags;
  }

  /** split_huge_pmd: the mapping of a 2 MiB block becomes 512 entries; frames stay. Works on pinned pages too. */
  splitHuge(page: number, timeline: Timeline): void {
    const block = Math.floor(page / HUGE_PAGES) * HUGE_PAGES;
    this.change(block, HUGE_PAGES, "CLEAR", timeline, (p) => {
      this.#flags[p] = this.flags(p) & ~HOST_PAGE.huge;
    });
    timeline.charge("stage2", this.costs.splitHuge);
  }

  /** Inside `change`: the bits of a page that keeps its frame. */
  setFlags(page: number, flags: number): void {
    this.#flags[page] = flags;
  }

  /** A huge folio: 512 frames; the first is returned. */
  allocateFolio(): number {
    const frame = this.frames.allocateHuge();
    this.folios.made(frame);
    return frame;
  }

  #allocate(page: number): number {
    const backing = this.backingOf(page);
    const block = Math.floor(page / HUGE_PAGES) * HUGE_PAGES;
    const huge = backing === "thp" || backing === "hugetlb-2M";
    if (huge && (this.flags(page) & HOST_PAGE.swapped) === 0 && this.#emptyBlock(block)) {
      const frame = this.allocateFolio();
      for (let i = 0; i < HUGE_PAGES; i++) {
        this.#frameOf[block + i] = frame + i;
        this.#flags[block + i] =
          this.flags(block + i) | HOST_PAGE.present | HOST_PAGE.writable | HOST_PAGE.huge;
      }
      return this.costs.faultInHuge;
    }
    const frame = this.frames.allocate();
    this.#frameOf[page] = frame;
    const swapped = this.#swap.get(page);
    const kept = this.flags(page) & ~HOST_PAGE.swapped;
    this.#flags[page] = kept | HOST_PAGE.present | HOST_PAGE.writable;
    if (swapped === undefined) return this.costs.faultInPage;
    this.frames.writable(frame).set(swapped);
    this.frames.wrote();
    this.#swap.delete(page);
    return this.costs.swapInPage;
  }

  /** Whether a whole 2 MiB of one mapping is there to be filled at once. */
  #emptyBlock(block: number): boolean {
    if (block + HUGE_PAGES > this.pages) return false;
    const mapping = this.#backingOf[block];
    for (let i = block; i < block + HUGE_PAGES; i++)
      if (
        (this.flags(i) & (HOST_PAGE.mapped | HOST_PAGE.present | HOST_PAGE.swapped)) !== HOST_PAGE.mapped ||
        this.#backingOf[i] !== mapping
      )
        return false;
    return true;
  }

  /** do_wp_page: a page shared by KSM gets a frame of its own; one that was only write-protected is reused. */
  #breakSharing(page: number, timeline: Timeline): number {
    const flags = this.flags(page) | HOST_PAGE.writable;
    if ((flags & HOST_PAGE.ksm) === 0) {
      this.#flags[page] = flags;
      return this.costs.hostPageWork;
    }
    this.change(page, 1, "CLEAR", timeline, () => {
      const frame = this.frames.allocate();
      const shared = this.frameOf(page);
      this.frames.copy(shared, frame);
      this.#frameOf[page] = frame;
      this.#flags[page] = flags & ~HOST_PAGE.ksm;
    });
    return this.costs.faultInPage + this.costs.copyPage;
  }
}
