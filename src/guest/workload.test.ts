import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { EVENT } from "../spe/op.ts";
import { MIX, modelWorkload } from "./workload.ts";

describe("the model's workload", () => {
  it("is a pure function of seed and position, within its bounds", () => {
    fc.assert(
      fc.property(fc.integer(), fc.maxSafeNat(), (seed, position) => {
        const workload = modelWorkload(2.5, seed);
        const op = workload.opAt(position);
        workload.opAt(position + 1);
        expect(workload.opAt(position)).toEqual(op);
        expect(modelWorkload(1, seed).opAt(position)).toEqual(op);
        expect(op.totalLatency).toBeLessThanOrEqual(workload.bounds.maxTotalLatency as number);
        expect(op.issueLatency).toBeLessThanOrEqual(op.totalLatency);
        expect(op.events & EVENT.retired).not.toBe(0);
        expect(op.va !== undefined).toBe(op.kind === "load" || op.kind === "store");
        expect(op.dataSource !== undefined).toBe(op.kind === "load");
        if (op.kind === "branch") expect(op.target !== undefined).toBe((op.events & EVENT.notTaken) === 0);
        // A last-level miss has missed the first level, too.
        if ((op.events & EVENT.llcMiss) !== 0) expect(op.events & EVENT.l1dRefill).not.toBe(0);
      }),
      { numRuns: 2_000 },
    );
  });

  it("has the mix that it says", () => {
    const { opAt } = modelWorkload(2.5, 3);
    const count = 50_000;
    const seen = new Map<string, number>();
    for (let i = 0; i < count; i++) {
      const { kind } = opAt(i);
      seen.set(kind, (seen.get(kind) ?? 0) + 1);
    }
    for (const [kind, share] of Object.entries(MIX)) {
      const expected = (count * share) / 1024;
      expect(Math.abs((seen.get(kind) as number) - expected)).toBeLessThan(5 * Math.sqrt(expected));
    }
  });

  it("differs between tasks", () => {
    const [a, b] = [modelWorkload(1, 7919), modelWorkload(1, 7920)];
    const same = Array.from({ length: 200 }, (_, i) => i * 4096).filter(
      (at) => JSON.stringify(a.opAt(at), bigints) === JSON.stringify(b.opAt(at), bigints),
    );
    expect(same.length).toBeLessThan(20);
  });
});

const bigints = (_key: string, value: unknown): unknown => (typeof value === "bigint" ? `${value}` : value);
