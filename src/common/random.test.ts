import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { randomBitsAt, randomStream } from "./random.ts";

const draws = (seed: number, count: number): number[] => {
  const stream = randomStream(seed);
  return Array.from({ length: count }, () => stream.integer(0, 999));
};

const mean = (values: readonly number[]): number => values.reduce((sum, v) => sum + v, 0) / values.length;

describe("a stream of draws", () => {
  it("is what it always was: whoever names a seed gets what was seen with it", () => {
    expect(draws(1, 8)).toEqual([277, 975, 733, 776, 94, 342, 218, 575]);
  });

  it("is the same for the same seed and stays in its bounds, both ends included", () => {
    expect(draws(3, 50)).toEqual(draws(3, 50));
    const stream = randomStream(1);
    const seen = new Set(Array.from({ length: 1_000 }, () => stream.integer(-2, 2)));
    expect([...seen].sort((a, b) => a - b)).toEqual([-2, -1, 0, 1, 2]);
    for (let i = 0; i < 1_000; i++) {
      const fraction = stream.fraction();
      expect(fraction).toBeGreaterThanOrEqual(0);
      expect(fraction).toBeLessThan(1);
    }
  });

  it("begins differently for neighbouring seeds", () => {
    const firsts = Array.from({ length: 1_000 }, (_, seed) => draws(seed, 1)[0] as number);
    // As many distinct values of 1,000 as fair draws give (632), within five standard deviations.
    expect(Math.abs(new Set(firsts).size - 632)).toBeLessThan(60);
    expect(Math.abs(mean(firsts) - 499.5)).toBeLessThan(5 * (288.7 / Math.sqrt(1_000)));
    // Not one of them follows from its neighbour: no correlation between the seeds n and n + 1.
    const pairs = firsts.slice(1).map((value, i) => (value - 499.5) * ((firsts[i] as number) - 499.5));
    expect(Math.abs(mean(pairs) / 288.7 ** 2)).toBeLessThan(5 / Math.sqrt(1_000));
  });
});

describe("bits at a position", () => {
  it("are 32 unsigned bits, a function of seed and all 53 bits of the position", () => {
    fc.assert(
      fc.property(fc.integer(), fc.maxSafeNat(), (seed, position) => {
        const bits = randomBitsAt(seed, position);
        expect(bits).toBe(randomBitsAt(seed, position));
        expect(Number.isInteger(bits) && bits >= 0 && bits < 2 ** 32).toBe(true);
        const neighbour = position % 2 === 0 ? position + 1 : position - 1;
        expect(bits).not.toBe(randomBitsAt(seed, neighbour));
        expect(bits).not.toBe(randomBitsAt(seed + 1, position));
        if (position < 2 ** 52) expect(bits).not.toBe(randomBitsAt(seed, position + 2 ** 52));
      }),
    );
  });

  it("have every bit set half of the time, along positions and along seeds", () => {
    const count = 4_000;
    for (const at of [(i: number) => randomBitsAt(9, i), (i: number) => randomBitsAt(i, 9)])
      for (let bit = 0; bit < 32; bit++) {
        let set = 0;
        for (let i = 0; i < count; i++) set += (at(i) >>> bit) & 1;
        expect(Math.abs(set - count / 2)).toBeLessThan(5 * Math.sqrt(count / 4));
      }
  });
});
