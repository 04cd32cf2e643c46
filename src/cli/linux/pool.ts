/** Runs cells of a matrix in guests: over worker threads, each cell from the snapshot of a guest that has booted. */
import { Piscina } from "piscina";
import { type Cell, labelOf, machineOf } from "../../lab/linux/cells.ts";
import { DEFAULT_HOST } from "../../vmm/machine-config.ts";
import type { OnProgress } from "../engine.ts";
import type { GuestOutcome, GuestTask } from "./cell.ts";

export interface GuestRunOptions extends Omit<GuestTask, "cell" | "bootOnly"> {
  /** How many threads. */
  readonly jobs: number;
  readonly onProgress: OnProgress;
}

/** What became of a cell. */
export interface CellResult {
  readonly cell: Cell;
  readonly outcome: Exclude<GuestOutcome, { kind: "booted" }>;
}

/** Cells whose machines boot alike. */
const bootKey = ({ of }: Cell): string => {
  const { cpus, memoryBytes, host, speIntervalOps } = machineOf(of);
  return JSON.stringify([cpus, memoryBytes, speIntervalOps, host.backing ?? DEFAULT_HOST.backing]);
};

/**
 * Runs every cell; results are in the order of the cells, whoever ran them when.
 * @throws the bug of the first cell that fails by one, with the cell's name
 */
export async function runGuestCells(
  cells: readonly Cell[],
  { jobs, onProgress, ...shared }: GuestRunOptions,
): Promise<CellResult[]> {
  const threads = Math.min(jobs, cells.length);
  const pool = new Piscina<GuestTask, GuestOutcome>({
    filename: new URL("../../../bin/guest-worker.js", import.meta.url).href,
    minThreads: threads,
    maxThreads: threads,
  });
  const run = (cell: Cell, bootOnly: boolean): Promise<GuestOutcome> =>
    pool.run({ ...shared, cell, bootOnly }).catch((error: unknown) => {
      const { message, stack = message } = error instanceof Error ? error : new Error(String(error));
      throw Object.assign(new Error(`${labelOf(cell)}: ${message}`), { stack: `${labelOf(cell)}: ${stack}` });
    });
  try {
    // One boot for all that boot alike, before two workers would make the same.
    const boots = [...new Map(cells.map((cell) => [bootKey(cell), cell])).values()];
    onProgress({ done: 0, total: cells.length, what: "booting the guest" });
    await Promise.all(boots.map((cell) => run(cell, true)));
    let done = 0;
    return await Promise.all(
      cells.map(async (cell): Promise<CellResult> => {
        const outcome = await run(cell, false);
        done += 1;
        onProgress({ done, total: cells.length, what: labelOf(cell) });
        return { cell, outcome: outcome as CellResult["outcome"] };
      }),
    );
  } finally {
    await pool.destroy();
  }
}
