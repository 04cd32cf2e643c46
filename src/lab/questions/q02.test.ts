import { expect, it } from "vitest";
import { askHere } from "../../../test/questions.ts";
import { q02 } from "./q02.ts";

it("finds most of a switch in pins and unpins, and neither alone enough to avoid", () => {
  const answer = askHere(q02);
  expect(answer.headline).toMatch(/^The page pins are .* the unpins /);
  expect(answer.headline).toContain("not enough");
  const shares = answer.table.rows
    .filter(([host, free]) => host === "thread-normal" && (free === "page pins" || free === "unpins"))
    .map((row) => Number.parseFloat(row.at(-1) ?? ""));
  expect(shares.reduce((a, b) => a + b, 0)).toBeGreaterThan(90);
});

it("blames the unpins where a pin costs a tenth", () => {
  expect(askHere(q02, { pinPage: 0.1 }).headline).toMatch(/^The unpins are .* the page pins /);
});
