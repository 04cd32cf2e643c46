import { expect, it } from "vitest";
import { askHere } from "../../../test/questions.ts";
import { q12 } from "./q12.ts";

it("batches what v6 pays most for, and not the rest", () => {
  const { charts, headline } = askHere(q12);
  for (const { points } of charts[0]?.series ?? []) {
    const at = new Map(points);
    expect(at.get("folios")).toBeLessThan((at.get("none") as number) / 3);
    expect(at.get("all")).toBeLessThan(at.get("folios") as number);
  }
  expect(headline).toContain("makes v6 usable for few switches only");
});

it("turns with the cost of checking stage 2", () => {
  expect(askHere(q12, { stage2Check: 20 }).headline).toContain("does not make v6 usable");
});
