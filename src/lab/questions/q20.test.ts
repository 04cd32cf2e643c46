import { expect, it } from "vitest";
import { askHere } from "../../../test/questions.ts";
import { q20 } from "./q20.ts";

it("counts five exits for each enable, and an answer that turns with their cost", () => {
  const answer = askHere(q20);
  const perSwitch = answer.table.columns.indexOf("exits per switch");
  expect(new Set(answer.table.rows.map((row) => row[perSwitch]))).toEqual(new Set(["5"]));
  expect(answer.headline).toContain("cannot be seen");
  expect(askHere(q20, { exit: 100 }).headline).toContain("which can be seen");
});
