/**
 * Covering arrays: rows of choices, few of them, in which every pair of values is there at least once, and every combination of the
 * first dimensions. Found greedily and without chance, so they are the same every time.
 */

/** What can be chosen: how many values each dimension has. */
export interface Dimensions {
  readonly sizes: readonly number[];
  /** Every combination of the values of so many first dimensions gets a row. */
  readonly whole: number;
  /** What a row takes; of rows that are as good the cheapest is taken, and none above `mostEffort`. */
  readonly effort: (row: readonly number[]) => number;
  readonly mostEffort: number;
}

export interface CoveringArray {
  /** A value's index in each dimension. */
  readonly rows: readonly (readonly number[])[];
  /** Pairs that no row has, since every row with them takes too much: values by dimension. */
  readonly uncovered: readonly Readonly<Partial<Record<number, number>>>[];
}

const range = (size: number): number[] => Array.from({ length: size }, (_, value) => value);

/** Every way to take one of each. */
const product = (choices: readonly (readonly number[])[]): number[][] =>
  choices.reduce<number[][]>((rows, values) => rows.flatMap((row) => values.map((v) => [...row, v])), [[]]);

/** Every way to take `k` of the first `n` whole numbers. */
const choose = (n: number, k: number): number[][] =>
  k === 0 ? [[]] : range(n).flatMap((last) => choose(last, k - 1).map((before) => [...before, last]));

/** Which combinations of the values of so many dimensions at a time are still to come. */
class Missing {
  readonly #sizes: readonly number[];
  /** The dimensions of each combination, and where its values begin in the table. */
  readonly #of: readonly (readonly number[])[];
  readonly #first: number[] = [];
  readonly #table: Uint8Array;

  constructor(sizes: readonly number[], atATime: number) {
    this.#sizes = sizes;
    this.#of = choose(sizes.length, atATime);
    let count = 0;
    for (const dimensions of this.#of) {
      this.#first.push(count);
      count += dimensions.reduce((values, dimension) => values * sizes[dimension]!, 1);
    }
    this.#table = new Uint8Array(count).fill(1);
  }

  /** How many of a row's are missing. */
  in(row: readonly number[]): number {
    let missing = 0;
    for (let i = 0; i < this.#of.length; i++) missing += this.#table[this.#at(i, row)]!;
    return missing;
  }

  take(row: readonly number[]): void {
    for (let i = 0; i < this.#of.length; i++) this.#table[this.#at(i, row)] = 0;
  }

  /** Those that are missing: a value for each of their dimensions, in a row that is else without. */
  left(): Partial<Record<number, number>>[] {
    return this.#of.flatMap((dimensions, i) =>
      product(dimensions.map((dimension) => range(this.#sizes[dimension]!)))
        .map((values) => Object.fromEntries(dimensions.map((dimension, j) => [dimension, values[j]!])))
        .filter((row) => this.#table[this.#at(i, row)] === 1),
    );
  }

  #at(i: number, row: Readonly<Partial<Record<number, number>>>): number {
    let at = 0;
    for (const dimension of this.#of[i]!) at = at * this.#sizes[dimension]! + row[dimension]!;
    return this.#first[i]! + at;
  }
}

/**
 * The array. A combination of the first dimensions of which every row takes too much gets none. Where no pair is missing any more rows
 * are chosen for the triples in them.
 */
export function coveringArray({ sizes, whole, effort, mostEffort }: Dimensions): CoveringArray {
  const pairs = new Missing(sizes, 2);
  const triples = new Missing(sizes, 3);
  const rows: number[][] = [];
  const add = (candidates: Iterable<number[]>, isNeeded: (pairsOfIt: number) => boolean): void => {
    let best: { readonly row: number[]; readonly score: readonly number[] } | undefined;
    for (const row of candidates) {
      const missing = pairs.in(row);
      if (best !== undefined && missing < best.score[0]!) continue;
      const takes = effort(row);
      if (takes > mostEffort) continue;
      const score = [missing, triples.in(row), -takes];
      if (best === undefined || isBetter(score, best.score)) best = { row, score };
    }
    if (best === undefined || !isNeeded(best.score[0]!)) return;
    pairs.take(best.row);
    triples.take(best.row);
    rows.push(best.row);
  };
  const rests = product(sizes.slice(whole).map(range));
  for (const first of product(sizes.slice(0, whole).map(range)))
    add(
      rests.map((rest) => [...first, ...rest]),
      () => true,
    );
  // Pairs that they do not cover.
  for (const pair of pairs.left())
    add(product(sizes.map((size, dimension) => valuesOf(pair[dimension], size))), (missing) => missing > 0);
  return { rows, uncovered: pairs.left() };
}

const valuesOf = (value: number | undefined, size: number): number[] =>
  value === undefined ? range(size) : [value];

/** Whether a score comes before another one: the first figure that differs decides, the more the better. */
function isBetter(score: readonly number[], than: readonly number[]): boolean {
  const i = score.findIndex((figure, at) => figure !== than[at]);
  return i >= 0 && score[i]! > than[i]!;
}
