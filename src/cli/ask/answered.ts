/** What a question came to: what all who show answers read. */
import type { Answer, Json, Question } from "../../lab/questions/question.ts";

/** A question with what came of it. */
export interface Answered {
  readonly question: Question;
  readonly rows: readonly Json[];
  readonly answer: Answer;
}
