import { describe, expect, it } from "vitest";
import { Timeline } from "../common/timeline.ts";
import { costTable } from "./costs.ts";
import { HUGE_PAGES } from "./frames.ts";
import { HOST_PAGE } from "./host-page.ts";
import { type Backing, HostMm } from "./mm.ts";
import { PageList, type PinnedRun } from "./pins.ts";
import { PROFILES } from "./profiles.ts";

const COSTS = costTable(PROFILES[0] as (typeof PROFILES)[number]);

interface Host {
  readonly mm: HostMm;
  readonly first: number;
  readonly time: Timeline;
  /** What a secondary MMU heard, in order. */
  readonly heard: string[];
}

function host(backing: Backing = "base", pages = 2 * HUGE_PAGES): Host {
  const mm = new HostMm(COSTS);
  const heard: string[] = [];
  mm.register({
    invalidateRangeStart: (first, count, event) => heard.push(`${event} ${first}+${count}`),
    invalidateRangeEnd: (first, count, event) => heard.push(`${event} ${first}+${count} done`),
  });
  return { mm, first: mm.mmap(pages, backing), time: new Timeline("toucher"), heard };
}

const listOf = (...pages: number[]): PageList => new PageList(Int32Array.from(pages));

function pinned({ mm, time }: Host, list: PageList, from = 0, to = list.pages.length): PinnedRun {
  const result = mm.gup.pin(list, from, to, time);
  if (result.kind !== "pinned") throw new Error(`page ${result.page} is not there`);
  return result.run;
}

function store(mm: HostMm, page: number, word: number): void {
  mm.frames.writable(mm.frameOf(page))[0] = word;
  mm.frames.wrote();
}

const load = (mm: HostMm, page: number): number | undefined => mm.frames.read(mm.frameOf(page))[0];

describe("pin_user_pages(FOLL_WRITE | FOLL_LONGTERM)", () => {
  it("faults pages in for writing, and charges the fault and the pin apart", () => {
    const h = host();
    pinned(h, listOf(3, 9, 4));
    for (const page of [3, 4, 9]) expect(h.mm.accessible(page, true)).toBe(true);
    expect(h.mm.frameOf(5)).toBe(-1);
    expect(h.time.spentNs("stage2")).toBe(3 * COSTS.faultInPage);
    expect(h.time.spentNs("pin")).toBe(COSTS.pinCall + 3 * COSTS.pinPage);
    expect(h.heard).toEqual([]);
  });

  it("charges no fault for what is present", () => {
    const h = host();
    const list = listOf(3, 9, 4);
    h.mm.gup.unpin(pinned(h, list), h.time);
    const before = h.time.spentNs("stage2");
    pinned(h, list);
    pinned(h, listOf(9));
    expect(h.time.spentNs("stage2")).toBe(before);
    expect(h.time.spentNs("unpin")).toBe(3 * COSTS.unpinPage);
  });

  it.each(["thp", "hugetlb-2M"] as const)("fills a whole 2 MiB of %s at its first page", (backing) => {
    const h = host(backing);
    pinned(h, listOf(HUGE_PAGES + 7, HUGE_PAGES + 8));
    expect(h.time.spentNs("stage2")).toBe(COSTS.faultInHuge);
    const frame = h.mm.frameOf(HUGE_PAGES);
    expect(frame % HUGE_PAGES).toBe(0);
    for (let i = 0; i < HUGE_PAGES; i++) {
      expect(h.mm.frameOf(HUGE_PAGES + i)).toBe(frame + i);
      expect(h.mm.has(HUGE_PAGES + i, HOST_PAGE.huge)).toBe(true);
    }
    expect(h.mm.frameOf(0)).toBe(-1);
  });

  it("takes base pages where a mapping has no whole 2 MiB left", () => {
    const h = host("thp", HUGE_PAGES + 100);
    pinned(h, listOf(HUGE_PAGES + 7));
    expect(h.time.spentNs("stage2")).toBe(COSTS.faultInPage);
    expect(h.mm.frameOf(HUGE_PAGES + 8)).toBe(-1);
  });

  it("moves a page out of a movable zone first, content and all", () => {
    const h = host();
    h.mm.faultIn(6, true, h.time);
    store(h.mm, 6, 0xabcd);
    h.mm.setMovable(6, 1, true);
    const old = h.mm.frameOf(6);
    const run = pinned(h, listOf(5, 6));
    expect(h.mm.frameOf(6)).not.toBe(old);
    expect(h.mm.has(6, HOST_PAGE.movable)).toBe(false);
    expect(load(h.mm, 6)).toBe(0xabcd);
    expect(h.heard).toEqual(["CLEAR 6+1", "CLEAR 6+1 done"]);
    expect(h.time.spentNs("pin")).toBe(COSTS.migratePage + COSTS.pinCall + 2 * COSTS.pinPage);
    expect(run.snapshot.frames[1]).toBe(h.mm.frameOf(6));
  });

  it("splits a huge block to move one page of it", () => {
    const h = host("thp");
    h.mm.faultIn(0, true, h.time);
    h.mm.setMovable(20, 1, true);
    const frame = h.mm.frameOf(0);
    pinned(h, listOf(20));
    expect(h.heard).toEqual([
      `CLEAR 0+${HUGE_PAGES}`,
      `CLEAR 0+${HUGE_PAGES} done`,
      "CLEAR 20+1",
      "CLEAR 20+1 done",
    ]);
    expect(h.mm.has(19, HOST_PAGE.huge)).toBe(false);
    expect(h.mm.frameOf(19)).toBe(frame + 19);
    expect(h.mm.frameOf(20)).not.toBe(frame + 20);
  });

  it("leaves a page where it is that is pinned already", () => {
    const h = host();
    pinned(h, listOf(6));
    const frame = h.mm.frameOf(6);
    h.mm.setMovable(6, 1, true);
    pinned(h, listOf(6));
    expect(h.mm.frameOf(6)).toBe(frame);
    expect(h.mm.pins.countOf(6, frame)).toBe(2);
    expect(h.heard).toEqual([]);
  });

  it("gives EFAULT at the first page without a VMA, and pins none", () => {
    const h = host();
    h.mm.munmap(8, 1, h.time);
    const spent = h.time.spentNs("pin");
    expect(h.mm.gup.pin(listOf(7, 8, 9), 0, 3, h.time)).toEqual({ kind: "efault", page: 8 });
    expect(h.mm.gup.pin(listOf(h.mm.pages), 0, 1, h.time)).toEqual({ kind: "efault", page: h.mm.pages });
    expect(h.mm.pins.pages).toBe(0);
    expect(h.mm.isPinned(7)).toBe(false);
    expect(h.time.spentNs("pin")).toBe(spent);
  });

  it("breaks KSM's sharing: a frame of its own with the same content, under the notifiers", () => {
    const h = host();
    h.mm.faultIn(2, true, h.time);
    store(h.mm, 2, 77);
    const shared = h.mm.frameOf(2);
    h.mm.setFlags(2, (h.mm.flags(2) & ~HOST_PAGE.writable) | HOST_PAGE.ksm);
    const before = h.time.spentNs("stage2");
    pinned(h, listOf(2));
    expect(h.mm.frameOf(2)).not.toBe(shared);
    expect(load(h.mm, 2)).toBe(77);
    expect(h.mm.frames.read(shared)[0]).toBe(77);
    expect(h.mm.has(2, HOST_PAGE.writable)).toBe(true);
    expect(h.mm.has(2, HOST_PAGE.ksm)).toBe(false);
    expect(h.time.spentNs("stage2") - before).toBe(COSTS.faultInPage + COSTS.copyPage);
    expect(h.heard).toEqual(["CLEAR 2+1", "CLEAR 2+1 done"]);
  });

  it("reads a page back from swap, with its content and at swap's price", () => {
    const h = host();
    h.mm.faultIn(2, true, h.time);
    store(h.mm, 2, 4711);
    const frame = h.mm.frameOf(2);
    h.mm.change(2, 1, "CLEAR", h.time, (page) => h.mm.swapOut(page));
    expect(h.mm.frameOf(2)).toBe(-1);
    expect(h.mm.frames.hasContent(frame)).toBe(false);
    const before = h.time.spentNs("stage2");
    pinned(h, listOf(2));
    expect(load(h.mm, 2)).toBe(4711);
    expect(h.time.spentNs("stage2") - before).toBe(COSTS.swapInPage);
  });

  it("ends NUMA balancing's hint as any access does", () => {
    const h = host();
    h.mm.faultIn(2, true, h.time);
    const frame = h.mm.frameOf(2);
    h.mm.setFlags(2, h.mm.flags(2) | HOST_PAGE.numaHint);
    expect(h.mm.accessible(2, false)).toBe(false);
    pinned(h, listOf(2));
    expect(h.mm.accessible(2, true)).toBe(true);
    expect(h.mm.frameOf(2)).toBe(frame);
  });

  it("does not trust what it saw before the address space changed", () => {
    const h = host();
    const list = listOf(2, 3);
    const first = pinned(h, list);
    h.mm.gup.unpin(first, h.time);
    h.mm.change(3, 1, "CLEAR", h.time, (page) => h.mm.zap(page));
    const second = pinned(h, list);
    expect(h.mm.accessible(3, true)).toBe(true);
    expect(second.snapshot.frames[1]).toBe(h.mm.frameOf(3));
    expect(second.snapshot.frames[1]).not.toBe(first.snapshot.frames[1]);
  });
});

describe("the address space", () => {
  it("keeps a pinned frame and its content after munmap, detached from the page", () => {
    const h = host();
    const run = pinned(h, listOf(2, 3));
    store(h.mm, 2, 5);
    store(h.mm, 3, 6);
    const frame = h.mm.frameOf(2);
    h.mm.munmap(2, 1, h.time);
    expect(h.heard).toEqual(["UNMAP 2+1", "UNMAP 2+1 done"]);
    expect(h.mm.isPinned(2)).toBe(false);
    expect(h.mm.isPinned(3)).toBe(true);
    expect(h.mm.pins.countOf(2, frame)).toBe(1);
    expect(h.mm.frames.read(frame)[0]).toBe(5);
    expect(h.mm.faultIn(2, true, h.time)).toBe(false);
    h.mm.gup.unpin(run, h.time);
    expect(h.mm.pins.pages).toBe(0);
  });

  it("forgets the content of an unpinned frame that is zapped: the next fault gives zeroes", () => {
    const h = host();
    h.mm.faultIn(2, true, h.time);
    store(h.mm, 2, 5);
    h.mm.change(2, 1, "CLEAR", h.time, (page) => h.mm.zap(page));
    h.mm.faultIn(2, true, h.time);
    expect(load(h.mm, 2)).toBe(0);
  });

  it("tells the secondary MMU before and after the change, not while it may still see the old page", () => {
    const mm = new HostMm(COSTS);
    const first = mm.mmap(8, "base");
    const time = new Timeline("host");
    mm.faultIn(first, true, time);
    const seen: number[] = [];
    const old = mm.frameOf(first);
    const notifier = {
      invalidateRangeStart: () => seen.push(mm.frameOf(first)),
      invalidateRangeEnd: () => seen.push(mm.frameOf(first)),
    };
    mm.register(notifier);
    const generation = mm.generation;
    mm.change(first, 1, "CLEAR", time, (page) => mm.zap(page));
    expect(seen).toEqual([old, -1]);
    expect(mm.generation).toBeGreaterThan(generation);
    mm.unregister(notifier);
    mm.change(first, 1, "CLEAR", time, () => undefined);
    expect(seen).toHaveLength(2);
  });

  it("starts each mapping at 2 MiB and keeps what the ones before hold", () => {
    const mm = new HostMm(COSTS);
    const time = new Timeline("host");
    expect(mm.mmap(10, "base")).toBe(0);
    mm.faultIn(3, true, time);
    const frame = mm.frameOf(3);
    expect(mm.mmap(10, "guest-memfd")).toBe(HUGE_PAGES);
    expect(mm.frameOf(3)).toBe(frame);
    expect(mm.backingOf(3)).toBe("base");
    expect(mm.backingOf(HUGE_PAGES)).toBe("guest-memfd");
    expect(mm.faultIn(100, true, time)).toBe(false);
  });
});
