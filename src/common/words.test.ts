import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { highWord, lowWord, ofPage, ofWords, pageOfValue } from "./words.ts";

const U32 = 0xffff_ffffn;
const value = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n });
const page = fc.maxSafeInteger().map((n) => Math.abs(n) % 2 ** 52);

describe("64-bit values as words", () => {
  it("are what masks and shifts make of them", () => {
    fc.assert(
      fc.property(value, (v) => {
        expect(lowWord(v)).toBe(Number(v & U32));
        expect(highWord(v)).toBe(Number(v >> 32n));
        expect(pageOfValue(v)).toBe(Number(v >> 12n));
        expect(ofWords(Number(v >> 32n), Number(v & U32))).toBe(v);
      }),
    );
  });

  it("are made of a page and an offset", () => {
    fc.assert(
      fc.property(page, fc.nat(4095), (p, offset) => {
        expect(ofPage(p, offset)).toBe((BigInt(p) << 12n) | BigInt(offset));
      }),
    );
  });

  it("are a register's 64 bits: what lies above is dropped", () => {
    expect(lowWord((1n << 64n) + 5n)).toBe(5);
    expect(pageOfValue(1n << 64n)).toBe(0);
  });
});
