import { expect, it } from "vitest";
import { jsonText } from "./json.ts";
import type { Json } from "./question.ts";

it("is JSON", () => {
  const value = { a: [1, null, "x"], b: { c: true, d: -0.5 } };
  expect(JSON.parse(jsonText(value))).toEqual(value);
});

it.each([
  [Number.NaN, "NaN"],
  [{ share: Number.POSITIVE_INFINITY }, 'Infinity ("share")'],
  [[1, undefined], 'undefined ("1")'],
])("refuses %j, which would come back as something else", (value, what) => {
  expect(() => jsonText(value as Json)).toThrow(`JSON cannot hold ${what}`);
});
