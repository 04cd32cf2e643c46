/** `spevisor sweep`: from a file or options to results on disk, whoever computes them. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { basename, dirname, join, relative } from "node:path";
import { counted } from "../../common/counts.ts";
import { UserError } from "../../common/errors.ts";
import { formatNs } from "../../common/sizes.ts";
import type { SweepCell } from "../../lab/sweep/cell.ts";
import { commandOf } from "../../lab/sweep/command.ts";
import { cellsOfSweep } from "../../lab/sweep/expand.ts";
import type { MatrixKind, Sweep } from "../../lab/sweep/matrix.ts";
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
import { readSweep } from "./file.ts";
import { PartialResults, writeResults } from "./results.ts";
import { renderSummary } from "./summary-table.ts";
import { taskOf } from "./tasks.ts";

const PAGE = "index.html";

/** What a cell takes of one core, roughly: measured here, once. For an estimate and nothing else. */
const CELL_NS: Readonly<Record<MatrixKind, number>> = {
  thread: 0.06e9,
  predict: 0.15e9,
  bar: 1.5e9,
  ask: 0.1e9,
  linux: 20e9,
  fuzz: 2e9,
};

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

/** "1,200 cells (1,000 predict, 200 thread), about 3 min on 2 threads". */
function sizeText(cells: readonly SweepCell[], known: number, threads: number): string {
  const kinds = new Map<MatrixKind, number>();
  for (const { kind } of cells) kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
  const share = cells.length === 0 ? 0 : (cells.length - known) / cells.length;
  const ns = (share * [...kinds].reduce((sum, [kind, n]) => sum + n * CELL_NS[kind], 0)) / threads;
  const parts = [...kinds].map(([kind, n]) => `${n.toLocaleString("en")} ${kind}`).join(", ");
  const there = known === 0 ? "" : `, ${known.toLocaleString("en")} of them known`;
  const minutes = ns >= 120e9 ? `${Math.round(ns / 60e9).toLocaleString("en")} min` : formatNs(ns);
  return `${counted(cells.length, "cell")} (${parts})${there}, roughly ${minutes} on ${counted(threads, "thread")}`;
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
  if (options.dryRun) {
    let known = 0;
    for (const task of tasks) if (store?.get(keyOf(task)) !== undefined) known += 1;
    world.stdout.write(`${sizeText(cells, known, threads)}\n`);
    return;
  }
  const partial = new PartialResults(folder, cells.length);
  const engine =
    elsewhere === undefined
      ? new LocalEngine({ threads, context, paths, attempts: MOST_ATTEMPTS })
      : await elsewhere(tasks, say);
  const placeOf = new Map<CellTask, number>(tasks.map((task, i) => [task, i]));
  const progress = startProgress("starting", world);
  try {
    await runTasks(tasks, {
      engine,
      store,
      onKnown: (known) => say(sizeText(cells, known, threads)),
      onOutcome: (task, outcome, ran) => {
        const index = placeOf.get(task)!;
        const cell = cells[index]!;
        partial.add(index, { cell, outcome: outcomeOfCell(cell, outcome) });
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

/** Refuses what no engine can do. */
export function refuseBoth(file: string | undefined, flags: readonly string[]): void {
  if (file !== undefined && flags.length > 0)
    throw new UserError(
      `sweep: ${flags[0]} is in the file, or it is not`,
      "Change the file, narrow it with --only, or leave it away and write all as options",
    );
}
