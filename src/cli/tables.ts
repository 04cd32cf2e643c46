/** Runs as tables and sentences on a terminal. */
import Table from "cli-table3";
import type { Colors } from "picocolors/types.js";
import wrapAnsi from "wrap-ansi";
import { formatNs } from "../common/sizes.ts";
import { COLUMNS, type Column } from "../lab/report/columns.ts";
import {
  FRONTIER_COLUMNS,
  frontierOf,
  frontierVerdict,
  hasFrontier,
  inOrder,
  TRADE_COLUMN,
} from "../lab/report/frontier.ts";
import { notesOf } from "../lab/report/notes.ts";
import type { ModelRun } from "../lab/report/run.ts";
import {
  type Case,
  casesOf,
  conclusionOf,
  speedVerdict,
  type Tone,
  verdictsOf,
} from "../lab/report/verdicts.ts";

/** How text goes out: how wide, and in which colours (picocolors' no-ops where colour is off). */
export interface Look {
  readonly widthColumns: number;
  readonly colors: Colors;
}

/** Borders and padding: one bar before each column and a last one, a blank on either side of each cell. */
const BORDER = 1;
const PADDING = 2;

/** Sentences are not broken into shorter lines than this, however narrow the terminal; nor those inside of a table. */
const NARROWEST = 36;
const NARROWEST_CELL = 16;

const paint = (tone: Tone, text: string, { colors }: Look): string =>
  tone === "good"
    ? colors.green(text)
    : tone === "fair"
      ? colors.yellow(text)
      : tone === "bad"
        ? colors.red(text)
        : text;

const widthOf = (column: Column, runs: readonly ModelRun[]): number =>
  PADDING + Math.max(column.title.length, ...runs.map((run) => column.cell(run).length));

/** The columns that fit, with columns that say nothing about these runs left out. */
function fittingColumns(runs: readonly ModelRun[], widthColumns: number): Column[] {
  let columns = COLUMNS.filter(
    (column) => column.dropOrder === 0 || runs.some((run) => column.cell(run) !== "-"),
  );
  const total = () => columns.reduce((sum, column) => sum + BORDER + widthOf(column, runs), BORDER);
  while (total() > widthColumns) {
    const last = Math.max(...columns.map((column) => column.dropOrder));
    if (last === 0) break;
    columns = columns.filter((column) => column.dropOrder !== last);
  }
  return columns;
}

/** One case: its table, what the numbers mean policy by policy, and the conclusion. */
function renderCase(of: Case, all: readonly ModelRun[], look: Look): string {
  const { colors } = look;
  const first = of.runs[0];
  const seen = of.runs.find((run) => run.model.reference !== null)?.model.reference;
  const lines = [
    `${colors.bold(of.scenario)} on costs ${colors.bold(of.profile)}${first === undefined ? "" : colors.dim(`   bare metal ${formatNs(first.bareMetalWallNs)}`)}`,
  ];
  const columns = fittingColumns(of.runs, look.widthColumns);
  const table = new Table({
    head: columns.map((column) => column.title),
    colAligns: columns.map((column) => column.align),
    style: { head: [], border: [], compact: true },
  });
  for (const run of of.runs)
    table.push(
      columns.map((column) =>
        column.title === "slowdown"
          ? paint(speedVerdict(run).tone, column.cell(run), look)
          : column.cell(run),
      ),
    );
  lines.push(table.toString());
  if (seen !== undefined && seen !== null)
    lines.push(
      colors.dim(
        `seen: ${formatNs(seen.wallNs)}${seen.bareMetalBelowNs === null ? "" : `, under ${formatNs(seen.bareMetalBelowNs)} on bare metal`} (${seen.source})`,
      ),
    );
  if (hasFrontier(of)) lines.push(renderFrontier(of, all, look));
  const nameWidth = Math.max(...of.runs.map((run) => run.policy.length));
  for (const run of of.runs) {
    const texts = verdictsOf(run).map((verdict) => paint(verdict.tone, verdict.text, look));
    lines.push(
      ...wrapped(texts.join("; "), look.widthColumns - nameWidth - 4).map(
        (line, i) => `  ${(i === 0 ? run.policy : "").padEnd(nameWidth)}  ${line}`,
      ),
    );
  }
  const conclusion = conclusionOf(of, all);
  lines.push(
    ...wrapped(conclusion.text, look.widthColumns - 3).map(
      (line, i) => `${i === 0 ? "=>" : "  "} ${paint(conclusion.tone, line, look)}`,
    ),
  );
  return lines.join("\n");
}

/** Who trades what: the policies on the frontier, then those that another one beats. */
function renderFrontier(of: Case, all: readonly ModelRun[], look: Look): string {
  const points = inOrder(frontierOf(of, all));
  const leftBeside = (columns: typeof FRONTIER_COLUMNS): number =>
    columns.reduce(
      (left, { title, cell }) =>
        left - BORDER - PADDING - Math.max(title.length, ...points.map((point) => cell(point).length)),
      look.widthColumns - 2 * BORDER - PADDING,
    );
  // The table of runs above has the host's CPU time, too.
  const columns =
    leftBeside(FRONTIER_COLUMNS) < NARROWEST_CELL ? FRONTIER_COLUMNS.slice(0, -1) : FRONTIER_COLUMNS;
  const width = Math.max(leftBeside(columns), NARROWEST_CELL);
  const table = new Table({
    head: [...columns, TRADE_COLUMN].map(({ title }) => title),
    colAligns: [...columns.map((_, i): "left" | "right" => (i === 0 ? "left" : "right")), "left"],
    style: { head: [], border: [], compact: true },
  });
  for (const point of points) {
    const text = wrapAnsi(frontierVerdict(point), width);
    table.push([
      ...columns.map(({ cell }) => cell(point)),
      point.onFrontier ? paint("good", text, look) : text,
    ]);
  }
  return table.toString();
}

/** Lines no longer than `width`, as far as words allow; colours do not count and are closed at each line's end. */
const wrapped = (text: string, width: number): string[] =>
  wrapAnsi(text, Math.max(width, NARROWEST)).split("\n");

/** Every case of a report, then its assumptions and warnings, each said once. */
export function renderRuns(runs: readonly ModelRun[], look: Look): string {
  const { colors } = look;
  const blocks = casesOf(runs).map((of) => renderCase(of, runs, look));
  const notes = (title: string, texts: readonly string[], colour: (text: string) => string): void => {
    if (texts.length === 0) return;
    const lines = texts.flatMap((text) =>
      wrapped(text, look.widthColumns - 4).map((line, i) => `  ${i === 0 ? "-" : " "} ${line}`),
    );
    blocks.push([colors.bold(title), ...lines.map(colour)].join("\n"));
  };
  const columns = COLUMNS.filter((column) => runs.some((run) => column.cell(run) !== "-"));
  const told = columns.map(({ title, meaning }) => `${title}: ${meaning}`);
  if (casesOf(runs).some(hasFrontier))
    for (const { title, meaning } of [...FRONTIER_COLUMNS, TRADE_COLUMN])
      if (!columns.some((column) => column.title === title)) told.push(`${title}: ${meaning}`);
  notes("Columns", told, colors.dim);
  notes("Assumptions", notesOf(runs, "assumptions"), colors.dim);
  notes("Warnings", notesOf(runs, "warnings"), colors.yellow);
  return `${blocks.join("\n\n")}\n`;
}

/** A plain two- or three-column list for `policies`, `scenarios` and the like. */
export function renderList(rows: readonly (readonly string[])[], look: Look): string {
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((row) => (row[i] ?? "").length)));
  return rows
    .map((row) => {
      const last = row.length - 1;
      const indent = widths.slice(0, last).reduce((sum, width) => sum + width + 2, 2);
      const head = row
        .slice(0, last)
        .map((cell, i) =>
          i === 0 ? look.colors.bold(cell.padEnd(widths[i] as number)) : cell.padEnd(widths[i] as number),
        )
        .join("  ");
      return wrapped(row[last] as string, look.widthColumns - indent)
        .map((line, i) => (i === 0 ? `  ${head}  ${line}` : `${" ".repeat(indent + 2)}${line}`))
        .join("\n");
    })
    .join("\n");
}

/** Text in paragraphs, wrapped. */
export const renderParagraph = (text: string, indent: number, look: Look): string =>
  wrapped(text, look.widthColumns - indent)
    .map((line) => " ".repeat(indent) + line)
    .join("\n");
