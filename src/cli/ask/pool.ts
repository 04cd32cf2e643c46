/** Runs the cells of questions: all in one queue. */
import type { Json, Perturbation, Question } from "../../lab/questions/question.ts";
import { runTasks, textOf } from "../cells/runner.ts";
import type { RowStore } from "../cells/store.ts";
import type { CellEngine, CellTask } from "../cells/task.ts";
import type { OnProgress } from "../engine.ts";
import { askTask } from "./cell.ts";

export interface CellRunOptions {
  readonly engine: CellEngine;
  readonly perturbation: Perturbation;
  /** Null: every cell is run. */
  readonly store: RowStore | null;
  readonly onProgress: OnProgress;
  /** Told before anything runs. */
  readonly onKnown: (known: number, total: number) => void;
  /** Told how long a cell took that was run. */
  readonly onRun: (question: Question, tookMs: number) => void;
}

/** The rows of each question, in the order of its cells. */
export type RowsOf = ReadonlyMap<Question, readonly Json[]>;

/**
 * Runs every cell of the questions that is not known already.
 * @throws UserError or the bug of the first cell that fails, with its question and cell
 */
export async function runCells(questions: readonly Question[], options: CellRunOptions): Promise<RowsOf> {
  const { engine, perturbation, store, onProgress, onKnown, onRun } = options;
  const asked = new Map<CellTask, Question>();
  for (const question of questions)
    for (const cell of question.cells()) asked.set(askTask(question.number, cell, perturbation), question);
  const rowOf = new Map<CellTask, Json>();
  await runTasks([...asked.keys()], {
    engine,
    store,
    onKnown,
    onOutcome: (task, outcome, ran) => {
      rowOf.set(task, JSON.parse(textOf(task, outcome)) as Json);
      const question = asked.get(task)!;
      if (!ran || outcome.kind !== "row") return;
      onRun(question, outcome.tookMs);
      onProgress({ done: rowOf.size, total: asked.size, what: `${question.number}. ${question.title}` });
    },
  });
  const rows = new Map<Question, Json[]>(questions.map((question) => [question, []]));
  for (const [task, question] of asked) rows.get(question)?.push(rowOf.get(task) as Json);
  return rows;
}
