/** Asks questions: runs their cells, and writes the answers on the terminal, as JSON and as a page. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { counted } from "../../common/counts.ts";
import type { Perturbation, Question } from "../../lab/questions/question.ts";
import { contextOf } from "../cells/context.ts";
import { LocalEngine } from "../cells/local.ts";
import { RowStore, rowFolder } from "../cells/store.ts";
import { beginFile, type PendingFile } from "../files.ts";
import { STDOUT } from "../output.ts";
import { startProgress } from "../progress.ts";
import { renderList } from "../tables.ts";
import { VERSION } from "../version.ts";
import { lookOf, type World } from "../world.ts";
import type { Answered } from "./answered.ts";
import { runCells } from "./pool.ts";
import { renderAnswers } from "./terminal.ts";

export interface AskOptions {
  /** "all" was asked for. */
  readonly everything: boolean;
  readonly json: string | undefined;
  readonly markdown: string | undefined;
  readonly jobs: number;
  readonly cache: boolean;
  /** Say how long each question's cells took. */
  readonly times: boolean;
  readonly perturbation: Perturbation;
}

const ANSWERS_SCHEMA = "spevisor.answers/1";

/** Where a checkout keeps the answers. */
const DOCS = join("docs", "answers.md");
/** What a page of ours says of itself: somebody else's file of that name is left alone. */
const isOurs = (path: string): boolean =>
  existsSync(path) && readFileSync(path, "utf8").includes("spevisor ask");

/** What all readers get. The same questions and costs give the same bytes, on any machine. */
const jsonOf = (answered: readonly Answered[], perturbation: Perturbation): string =>
  `${JSON.stringify(
    {
      schema: ANSWERS_SCHEMA,
      version: VERSION,
      costFactors: perturbation,
      questions: answered.map(({ question, rows, answer }) => ({
        number: question.number,
        title: question.title,
        asked: question.asked,
        origin: question.origin,
        decidedBy: question.decidedBy,
        leavesOut: question.leavesOut,
        answer,
        cells: question.cells().map((cell, i) => ({ cell, row: rows[i] })),
      })),
    },
    null,
    2,
  )}\n`;

/** Numbers and titles. */
export function listQuestions(questions: readonly Question[], world: World): void {
  const rows = questions.map(({ number, title }) => [String(number).padStart(2), title]);
  world.stdout.write(`${renderList(rows, lookOf(world.stdout, world.env))}\n`);
}

/** What to type for the same answers, after `spevisor ask`. */
function commandOf(questions: readonly Question[], { everything, perturbation }: AskOptions): string {
  const numbers = everything ? "all" : questions.map(({ number }) => number).join(" ");
  const factors = Object.entries(perturbation).map(([name, factor]) => `${name}=${factor}`);
  return factors.length === 0 ? numbers : `${numbers} --costs ${factors.join(",")}`;
}

/** Runs every cell and answers the questions; says on stderr what it need not run, and what took how long. */
async function answersTo(
  questions: readonly Question[],
  { perturbation, jobs, cache, times }: AskOptions,
  world: World,
): Promise<Answered[]> {
  const say = (text: string) => world.stderr.write(`${text}\n`);
  const warn = (text: string) => say(`spevisor: ${text}`);
  const tookMs = new Map<Question, number>();
  const progress = startProgress("starting", world);
  const context = contextOf(world);
  const engine = new LocalEngine({ threads: jobs, context, paths: new Map(), attempts: 1 });
  try {
    const rowsOf = await runCells(questions, {
      engine,
      perturbation,
      store: cache ? new RowStore(rowFolder(world.env), context.build, warn) : null,
      onProgress: progress.onProgress,
      onKnown: (known, total) => {
        if (known > 0) say(`${known} of ${counted(total, "cell")} from the cache`);
      },
      onRun: (question, ms) => tookMs.set(question, (tookMs.get(question) ?? 0) + ms),
    });
    progress.stop();
    if (times)
      for (const [{ number, title }, ms] of [...tookMs].sort(([, a], [, b]) => b - a))
        say(`${(ms / 1000).toFixed(1).padStart(7)} s  ${number}. ${title}`);
    return questions.map((question) => {
      const rows = rowsOf.get(question) ?? [];
      return { question, rows, answer: question.answer(rows) };
    });
  } finally {
    progress.stop();
    await engine.close();
  }
}

/** Runs the questions and writes what was asked for: files first, then the terminal. */
export async function ask(questions: readonly Question[], options: AskOptions, world: World): Promise<void> {
  const { perturbation } = options;
  const atOwnCosts = Object.keys(perturbation).length === 0;
  const page = options.markdown ?? (options.everything && atOwnCosts && isOurs(DOCS) ? DOCS : undefined);
  const files: PendingFile[] = [];
  const begun = (path: string): PendingFile => {
    const file = beginFile(path);
    files.push(file);
    return file;
  };
  try {
    const json = options.json === undefined || options.json === STDOUT ? undefined : begun(options.json);
    const markdown = page === undefined ? undefined : begun(page);
    const answered = await answersTo(questions, options, world);
    json?.write(jsonOf(answered, perturbation));
    // Charts take a second to load.
    const pages = markdown === undefined ? undefined : await import("./markdown.ts");
    const pictures = pages?.beginPictures(markdown!.path, answered, begun);
    if (pictures !== undefined)
      markdown?.write(pages!.markdownOf(answered, commandOf(questions, options), pictures));
    for (const file of files) file.commit();
    pictures?.removeUnused();
    world.stdout.write(
      options.json === STDOUT
        ? jsonOf(answered, perturbation)
        : renderAnswers(answered, perturbation, lookOf(world.stdout, world.env)),
    );
    for (const { path } of [json, markdown].filter((file) => file !== undefined))
      world.stderr.write(`written: ${path}\n`);
  } finally {
    for (const file of files) file.discard();
  }
}
