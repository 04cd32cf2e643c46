/** For tests of questions: runs all cells of one here, on the cost profiles that ship. */
import { profileNamed } from "../src/cli/lab.ts";
import { jsonText } from "../src/lab/questions/json.ts";
import {
  type Answer,
  answerHere,
  type Json,
  type Perturbation,
  type Question,
  worldOf,
} from "../src/lab/questions/question.ts";

/** Rows as the runner gives them: through JSON and back. */
const throughJson = (question: Question): Question => ({
  ...question,
  run: (cell, world) => JSON.parse(jsonText(question.run(cell, world))) as Json,
});

/**
 * A question's answer, computed in this thread and without a cache.
 * @param perturbation factors by which costs are multiplied: a test of a headline moves `decidedBy` with it
 */
export const askHere = (question: Question, perturbation: Perturbation = {}): Answer =>
  answerHere(throughJson(question), worldOf(profileNamed, perturbation));
