/** Counts as sentences write them. */

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** "1,204". */
export const formatCount = (n: number): string => whole.format(n);

/** "1 blackout", "1,204 blackouts". */
export const counted = (n: number, singular: string, plural = `${singular}s`): string =>
  `${formatCount(n)} ${n === 1 ? singular : plural}`;
