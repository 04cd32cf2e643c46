/** For tests of questions: runs all cells of one here, on the cost profiles that ship. */
import { UserError } from "../src/common/errors.ts";
import { PROFILES } from "../src/host/profiles.ts";
import {
  type Answer,
  answerHere,
  type Perturbation,
  type ProfileNamed,
  type Question,
  worldOf,
} from "../src/lab/questions/question.ts";

/** The profiles that ship, by name. */
const profileNamed: ProfileNamed = (name) => {
  const profile = PROFILES.find((each) => each.name === name);
  if (profile === undefined) throw new UserError(`there is no cost profile "${name}"`);
  return profile;
};

/**
 * A question's answer, computed in this thread and without a cache.
 * @param perturbation factors by which costs are multiplied: a test of a headline moves `decidedBy` with it
 */
export const askHere = (question: Question, perturbation: Perturbation = {}): Answer =>
  answerHere(question, worldOf(profileNamed, perturbation));
