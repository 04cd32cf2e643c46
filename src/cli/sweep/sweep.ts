/** `spevisor sweep`: from a file or options to results on disk, whoever computes them. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { basename, dirname, join, relative } from "node:path";
import { UserError } from "../../common/errors.ts";
import type { SweepCell } from "../../lab/sweep/cell.ts";
import { commandOf } from "../../lab/sweep/command.ts";
import { cellsOfSweep } from "../../lab/sweep/expand.ts";
import type { Sweep } from "../../lab/sweep/matrix.ts";
import { sweepPage } from "../../lab/sweep/page.ts";
import { type Outcome, outcomeOf } from "../../lab/sweep/row.ts";
import { Summary } from "../../lab/sweep/summary.ts";
import { readWhole } from "../../vmm/node/read-file.ts";
import { loadQuestions } from "../ask/cell.ts";
import { contextOf } from "../cells/context.ts";
import { LocalEngine } from "../cells/local.ts";
import { runTasks } from "../cells/runner.ts";
import { RowStore, rowFolder } from "../cells/store.ts";
import { type CellEngine, type CellOutcome, type CellTask, keyOf, MOST_ATTEMPTS } from "../cells/task.ts";
import { beginFile } from "../files.ts";
import { type GuestInputs, guestInputs } from "../linux/cell.ts";
import { pageAssets } from "../page-assets.ts";
import { startProgress } from "../progress.ts";
import { defaultGuest } from "../run/default-guest.ts";
import { VERSION } from "../version.ts";
import { lookOf, type World } from "../world.ts";
import { chooseFor } from "./choices.ts";
import { Estimate, sizeText } from "./estimate.ts";
import { readSweep } from "./file.ts";
import { PartialResults, writeResults } from "./results.ts";
import { renderSummary } from "./summary-table.ts";
import { taskOf } from "./tasks.ts";

const PAGE = "index.html";

/** A sweep whose cells are known, and all that they need. */
export interface Prepared {
  readonly name: string;
  readonly cells: readonly SweepCell[];
  /** Of Linux's cells. */
  readonly guest: GuestInputs | undefined;
  /** What commands call recordings, by their SHA-256. */
  readonly shown: Readonly<Record<string, string>>;
  /** Where input files are here, by their SHA-256. */
  readonly paths: ReadonlyMap<string, string>;
}

/** A sweep as a file's text, and what it is called. @throws UserError with line and column */
export function loadSweep(file: string): { readonly sweep: Sweep; readonly name: string } {
  const sweep = readSweep(readWhole(file, file).toString("utf8"), file);
  return { sweep, name: sweep.name ?? basename(file).replace(/\.(ya?ml|json)$/i, "") };
}

/** A file until this process ends. */
function temporaryFile(name: string, text: string): string {
  const folder = mkdtempSync(join(tmpdir(), "spevisor-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

/**
 * Finds what a sweep's names mean, and makes its cells; fetches the guest where one is needed.
 * @param folder that its paths count from
 */
export async function prepare(
  { sweep, name }: { readonly sweep: Sweep; readonly name: string },
  folder: string,
  only: Parameters<typeof cellsOfSweep>[2],
  world: World,
): Promise<Prepared> {
  // They take a tenth of a second to load.
  const asks = sweep.cells.some(({ kind }) => kind === "ask");
  const questions = asks ? await loadQuestions(world.questions.href) : [];
  const { choices, paths, policies } = await chooseFor(sweep, folder, await world.loadLab(), questions);
  const cells = cellsOfSweep(sweep, choices, only);
  const shown = Object.fromEntries(
    [...paths].map(([sha256, path]) => [sha256, relative(process.cwd(), path) || path]),
  );
  for (const { input, text } of policies) paths.set(input.sha256, temporaryFile(input.sha256, text));
  if (!cells.some(({ kind }) => kind === "linux")) return { name, cells, guest: undefined, shown, paths };
  const guest = guestInputs(await defaultGuest("bookworm", "cloud", world));
  for (const [sha256, path] of guest.paths) paths.set(sha256, path);
  return { name, cells, guest: guest.input, shown, paths };
}

const outcomeOfCell = (cell: SweepCell, outcome: CellOutcome): Outcome => {
  switch (outcome.kind) {
    case "row":
      return outcomeOf(cell, outcome.text);
    case "user-error":
      return { kind: "failed", why: [outcome.what, outcome.remedy].filter((text) => text !== "").join(". ") };
    case "failed":
      return { kind: "failed", why: outcome.message };
  }
};

export interface SweepOptions {
  readonly out: string | undefined;
  readonly dryRun: boolean;
  readonly jobs: number | undefined;
  readonly cache: boolean;
}

/** Who computes, where it is not threads of this process: it keeps what is done itself. */
export type MakeEngine = (tasks: readonly CellTask[], say: (text: string) => void) => Promise<CellEngine>;

/**
 * What would be run, and about how long it takes: some cells are run to learn that, where no other is known; what they give is kept.
 */
async function dryRun(
  { cells }: Prepared,
  tasks: readonly CellTask[],
  engine: CellEngine,
  store: RowStore | null,
  threads: number,
): Promise<string> {
  const estimate = new Estimate();
  const missing = new Map<SweepCell, CellTask>();
  for (const [i, task] of tasks.entries()) {
    const row = store?.get(keyOf(task));
    if (row === undefined) missing.set(cells[i]!, task);
    else estimate.add(cells[i]!, row.tookMs);
  }
  const cellOf = new Map<CellTask, SweepCell>();
  for (const cell of estimate.unknown([...missing.keys()])) cellOf.set(missing.get(cell)!, cell);
  try {
    await runTasks([...cellOf.keys()], {
      engine,
      store,
      onOutcome: (task, outcome) => {
        if (outcome.kind === "row") estimate.add(cellOf.get(task)!, outcome.tookMs);
      },
    });
  } finally {
    await engine.close();
  }
  return sizeText(cells, [...missing.keys()], estimate, threads);
}

/** Computes a sweep and writes its results. */
export async function runSweep(
  prepared: Prepared,
  options: SweepOptions,
  world: World,
  elsewhere?: MakeEngine,
): Promise<void> {
  const { name, cells, guest, shown, paths } = prepared;
  const say = (text: string) => world.stderr.write(`spevisor: ${text}\n`);
  const folder = options.out ?? `${name.replaceAll(/[^\w.-]+/g, "-")}-sweep`;
  const context = contextOf(world);
  const threads = options.jobs ?? availableParallelism();
  const tasks = cells.map((cell) => taskOf(cell, guest));
  const store =
    options.cache && elsewhere === undefined ? new RowStore(rowFolder(world.env), context.build, say) : null;
  const local = () => new LocalEngine({ threads, context, paths, attempts: MOST_ATTEMPTS });
  if (options.dryRun) {
    world.stdout.write(`${await dryRun(prepared, tasks, local(), store, threads)}\n`);
    return;
  }
  const partial = new PartialResults(folder, cells.length);
  const engine = elsewhere === undefined ? local() : await elsewhere(tasks, say);
  const estimate = new Estimate();
  const missing = new Set(cells);
  const placeOf = new Map<CellTask, number>(tasks.map((task, i) => [task, i]));
  const progress = startProgress("starting", world);
  try {
    await runTasks(tasks, {
      engine,
      store,
      onKnown: () => say(sizeText(cells, [...missing], estimate, elsewhere === undefined ? threads : null)),
      onOutcome: (task, outcome, ran) => {
        const index = placeOf.get(task)!;
        const cell = cells[index]!;
        partial.add(index, { cell, outcome: outcomeOfCell(cell, outcome) });
        if (!ran && outcome.kind === "row") {
          missing.delete(cell);
          estimate.add(cell, outcome.tookMs);
        }
        if (ran) progress.onProgress({ done: partial.done, total: cells.length, what: task.label });
      },
    });
    progress.say("writing results");
    const summary = new Summary();
    const written = writeResults(folder, partial, cells, (result) => summary.add(result));
    const page = beginFile(join(folder, PAGE));
    const path = (sha256: string): string => shown[sha256] ?? sha256;
    page.write(
      sweepPage(summary, pageAssets("sweep.js"), {
        title: `spevisor sweep: ${name}`,
        version: VERSION,
        commandOf: (cell) => commandOf(cell, path),
      }),
    );
    page.commit();
    progress.stop();
    world.stdout.write(
      renderSummary(summary, (cell) => commandOf(cell, path), lookOf(world.stdout, world.env)),
    );
    for (const file of [...written, page.path]) world.stderr.write(`written: ${file}\n`);
  } finally {
    progress.stop();
    partial.close();
    await engine.close();
  }
}

/** The folder that a sweep's paths count from: its file's. */
export const folderOf = (file: string | undefined): string =>
  file === undefined ? process.cwd() : dirname(file);

/** @throws UserError for options that say which cells there are, beside a file that says it */
export function refuseBoth(file: string | undefined, flags: readonly string[]): void {
  if (file !== undefined && flags.length > 0)
    throw new UserError(
      `sweep: ${flags[0]} is in the file, or it is not`,
      "Change the file, narrow it with --only, or leave it away and write all as options",
    );
}
