import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { GroundTruth, type GuestView } from "./ground-truth.ts";

interface Stretch {
  readonly view: GuestView | "sampled";
  readonly ops: number;
  /** Where the hardware's counter stands. */
  readonly count: number;
}

const stretch: fc.Arbitrary<Stretch> = fc.record({
  view: fc.constantFrom<Stretch["view"]>("off", "on", "on", "full", "no-space", "sampled"),
  ops: fc.oneof(fc.constant(0), fc.nat(40), fc.nat(3_000)),
  count: fc.constantFrom(0, 1, 2, 100, 256, 600),
});

/**
 * Counts op by op: one counter for all that is lost goes down from where the hardware's stood at first, selects at
 * zero, and is reloaded.
 */
function naive(stretches: readonly Stretch[], interval: number) {
  const lost = { on: 0, full: 0, "no-space": 0 };
  // An interval of 0 reloads the counter for ever.
  const period = interval === 0 ? Number.POSITIVE_INFINITY : interval + 1;
  let state: Stretch["view"] = "off";
  let counter = 0;
  let began = false;
  let [blackouts, longest, current, blackoutOps, profiled] = [0, 0, 0, 0, 0];
  for (const { view, ops, count } of stretches) {
    if (view === "off" || view === "sampled") {
      state = "off";
      if (view === "sampled") profiled += ops;
      continue;
    }
    if (ops === 0) continue;
    if (!began) counter = count === 0 ? period : count;
    began = true;
    if (view !== state && view === "on") {
      blackouts += 1;
      current = 0;
    }
    state = view;
    for (let op = 0; op < ops; op++) {
      counter -= 1;
      if (counter > 0) continue;
      lost[view] += 1;
      counter = period;
    }
    if (view !== "on") continue;
    profiled += ops;
    blackoutOps += ops;
    current += 2 * ops;
    longest = Math.max(longest, current);
  }
  return { lost, blackouts, longest, blackoutOps, profiled };
}

describe("the ground truth of profiling", () => {
  it("counts what an op-by-op counter counts", () => {
    fc.assert(
      fc.property(fc.array(stretch, { maxLength: 20 }), fc.nat(3), (stretches, step) => {
        const interval = step * 256;
        const truth = new GroundTruth(1);
        const told: [number, number][] = [];
        truth.onBlackout = (startNs, endNs) => told.push([startNs, endNs]);
        let nowNs = 0;
        for (const { view, ops, count } of stretches) {
          const endNs = nowNs + 2 * ops;
          if (view === "sampled") truth.sampled(ops);
          else truth.unsampled(view, ops, nowNs, endNs, () => ({ count, interval, jitter: false }));
          nowNs = endNs;
        }
        const expected = naive(stretches, interval);
        expect(truth.lostInBlackout).toBe(expected.lost.on);
        expect(truth.lostWhileFull).toBe(expected.lost.full);
        expect(truth.truncated).toBe(expected.lost["no-space"]);
        expect(truth.blackoutCount).toBe(expected.blackouts);
        expect(truth.longestBlackoutNs).toBe(expected.longest);
        expect(truth.blackoutInstructions).toBe(expected.blackoutOps);
        expect(truth.blackoutNs).toBe(2 * expected.blackoutOps);
        expect(truth.profiledInstructions).toBe(expected.profiled);
        expect(new Set(told.map(([startNs]) => startNs)).size).toBe(expected.blackouts);
      }),
      { numRuns: 300 },
    );
  });

  it("counts on within a stretch that is told in slices", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 500 }), { minLength: 1 }), (slices) => {
        const counter = () => ({ count: 100, interval: 256, jitter: false });
        const sliced = new GroundTruth(1);
        for (const ops of slices) sliced.unsampled("on", ops, 0, 0, counter);
        const whole = new GroundTruth(1);
        const ops = slices.reduce((sum, each) => sum + each, 0);
        whole.unsampled("on", ops, 0, 0, counter);
        expect(sliced.lostInBlackout).toBe(whole.lostInBlackout);
        expect(sliced.blackoutCount).toBe(1);
      }),
    );
  });

  it("adds 0 to 255 ops to each interval with jitter, and the same for the same seed", () => {
    const ops = 1_000_000;
    const lost = (seed: number): number => {
      const truth = new GroundTruth(seed);
      truth.unsampled("full", ops, 0, 1, () => ({ count: 0, interval: 1024, jitter: true }));
      return truth.lostWhileFull;
    };
    expect(lost(1)).toBe(lost(1));
    // 1025 + 127.5 on average; half a percent is five standard deviations of the mean of 870 draws.
    expect(Math.abs(lost(1) / (ops / 1152.5) - 1)).toBeLessThan(0.013);
    expect(new Set([1, 2, 3, 4, 5, 6, 7, 8].map(lost)).size).toBeGreaterThan(1);
  });
});
