import { expect, it } from "vitest";
import { syntheticRun } from "../../../test/synthetic-runs.ts";
import { notesOf } from "./notes.ts";

it("says what holds for all first and once, then what holds for some, naming them", () => {
  const run = (scenario: string, ...assumptions: string[]) => syntheticRun({ scenario, assumptions });
  const runs = [
    run("a", "one", "all"),
    run("a", "one", "all"),
    run("b", "all", "two"),
    run("c", "all", "two"),
  ];
  expect(notesOf(runs, "assumptions")).toEqual(["all", "a: one", "b and c: two"]);
  expect(notesOf(runs, "warnings")).toEqual([]);
});
