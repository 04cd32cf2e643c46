import { expect, it } from "vitest";
import { askHere } from "../../../test/questions.ts";
import { q01 } from "./q01.ts";

it("gets the first command's times, and one range of switches for the second on both kernels", () => {
  const { headline, sentences } = askHere(q01);
  expect(headline).toContain("within rounding of what the thread saw");
  const [, from, to] = /fits on both kernels with ([\d,]+) to ([\d,]+) switches/.exec(headline) ?? [];
  const count = (text = ""): number => Number(text.replaceAll(",", ""));
  expect(count(from)).toBeGreaterThan(700);
  expect(count(to)).toBeLessThan(1_700);
  expect(sentences.join(" ")).toContain("make it worse");
});

it("does not, with pins of another price", () => {
  for (const factor of [0.4, 2])
    expect(askHere(q01, { pinPage: factor }).headline).toContain("not what the thread saw");
});
