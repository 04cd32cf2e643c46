/** What a sweep's results come to: by workload, policy and buffer, and the worst cells. */
import { fieldsOf, type SweepCell } from "./cell.ts";
import type { Result, Row } from "./row.ts";

/** Cells of one workload, policy and buffer: over profiles, costs, seeds and what else there is. */
export interface Group {
  readonly workload: string;
  readonly policy: string;
  /** Null where cells have none. */
  readonly bufferBytes: number | null;
  readonly cells: number;
  readonly failed: number;
  /** Null where no cell has one. */
  readonly slowdown: { readonly median: number; readonly worst: number } | null;
  /** The largest share of selected samples that was lost. */
  readonly worstLostShare: number | null;
}

/** A cell that is worse than others: by its slowdown, or by what it found. */
export interface Worst {
  readonly cell: SweepCell;
  readonly slowdown: number | null;
  readonly lostShare: number | null;
  /** In words, where there is more to say. */
  readonly found: string;
}

export interface Failure {
  readonly cell: SweepCell;
  readonly why: string;
}

/** How many of the worst cells, and of those that failed, are kept. */
const MOST_WORST = 20;

/** Of sorted numbers. */
const median = (sorted: readonly number[]): number => {
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
};

const numberIn = (row: Row, name: string): number | null => {
  const value = row[name];
  return typeof value === "number" ? value : null;
};

interface Gathered extends Pick<Group, "workload" | "policy" | "bufferBytes"> {
  cells: number;
  failed: number;
  slowdowns: number[];
  lostShares: number[];
}

/** Gathers results one by one, in their order. */
export class Summary {
  cells = 0;
  readonly #groups = new Map<string, Gathered>();
  readonly #worst: Worst[] = [];
  readonly failures: Failure[] = [];
  failed = 0;

  add({ cell, outcome }: Result): void {
    this.cells += 1;
    const { workload = "", policy, bufferBytes } = fieldsOf(cell);
    const key = JSON.stringify([workload, policy, bufferBytes]);
    const group: Gathered = this.#groups.get(key) ?? {
      workload: String(workload),
      policy: String(policy ?? ""),
      bufferBytes: typeof bufferBytes === "number" ? bufferBytes : null,
      cells: 0,
      failed: 0,
      slowdowns: [],
      lostShares: [],
    };
    this.#groups.set(key, group);
    group.cells += 1;
    if (outcome.kind === "failed") {
      group.failed += 1;
      this.failed += 1;
      if (this.failures.length < MOST_WORST) this.failures.push({ cell, why: outcome.why });
      return;
    }
    const { row } = outcome;
    const slowdown = numberIn(row, "slowdown");
    const lostShare = numberIn(row, "lostShare");
    if (slowdown !== null) group.slowdowns.push(slowdown);
    if (lostShare !== null) group.lostShares.push(lostShare);
    this.#consider({ cell, slowdown, lostShare, found: foundIn(row) });
  }

  #consider(each: Worst): void {
    if (each.slowdown === null && each.found === "") return;
    this.#worst.push(each);
    // Of equals the first one in the sweep's order: sort is stable.
    if (this.#worst.length >= 4 * MOST_WORST) this.#worst.splice(0, this.#worst.length, ...this.worst);
  }

  /** The worst cells, the worst first. */
  get worst(): readonly Worst[] {
    const badness = ({ slowdown, found }: Worst): number =>
      found === "" ? (slowdown ?? 0) : Number.MAX_VALUE;
    return [...this.#worst].sort((a, b) => badness(b) - badness(a)).slice(0, MOST_WORST);
  }

  get groups(): readonly Group[] {
    return [...this.#groups.values()].map(({ slowdowns, lostShares, ...group }) => {
      const sorted = slowdowns.sort((a, b) => a - b);
      return {
        ...group,
        slowdown: sorted.length === 0 ? null : { median: median(sorted), worst: sorted.at(-1)! },
        worstLostShare: lostShares.length === 0 ? null : Math.max(...lostShares),
      };
    });
  }
}

/** What a fuzzer or the bar has found; empty where that is nothing. */
function foundIn(row: Row): string {
  const { findings, mismatches, found } = row;
  if (typeof findings === "string" && findings !== "") return findings;
  if (typeof mismatches === "number" && mismatches > 0)
    return `${mismatches} mismatches${typeof found === "string" ? `: ${found}` : ""}`;
  return "";
}
