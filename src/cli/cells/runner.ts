/** The one scheduler of cells: what is known is not run, what is the same is run once, and an engine does the rest. */
import { UserError } from "../../common/errors.ts";
import type { RowStore } from "./store.ts";
import { type CellEngine, type CellOutcome, type CellTask, keyOf } from "./task.ts";

export interface RunOptions {
  readonly engine: CellEngine;
  /** Null: every cell is run, and nothing is kept. */
  readonly store: Pick<RowStore, "get" | "put"> | null;
  /** Told before anything runs, and after the outcomes that are known; of tasks and not of different ones. */
  readonly onKnown?: (known: number, total: number) => void;
  /** Told of each task's outcome, in any order; `ran` is false for what was known. */
  readonly onOutcome: (task: CellTask, outcome: CellOutcome, ran: boolean) => void;
}

/**
 * Runs tasks. A row is kept as soon as it is there, so that an interrupted run goes on where it stopped.
 * @throws what `onOutcome` throws, and where the engine cannot go on
 */
export async function runTasks(tasks: readonly CellTask[], options: RunOptions): Promise<void> {
  const { engine, store, onKnown, onOutcome } = options;
  /** Tasks of one content. */
  const alike = new Map<string, CellTask[]>();
  for (const task of tasks) {
    const key = keyOf(task);
    const same = alike.get(key);
    if (same === undefined) alike.set(key, [task]);
    else same.push(task);
  }
  const missing = new Map<string, CellTask>();
  let known = 0;
  for (const [key, same] of alike) {
    const row = store?.get(key);
    if (row === undefined) {
      missing.set(key, same[0]!);
      continue;
    }
    known += same.length;
    for (const task of same) onOutcome(task, { kind: "row", ...row }, false);
  }
  onKnown?.(known, tasks.length);
  await engine.run(missing, (key, outcome) => {
    for (const task of alike.get(key) ?? []) onOutcome(task, outcome, true);
    if (outcome.kind === "row") store?.put(key, outcome);
  });
}

/**
 * A row's text.
 * @throws UserError or the bug of a cell that has none, with its label
 */
export function textOf({ label }: CellTask, outcome: CellOutcome): string {
  switch (outcome.kind) {
    case "row":
      return outcome.text;
    case "user-error":
      throw new UserError(`${label}: ${outcome.what}`, outcome.remedy);
    case "failed":
      throw Object.assign(new Error(`${label}: ${outcome.message}`), {
        stack: `${label}: ${outcome.stack}`,
      });
  }
}
