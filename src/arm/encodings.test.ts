import { describe, expect, it } from "vitest";
import { ENCODINGS, OPERATIONS } from "./encodings.ts";
import { encodingKey, type Register } from "./register.ts";
import { REGISTERS } from "./registers.ts";

describe("the table of encodings", () => {
  it.each([
    ["registers", ENCODINGS],
    ["operations", OPERATIONS],
  ])("has %s in the order of their encodings, none twice", (_what, table) => {
    const keys = Object.values(table).map(encodingKey);
    expect(keys).toEqual([...new Set(keys)].sort((a, b) => a - b));
  });

  it("is where registers with fields have theirs from", () => {
    for (const { name, encoding } of REGISTERS as readonly Register[])
      expect((ENCODINGS as Record<string, unknown>)[name], name).toBe(encoding);
  });
});
