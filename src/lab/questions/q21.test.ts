import { expect, it } from "vitest";
import { askHere } from "../../../test/questions.ts";
import { q21 } from "./q21.ts";

it("keeps the profile complete without most of the pins, the fewer the later the worker", () => {
  const { headline, charts } = askHere(q21);
  expect(headline).toContain("stays complete");
  for (const { points } of charts[0]?.series ?? [])
    expect(points.at(-1)?.[1]).toBeLessThan(points[0]?.[1] as number);
  expect(askHere(q21, { workerWake: 0.1 }).headline).toContain("and most of the pages");
});
