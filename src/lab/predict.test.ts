import { describe, expect, it } from "vitest";
import { UserError } from "../common/errors.ts";
import type { RecordingSummary } from "../guest/recording/summary.ts";
import { checkBuffer, leavesEnablesOpen } from "./predict.ts";

describe("the buffer of a prediction", () => {
  it("is a power of two of at least two pages, as perf takes it", () => {
    for (const bytes of [8192, 128 * 1024, 256 * 1024 ** 2]) expect(() => checkBuffer(bytes)).not.toThrow();
    for (const bytes of [0, 4096, 12_288, 100_000, 8193, 3 * 1024 ** 2])
      expect(() => checkBuffer(bytes)).toThrow(UserError);
  });
});

it("a prediction is open where more than a fifth of the enables hangs on a guess", () => {
  const open = (enables: number, enablesWithoutDirectRule: number, directSwitchesGuessed = true): boolean =>
    leavesEnablesOpen({ enables, enablesWithoutDirectRule, directSwitchesGuessed } as RecordingSummary);
  expect(open(1504, 17_407)).toBe(true);
  expect(open(100, 121)).toBe(true);
  expect(open(100, 120)).toBe(false);
  expect(open(1504, 17_407, false)).toBe(false);
});
