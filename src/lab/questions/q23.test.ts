import { expect, it } from "vitest";
import { askHere } from "../../../test/questions.ts";
import { q23 } from "./q23.ts";

it("has the window take more of the host than a bounce buffer, unless pins cost little", () => {
  const most = (headline: string): number => Number(/takes ([\d.]+) times what/.exec(headline)?.[1]);
  expect(most(askHere(q23).headline)).toBeGreaterThan(1.5);
  expect(most(askHere(q23, { pinPage: 0.05, unpinPage: 0.05 }).headline)).toBeLessThan(1.5);
});
