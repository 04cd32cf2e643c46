/**
 * How far a sampled profile is from the exact one, and how far it would be by chance alone.
 *
 * The distance is total variation: half the sum of |sampled share - exact share| over classes (symbols, or lines of code), the
 * largest difference that the two make to the share of any set of classes.
 */

/** A class of instructions: how many were executed, and how many records were written of it. */
export interface ClassCounts {
  readonly exact: number;
  readonly sampled: number;
}

export interface Fidelity {
  readonly classes: number;
  readonly instructions: number;
  readonly samples: number;
  readonly totalVariation: number;
  /** What so many samples, each drawn at random by the exact shares, would have in the mean. */
  readonly expected: number;
  /** What they would not exceed in 999 of 1,000 cases. */
  readonly atMost: number;
}

const sum = <T>(items: readonly T[], value: (item: T) => number): number =>
  items.reduce((total, item) => total + value(item), 0);

/** Half the sum of the differences of shares; 1 where nothing was sampled, 0 where there was nothing to sample. */
export function totalVariation(classes: readonly ClassCounts[]): number {
  const exact = sum(classes, (each) => each.exact);
  const sampled = sum(classes, (each) => each.sampled);
  if (exact === 0) return 0;
  if (sampled === 0) return 1;
  return sum(classes, (each) => Math.abs(each.sampled / sampled - each.exact / exact)) / 2;
}

/** ln n! for whole n: exact sums up to 256, Stirling's series beyond, whose error is below 1e-15 there. */
const LOG_FACTORIALS: number[] = [0];
for (let n = 1; n <= 256; n++) LOG_FACTORIALS.push(LOG_FACTORIALS[n - 1]! + Math.log(n));
function logFactorial(n: number): number {
  const known = LOG_FACTORIALS[n];
  if (known !== undefined) return known;
  return n * Math.log(n) - n + Math.log(2 * Math.PI * n) / 2 + 1 / (12 * n) - 1 / (360 * n ** 3);
}

/**
 * E|X - np| of a binomial X: De Moivre's formula, 2 m C(n, m) p^m (1 - p)^(n - m + 1) with m the least whole number above np
 * (Diaconis and Zabell, "Closed form summation for classical distributions", Statistical Science 6, 1991).
 */
export function meanDeviation(n: number, p: number): number {
  if (n === 0 || p <= 0 || p >= 1) return 0;
  const m = Math.floor(n * p) + 1;
  if (m > n) return 2 * n * p ** n * (1 - p);
  const log =
    logFactorial(n) - logFactorial(m) - logFactorial(n - m) + m * Math.log(p) + (n - m + 1) * Math.log1p(-p);
  return 2 * m * Math.exp(log);
}

/** One case of 1,000. */
const SELDOM = 1 / 1000;

/**
 * The profile held against the exact one. Its noise is that of independent samples: a regular period has less, and one that a
 * loop's length divides has more.
 */
export function fidelityOf(classes: readonly ClassCounts[]): Fidelity {
  const instructions = sum(classes, (each) => each.exact);
  const samples = sum(classes, (each) => each.sampled);
  const expected =
    samples === 0
      ? 1
      : sum(classes, (each) => meanDeviation(samples, each.exact / instructions)) / (2 * samples);
  // One sample moves the distance by 1 / samples at most: McDiarmid, "On the method of bounded differences", 1989.
  const above = samples === 0 ? 0 : Math.sqrt(Math.log(1 / SELDOM) / (2 * samples));
  return {
    classes: classes.length,
    instructions,
    samples,
    totalVariation: totalVariation(classes),
    expected: instructions === 0 ? 0 : expected,
    atMost: Math.min(1, expected + above),
  };
}

/** A class by its name. */
export interface NamedCounts extends ClassCounts {
  readonly name: string;
}

/** Its shares of the exact profile and of the sampled one. */
export interface NamedShares extends NamedCounts {
  readonly exactShare: number;
  readonly sampledShare: number;
}

const shares = (classes: readonly NamedCounts[]): NamedShares[] => {
  const exact = Math.max(
    1,
    sum(classes, (each) => each.exact),
  );
  const sampled = Math.max(
    1,
    sum(classes, (each) => each.sampled),
  );
  return classes.map((each) => ({
    ...each,
    exactShare: each.exact / exact,
    sampledShare: each.sampled / sampled,
  }));
};

/** The classes with the largest exact shares, the largest first. */
export const topOf = (classes: readonly NamedCounts[], most: number): NamedShares[] =>
  shares(classes)
    .sort((a, b) => b.exact - a.exact || (a.name < b.name ? -1 : 1))
    .slice(0, most);

/** The classes that the sampled profile has too little of, the most missed first. */
export const unseenOf = (classes: readonly NamedCounts[], most: number): NamedShares[] =>
  shares(classes)
    .filter(({ exactShare, sampledShare }) => sampledShare < exactShare)
    .sort(
      (a, b) => b.exactShare - b.sampledShare - (a.exactShare - a.sampledShare) || (a.name < b.name ? -1 : 1),
    )
    .slice(0, most);

/** How many of the largest classes an error is told of. */
const TOP = 10;

/** The largest difference of shares among the classes with the largest exact shares. */
export const topError = (classes: readonly NamedCounts[]): number =>
  Math.max(0, ...topOf(classes, TOP).map((each) => Math.abs(each.sampledShare - each.exactShare)));
