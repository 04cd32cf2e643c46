/**
 * What the host does to guest memory on its own: each event as the kernel does it, with the notifiers it calls and
 * with how it treats pinned pages. Sources: mm/vmscan.c, mm/migrate.c, mm/compaction.c, mm/ksm.c, mm/huge_memory.c,
 * mm/khugepaged.c, mm/mprotect.c (change_pte_range), mm/madvise.c.
 */
import { assertNever } from "../common/errors.ts";
import type { RandomStream } from "../common/random.ts";
import type { Timeline } from "../common/timeline.ts";
import { HUGE_PAGES } from "./frames.ts";
import { HOST_PAGE } from "./host-page.ts";
import type { HostMm } from "./mm.ts";

export const PRESSURE_KINDS = [
  /** Reclaim to swap: looks for pins before it unmaps, so a pinned page hears nothing. */
  "reclaim",
  /** Migration (memory hot-unplug, move_pages): unmaps first, then fails on a pinned page and puts it back. */
  "migrate",
  /** Compaction: skips pages with extra references before it touches them. */
  "compact",
  /** KSM: write-protects to compare, then backs out of a pinned page; an unpinned one is merged read-only. */
  "ksm",
  /** A PMD split: always succeeds. */
  "thp-split",
  /** khugepaged: gives a fully present block one huge frame; gives up if any page is pinned. */
  "thp-collapse",
  /** NUMA balancing's scan: PROT_NONE on unpinned pages; the notifier is called for the whole range. */
  "numa",
  /** MADV_DONTNEED (a balloon): the page goes, pinned or not. */
  "dontneed",
] as const;

export type PressureKind = (typeof PRESSURE_KINDS)[number];

/** One event at an instant. Pages count from the start of guest memory's host mapping. */
export interface PressureEvent {
  readonly atNs: number;
  readonly kind: PressureKind;
  readonly first: number;
  readonly pages: number;
}

/** Does one event to the address space, on the timeline of the host worker that does it. */
export function applyPressure(mm: HostMm, event: PressureEvent, base: number, timeline: Timeline): void {
  const first = base + event.first;
  const last = Math.min(first + event.pages, mm.pages);
  mm.mmapLock.hold(timeline, event.kind === "thp-collapse" ? "exclusive" : "shared", () => {
    switch (event.kind) {
      case "reclaim":
        return each(mm, first, last, timeline, (page) => {
          if (unmovable(mm, page) || mm.isPinned(page)) return;
          breakHuge(mm, page, timeline);
          mm.change(page, 1, "CLEAR", timeline, (p) => mm.swapOut(p));
        });
      case "migrate":
        return each(mm, first, last, timeline, (page) => {
          if (unmovable(mm, page)) return;
          breakHuge(mm, page, timeline);
          const pinned = mm.isPinned(page);
          mm.change(page, 1, "CLEAR", timeline, (p) => {
            if (!pinned) mm.moveTo(p, mm.frames.allocate(), ownFlags(mm, p));
          });
          if (!pinned) timeline.charge("stage2", mm.costs.migratePage);
        });
      case "compact":
        return each(mm, first, last, timeline, (page) => {
          if (unmovable(mm, page) || mm.has(page, HOST_PAGE.huge) || mm.isPinned(page)) return;
          mm.change(page, 1, "CLEAR", timeline, (p) => mm.moveTo(p, mm.frames.allocate(), ownFlags(mm, p)));
          timeline.charge("stage2", mm.costs.migratePage);
        });
      case "ksm":
        return each(mm, first, last, timeline, (page) => {
          if (unmovable(mm, page) || mm.has(page, HOST_PAGE.ksm)) return;
          breakHuge(mm, page, timeline);
          const pinned = mm.isPinned(page);
          mm.change(page, 1, "CLEAR", timeline, (p) => {
            if (!pinned)
              mm.moveTo(p, mm.frames.allocate(), (mm.flags(p) & ~HOST_PAGE.writable) | HOST_PAGE.ksm);
          });
        });
      case "thp-split":
        return each(mm, first, last, timeline, (page) => {
          if (mm.backingOf(page) === "thp") breakHuge(mm, page, timeline);
        });
      case "thp-collapse":
        return collapse(mm, first, last, timeline);
      case "numa":
        return numaScan(mm, first, last, timeline);
      case "dontneed":
        for (let page = first; page < last; page++) breakHuge(mm, page, timeline);
        return mm.change(first, last - first, "CLEAR", timeline, (page) => {
          if (mm.backingOf(page) === "thp" || mm.backingOf(page) === "base") mm.zap(page);
        });
      default:
        return assertNever(event.kind);
    }
  });
}

/** hugetlb pages are not swapped; guest_memfd's are neither swapped nor moved nor split. */
function unmovable(mm: HostMm, page: number): boolean {
  const backing = mm.backingOf(page);
  return backing === "hugetlb-2M" || backing === "guest-memfd";
}

const ownFlags = (mm: HostMm, page: number): number => (mm.flags(page) & ~HOST_PAGE.ksm) | HOST_PAGE.present;

function breakHuge(mm: HostMm, page: number, timeline: Timeline): void {
  if (!unmovable(mm, page) && mm.has(page, HOST_PAGE.huge)) mm.splitHuge(page, timeline);
}

function each(
  mm: HostMm,
  first: number,
  last: number,
  timeline: Timeline,
  work: (page: number) => void,
): void {
  for (let page = first; page < last; page++) {
    if (!mm.has(page, HOST_PAGE.present)) continue;
    timeline.charge("stage2", mm.costs.hostPageWork);
    work(page);
  }
}

function collapse(mm: HostMm, first: number, last: number, timeline: Timeline): void {
  for (
    let block = Math.ceil(first / HUGE_PAGES) * HUGE_PAGES;
    block + HUGE_PAGES <= last;
    block += HUGE_PAGES
  ) {
    let fit = mm.backingOf(block) === "thp" && !mm.has(block, HOST_PAGE.huge);
    for (let page = block; fit && page < block + HUGE_PAGES; page++)
      fit =
        mm.has(page, HOST_PAGE.present | HOST_PAGE.writable) &&
        !mm.has(page, HOST_PAGE.ksm) &&
        !mm.isPinned(page);
    if (!fit) continue;
    const frame = mm.allocateFolio();
    mm.change(block, HUGE_PAGES, "CLEAR", timeline, (page) =>
      mm.moveTo(page, frame + page - block, (mm.flags(page) & ~HOST_PAGE.numaHint) | HOST_PAGE.huge),
    );
    timeline.charge("stage2", mm.costs.collapseHuge);
  }
}

function numaScan(mm: HostMm, first: number, last: number, timeline: Timeline): void {
  if (last <= first || unmovable(mm, first)) return;
  // change_huge_pmd takes a PMD as a whole, or splits it where the range ends inside.
  for (const edge of [first, last]) if (edge % HUGE_PAGES !== 0) breakHuge(mm, edge, timeline);
  const pinned = pinnedBlocks(mm, first, last);
  mm.change(first, last - first, "PROTECTION_VMA", timeline, (page) => {
    const spared = mm.has(page, HOST_PAGE.huge)
      ? pinned.has(Math.floor(page / HUGE_PAGES))
      : mm.has(page, HOST_PAGE.ksm) || mm.isPinned(page);
    if (mm.has(page, HOST_PAGE.present) && !spared) mm.setFlags(page, mm.flags(page) | HOST_PAGE.numaHint);
  });
  timeline.charge("stage2", (last - first) * mm.costs.hostPageWork);
}

/** The 2 MiB blocks of a range that have a pinned page. */
function pinnedBlocks(mm: HostMm, first: number, last: number): Set<number> {
  const blocks = new Set<number>();
  for (let page = first; page < last; page++)
    if (mm.has(page, HOST_PAGE.huge) && mm.isPinned(page)) blocks.add(Math.floor(page / HUGE_PAGES));
  return blocks;
}

/** Events a second of each kind; what is not named does not happen. */
export type PressureRates = Partial<Readonly<Record<PressureKind, number>>>;

/** How many pages one event of a kind takes: a scan's chunk, a block, or a handful. */
const EVENT_PAGES: Readonly<Record<PressureKind, number>> = {
  reclaim: 32,
  migrate: 16,
  compact: 32,
  ksm: 8,
  "thp-split": 1,
  "thp-collapse": HUGE_PAGES,
  numa: 4_096,
  dontneed: 4,
};

/**
 * Random pressure: a Poisson process for each kind, merged in time order, without end.
 * @param pages how many pages of guest memory there are to hit
 */
export function* randomPressure(
  rates: PressureRates,
  pages: number,
  random: RandomStream,
): Generator<PressureEvent, never> {
  const next = new Map<PressureKind, number>();
  const wait = (perSecond: number): number =>
    1 + Math.round((-Math.log(1 - random.fraction()) * 1e9) / perSecond);
  for (const kind of PRESSURE_KINDS) {
    const rate = rates[kind] ?? 0;
    if (rate > 0) next.set(kind, wait(rate));
  }
  for (;;) {
    let soonest: PressureKind | undefined;
    for (const [kind, atNs] of next)
      if (soonest === undefined || atNs < (next.get(soonest) as number)) soonest = kind;
    if (soonest === undefined) {
      yield { atNs: Number.POSITIVE_INFINITY, kind: "numa", first: 0, pages: 0 };
      continue;
    }
    const atNs = next.get(soonest) as number;
    const size = Math.min(EVENT_PAGES[soonest], pages);
    const first = random.integer(0, pages - size);
    const aligned = soonest === "thp-collapse" ? Math.floor(first / HUGE_PAGES) * HUGE_PAGES : first;
    yield { atNs, kind: soonest, first: aligned, pages: size };
    next.set(soonest, atNs + wait(rates[soonest] as number));
  }
}
