import { expect, it } from "vitest";
import { askHere } from "../../../test/questions.ts";
import { q17 } from "./q17.ts";

it("finds no stall in one pin, and the larger a chunk the longer its stop", () => {
  const answer = askHere(q17);
  expect(answer.headline).toContain("cannot cause a 21 s stall");
  for (const { points } of answer.charts[0]?.series ?? []) {
    const stops = points.map(([, stop]) => stop);
    expect(stops).toEqual([...stops].sort((a, b) => a - b));
    expect(stops.at(-1)).toBeGreaterThan(20 * (stops[0] as number));
  }
});

it("turns with the cost of a pin", () => {
  const slow = askHere(q17, { pinPage: 100 });
  expect(slow.headline).toContain("can cause a 21 s stall");
  const [normal] = askHere(q17).headline.match(/chunks of [\d,]+/) ?? [];
  expect(slow.headline).not.toContain(`${normal} pages`);
});
