/** `spevisor ask` as commander knows it. */
import { availableParallelism } from "node:os";
import type { Command } from "commander";
import { UserError } from "../../common/errors.ts";
import type { Perturbation, Question } from "../../lab/questions/question.ts";
import { costFactors, MOST_JOBS, nonEmpty, whole } from "../options.ts";
import type { World } from "../world.ts";

interface Flags {
  readonly json?: string;
  readonly markdown?: string;
  readonly jobs?: number;
  readonly cache: boolean;
  readonly times?: true;
  readonly costs?: Perturbation;
}

const ALL = "all";

/** What "5", "1 5 12", "1,5" or "all" name, in order and each once. */
function choose(given: readonly string[], questions: readonly Question[]): readonly Question[] {
  const words = given.flatMap((text) => text.split(",").filter((word) => word !== ""));
  const known = questions.map(({ number }) => String(number));
  for (const word of words)
    if (word !== ALL && !known.includes(word))
      throw new UserError(
        /^\d+$/.test(word) ? `there is no question ${word}` : `"${word}" is not a question's number`,
        `There are ${known.join(", ")}, or "${ALL}"; spevisor ask lists them.`,
      );
  return questions.filter(({ number }) => words.includes(ALL) || words.includes(String(number)));
}

/** Adds `ask` to the command line. */
export function addAsk(program: Command, world: World): void {
  program
    .command("ask")
    .description("run the experiments that answer the open questions; without a number: list them")
    .argument("[numbers...]", 'questions by number, or "all"')
    .option("--json <file>", 'write cells, rows and answers as JSON; "-" for standard output', nonEmpty)
    .option("--markdown <file>", "write the answers as a page, its charts in a folder beside it", nonEmpty)
    .option("--jobs <n>", "threads (default: one for each core)", whole("--jobs", 1, MOST_JOBS))
    .option("--no-cache", "run every cell, and keep no rows for the next time")
    .option("--times", "say how long the cells of each question took")
    .option(
      "--costs <factors>",
      "multiply costs, to see whether an answer depends on them: exit=10,walkTable=0.5",
      costFactors,
    )
    .addHelpText(
      "after",
      `
Rows are kept under XDG_CACHE_HOME (or ~/.cache) for as long as the source stays the same, so that an
interrupted run goes on where it stopped. "ask all" in a checkout writes docs/answers.md and docs/answers/ unless
--markdown says where, or --costs is given.

Examples:
  $ spevisor ask
  $ spevisor ask 20 --costs exit=10
  $ spevisor ask all --json answers.json`,
    )
    .action(async (given: string[], flags: Flags) => {
      // Other commands start sooner without what comes with these: thread pools and a cache.
      const { loadQuestions } = await import("./cell.ts");
      const { ask, listQuestions } = await import("./ask.ts");
      const questions = await loadQuestions(world.questions.href);
      if (given.length === 0) {
        if (flags.json !== undefined || flags.markdown !== undefined || flags.costs !== undefined)
          throw new UserError("ask: which question?", "Give its number, or all: spevisor ask all");
        listQuestions(questions, world);
        return;
      }
      await ask(
        choose(given, questions),
        {
          everything: given.includes(ALL),
          json: flags.json,
          markdown: flags.markdown,
          jobs: flags.jobs ?? availableParallelism(),
          cache: flags.cache,
          times: flags.times === true,
          perturbation: flags.costs ?? {},
        },
        world,
      );
    });
}
