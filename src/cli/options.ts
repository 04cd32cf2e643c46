/** The vocabulary of option values: each parser returns a value or throws a UserError that names the option. */
import { InvalidArgumentError } from "commander";
import leven from "leven";
import { UserError } from "../common/errors.ts";
import { parseSizeBytes } from "../common/sizes.ts";
import { COST_NAMES, type CostFactors, type CostName } from "../host/costs.ts";

/** More threads than any machine of ours has cores are a slip of the finger. */
export const MOST_JOBS = 1024;

/** "Did you mean x?" if one of the names is near enough to be a slip of the finger. */
function suggestion(given: string, names: readonly string[]): string {
  const near = names
    .map((name) => ({ name, distance: leven(given.toLowerCase(), name.toLowerCase()) }))
    .filter(({ name, distance }) => distance <= Math.max(2, name.length / 3) || name.startsWith(given))
    .sort((a, b) => a.distance - b.distance)[0];
  return near === undefined ? "" : `Did you mean ${near.name}? `;
}

/** @throws UserError unless `given` is one of `names` */
export function knownName(kind: string, given: string, names: readonly string[]): string {
  if (names.includes(given)) return given;
  throw new UserError(
    `${kind} "${given}" does not exist`,
    `${suggestion(given, names)}There are: ${names.join(", ")}`,
  );
}

/** Collects "--policy a,b --policy c" and "--policy a b c" alike. */
export const names = (text: string, before: readonly string[] | undefined): string[] => [
  ...(before ?? []),
  ...text.split(",").filter((name) => name !== ""),
];

/** A size that is not nothing. */
export const positiveSize = (option: string) => (text: string) => {
  const bytes = parseSizeBytes(text, option);
  if (bytes === 0) throw new UserError(`${option}: must be more than nothing`);
  return bytes;
};

/** A size, or null for "unlimited". */
export const sizeOrUnlimited = (option: string) => (text: string) =>
  text === "unlimited" ? null : parseSizeBytes(text, option);

/** A whole number of at least `least`. */
export const whole =
  (option: string, least: number, most = Number.MAX_SAFE_INTEGER) =>
  (text: string): number => {
    const value = Number(text);
    if (!/^[0-9]+$/.test(text) || !Number.isSafeInteger(value) || value < least || value > most)
      throw new UserError(
        `${option}: "${text}" is not a whole number ${most === Number.MAX_SAFE_INTEGER ? `of at least ${least}` : `from ${least} to ${most}`}`,
      );
    return value;
  };

/** A number above zero, such as 2.5. */
export const positive = (option: string) => (text: string) => {
  const value = Number(text);
  if (!/^[0-9]*\.?[0-9]+$/.test(text) || !(value > 0))
    throw new UserError(`${option}: "${text}" is not a number above zero`);
  return value;
};

const NS_PER: Readonly<Record<string, number>> = { "": 1, ns: 1, us: 1e3, µs: 1e3, ms: 1e6, s: 1e9 };

/** Nanoseconds from "500", "500ns", "1.5us", "2ms". */
export const duration = (option: string) => (text: string) => {
  const match = /^([0-9]*\.?[0-9]+)\s*([a-zµ]*)$/.exec(text);
  const factor = match === null ? undefined : NS_PER[match[2] as string];
  if (match === null || factor === undefined)
    throw new UserError(
      `${option}: "${text}" is not a duration`,
      "Write a number with ns, us, ms or s: 1.5us",
    );
  return Number(match[1]) * factor;
};

/** Values separated by commas, once or several times, each as `parse` has it. */
export const listOf =
  <T>(parse: (text: string) => T) =>
  (text: string, before: readonly T[] | undefined): T[] => [
    ...(before ?? []),
    ...text
      .split(",")
      .filter((part) => part !== "")
      .map(parse),
  ];

/** "exit=10,walkTable=0.5", once or several times. */
export function costFactors(text: string, before: CostFactors = {}): CostFactors {
  const factors: Partial<Record<CostName, number>> = { ...before };
  for (const part of text.split(",")) {
    const [name = "", factor = ""] = part.split("=", 2);
    if (!/^[0-9]*\.?[0-9]+$/.test(factor))
      throw new UserError(`--costs: "${part}" is not a cost and a factor`, "Write NAME=FACTOR: exit=10");
    factors[knownName("cost", name, COST_NAMES) as CostName] = Number(factor);
  }
  return factors;
}

/** For commander's own messages. */
export const nonEmpty = (text: string): string => {
  if (text.trim() === "") throw new InvalidArgumentError("It is empty.");
  return text;
};
