/** Numbers as the report's sentences write them; sizes and durations are in common/sizes.ts. */
export { counted, formatCount } from "../../common/counts.ts";

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const three = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });

/** A factor: "1.02", "51.5", "1,060"; always enough digits to tell 1.19 from 1.2. */
export const formatFactor = (factor: number): string =>
  factor < 10 ? factor.toFixed(2) : factor < 100 ? factor.toFixed(1) : whole.format(factor);

/** A clock rate: "2.4 GHz", "0.004 GHz". */
export const formatGHz = (rate: number): string => `${three.format(rate)} GHz`;

/** A part of a whole: "4.1 %", "0.02 %", "< 0.01 %"; never "0 %" or "100 %" for what is only nearly so. */
export function formatShare(part: number, of: number): string {
  if (part === 0 || of === 0) return "0 %";
  const percent = (100 * part) / of;
  if (percent < 0.01) return "< 0.01 %";
  if (percent > 99.9 && part < of) return "> 99.9 %";
  return `${Number(percent.toPrecision(percent >= 10 ? 3 : 2))} %`;
}

/** "a", "a and b", "a, b and c". */
export const listed = (items: readonly string[]): string =>
  items.length < 2 ? (items[0] ?? "") : `${items.slice(0, -1).join(", ")} and ${items.at(-1)}`;
