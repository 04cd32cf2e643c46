/** A matrix of Linux's runs as tables and sentences on a terminal. */
import Table from "cli-table3";
import wrapAnsi from "wrap-ansi";
import { type LinuxCase, type LinuxMatrix, linuxCasesOf, sentencesOf } from "../../lab/linux/matrix.ts";
import { LINUX_COLUMNS, type LinuxColumn } from "../../lab/report/linux-columns.ts";
import type { LinuxRun } from "../../lab/report/run.ts";
import type { Look } from "../tables.ts";

/** A bar before each column and a last one; a blank on either side of each cell. */
const BORDER = 1;
const PADDING = 2;

const widthOf = (column: LinuxColumn, runs: readonly LinuxRun[]): number =>
  BORDER + PADDING + Math.max(column.title.length, ...runs.map((run) => column.cell(run).length));

/** The columns that say something of these runs, and fit. */
function fitting(runs: readonly LinuxRun[], widthColumns: number): readonly LinuxColumn[] {
  let columns = LINUX_COLUMNS.filter(
    ({ cell, dropOrder }) => dropOrder === 0 || runs.some((run) => cell(run) !== "-"),
  );
  while (columns.reduce((sum, column) => sum + widthOf(column, runs), BORDER) > widthColumns) {
    const last = Math.max(...columns.map(({ dropOrder }) => dropOrder));
    if (last === 0) break;
    columns = columns.filter(({ dropOrder }) => dropOrder !== last);
  }
  return columns;
}

function renderCase(of: LinuxCase, { widthColumns, colors }: Look): string {
  const lines = [colors.bold(of.title), colors.dim(of.command)];
  const columns = fitting(of.runs, widthColumns);
  const table = new Table({
    head: columns.map(({ title }) => title),
    colAligns: columns.map(({ align }) => align),
    style: { head: [], border: [], compact: true },
  });
  for (const run of of.runs) table.push(columns.map(({ cell }) => cell(run)));
  if (of.runs.length > 0) lines.push(table.toString());
  const bullets = [...sentencesOf(of), ...of.failures.map(({ machine, why }) => `${machine}: ${why}`)];
  lines.push(
    ...bullets.flatMap((text) =>
      wrapAnsi(text, Math.max(36, widthColumns - 4))
        .split("\n")
        .map((line, i) => `${i === 0 ? "  - " : "    "}${line}`),
    ),
  );
  return lines.join("\n");
}

/** Every case of a matrix. */
export const renderMatrix = (matrix: LinuxMatrix, look: Look): string =>
  `${linuxCasesOf(matrix)
    .map((of) => renderCase(of, look))
    .join("\n\n")}\n`;
