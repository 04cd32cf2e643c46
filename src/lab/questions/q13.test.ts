import { expect, it } from "vitest";
import { askHere } from "../../../test/questions.ts";
import { q13 } from "./q13.ts";

it("keeps every event away with pins but the one that takes pinned pages too", () => {
  const { charts, headline, table } = askHere(q13);
  expect(headline).toContain("only dontneed");
  const [obeyed, kept] = charts[0]?.series ?? [];
  for (const [i, [kind, blackouts]] of (kept?.points ?? []).entries()) {
    if (kind === "dontneed") continue;
    expect(blackouts).toBe(0);
    expect(obeyed?.points[i]?.[1]).toBeGreaterThan(10);
  }
  const share = (column: string): number =>
    Number.parseFloat(table.rows[1]?.[table.columns.indexOf(column)] ?? "");
  expect(share("denied by a cache")).toBeGreaterThan(1.5 * share("denied by v6"));
});

it("turns with the cost of a pin", () => {
  const dearer = (factor: number): number =>
    Number(askHere(q13, { pinPage: factor }).headline.match(/in (\d) of/)?.[1]);
  expect(dearer(1)).toBeGreaterThanOrEqual(5);
  expect(dearer(0.01)).toBeLessThanOrEqual(3);
});
