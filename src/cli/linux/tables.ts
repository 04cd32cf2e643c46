/** A matrix of Linux's runs as tables and sentences on a terminal. */
import Table from "cli-table3";
import wrapAnsi from "wrap-ansi";
import { type LinuxCase, type LinuxMatrix, linuxCasesOf, modelBeside } from "../../lab/linux/matrix.ts";
import { notesOf, sentencesOf } from "../../lab/linux/sentences.ts";
import { type LinuxColumn, spokenColumns } from "../../lab/report/linux-columns.ts";
import type { LinuxRun, ModelRun } from "../../lab/report/run.ts";
import type { Look } from "../tables.ts";

/** A bar before each column and a last one; a blank on either side of each cell. */
const BORDER = 1;
const PADDING = 2;
/** Sentences are not broken into shorter lines than this. */
const NARROWEST = 36;

type Row = readonly [LinuxRun, ModelRun | undefined];

const widthOf = ({ title, cell }: LinuxColumn, rows: readonly Row[]): number =>
  BORDER + PADDING + Math.max(title.length, ...rows.map(([run, model]) => cell(run, model).length));

/** The columns that say something of these runs, and fit. */
function fitting(rows: readonly Row[], widthColumns: number): readonly LinuxColumn[] {
  let columns = spokenColumns(rows);
  while (columns.reduce((sum, column) => sum + widthOf(column, rows), BORDER) > widthColumns) {
    const last = Math.max(...columns.map(({ dropOrder }) => dropOrder));
    if (last === 0) break;
    columns = columns.filter(({ dropOrder }) => dropOrder !== last);
  }
  return columns;
}

/** Sentences as a list, each broken into lines that fit. */
const list = (texts: readonly string[], { widthColumns }: Look): string[] =>
  texts.flatMap((text) =>
    wrapAnsi(text, Math.max(NARROWEST, widthColumns - 4))
      .split("\n")
      .map((line, i) => `${i === 0 ? "  - " : "    "}${line}`),
  );

function renderCase(of: LinuxCase, matrix: LinuxMatrix, look: Look): string {
  const { widthColumns, colors } = look;
  const lines = [
    colors.bold(of.title),
    ...wrapAnsi(of.command, Math.max(NARROWEST, widthColumns)).split("\n").map(colors.dim),
  ];
  const rows = of.runs.map((run): Row => [run, modelBeside(matrix, run)]);
  const columns = fitting(rows, widthColumns);
  const table = new Table({
    head: columns.map(({ title }) => title),
    colAligns: columns.map(({ align }) => align),
    style: { head: [], border: [], compact: true },
  });
  for (const [run, model] of rows) table.push(columns.map(({ cell }) => cell(run, model)));
  if (rows.length > 0) lines.push(table.toString());
  lines.push(...list(sentencesOf(of, matrix), look));
  return lines.join("\n");
}

/** Every case of a matrix. */
export function renderMatrix(matrix: LinuxMatrix, look: Look): string {
  const blocks = linuxCasesOf(matrix).map((of) => renderCase(of, matrix, look));
  const notes = notesOf(matrix);
  if (notes.length > 0)
    blocks.push([look.colors.bold("The guest and its machine"), ...list(notes, look)].join("\n"));
  return `${blocks.join("\n\n")}\n`;
}
