import { expect, it } from "vitest";
import type { SweepCell, ThreadCell } from "../../lab/sweep/cell.ts";
import { Estimate, sizeText } from "./estimate.ts";

const MS = 1e6;
const thread = (policy: string, bufferBytes: number, seed = 1): ThreadCell => ({
  kind: "thread",
  scenario: "thread-a",
  profile: "thread-normal",
  costs: {},
  bufferBytes,
  period: null,
  seed,
  policy,
});
const fuzz: SweepCell = { kind: "fuzz", target: "recordings", cases: 10, seed: 1 };

it("goes by cells of the same policy and buffer, then by those of the kind, then by what is usual", () => {
  const estimate = new Estimate();
  estimate.add(thread("fault", 4), 10);
  estimate.add(thread("fault", 4, 2), 30);
  estimate.add(thread("fault", 8), 200);
  expect(estimate.nsOf([thread("fault", 4, 3), thread("fault", 8, 3)])).toBe(220 * MS);
  expect(estimate.nsOf([thread("adaptive", 4)])).toBe(80 * MS);
  expect(estimate.nsOf([fuzz])).toBe(2000 * MS);
  expect(estimate.basis([thread("adaptive", 4), fuzz])).toBe("by 3 cells that were run; fuzz as usual");
});

it("asks for a few cells of what can be run quickly, from all over the sweep", () => {
  const cells = Array.from({ length: 60 }, (_, i) => thread("fault", 4, i));
  const estimate = new Estimate();
  expect(estimate.unknown([fuzz, ...cells]).map((cell) => "seed" in cell && cell.seed)).toEqual([10, 30, 50]);
  expect(estimate.unknown(cells.slice(0, 1))).toHaveLength(1);
  estimate.add(thread("fault", 8), 1);
  expect(estimate.unknown(cells)).toEqual([]);
});

it("says how much there is, what of it is known, and what an estimate is from", () => {
  const cells = [thread("fault", 4), thread("fault", 4, 2), fuzz];
  const estimate = new Estimate();
  estimate.add(thread("fault", 4), 10);
  expect(sizeText(cells, cells.slice(1), estimate, 2)).toBe(
    "3 cells (2 thread, 1 fuzz), 1 of them known, roughly 1 s on 2 threads (by 1 cell that was run; fuzz as usual)",
  );
  expect(sizeText(cells, [], estimate, 2)).toBe("3 cells (2 thread, 1 fuzz), 3 of them known");
  expect(sizeText(cells.slice(0, 2), cells.slice(0, 2), estimate, null)).toBe(
    "2 cells (2 thread), roughly 20 ms of one core (by 1 cell that was run)",
  );
});
