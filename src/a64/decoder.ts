/** Finds the encoding of a word: rows by bits 28:21, those of a bucket tried in turn. */

import { type Feature, fieldsOf, type Row } from "./encoding.ts";
import { ALL_ROWS } from "./encodings/index.ts";

const SHIFT = 21;
const BUCKETS = 256;

export class Decoder {
  readonly #buckets: readonly (readonly Row[])[];

  /** A decoder for a machine with these features; encodings of others are unallocated. */
  constructor(features: ReadonlySet<Feature>, rows: readonly Row[] = ALL_ROWS) {
    const present = rows.filter(({ feature }) => feature === undefined || features.has(feature));
    this.#buckets = Array.from({ length: BUCKETS }, (_, bucket) =>
      present.filter(({ mask, value }) => {
        const fixed = (mask >>> SHIFT) & (BUCKETS - 1);
        return (bucket & fixed) === ((value >>> SHIFT) & fixed);
      }),
    );
  }

  /** The row of a word; undefined where it is unallocated. */
  decode(word: number): Row | undefined {
    const bucket = this.#buckets[(word >>> SHIFT) & (BUCKETS - 1)]!;
    for (let i = 0; i < bucket.length; i++) {
      const row = bucket[i]!;
      if ((word & row.mask) >>> 0 !== row.value) continue;
      if (row.isUndefined?.(fieldsOf(row, word))) continue;
      return row;
    }
    return undefined;
  }
}
