import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { contains, type Extent, endOf, intersect, normalise, subtract, totalPages } from "./extents.ts";

const extent: fc.Arbitrary<Extent> = fc.record({ first: fc.nat(60), pages: fc.nat(12) });
const extents = fc.array(extent, { maxLength: 8 });

const pagesOf = (list: readonly Extent[]): number[] =>
  list.flatMap(({ first, pages }) => Array.from({ length: pages }, (_, i) => first + i));
const sorted = (pages: Iterable<number>): number[] => [...new Set(pages)].sort((a, b) => a - b);

/** Sorted, not empty, and with a gap before each next: there is one such form of a set. */
function expectNormal(list: readonly Extent[]): void {
  list.forEach((each, i) => {
    expect(each.pages).toBeGreaterThan(0);
    const next = list[i + 1];
    if (next !== undefined) expect(next.first).toBeGreaterThan(endOf(each));
  });
}

describe("extents", () => {
  it("have one normal form, of the same pages", () => {
    fc.assert(
      fc.property(extents, (list) => {
        const before = structuredClone(list);
        const normal = normalise(list);
        expectNormal(normal);
        expect(pagesOf(normal)).toEqual(sorted(pagesOf(list)));
        expect(totalPages(normal)).toBe(sorted(pagesOf(list)).length);
        expect(normalise(normal)).toEqual(normal);
        expect(list).toEqual(before);
      }),
    );
  });

  it("are subtracted, intersected and compared as naive sets are", () => {
    fc.assert(
      fc.property(extents.map(normalise), extents.map(normalise), (a, b) => {
        const inB = new Set(pagesOf(b));
        const left = subtract(a, b);
        expectNormal(left);
        expect(pagesOf(left)).toEqual(pagesOf(a).filter((page) => !inB.has(page)));
        expect(pagesOf(intersect(a, b))).toEqual(pagesOf(a).filter((page) => inB.has(page)));
        expect(contains(b, a)).toBe(pagesOf(a).every((page) => inB.has(page)));
      }),
      { numRuns: 1_000 },
    );
  });
});
