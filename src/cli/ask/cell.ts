/** A worker's side of a question: runs one cell. Started by bin/cell-worker.js. */
import { BrokenInvariant, UserError } from "../../common/errors.ts";
import { jsonText } from "../../lab/questions/json.ts";
import { costTablesOf, type Json, type Perturbation, type Question } from "../../lab/questions/question.ts";
import { importSource } from "../import-source.ts";
import { profileNamed } from "../lab.ts";

/** One cell to run: plain data. */
export interface CellTask {
  /** URL of a module that exports QUESTIONS. */
  readonly questions: string;
  readonly number: number;
  readonly cell: Json;
  readonly perturbation: Perturbation;
}

/** What became of it. Error classes do not survive the crossing, so a user's error is spelt out. */
export type CellOutcome =
  | { readonly kind: "row"; readonly text: string; readonly tookMs: number }
  | { readonly kind: "user-error"; readonly what: string; readonly remedy: string };

/** The questions of a module. */
export async function loadQuestions(url: string): Promise<readonly Question[]> {
  const { QUESTIONS } = (await importSource(url)) as { readonly QUESTIONS: readonly Question[] };
  return QUESTIONS;
}

/** Runs a cell; its row comes back as JSON text. What is neither a row nor the user's doing is thrown. */
export async function runCell(task: CellTask): Promise<CellOutcome> {
  const question = (await loadQuestions(task.questions)).find(({ number }) => number === task.number);
  if (question === undefined) throw new BrokenInvariant(`a worker knows of no question ${task.number}`);
  const startedMs = performance.now();
  try {
    const row = question.run(task.cell, costTablesOf(profileNamed, task.perturbation));
    return { kind: "row", text: jsonText(row), tookMs: performance.now() - startedMs };
  } catch (error) {
    if (error instanceof UserError) return { kind: "user-error", what: error.what, remedy: error.remedy };
    throw error;
  }
}
