import { expect, it } from "vitest";
import { askHere } from "../../../test/questions.ts";
import { q03 } from "./q03.ts";

const winner = (headline: string): string | undefined => headline.split(" ")[0];

it("has v6 beaten in each case, by a policy that is complete, usable and holds little", () => {
  const { headline, table } = askHere(q03);
  expect(headline).toContain("loses nothing in all four cases");
  expect(headline).toContain("beaten by another in every case");
  expect(Number(/([\d,]+) page-seconds/.exec(headline)?.[1]?.replaceAll(",", ""))).toBeLessThan(10_000);
  expect(table.rows.find(([policy]) => policy === "pin-on-enable")?.join()).not.toContain("*");
});

it("has another winner where exits are so dear that only who does not trap stays usable", () => {
  expect(winner(askHere(q03, { exit: 40 }).headline)).not.toBe(winner(askHere(q03).headline));
});
