import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BrokenInvariant } from "../common/errors.ts";
import { Timeline } from "../common/timeline.ts";
import { costTable } from "./costs.ts";
import { HostMm } from "./mm.ts";
import { PageList, type PinnedRun } from "./pins.ts";
import { PROFILES } from "./profiles.ts";

const COSTS = costTable(PROFILES[0] as (typeof PROFILES)[number]);
const PAGES = 24;

type Act =
  | { readonly do: "pin"; readonly list: number; readonly a: number; readonly b: number }
  /** Unpins a part of one of the runs that are held. */
  | { readonly do: "unpin"; readonly which: number; readonly a: number; readonly b: number }
  /** The host puts another frame behind a page, whatever holds the old one. */
  | { readonly do: "zap"; readonly page: number };

const place = fc.nat(PAGES - 1);
const act: fc.Arbitrary<Act> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant("pin" as const), list: fc.nat(2), a: place, b: place }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant("unpin" as const), which: fc.nat(), a: place, b: place }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("zap" as const), page: place }) },
);

describe("pins", () => {
  it.each([true, false])("counts as one counter for each frame would (extents: %s)", (extents) => {
    fc.assert(
      fc.property(fc.array(act, { maxLength: 60 }), (acts) => {
        const mm = new HostMm(COSTS, { extents });
        mm.mmap(PAGES, "base");
        const time = new Timeline("t");
        // Three orders of partly the same pages, as two vCPUs' buffers and a table list may share some.
        const lists = [
          Array.from({ length: PAGES }, (_, i) => i),
          Array.from({ length: PAGES }, (_, i) => PAGES - 1 - i),
          [5, 1, 20, 7, 8, 2],
        ].map((pages) => new PageList(Int32Array.from(pages)));
        const held: PinnedRun[] = [];
        /** Pins by page and frame. */
        const counts = new Map<string, number>();
        const add = (page: number, frame: number, n: number): void => {
          const key = `${page} ${frame}`;
          counts.set(key, (counts.get(key) ?? 0) + n);
        };
        for (const action of acts) {
          if (action.do === "pin") {
            const list = lists[action.list] as PageList;
            const size = list.pages.length;
            const [a, b] = [action.a % size, action.b % size];
            const [from, to] = [Math.min(a, b), Math.max(a, b) + 1];
            const result = mm.gup.pin(list, from, to, time);
            expect(result.kind).toBe("pinned");
            if (result.kind !== "pinned") continue;
            held.push(result.run);
            for (const page of list.pages.subarray(from, to)) add(page, mm.frameOf(page), 1);
          } else if (action.do === "unpin") {
            const index = action.which % Math.max(1, held.length);
            const run = held[index];
            if (run === undefined) continue;
            const size = run.to - run.from;
            const [a, b] = [action.a % size, action.b % size];
            const from = run.from + Math.min(a, b);
            const to = run.from + Math.max(a, b) + 1;
            mm.gup.unpin({ snapshot: run.snapshot, from, to }, time);
            for (let i = from; i < to; i++)
              add(run.snapshot.list.pages[i] as number, run.snapshot.frames[i] as number, -1);
            const rest = [
              { snapshot: run.snapshot, from: run.from, to: from },
              { snapshot: run.snapshot, from: to, to: run.to },
            ].filter((part) => part.from < part.to);
            held.splice(index, 1, ...rest);
          } else mm.change(action.page, 1, "CLEAR", time, (page) => mm.zap(page));
          for (const [key, count] of counts) {
            const [page, frame] = key.split(" ").map(Number) as [number, number];
            expect(mm.pins.countOf(page, frame)).toBe(count);
          }
          expect(mm.pins.pages).toBe([...counts.values()].reduce((sum, count) => sum + count, 0));
          expect(mm.folios.unreclaimablePages).toBe(mm.pins.pages);
          for (let page = 0; page < PAGES; page++)
            expect(mm.isPinned(page)).toBe((counts.get(`${page} ${mm.frameOf(page)}`) ?? 0) > 0);
        }
      }),
      { numRuns: 150 },
    );
  });

  it("refuses to drop a pin that nobody holds", () => {
    const mm = new HostMm(COSTS);
    mm.mmap(PAGES, "base");
    const time = new Timeline("t");
    const result = mm.gup.pin(new PageList(Int32Array.of(1, 2, 3)), 0, 3, time);
    if (result.kind !== "pinned") throw new Error("not pinned");
    mm.gup.unpin({ snapshot: result.run.snapshot, from: 1, to: 2 }, time);
    expect(() => mm.gup.unpin({ snapshot: result.run.snapshot, from: 1, to: 2 }, time)).toThrow(
      BrokenInvariant,
    );
    expect(() => mm.pins.add(result.run.snapshot, 2, 2)).toThrow(BrokenInvariant);
    expect(() => mm.pins.add(result.run.snapshot, 0, 4)).toThrow(BrokenInvariant);
  });

  it("charges the unpin of a part by its pages", () => {
    const mm = new HostMm(COSTS);
    mm.mmap(PAGES, "base");
    const time = new Timeline("t");
    const result = mm.gup.pin(new PageList(Int32Array.of(1, 2, 3)), 0, 3, time);
    if (result.kind !== "pinned") throw new Error("not pinned");
    mm.gup.unpin({ snapshot: result.run.snapshot, from: 0, to: 2 }, time);
    expect(time.spentNs("unpin")).toBe(2 * COSTS.unpinPage);
    expect(mm.pins.pages).toBe(1);
  });
});
