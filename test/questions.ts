/** For tests of questions: runs all cells of one here, on the cost profiles that ship. */
import { readFileSync } from "node:fs";
import { profileNamed } from "../src/cli/lab.ts";
import { jsonText } from "../src/lab/questions/json.ts";
import {
  type Answer,
  answerHere,
  costTablesOf,
  type Json,
  type Perturbation,
  type Question,
} from "../src/lab/questions/question.ts";

/** Rows as the runner gives them: through JSON and back. */
const throughJson = (question: Question): Question => ({
  ...question,
  run: (cell, costTables) => JSON.parse(jsonText(question.run(cell, costTables))) as Json,
});

interface Rows {
  readonly questions: readonly {
    readonly number: number;
    readonly cells: readonly { readonly row: Json }[];
  }[];
}

/** What `spevisor ask all --json` has written, of the same source: CI has it made beside other steps. */
const MADE = process.env["SPEVISOR_ROWS"];
const made = MADE === undefined ? undefined : (JSON.parse(readFileSync(MADE, "utf8")) as Rows);

function answerTo(question: Question, perturbation: Perturbation): Answer {
  const rows = made?.questions.find(({ number }) => number === question.number)?.cells;
  return rows !== undefined && Object.keys(perturbation).length === 0
    ? question.answer(rows.map(({ row }) => row))
    : answerHere(throughJson(question), costTablesOf(profileNamed, perturbation));
}

/** Answers of this test file: several tests look at the same one. */
const answered = new Map<Question, Map<string, Answer>>();

/**
 * A question's answer, computed in this thread and without what is kept on disk, but for rows that SPEVISOR_ROWS names.
 * @param perturbation factors by which costs are multiplied: a test of a headline moves `decidedBy` with it
 */
export function askHere(question: Question, perturbation: Perturbation = {}): Answer {
  const key = JSON.stringify(perturbation);
  const known = answered.get(question) ?? new Map<string, Answer>();
  answered.set(question, known);
  const answer = known.get(key) ?? answerTo(question, perturbation);
  known.set(key, answer);
  return answer;
}
