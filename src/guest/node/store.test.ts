import { expect, it } from "vitest";
import { isUnfinished, temporaryName } from "./store.ts";

it("names what is not whole yet anew each time, since threads of one process may write the same file at once", () => {
  const names = Array.from({ length: 50 }, () => temporaryName("/kept/boots/a.snapshot"));
  expect(new Set(names).size).toBe(50);
  for (const name of names) {
    expect(name).toMatch(/^\/kept\/boots\/\.a\.snapshot\./);
    expect(isUnfinished(name.slice("/kept/boots/".length))).toBe(true);
  }
});
