/** Runs cells of a matrix in guests: over worker threads, each cell from the snapshot of a guest that has booted. */
import { Piscina } from "piscina";
import { type Cell, labelOf, machineOf } from "../../lab/linux/cells.ts";
import { startingAlike } from "../../lab/linux/shared-start.ts";
import { DEFAULT_HOST } from "../../vmm/machine-config.ts";
import type { OnProgress } from "../engine.ts";
import type { CellOutcome, GuestTask } from "./cell.ts";

export interface GuestRunOptions extends Omit<GuestTask, "cells" | "bootOnly"> {
  /** How many threads. */
  readonly jobs: number;
  readonly onProgress: OnProgress;
}

/** What became of a cell. */
export interface CellResult {
  readonly cell: Cell;
  readonly outcome: CellOutcome;
}

/** Cells whose machines boot alike. */
const bootKey = ({ of }: Cell): string => {
  const { cpus, memoryBytes, host, speIntervalOps } = machineOf(of);
  return JSON.stringify([cpus, memoryBytes, speIntervalOps, host.backing ?? DEFAULT_HOST.backing]);
};

/**
 * Runs every cell; results are in the order of the cells, whoever ran them when.
 * @throws the bug of the first group of cells that fails by one, with its name
 */
export async function runGuestCells(
  cells: readonly Cell[],
  { jobs, onProgress, ...shared }: GuestRunOptions,
): Promise<CellResult[]> {
  const groups = startingAlike(cells);
  const threads = Math.min(jobs, groups.length);
  const pool = new Piscina<GuestTask, readonly CellOutcome[]>({
    filename: new URL("../../../bin/guest-worker.js", import.meta.url).href,
    minThreads: threads,
    maxThreads: threads,
  });
  const run = (group: readonly Cell[], bootOnly: boolean): Promise<readonly CellOutcome[]> =>
    pool.run({ ...shared, cells: group, bootOnly }).catch((error: unknown) => {
      const { message, stack = message } = error instanceof Error ? error : new Error(String(error));
      const label = labelOf(group[0]!);
      throw Object.assign(new Error(`${label}: ${message}`), { stack: `${label}: ${stack}` });
    });
  try {
    // One boot for all that boot alike, before two workers would make the same.
    const boots = [...new Map(cells.map((cell) => [bootKey(cell), cell])).values()];
    const total = cells.length;
    onProgress({ done: 0, total, what: "booting the guest" });
    await Promise.all(boots.map((cell) => run([cell], true)));
    let done = 0;
    pool.on("message", (what: string) => {
      done += 1;
      onProgress({ done, total, what });
    });
    const outcomes = new Map<Cell, CellOutcome>();
    await Promise.all(
      groups.map(async (group) => {
        const ran = await run(group, false);
        for (const [i, cell] of group.entries()) outcomes.set(cell, ran[i]!);
      }),
    );
    return cells.map((cell) => ({ cell, outcome: outcomes.get(cell)! }));
  } finally {
    await pool.destroy();
  }
}
