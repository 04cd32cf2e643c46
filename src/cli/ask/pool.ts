/** Runs the cells of questions: all in one queue, over worker threads, with rows of earlier runs where they are known. */
import { Piscina } from "piscina";
import { UserError } from "../../common/errors.ts";
import { jsonText } from "../../lab/questions/json.ts";
import type { Json, Perturbation, Question } from "../../lab/questions/question.ts";
import type { OnProgress } from "../engine.ts";
import type { RowCache } from "./cache.ts";
import type { CellOutcome, CellTask } from "./cell.ts";

export interface CellRunOptions {
  /** URL of the module that the questions come from, for the workers. */
  readonly module: string;
  readonly perturbation: Perturbation;
  /** How many threads. */
  readonly jobs: number;
  /** Null: every cell is run. */
  readonly cache: RowCache | null;
  readonly onProgress: OnProgress;
  /** Told before anything runs. */
  readonly onKnown: (known: number, total: number) => void;
  /** Told how long a cell took that was run. */
  readonly onRun: (question: Question, tookMs: number) => void;
}

/** The rows of each question, in the order of its cells. */
export type RowsOf = ReadonlyMap<Question, readonly Json[]>;

interface Pending {
  readonly question: Question;
  readonly task: CellTask;
  row: Json | undefined;
}

/**
 * Runs every cell of the questions that is not known already. Each row is kept as soon as it is there, so that an
 * interrupted run goes on where it stopped.
 * @throws UserError or the bug of the first cell that fails, with its question and cell
 */
export async function runCells(questions: readonly Question[], options: CellRunOptions): Promise<RowsOf> {
  const { module, perturbation, cache, onProgress } = options;
  const all = questions.flatMap((question) =>
    question.cells().map((cell): Pending => {
      const task = { questions: module, number: question.number, cell, perturbation };
      return { question, task, row: undefined };
    }),
  );
  if (cache !== null)
    for (const pending of all) {
      const text = await cache.get(pending.task);
      if (text !== undefined) pending.row = JSON.parse(text) as Json;
    }
  const missing = all.filter(({ row }) => row === undefined);
  const known = all.length - missing.length;
  options.onKnown(known, all.length);
  if (missing.length > 0) {
    const threads = Math.min(options.jobs, missing.length);
    const pool = new Piscina<CellTask, CellOutcome>({
      filename: new URL("../../../bin/cell-worker.js", import.meta.url).href,
      minThreads: threads,
      maxThreads: threads,
    });
    let done = known;
    const runOne = async (pending: Pending): Promise<void> => {
      const { question, task } = pending;
      const { text, tookMs } = await runOn(pool, task);
      pending.row = JSON.parse(text) as Json;
      done++;
      options.onRun(question, tookMs);
      onProgress({ done, total: all.length, what: `${question.number}. ${question.title}` });
      await cache?.put(task, text);
    };
    try {
      await Promise.all(missing.map(runOne));
    } finally {
      await pool.destroy();
    }
  }
  const rows = new Map<Question, Json[]>(questions.map((question) => [question, []]));
  for (const { question, row } of all) rows.get(question)?.push(row as Json);
  return rows;
}

/** Runs one cell on the pool; what fails says which cell it was. */
async function runOn(
  pool: Piscina<CellTask, CellOutcome>,
  task: CellTask,
): Promise<Extract<CellOutcome, { kind: "row" }>> {
  const place = `question ${task.number}, cell ${jsonText(task.cell)}`;
  const outcome = await pool.run(task).catch((error: unknown) => {
    const { message, stack = message } = error instanceof Error ? error : new Error(String(error));
    throw Object.assign(new Error(`${place}: ${message}`), { stack: `${place}: ${stack}` });
  });
  if (outcome.kind === "user-error") throw new UserError(`${place}: ${outcome.what}`, outcome.remedy);
  return outcome;
}
