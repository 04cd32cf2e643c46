import { expect, it } from "vitest";
import { askHere } from "../../../test/questions.ts";
import { q26 } from "./q26.ts";

it("finds where the split decides, and not where the pair is as small as the public figures", () => {
  const answer = askHere(q26);
  expect(answer.headline).toContain("changes with what the pair is made of in 1 of 3 cases");
  expect(askHere(q26, { pinPage: 0.05, unpinPage: 0.05 }).headline).not.toBe(answer.headline);
});
