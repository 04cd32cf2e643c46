import { describe, expect, it } from "vitest";
import { randomStream } from "../common/random.ts";
import { Decoder } from "./decoder.ts";
import { type Feature, fieldsOf, type Row, rows } from "./encoding.ts";
import { ALL_ROWS, ROWS } from "./encodings/index.ts";
import { SEMANTICS } from "./semantics/index.ts";

const EVERYTHING: ReadonlySet<Feature> = new Set(
  ALL_ROWS.flatMap(({ feature }) => (feature === undefined ? [] : [feature])),
);

const allocated = (row: Row, word: number): boolean =>
  (word & row.mask) >>> 0 === row.value && row.isUndefined?.(fieldsOf(row, word)) !== true;

/** All values of these bits, spread over their places; at most 2^12 of them, else random ones. */
function* fillings(bits: number): Generator<number> {
  const places = Array.from({ length: 32 }, (_, i) => i).filter((i) => ((bits >>> i) & 1) === 1);
  if (places.length <= 12) {
    for (let i = 0; i < 2 ** places.length; i++)
      yield places.reduce((word, place, j) => word | (((i >> j) & 1) << place), 0);
    return;
  }
  const random = randomStream(places.length);
  for (let i = 0; i < 4096; i++) yield random.integer(-0x8000_0000, 0x7fff_ffff) & bits;
}

/** The bits of fields that say what an instruction is; registers and immediates do not, but for a row's constraints. */
function sayingBits(row: Row): number {
  let bits = 0;
  for (const [name, { low, width }] of Object.entries(row.fields))
    if (!/^R[dnmast]2?$/.test(name) && width <= 6) bits |= (2 ** width - 1) << low;
  return bits;
}

describe("the decode table", () => {
  it("gives each word to one encoding at most", () => {
    const overlaps: string[] = [];
    let pairs = 0;
    for (let i = 0; i < ALL_ROWS.length; i++)
      for (let j = i + 1; j < ALL_ROWS.length; j++) {
        const a = ALL_ROWS[i]!;
        const b = ALL_ROWS[j]!;
        if (((a.value ^ b.value) & a.mask & b.mask) !== 0) continue;
        pairs += 1;
        const fixed = a.value | b.value;
        const free = ~(a.mask | b.mask) & (sayingBits(a) | sayingBits(b));
        for (const filling of fillings(free)) {
          const word = (fixed | filling) >>> 0;
          if (!allocated(a, word) || !allocated(b, word)) continue;
          overlaps.push(`${a.name} and ${b.name}: ${word.toString(16)}`);
          break;
        }
      }
    expect(overlaps).toEqual([]);
    // Some share their fixed bits and are told apart by what is undefined: the search has seen them.
    expect(pairs).toBeGreaterThan(5);
  });

  it("finds every row again from a word of it", () => {
    const decoder = new Decoder(EVERYTHING);
    const wrong: string[] = [];
    for (const row of ALL_ROWS) {
      let found = 0;
      for (const filling of fillings(~row.mask)) {
        const word = (row.value | filling) >>> 0;
        if (!allocated(row, word)) continue;
        found += 1;
        if (decoder.decode(word) !== row) wrong.push(`${row.name}: ${word.toString(16)}`);
      }
      expect.soft(found, row.name).toBeGreaterThan(0);
    }
    expect(wrong).toEqual([]);
  });

  it("says what each encoding does", () => {
    const without = Object.keys(ROWS).filter((name) => !(name in SEMANTICS));
    expect(without).toEqual([]);
  });

  it("leaves out what needs an absent feature", () => {
    const decoder = new Decoder(new Set());
    expect(decoder.decode(0xb820_0041)).toBeUndefined(); // LDADD W0, W1, [X2]
    expect(decoder.decode(0x8b02_0020)?.name).toBe("ADD_shift");
  });

  it("refuses pictures that are none", () => {
    expect(() => rows("x", { A: "0 Rd:5" })).toThrow("A has 6 bits");
    expect(() => rows("x", { B: "Rd:5 Rd:5 0000000000000000000000" })).toThrow("names Rd twice");
    expect(() => rows("x", { C: "?" })).toThrow("no bits and no field");
  });
});
