import { expect, it } from "vitest";
import { askHere } from "../../../test/questions.ts";
import { q22 } from "./q22.ts";

it("has no policy faster without a spare CPU, and another one the cheapest where pins cost little", () => {
  const { table, headline } = askHere(q22);
  const [spare, without] = ["with CPUs to spare", "without"].map((title) => table.columns.indexOf(title));
  for (const row of table.rows)
    expect(Number(row[without!])).toBeGreaterThanOrEqual(Number(row[spare!]) - 1e-4);
  expect(askHere(q22, { pinPage: 0.05, unpinPage: 0.05 }).headline).not.toBe(headline);
  expect(headline).toMatch(/is bounce-ahead \(.* without FEAT_FGT adaptive \(/);
});
