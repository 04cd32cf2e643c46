/** Runs cells of a matrix in guests, each from the snapshot of a guest that has booted. */
import type { StoredGuest } from "../../guest/node/guests.ts";
import { type Cell, machineOf } from "../../lab/linux/cells.ts";
import { startingAlike } from "../../lab/linux/shared-start.ts";
import { DEFAULT_HOST } from "../../vmm/machine-config.ts";
import { LocalEngine } from "../cells/local.ts";
import { runTasks, textOf } from "../cells/runner.ts";
import type { CellContext, CellTask } from "../cells/task.ts";
import type { OnProgress } from "../engine.ts";
import { type CellOutcome, guestInputs, guestTask } from "./cell.ts";

export interface GuestRunOptions {
  readonly guest: StoredGuest;
  readonly context: CellContext;
  readonly seed: number;
  /** How much of the guest's time a command may take, in ns. */
  readonly limitNs: number;
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
  { guest, context, jobs, onProgress, ...how }: GuestRunOptions,
): Promise<CellResult[]> {
  const total = cells.length;
  const { input, paths } = guestInputs(guest);
  let done = 0;
  const onSaid = (what: string): void => {
    done += 1;
    onProgress({ done, total, what });
  };
  const groups = startingAlike(cells);
  const engine = new LocalEngine({
    threads: Math.min(jobs, groups.length),
    context,
    paths,
    attempts: 1,
    onSaid,
  });
  try {
    // One boot for all that boot alike, before two workers would make the same.
    const boots = [...new Map(cells.map((cell) => [bootKey(cell), cell])).values()];
    onProgress({ done: 0, total, what: "booting the guest" });
    await runTasks(
      boots.map((cell) => guestTask("guest-boot", input, how, [cell])),
      { engine, store: null, onOutcome: textOf },
    );
    const outcomes = new Map<Cell, CellOutcome>();
    const groupOf = new Map<CellTask, readonly Cell[]>(
      groups.map((group) => [guestTask("guest", input, how, group), group]),
    );
    await runTasks([...groupOf.keys()], {
      engine,
      store: null,
      onOutcome: (task, outcome) => {
        const ran = JSON.parse(textOf(task, outcome)) as CellOutcome[];
        for (const [i, cell] of groupOf.get(task)!.entries()) outcomes.set(cell, ran[i]!);
      },
    });
    return cells.map((cell) => ({ cell, outcome: outcomes.get(cell)! }));
  } finally {
    await engine.close();
  }
}
