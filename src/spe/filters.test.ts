import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type FilterSelectors, Filters } from "./filters.ts";
import type { OpKind, SampledOp } from "./op.ts";
import { anyOp, LOAD } from "./spu.testing.ts";

const filters = (changes: Partial<FilterSelectors>): Filters => {
  const f = new Filters();
  f.update(changes);
  return f;
};
const keeps = (changes: Partial<FilterSelectors>, op: Partial<SampledOp>): boolean =>
  filters(changes).keeps({ ...LOAD, ...op });

describe("filters", () => {
  it("FE keeps a record only if all selected events are set", () => {
    expect(keeps({ fe: true, events: 0x0a }, { events: 0x0a })).toBe(true);
    expect(keeps({ fe: true, events: 0x0a }, { events: 0x02 })).toBe(false);
    expect(keeps({ fe: false, events: 0x0a }, { events: 0x02 })).toBe(true);
  });

  it("FnE rejects a record if any selected event is set", () => {
    expect(keeps({ fne: true, invertedEvents: 0x0a }, { events: 0x02 })).toBe(false);
    expect(keeps({ fne: true, invertedEvents: 0x0a }, { events: 0x05 })).toBe(true);
  });

  it.each([
    ["branch", "B", true],
    ["load", "LD", true],
    ["store", "ST", true],
    ["atomic", "LD", true],
    ["atomic", "ST", true],
    ["atomic", "B", false],
    ["other", "LD", false],
    ["other", "B", false],
    ["load", "ST", false],
  ] as [OpKind, string, boolean][])("FT: %s with %s selected: kept is %s", (kind, selector, kept) => {
    const selected = { ft: true, b: selector === "B", ld: selector === "LD", st: selector === "ST" };
    expect(keeps(selected, { kind })).toBe(kept);
  });

  it("FL keeps records whose total latency is at least MINLAT", () => {
    for (const [totalLatency, kept] of [
      [99, false],
      [100, true],
      [101, true],
    ] as const)
      expect(keeps({ fl: true, minLatency: 100 }, { totalLatency })).toBe(kept);
  });

  it("FDS keeps loads by data source and leaves stores alone", () => {
    const selected = { fds: true, dataSourcesLow: 1 << 8, dataSourcesHigh: 1 << 1 };
    expect(keeps(selected, { dataSource: 8 })).toBe(true);
    expect(keeps(selected, { dataSource: 33 })).toBe(true);
    expect(keeps(selected, { dataSource: 9 })).toBe(false);
    expect(keeps(selected, { kind: "store", dataSource: 9 })).toBe(true);
    expect(keeps(selected, { dataSource: undefined })).toBe(true);
  });

  it("an enabled filter without a selector, or with contradicting ones, rejects nothing", () => {
    expect(filters({ fe: true, fne: true, ft: true, fl: true }).acceptsEverything).toBe(true);
    expect(filters({ fe: true, events: 2, fne: true, invertedEvents: 6 }).acceptsEverything).toBe(true);
  });

  it("acceptsEverything and rejectsEverything never contradict the verdict on an op", () => {
    const anySelectors = fc.record({
      fe: fc.boolean(),
      ft: fc.boolean(),
      fl: fc.boolean(),
      fne: fc.boolean(),
      fds: fc.boolean(),
      b: fc.boolean(),
      ld: fc.boolean(),
      st: fc.boolean(),
      events: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 0xffff_ffff })),
      invertedEvents: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 0xffff_ffff })),
      minLatency: fc.integer({ min: 0, max: 80 }),
      dataSourcesLow: fc.integer({ min: 0, max: 0xffff_ffff }),
      dataSourcesHigh: fc.integer({ min: 0, max: 0xffff_ffff }),
    });
    fc.assert(
      fc.property(anySelectors, anyOp, (selectors, op) => {
        const f = filters(selectors);
        if (f.acceptsEverything) expect(f.keeps(op)).toBe(true);
        const bounds = {
          maxTotalLatency: op.totalLatency,
          possibleEvents: op.events,
          certainEvents: op.events,
          kinds: [op.kind],
        };
        if (f.rejectsEverything(bounds)) expect(f.keeps(op)).toBe(false);
        // With everything known of the op but its data source, the verdict is exact.
        else if (!selectors.fds) expect(f.keeps(op)).toBe(true);
      }),
      { numRuns: 1000 },
    );
  });
});
