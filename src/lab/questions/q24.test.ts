import { expect, it } from "vitest";
import { askHere } from "../../../test/questions.ts";
import { q24 } from "./q24.ts";

it("has v6 past what is usable from 4 MiB on, and not where pins cost little", () => {
  expect(askHere(q24).headline).toContain("past 1.2 times from 4 MiB on");
  expect(askHere(q24, { pinPage: 0.05, unpinPage: 0.05 }).headline).not.toContain("from 4 MiB on");
});
