import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Timeline } from "../common/timeline.ts";
import { costTable } from "./costs.ts";
import { HUGE_PAGES } from "./frames.ts";
import { type Backing, HostMm } from "./mm.ts";
import { PageList, type PinnedRun } from "./pins.ts";
import { applyPressure, type PressureKind } from "./pressure.ts";
import { PROFILES } from "./profiles.ts";

const COSTS = costTable(PROFILES[0] as (typeof PROFILES)[number]);
const PAGES = 3 * HUGE_PAGES;

function host(backing: Backing) {
  const mm = new HostMm(COSTS);
  mm.mmap(PAGES, backing);
  const time = new Timeline("t");
  const pin = (...pages: number[]): PinnedRun => {
    const result = mm.gup.pin(new PageList(Int32Array.from(pages)), 0, pages.length, time);
    if (result.kind !== "pinned") throw new Error(`page ${result.page} is not there`);
    return result.run;
  };
  const unpin = (run: PinnedRun): void => mm.gup.unpin(run, time);
  const press = (kind: PressureKind, first: number, pages = 1): void =>
    applyPressure(mm, { atNs: 0, kind, first, pages }, 0, time);
  const kept = (): number => mm.folios.unreclaimablePages;
  return { mm, pin, unpin, press, kept };
}

describe("what pins keep from reclaim", () => {
  it("is each pinned page where pages are small", () => {
    const h = host("base");
    const run = h.pin(3, 900, 4);
    h.pin(7);
    expect(h.kept()).toBe(4);
    h.unpin({ ...run, from: 1, to: 3 });
    expect(h.kept()).toBe(2);
  });

  it.each(["thp", "hugetlb-2M"] as const)("is the whole 2 MiB of each page of %s, once", (backing) => {
    const h = host(backing);
    const one = h.pin(HUGE_PAGES + 7);
    expect(h.kept()).toBe(HUGE_PAGES);
    const more = h.pin(HUGE_PAGES + 8, HUGE_PAGES + 9, 5);
    expect(h.kept()).toBe(2 * HUGE_PAGES);
    h.unpin(one);
    expect(h.kept()).toBe(2 * HUGE_PAGES);
    h.unpin({ ...more, from: 0, to: 2 });
    expect(h.kept()).toBe(HUGE_PAGES);
    h.unpin({ ...more, from: 2, to: 3 });
    expect(h.kept()).toBe(0);
  });

  it("is the whole folio when only its mapping is split", () => {
    const h = host("thp");
    const run = h.pin(1);
    h.press("thp-split", 1);
    expect(h.kept()).toBe(HUGE_PAGES);
    h.unpin(run);
    h.pin(2);
    expect(h.kept()).toBe(HUGE_PAGES);
  });

  it.each(["reclaim", "migrate", "ksm", "dontneed"] as const)(
    "is a page once %s has split the folio",
    (kind) => {
      const h = host("thp");
      h.unpin(h.pin(1));
      h.press(kind, 9);
      h.pin(2);
      expect(h.kept()).toBe(1);
    },
  );

  it("is the whole folio still where a pin kept it from being split", () => {
    const h = host("thp");
    h.pin(1);
    h.press("dontneed", 9);
    expect(h.kept()).toBe(HUGE_PAGES);
  });

  it("is a whole folio once khugepaged has made one", () => {
    const h = host("thp");
    h.unpin(h.pin(...Array.from({ length: HUGE_PAGES }, (_, i) => i)));
    h.press("migrate", 9);
    h.press("thp-collapse", 0, HUGE_PAGES);
    h.pin(2);
    expect(h.kept()).toBe(HUGE_PAGES);
  });

  it("is what a count of every frame says, whatever is pinned and unpinned", () => {
    const page = fc.integer({ min: 0, max: PAGES - 1 });
    const act = fc.record({
      pin: fc.boolean(),
      page,
      pages: fc.integer({ min: 1, max: 40 }),
      which: fc.nat(),
    });
    fc.assert(
      fc.property(fc.array(act, { maxLength: 30 }), page, (acts, broken) => {
        const h = host("thp");
        // One of the blocks is of small pages.
        h.unpin(h.pin(broken));
        h.press("migrate", broken);
        const list = new PageList(Int32Array.from({ length: PAGES }, (_, i) => i));
        const held: PinnedRun[] = [];
        for (const { pin, page: first, pages, which } of acts) {
          if (pin) {
            const to = Math.min(PAGES, first + pages);
            const result = h.mm.gup.pin(list, first, to, new Timeline("t"));
            if (result.kind === "pinned") held.push(result.run);
          } else for (const run of held.splice(which % Math.max(1, held.length), 1)) h.unpin(run);
          const small = Math.floor(broken / HUGE_PAGES);
          const frames = held.flatMap(({ from, to }) =>
            Array.from({ length: to - from }, (_, i) => from + i),
          );
          const inSmall = frames.filter((at) => Math.floor(at / HUGE_PAGES) === small).length;
          const huge = new Set(frames.map((at) => Math.floor(at / HUGE_PAGES)).filter((at) => at !== small));
          expect(h.kept()).toBe(inSmall + HUGE_PAGES * huge.size);
        }
      }),
    );
  });

  it("goes on from a saved state", () => {
    const h = host("thp");
    const run = h.pin(1, HUGE_PAGES);
    const again = host("thp");
    again.mm.restore(h.mm.save());
    again.mm.gup.repin(run.snapshot.list, 0, [...run.snapshot.frames]);
    expect(again.kept()).toBe(2 * HUGE_PAGES);
  });
});
