/** Distances of profiles, and what chance makes of them. */
import fc from "fast-check";
import { expect, it } from "vitest";
import { randomStream } from "../common/random.ts";
import { fidelityOf, meanDeviation, topError, topOf, totalVariation, unseenOf } from "./fidelity.ts";

const counts = fc.record({ exact: fc.nat(1e6), sampled: fc.nat(1e4) });
const classes = fc
  .array(counts, { minLength: 1, maxLength: 40 })
  .filter((all) => all.some(({ exact }) => exact > 0) && all.some(({ sampled }) => sampled > 0));

it("the distance lies between 0 and 1, and is 0 where the shares are equal", () => {
  fc.assert(
    fc.property(classes, fc.integer({ min: 1, max: 9 }), (all, times) => {
      const distance = totalVariation(all);
      expect(distance).toBeGreaterThanOrEqual(0);
      expect(distance).toBeLessThanOrEqual(1 + 1e-12);
      const alike = all.map(({ exact }) => ({ exact, sampled: exact * times }));
      expect(totalVariation(alike)).toBeLessThan(1e-12);
    }),
  );
});

it("putting classes together never makes the distance larger", () => {
  fc.assert(
    fc.property(classes, (all) => {
      const [first, second, ...rest] = all;
      if (first === undefined || second === undefined) return;
      const joined = { exact: first.exact + second.exact, sampled: first.sampled + second.sampled };
      expect(totalVariation([joined, ...rest])).toBeLessThanOrEqual(totalVariation(all) + 1e-12);
    }),
  );
});

it("a profile without samples is as far away as can be, and one of nothing is exact", () => {
  expect(fidelityOf([{ exact: 5, sampled: 0 }])).toMatchObject({
    totalVariation: 1,
    expected: 1,
    samples: 0,
  });
  expect(fidelityOf([]).totalVariation).toBe(0);
});

it("De Moivre's mean deviation is the sum over all outcomes", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 60 }),
      fc.double({ min: 0.001, max: 0.999, noNaN: true }),
      (n, p) => {
        let probability = (1 - p) ** n;
        let mean = 0;
        for (let k = 0; k <= n; k++) {
          mean += probability * Math.abs(k - n * p);
          probability *= ((n - k) / (k + 1)) * (p / (1 - p));
        }
        expect(meanDeviation(n, p)).toBeCloseTo(mean, 9);
      },
    ),
  );
  // By hand: |X - 1| of two fair coins is 1, 0, 0, 1 each in a quarter of all cases.
  expect(meanDeviation(2, 0.5)).toBeCloseTo(0.5, 12);
  // Its limit is sqrt(2 n p (1 - p) / pi).
  expect(meanDeviation(1e8, 0.25) / Math.sqrt((2e8 * 0.25 * 0.75) / Math.PI)).toBeCloseTo(1, 6);
});

it("random samples are as far away as is expected, and seldom beyond the bound", () => {
  const random = randomStream(7);
  const exact = [400, 300, 150, 100, 40, 9, 1];
  const samples = 500;
  const distances = Array.from({ length: 400 }, () => {
    const sampled = exact.map(() => 0);
    for (let i = 0; i < samples; i++) {
      let at = random.integer(0, 999);
      const found = exact.findIndex((count) => {
        at -= count;
        return at < 0;
      });
      sampled[found]! += 1;
    }
    return fidelityOf(exact.map((count, i) => ({ exact: count, sampled: sampled[i]! })));
  });
  const mean = distances.reduce((sum, { totalVariation: d }) => sum + d, 0) / distances.length;
  const { expected, atMost } = distances[0]!;
  expect(mean / expected).toBeGreaterThan(0.95);
  expect(mean / expected).toBeLessThan(1.05);
  expect(distances.filter(({ totalVariation: d }) => d > atMost).length).toBeLessThanOrEqual(2);
});

it("names what is largest, and what is missed most", () => {
  const all = [
    { name: "a", exact: 60, sampled: 9 },
    { name: "b", exact: 30, sampled: 0 },
    { name: "c", exact: 10, sampled: 1 },
  ];
  expect(topOf(all, 2).map(({ name }) => name)).toEqual(["a", "b"]);
  expect(unseenOf(all, 5).map(({ name }) => name)).toEqual(["b"]);
  expect(topError(all)).toBeCloseTo(0.3, 12);
});
