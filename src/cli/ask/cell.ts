/** A cell of a question: what a worker runs of it, and the task that has it run. */
import { BrokenInvariant } from "../../common/errors.ts";
import { jsonText } from "../../lab/questions/json.ts";
import { costTablesOf, type Json, type Perturbation, type Question } from "../../lab/questions/question.ts";
import type { CellTask } from "../cells/task.ts";
import { importSource } from "../import-source.ts";
import { profileNamed } from "../lab.ts";

/** One cell to run. */
interface AskInput {
  readonly number: number;
  readonly cell: Json;
  /** Sorted, and without factors of one: a row depends on it. */
  readonly perturbation: Perturbation;
}

/** The questions of a module. */
export async function loadQuestions(url: string): Promise<readonly Question[]> {
  const { QUESTIONS } = (await importSource(url)) as { readonly QUESTIONS: readonly Question[] };
  return QUESTIONS;
}

/** A cell of a question at some costs, as a task. */
export function askTask(number: number, cell: Json, perturbation: Perturbation): CellTask {
  const factors = Object.entries(perturbation)
    .filter(([, factor]) => factor !== 1)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return {
    kind: "ask",
    input: { number, cell, perturbation: Object.fromEntries(factors) },
    files: [],
    label: `question ${number}, cell ${jsonText(cell)}`,
  };
}

/** Runs a cell. @param questions URL of a module that exports QUESTIONS */
export async function runAskCell(input: Json, questions: string): Promise<Json> {
  const { number, cell, perturbation } = input as unknown as AskInput;
  const question = (await loadQuestions(questions)).find((each) => each.number === number);
  if (question === undefined) throw new BrokenInvariant(`a worker knows of no question ${number}`);
  return question.run(cell, costTablesOf(profileNamed, perturbation));
}
