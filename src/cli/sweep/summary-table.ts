/** What a sweep has come to, on a terminal. */
import Table from "cli-table3";
import { counted } from "../../common/counts.ts";
import { formatBytes } from "../../common/sizes.ts";
import { formatFactor } from "../../lab/report/words.ts";
import { labelOf, type SweepCell } from "../../lab/sweep/cell.ts";
import type { Group, Summary } from "../../lab/sweep/summary.ts";
import type { Look } from "../tables.ts";

/** More rows than this are for the page. */
const MOST_ROWS = 40;
const MOST_WORST = 5;

const percent = (share: number): string => `${Number((100 * share).toPrecision(3))} %`;

const rowOf = ({
  workload,
  policy,
  bufferBytes,
  cells,
  failed,
  slowdown,
  worstLostShare,
}: Group): string[] => [
  workload,
  policy,
  bufferBytes === null ? "-" : formatBytes(bufferBytes),
  failed === 0 ? String(cells) : `${cells} (${failed} failed)`,
  slowdown === null ? "-" : `${formatFactor(slowdown.median)}×`,
  slowdown === null ? "-" : `${formatFactor(slowdown.worst)}×`,
  worstLostShare === null ? "-" : percent(worstLostShare),
];

/** A table of workloads, policies and buffers, the worst cells with their commands, and what failed. */
export function renderSummary(
  summary: Summary,
  commandOf: (cell: SweepCell) => string,
  { colors }: Look,
): string {
  const { groups, worst, failures, failed } = summary;
  const byWorst = [...groups].sort((a, b) => (b.slowdown?.worst ?? 0) - (a.slowdown?.worst ?? 0));
  const shown = groups.length > MOST_ROWS ? byWorst.slice(0, MOST_ROWS) : groups;
  const head = ["workload", "policy", "buffer", "cells", "slowdown", "worst", "lost"];
  const table = new Table({
    head,
    colAligns: head.map((_, i) => (i < 2 ? "left" : "right")),
    style: { head: [], border: [], compact: true },
  });
  for (const group of shown) table.push(rowOf(group));
  const lines = [table.toString()];
  if (shown.length < groups.length)
    lines.push(`The ${shown.length} slowest of ${groups.length} rows; all are on the page.`);
  if (worst.length > 0) lines.push("", colors.bold("The worst cells"));
  for (const { cell, found } of worst.slice(0, MOST_WORST))
    lines.push(`  ${found === "" ? "" : `${labelOf(cell)}: ${found}\n  `}${commandOf(cell)}`);
  if (failed > 0) lines.push("", colors.bold(`${counted(failed, "cell")} failed`));
  for (const { cell, why } of failures.slice(0, MOST_WORST))
    lines.push(`  ${labelOf(cell)}: ${why}`, `    ${commandOf(cell)}`);
  return `${lines.join("\n")}\n`;
}
