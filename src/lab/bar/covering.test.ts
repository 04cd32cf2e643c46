import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { coveringArray } from "./covering.ts";

const anySizes = fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 3, maxLength: 5 });
const FREE = { effort: () => 1, mostEffort: 1 };

describe("a covering array", () => {
  it("has every combination of the first dimensions, every pair of values, and no value that there is not", () => {
    fc.assert(
      fc.property(anySizes, (sizes) => {
        const whole = 2;
        const { rows, uncovered } = coveringArray({ sizes, whole, ...FREE });
        expect(uncovered).toEqual([]);
        const seen = (dimensions: readonly number[]) =>
          new Set(rows.map((row) => dimensions.map((dimension) => row[dimension]).join(" "))).size;
        expect(seen([0, 1])).toBe(sizes[0]! * sizes[1]!);
        for (const [b, size] of sizes.entries())
          for (let a = 0; a < b; a++) expect(seen([a, b])).toBe(sizes[a]! * size);
        for (const row of rows) for (const [i, value] of row.entries()) expect(value).toBeLessThan(sizes[i]!);
      }),
    );
  });

  it("has far fewer rows than there are combinations", () => {
    const { rows } = coveringArray({ sizes: [4, 4, 5, 4, 2, 6], whole: 2, ...FREE });
    expect(rows.length).toBeLessThan(40);
  });

  it("leaves out what takes too much, and says which pairs that are", () => {
    const effort = ([a, , c]: readonly number[]): number => a! * c!;
    const { rows, uncovered } = coveringArray({ sizes: [3, 2, 3], whole: 2, effort, mostEffort: 2 });
    expect(rows.every((row) => effort(row) <= 2)).toBe(true);
    expect(uncovered).toEqual([{ 0: 2, 2: 2 }]);
  });

  it("is the same every time", () => {
    const of = () => coveringArray({ sizes: [3, 4, 2, 5], whole: 1, ...FREE });
    expect(of()).toEqual(of());
  });
});
