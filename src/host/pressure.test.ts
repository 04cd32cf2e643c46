import { describe, expect, it } from "vitest";
import { randomStream } from "../common/random.ts";
import { Timeline } from "../common/timeline.ts";
import { costTable } from "./costs.ts";
import { HUGE_PAGES } from "./frames.ts";
import { HOST_PAGE } from "./host-page.ts";
import { type Backing, HostMm } from "./mm.ts";
import { PageList } from "./pins.ts";
import { applyPressure, PRESSURE_KINDS, type PressureKind, randomPressure } from "./pressure.ts";
import { PROFILES } from "./profiles.ts";

const COSTS = costTable(PROFILES[0] as (typeof PROFILES)[number]);
const BLOCK = HUGE_PAGES;
const PAGE = BLOCK + 5;

/** One present block of memory with a word in one of its pages, which is pinned or not. */
function scene(backing: Backing, pin: boolean) {
  const mm = new HostMm(COSTS);
  mm.mmap(3 * BLOCK, backing);
  const before = new Timeline("before");
  for (let page = BLOCK; page < 2 * BLOCK; page++) mm.faultIn(page, true, before);
  mm.frames.writable(mm.frameOf(PAGE))[7] = 99;
  mm.frames.wrote();
  if (pin) mm.gup.pin(new PageList(Int32Array.of(PAGE)), 0, 1, before);
  const heard: string[] = [];
  mm.register({
    invalidateRangeStart: (first, pages, event) => heard.push(`${event} ${first}+${pages}`),
    invalidateRangeEnd: () => undefined,
  });
  const time = new Timeline("host");
  const frame = mm.frameOf(PAGE);
  const apply = (kind: PressureKind, first = PAGE, pages = 1): void =>
    applyPressure(mm, { atNs: 0, kind, first: first - BLOCK, pages }, BLOCK, time);
  /** The word as the guest reads it next. */
  const word = (): number | undefined => {
    mm.faultIn(PAGE, false, before);
    return mm.frames.read(mm.frameOf(PAGE))[7];
  };
  return { mm, heard, time, frame, apply, word };
}

const ONE = `CLEAR ${PAGE}+1`;
const WHOLE = `CLEAR ${BLOCK}+${BLOCK}`;

describe("an unpinned base page", () => {
  it("is reclaimed to swap and comes back with its content", () => {
    const s = scene("base", false);
    s.apply("reclaim");
    expect(s.heard).toEqual([ONE]);
    expect(s.mm.has(PAGE, HOST_PAGE.swapped)).toBe(true);
    expect(s.mm.frameOf(PAGE)).toBe(-1);
    expect(s.word()).toBe(99);
  });

  it.each(["migrate", "compact"] as const)("gets another frame by %s, with its content", (kind) => {
    const s = scene("base", false);
    s.apply(kind);
    expect(s.heard).toEqual([ONE]);
    expect(s.mm.frameOf(PAGE)).not.toBe(s.frame);
    expect(s.mm.accessible(PAGE, true)).toBe(true);
    expect(s.time.nowNs).toBe(COSTS.hostPageWork + COSTS.migratePage);
    expect(s.word()).toBe(99);
  });

  it("is merged read-only by KSM, and a write gets its content back on a frame of its own", () => {
    const s = scene("base", false);
    s.apply("ksm");
    expect(s.heard).toEqual([ONE]);
    expect(s.mm.accessible(PAGE, false)).toBe(true);
    expect(s.mm.accessible(PAGE, true)).toBe(false);
    const shared = s.mm.frameOf(PAGE);
    s.mm.faultIn(PAGE, true, s.time);
    expect(s.mm.frameOf(PAGE)).not.toBe(shared);
    expect(s.word()).toBe(99);
  });

  it("is left to itself by a THP split", () => {
    const s = scene("base", false);
    s.apply("thp-split");
    expect(s.heard).toEqual([]);
    expect(s.mm.frameOf(PAGE)).toBe(s.frame);
  });

  it("gets NUMA balancing's hint and keeps its frame", () => {
    const s = scene("base", false);
    s.apply("numa", BLOCK, 64);
    expect(s.heard).toEqual([`PROTECTION_VMA ${BLOCK}+64`]);
    expect(s.mm.accessible(PAGE, false)).toBe(false);
    expect(s.word()).toBe(99);
    expect(s.mm.frameOf(PAGE)).toBe(s.frame);
  });

  it("is gone after MADV_DONTNEED: it reads as zero", () => {
    const s = scene("base", false);
    s.apply("dontneed");
    expect(s.heard).toEqual([ONE]);
    expect(s.mm.frameOf(PAGE)).toBe(-1);
    expect(s.word()).toBe(0);
  });
});

describe("a pinned page", () => {
  it.each(["reclaim", "compact"] as const)("is left in peace by %s, and nobody is told", (kind) => {
    for (const backing of ["base", "thp"] as const) {
      const s = scene(backing, true);
      s.apply(kind);
      expect(s.heard).toEqual([]);
      expect(s.mm.frameOf(PAGE)).toBe(s.frame);
    }
  });

  it.each(["migrate", "ksm"] as const)("is announced and given up by %s", (kind) => {
    const s = scene("base", true);
    s.apply(kind);
    expect(s.heard).toEqual([ONE]);
    expect(s.mm.frameOf(PAGE)).toBe(s.frame);
    expect(s.mm.accessible(PAGE, true)).toBe(true);
    expect(s.mm.isPinned(PAGE)).toBe(true);
    expect(s.word()).toBe(99);
  });

  it("keeps its frame when its huge mapping is split", () => {
    const s = scene("thp", true);
    s.apply("thp-split");
    expect(s.heard).toEqual([WHOLE]);
    expect(s.mm.has(PAGE, HOST_PAGE.huge)).toBe(false);
    expect(s.mm.frameOf(PAGE)).toBe(s.frame);
    expect(s.mm.isPinned(PAGE)).toBe(true);
    s.apply("thp-split");
    expect(s.heard).toEqual([WHOLE]);
  });

  it("gets no hint from NUMA balancing, though the range is announced", () => {
    const s = scene("base", true);
    s.apply("numa", BLOCK, 64);
    expect(s.heard).toEqual([`PROTECTION_VMA ${BLOCK}+64`]);
    expect(s.mm.accessible(PAGE, true)).toBe(true);
    expect(s.mm.accessible(PAGE + 1, true)).toBe(false);
  });

  it("is taken by MADV_DONTNEED; the frame and what is in it stay with the pin", () => {
    const s = scene("base", true);
    s.apply("dontneed");
    expect(s.heard).toEqual([ONE]);
    expect(s.mm.frameOf(PAGE)).toBe(-1);
    expect(s.mm.isPinned(PAGE)).toBe(false);
    expect(s.mm.pins.countOf(PAGE, s.frame)).toBe(1);
    expect(s.mm.frames.read(s.frame)[7]).toBe(99);
    expect(s.word()).toBe(0);
    expect(s.mm.frameOf(PAGE)).not.toBe(s.frame);
  });

  it("keeps khugepaged from collapsing its block, in silence", () => {
    const s = scene("thp", true);
    s.apply("thp-split");
    s.heard.length = 0;
    s.apply("thp-collapse", BLOCK, BLOCK);
    expect(s.heard).toEqual([]);
    expect(s.mm.has(PAGE, HOST_PAGE.huge)).toBe(false);
  });
});

describe("a huge page", () => {
  it.each(["reclaim", "migrate", "ksm"] as const)("is split before %s takes one page of it", (kind) => {
    const s = scene("thp", false);
    s.apply(kind);
    expect(s.heard).toEqual([WHOLE, ONE]);
    expect(s.mm.frameOf(PAGE)).not.toBe(s.frame);
    expect(s.mm.frameOf(PAGE + 1)).toBe(s.frame + 1);
    expect(s.word()).toBe(99);
  });

  it("is nothing that compaction touches", () => {
    const s = scene("thp", false);
    s.apply("compact");
    expect(s.heard).toEqual([]);
  });

  it("is made again by khugepaged: one aligned frame run, contents copied", () => {
    const s = scene("thp", false);
    s.apply("thp-split");
    s.heard.length = 0;
    s.apply("thp-collapse", BLOCK, BLOCK);
    expect(s.heard).toEqual([WHOLE]);
    const first = s.mm.frameOf(BLOCK);
    expect(first % BLOCK).toBe(0);
    expect(s.mm.frameOf(PAGE)).toBe(first + PAGE - BLOCK);
    expect(s.mm.frameOf(PAGE)).not.toBe(s.frame);
    expect(s.mm.has(PAGE, HOST_PAGE.huge)).toBe(true);
    expect(s.word()).toBe(99);
    expect(s.time.spentNs("stage2")).toBeGreaterThanOrEqual(COSTS.collapseHuge);
    s.apply("thp-collapse", BLOCK, BLOCK);
    expect(s.heard).toEqual([WHOLE]);
  });

  it("is not made of a block with a page missing", () => {
    const s = scene("thp", false);
    s.apply("dontneed");
    s.heard.length = 0;
    s.apply("thp-collapse", BLOCK, BLOCK);
    expect(s.heard).toEqual([]);
  });
});

describe("hugetlb and guest_memfd", () => {
  it.each(["hugetlb-2M", "guest-memfd"] as const)("%s is not swapped, moved, merged or split", (backing) => {
    const s = scene(backing, false);
    for (const kind of PRESSURE_KINDS) if (kind !== "dontneed") s.apply(kind, BLOCK, BLOCK);
    expect(s.heard).toEqual([]);
    expect(s.mm.frameOf(PAGE)).toBe(s.frame);
    s.apply("dontneed");
    expect(s.mm.frameOf(PAGE)).toBe(s.frame);
  });
});

describe("random pressure", () => {
  it("comes in order of time, inside of memory, as often as its rates say", () => {
    const pages = 4 * BLOCK + 100;
    const events = randomPressure({ reclaim: 2_000, "thp-collapse": 500, numa: 100 }, pages, randomStream(1));
    const counts = new Map<PressureKind, number>();
    let lastNs = 0;
    for (;;) {
      const event = events.next().value;
      if (event.atNs > 1e9) break;
      expect(event.atNs).toBeGreaterThanOrEqual(lastNs);
      expect(Number.isSafeInteger(event.atNs)).toBe(true);
      lastNs = event.atNs;
      expect(event.first).toBeGreaterThanOrEqual(0);
      expect(event.first + event.pages).toBeLessThanOrEqual(pages);
      if (event.kind === "thp-collapse") expect(event.first % BLOCK).toBe(0);
      counts.set(event.kind, (counts.get(event.kind) ?? 0) + 1);
    }
    expect([...counts.keys()].sort()).toEqual(["numa", "reclaim", "thp-collapse"]);
    // Five standard deviations of a Poisson count.
    for (const [kind, rate] of [
      ["reclaim", 2_000],
      ["thp-collapse", 500],
      ["numa", 100],
    ] as const)
      expect(Math.abs((counts.get(kind) as number) - rate)).toBeLessThan(5 * Math.sqrt(rate));
  });

  it("is the same for the same seed, and never for no rates", () => {
    const take = (seed: number): unknown[] => {
      const events = randomPressure({ reclaim: 10, dontneed: 10 }, 1000, randomStream(seed));
      return Array.from({ length: 20 }, () => events.next().value);
    };
    expect(take(5)).toEqual(take(5));
    expect(take(5)).not.toEqual(take(6));
    expect(randomPressure({}, 10, randomStream(1)).next().value.atNs).toBe(Number.POSITIVE_INFINITY);
  });
});
