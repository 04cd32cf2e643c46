import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { bareMetalPe } from "./enables.ts";
import { IntervalCounter } from "./interval.ts";
import { Pseudocode } from "./pseudocode.testing.ts";

/** Bytes in a fixed order, so that two counters draw the same ones. */
function byteStream(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 24;
  };
}

function reference(ernd: boolean, random: () => number): Pseudocode {
  const p = new Pseudocode(bareMetalPe(), {
    asPublished: true,
    pmsidr: ernd ? 0x20n : 0n,
    align: 6,
    pmsVer: 3,
    sve: false,
    ecv: false,
    random,
    counter: () => 0n,
    faultAt: () => undefined,
    eventsBytes: 4,
    dataSourceBytes: 2,
  });
  p.PMBLIMITR_EL1 = 1n;
  p.PMSCR_EL1 = 2n;
  return p;
}

describe("the sampling interval", () => {
  it("selects one op in INTERVAL * 256 + 1, because the op that reloads COUNT is not counted", () => {
    const counter = new IntervalCounter(false, () => 0);
    counter.reloadOps = 512;
    const distances: number[] = [];
    for (let i = 0; i < 4; i++) {
      const ops = counter.opsToNextSample();
      distances.push(ops + 1);
      counter.advance(ops);
      counter.passSample();
    }
    expect(distances).toEqual([513, 513, 513, 513]);
  });

  it("starts from what software wrote into PMSICR_EL1, as Linux does", () => {
    const counter = new IntervalCounter(false, () => 0);
    counter.reloadOps = 512;
    counter.count = 100;
    expect(counter.opsToNextSample()).toBe(99);
  });

  it("never samples with a zero interval and no jitter", () => {
    const counter = new IntervalCounter(false, () => 0);
    expect(counter.opsToNextSample()).toBe(Number.POSITIVE_INFINITY);
    counter.advance(1e15);
    expect(counter.count).toBe(0);
  });

  it("never samples when every jitter byte loses the sample", () => {
    const counter = new IntervalCounter(true, () => 0);
    counter.reloadOps = 256;
    counter.jitter = true;
    expect(counter.opsToNextSample()).toBe(Number.POSITIVE_INFINITY);
  });

  it("refuses to pass the sample", () => {
    const counter = new IntervalCounter(false, () => 0);
    counter.reloadOps = 256;
    counter.count = 10;
    expect(() => counter.advance(10)).toThrow(/pass the sample/);
    expect(() => counter.passSample()).toThrow(/not the one to be sampled/);
  });

  it("agrees with the pseudocode, op by op, for any registers and both kinds of jitter", () => {
    const step = fc.oneof(
      { weight: 6, arbitrary: fc.record({ run: fc.integer({ min: 1, max: 1500 }) }) },
      {
        weight: 1,
        arbitrary: fc.record({
          count: fc.oneof(fc.integer({ min: 0, max: 4 }), fc.integer({ min: 0, max: 700 })),
          ecount: fc.integer({ min: 0, max: 300 }),
        }),
      },
      {
        weight: 1,
        arbitrary: fc.record({ interval: fc.integer({ min: 0, max: 3 }), rnd: fc.boolean() }),
      },
    );
    fc.assert(
      fc.property(fc.boolean(), fc.integer(), fc.array(step, { maxLength: 20 }), (ernd, seed, steps) => {
        const counter = new IntervalCounter(ernd, byteStream(seed));
        const expected = reference(ernd, byteStream(seed));
        for (const s of steps) {
          if ("count" in s) {
            counter.count = s.count;
            counter.ecount = ernd ? s.ecount & 0xff : 0;
            expected.PMSICR_EL1 = (BigInt(counter.ecount) << 56n) | BigInt(s.count);
          } else if ("interval" in s) {
            counter.reloadOps = s.interval * 256;
            counter.jitter = s.rnd;
            expected.PMSIRR_EL1 = BigInt(s.interval * 256 + (s.rnd ? 1 : 0));
          } else {
            let left = s.run;
            while (left > 0) {
              const ops = Math.min(left, counter.opsToNextSample());
              counter.advance(ops);
              let early = 0;
              for (let i = 0; i < ops; i++) if (expected.preExecution()) early++;
              expect(early).toBe(0);
              left -= ops;
              if (left > 0) {
                counter.passSample();
                expect(expected.preExecution()).toBe(true);
                left--;
              }
            }
          }
          expect((BigInt(counter.ecount) << 56n) | BigInt(counter.count)).toBe(expected.PMSICR_EL1);
        }
      }),
      { numRuns: 300 },
    );
  });

  it("passes many samples at once as it does one by one", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 1000 }),
        fc.integer({ min: 1, max: 4 }),
        fc.integer({ min: 0, max: 50 }),
        fc.integer({ min: 0, max: 5000 }),
        (count, interval, samples, more) => {
          const make = (): IntervalCounter => {
            const counter = new IntervalCounter(false, () => 0);
            counter.count = count;
            counter.reloadOps = interval * 256;
            return counter;
          };
          const [bulk, single, counting] = [make(), make(), make()];
          let ops = 0;
          for (let i = 0; i < samples; i++) {
            const next = single.opsToNextSample();
            single.advance(next);
            single.passSample();
            ops += next + 1;
          }
          expect(bulk.passSamples(samples)).toBe(ops);
          expect(bulk.save()).toEqual(single.save());
          expect(counting.samplesWithin(ops)).toBe(samples);
          let within = 0;
          let left = more;
          while (single.opsToNextSample() < left) {
            const next = single.opsToNextSample();
            single.advance(next);
            single.passSample();
            left -= next + 1;
            within++;
          }
          expect(bulk.samplesWithin(more)).toBe(within);
        },
      ),
    );
  });
});
