import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ipn } from "../common/address.ts";
import { GuestPages, PageSet } from "./guest-pages.ts";

const UNIVERSE = 30;

const list = (pages: readonly number[]): GuestPages =>
  new GuestPages(
    Int32Array.from(pages),
    Int32Array.from(pages, (page) => page + 1000),
  );

/** Lists that share pages in different orders, as a buffer, a part of it walked anew, and its tables may. */
const LISTS = [
  list(Array.from({ length: UNIVERSE }, (_, i) => i)),
  list(Array.from({ length: UNIVERSE }, (_, i) => (i * 7) % UNIVERSE)),
  list([3, 4, 5, 29, 28, 0]),
] as const;

interface IndexRun {
  readonly which: number;
  readonly from: number;
  readonly to: number;
}

const run: fc.Arbitrary<IndexRun> = fc
  .tuple(fc.nat(LISTS.length - 1), fc.nat(UNIVERSE), fc.nat(UNIVERSE))
  .map(([which, a, b]) => {
    const { length } = LISTS[which] as GuestPages;
    return { which, from: Math.min(a, b, length), to: Math.min(Math.max(a, b), length) };
  });

const setOfRun = ({ which, from, to }: IndexRun): PageSet =>
  PageSet.of([{ list: LISTS[which] as GuestPages, from, to }]);

/** A set, and the same pages in a naive one. */
interface Both {
  readonly set: PageSet;
  readonly naive: ReadonlySet<number>;
}

const both: fc.Arbitrary<Both> = fc.array(run, { maxLength: 5 }).map((runs) => ({
  set: runs.reduce((set, each) => set.plus(setOfRun(each)), PageSet.empty),
  naive: new Set(
    runs.flatMap(({ which, from, to }) => [...(LISTS[which] as GuestPages).ipns.subarray(from, to)]),
  ),
}));

/** Every page of a set in order, none twice. */
function pagesOf(set: PageSet): number[] {
  const pages: number[] = [];
  set.each((page, of, index) => {
    expect(of.list.at(index)).toBe(page);
    pages.push(page);
  });
  expect(new Set(pages).size).toBe(pages.length);
  expect(set.pages).toBe(pages.length);
  expect(set.isEmpty).toBe(pages.length === 0);
  return pages.sort((a, b) => a - b);
}

const sorted = (naive: Iterable<number>): number[] => [...naive].sort((a, b) => a - b);

describe("page sets", () => {
  it("hold what was put in, whichever list it came from", () => {
    fc.assert(
      fc.property(both, ({ set, naive }) => {
        expect(pagesOf(set)).toEqual(sorted(naive));
        for (let page = 0; page < UNIVERSE + 2; page++) {
          expect(set.has(ipn(page))).toBe(naive.has(page));
          expect(pagesOf(set.only(ipn(page)))).toEqual(naive.has(page) ? [page] : []);
        }
        expect(
          set.extents().flatMap(({ first, pages }) => Array.from({ length: pages }, (_, i) => first + i)),
        ).toEqual(sorted(naive));
      }),
    );
  });

  it("are added, subtracted and compared as naive sets are", () => {
    fc.assert(
      fc.property(both, both, (a, b) => {
        expect(pagesOf(a.set.plus(b.set))).toEqual(sorted(new Set([...a.naive, ...b.naive])));
        expect(pagesOf(a.set.minus(b.set))).toEqual(
          sorted([...a.naive].filter((page) => !b.naive.has(page))),
        );
        expect(a.set.covers(b.set)).toBe([...b.naive].every((page) => a.naive.has(page)));
        expect(a.set.minus(a.set).isEmpty).toBe(true);
        expect(a.set.covers(a.set)).toBe(true);
        expect(a.set.minus(a.set.minus(b.set)).pages + a.set.minus(b.set).pages).toBe(a.set.pages);
      }),
      { numRuns: 500 },
    );
  });

  it("do not change when others are made of them", () => {
    fc.assert(
      fc.property(both, both, (a, b) => {
        a.set.plus(b.set);
        a.set.minus(b.set);
        expect(pagesOf(a.set)).toEqual(sorted(a.naive));
        expect(pagesOf(b.set)).toEqual(sorted(b.naive));
      }),
    );
  });

  it("join runs of one list that touch", () => {
    const joined = [
      { which: 0, from: 4, to: 8 },
      { which: 0, from: 10, to: 12 },
      { which: 0, from: 8, to: 10 },
    ].reduce((set, each) => set.plus(setOfRun(each)), PageSet.empty);
    expect(joined.runs).toEqual([{ list: LISTS[0], from: 4, to: 12 }]);
  });

  it("know where a page stands in its list, and the host page behind it", () => {
    expect(LISTS[2].indexOf(29)).toBe(3);
    expect(LISTS[2].indexOf(1)).toBe(-1);
    expect(LISTS[2].host.pages[3]).toBe(1029);
  });
});
