import { expect, it } from "vitest";
import { askHere } from "../../../test/questions.ts";
import { q27 } from "./q27.ts";

it("has no blackout while pages move, unless the worker comes too late to pin them", () => {
  expect(askHere(q27).headline).toContain("adaptive has no blackout");
  expect(askHere(q27, { workerWake: 20_000 }).headline).toMatch(/adaptive loses .* blackouts/);
});
