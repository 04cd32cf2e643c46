import { describe, expect, it } from "vitest";
import { Preemptions } from "./preemptions.ts";

const of = (...work: readonly (readonly [atNs: number, ns: number])[]): Preemptions => {
  const preemptions = new Preemptions();
  for (const [atNs, ns] of work) preemptions.add(atNs, ns);
  return preemptions;
};

describe("work that wants a vCPU's CPU", () => {
  it("has it when it is due, in order of time, once", () => {
    const preemptions = of([200, 5], [100, 7], [300, 1]);
    expect(preemptions.nextNs).toBe(100);
    expect(preemptions.take(99)).toBe(0);
    expect(preemptions.take(250)).toBe(12);
    expect(preemptions.nextNs).toBe(300);
    expect(preemptions.take(1_000)).toBe(1);
    expect(preemptions.nextNs).toBe(Number.POSITIVE_INFINITY);
  });

  it("is done while the vCPU has nothing to do, as far as that is long enough", () => {
    const preemptions = of([100, 10], [105, 20], [500, 3]);
    preemptions.idled(0, 120);
    // 10 of the first and then 10 of the second.
    expect(preemptions.save()).toEqual([
      [120, 10],
      [500, 3],
    ]);
    preemptions.idled(120, 1_000);
    expect(preemptions.nextNs).toBe(Number.POSITIVE_INFINITY);
  });

  it("that takes no time is none", () => {
    expect(of([100, 0]).nextNs).toBe(Number.POSITIVE_INFINITY);
  });

  it("comes back from a snapshot", () => {
    const saved = of([100, 10], [5, 2]).save();
    const preemptions = new Preemptions();
    preemptions.restore(saved);
    expect(preemptions.save()).toEqual(saved);
  });
});
