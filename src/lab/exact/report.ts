/** What an exact profile says beside the sampled one of the same run. */
import { type ExactPage, type ExactProfile, vaOfPage } from "../../cpu/spe/exact-profile.ts";
import {
  type Fidelity,
  fidelityOf,
  type NamedCounts,
  type NamedShares,
  topError,
  topOf,
  unseenOf,
} from "../fidelity.ts";
import type { Symbolizer } from "./symbols.ts";

export const EXACT_SCHEMA = "spevisor.exact/1";

/** Instructions in a line of 64 bytes. */
const IN_LINE = 16;
const MOST_NAMED = 20;

/** What was executed, and what of it was sampled, by instruction: [index in its page, count]. */
interface PageCounts {
  /** CONTEXTIDR_EL1; null: the kernel's half. */
  readonly context: number | null;
  readonly va: string;
  readonly executed: readonly (readonly [index: number, count: number])[];
  readonly sampled: readonly (readonly [index: number, count: number])[];
}

export interface ExactReport {
  readonly schema: typeof EXACT_SCHEMA;
  readonly version: string;
  readonly command: string;
  readonly policy: string;
  readonly lines: Fidelity;
  /** Null where it is not known which code has which name. */
  readonly symbols: Fidelity | null;
  /** The largest of them, and those that the samples have too little of: symbols, else lines. */
  readonly top: readonly NamedShares[];
  readonly topError: number;
  readonly unseen: readonly NamedShares[];
  readonly pages: readonly PageCounts[];
}

/** Adds up the counts of all cores by what `nameOf` calls each instruction. */
function classesOf(
  profiles: readonly ExactProfile[],
  nameOf: (page: ExactPage, index: number) => string,
): NamedCounts[] {
  const classes = new Map<string, { name: string; exact: number; sampled: number }>();
  for (const profile of profiles)
    for (const page of profile.pages)
      page.executed.forEach((exact, i) => {
        const sampled = page.sampled[i]!;
        if (exact === 0 && sampled === 0) return;
        const name = nameOf(page, i);
        const counts = classes.get(name) ?? { name, exact: 0, sampled: 0 };
        counts.exact += exact;
        counts.sampled += sampled;
        classes.set(name, counts);
      });
  return [...classes.values()];
}

const nonZero = (counts: Float64Array): [number, number][] =>
  [...counts].flatMap((count, i): [number, number][] => (count > 0 ? [[i, count]] : []));

/** @param symbolizer undefined: nobody knows which code has which name */
export function exactReport(
  profiles: readonly ExactProfile[],
  symbolizer: Symbolizer | undefined,
  of: Pick<ExactReport, "version" | "command" | "policy">,
): ExactReport {
  const lines = classesOf(profiles, (page, i) => {
    const va = vaOfPage(page) + BigInt(4 * (i - (i % IN_LINE)));
    return `0x${va.toString(16)}${page.context === undefined ? " [kernel]" : ` [${page.context}]`}`;
  });
  const symbols =
    symbolizer === undefined
      ? undefined
      : classesOf(profiles, (page, i) => symbolizer.nameOf(page.context, vaOfPage(page) + BigInt(4 * i)));
  const named = symbols ?? lines;
  return {
    schema: EXACT_SCHEMA,
    ...of,
    lines: fidelityOf(lines),
    symbols: symbols === undefined ? null : fidelityOf(symbols),
    top: topOf(named, MOST_NAMED),
    topError: topError(named),
    unseen: unseenOf(named, MOST_NAMED),
    pages: profiles.flatMap((profile) =>
      [...profile.pages].map((page) => ({
        context: page.context ?? null,
        va: `0x${vaOfPage(page).toString(16)}`,
        executed: nonZero(page.executed),
        sampled: nonZero(page.sampled),
      })),
    ),
  };
}
