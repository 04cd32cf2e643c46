import { describe, expect, it } from "vitest";
import { UserError } from "../common/errors.ts";
import { checkBuffer } from "./predict.ts";

describe("the buffer of a prediction", () => {
  it("is a power of two of at least two pages, as perf takes it", () => {
    for (const bytes of [8192, 128 * 1024, 256 * 1024 ** 2]) expect(() => checkBuffer(bytes)).not.toThrow();
    for (const bytes of [0, 4096, 12_288, 100_000, 8193, 3 * 1024 ** 2])
      expect(() => checkBuffer(bytes)).toThrow(UserError);
  });
});
