import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { stableOrder, TimeOrder } from "./order.ts";

describe("stableOrder", () => {
  it("sorts by key and keeps equal keys in their order", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: -20, max: 20 }), { maxLength: 200 }), (keys) => {
        const order = [...stableOrder(Float64Array.from(keys), keys.length)];
        const wanted = keys
          .map((_, i) => i)
          .sort((a, b) => (keys[a] as number) - (keys[b] as number) || a - b);
        expect(order).toEqual(wanted);
      }),
    );
  });

  it("looks at no more keys than it is told", () => {
    expect([...stableOrder(Float64Array.of(3, 1, 2, 0), 3)]).toEqual([1, 2, 0]);
  });
});

/** Times pushed, undefined for the end of a round; the times in the order in which they came out. */
function passThrough(times: readonly (number | undefined)[], limit?: number) {
  const out: number[] = [];
  const order = new TimeOrder((record) => out.push(record.timeNs), limit);
  for (const time of times) {
    if (time === undefined) order.finishRound();
    else order.push(time, 0, 0, 0, 0, 0, 0);
  }
  const beforeEnd = out.length;
  order.finish();
  return { out, beforeEnd, late: order.lateRecords };
}

describe("TimeOrder", () => {
  it("passes on at the end of a round what was there at the end of the one before", () => {
    // The example of tools/perf/util/ordered-events.c: two CPUs, three passes.
    const pass1 = [1, 2, 2, 3, 4];
    const pass2 = [3, 4, 5, 5, 6, 7];
    const { out, beforeEnd } = passThrough([...pass1, undefined, ...pass2, undefined]);
    expect(out.slice(0, beforeEnd)).toEqual([1, 2, 2, 3, 3, 4, 4]);
    expect(out).toEqual([...pass1, ...pass2].sort((a, b) => a - b));
  });

  it("puts any rounds in order whose disorder reaches no further than the round before", () => {
    const round = fc.array(fc.integer({ min: 0, max: 999 }), { maxLength: 30 });
    fc.assert(
      fc.property(fc.array(round, { maxLength: 8 }), (rounds) => {
        const times = rounds.flatMap((round, i) => [...round.map((time) => i * 500 + time), undefined]);
        const { out, late } = passThrough(times);
        const wanted = times.filter((time) => time !== undefined).sort((a, b) => a - b);
        // Within 1000 of overlap a time can be two rounds late, which is more than perf allows for.
        if (late === 0) expect(out).toEqual(wanted);
        expect([...out].sort((a, b) => a - b)).toEqual(wanted);
      }),
    );
  });

  it("passes on every record once, and its fields with it", () => {
    const out: string[] = [];
    const order = new TimeOrder(({ timeNs, kind, cpu, pid, tid, a, b, text }) =>
      out.push([timeNs, kind, cpu, pid, tid, a, b, text].join(" ")),
    );
    order.push(20, 1, 2, 3, 4, 5, 6, "late");
    order.push(10, 7, -1, -1, 0, 8, 9);
    order.finishRound();
    order.push(15, 0, 0, 0, 0, 0, 0, "between");
    order.finishRound();
    order.finish();
    expect(out).toEqual(["10 7 -1 -1 0 8 9 ", "15 0 0 0 0 0 0 between", "20 1 2 3 4 5 6 late"]);
  });

  it("holds no more than its limit, and counts what comes too late for that", () => {
    const times = [50, 60, 70, 80, 10, 90, 20];
    const { out, late } = passThrough(times, 4);
    expect([...out].sort((a, b) => a - b)).toEqual([...times].sort((a, b) => a - b));
    expect(late).toBe(2);
  });
});
