/** Answers on a terminal. */
import Table from "cli-table3";
import wrapAnsi from "wrap-ansi";
import { COSTS, type CostName, GUEST_COSTS } from "../../host/costs.ts";
import type { Answer, Perturbation } from "../../lab/questions/question.ts";
import { type Look, renderParagraph } from "../tables.ts";
import type { Answered } from "./answered.ts";

/** What one unit of a cost is. */
export const aboutCost = (name: CostName): string => ({ ...COSTS, ...GUEST_COSTS })[name];

/** "exit x 10": the costs that are not their own. */
const factorsText = (perturbation: Perturbation): string =>
  Object.entries(perturbation)
    .map(([name, factor]) => `${name} × ${factor}`)
    .join(", ");

/** Whether a column holds figures, or words in their place: they stand at its right. */
export const isNumeric = (cells: readonly string[]): boolean =>
  cells.length > 0 && cells.every((cell) => /^([-+<>~]*\s*\d|-?$|none|never)/.test(cell.trim()));

/** A bar, and a blank on either side of the cell. */
const COLUMN_EXTRA = 3;
const PADDING = 2;

const longest = (texts: readonly string[]): number => Math.max(0, ...texts.map((text) => text.length));

/** Widths of the columns, the widest of them narrowed until the table fits or words would break. */
function columnWidths(rows: readonly (readonly string[])[], widthColumns: number): number[] {
  const columns = (rows[0] ?? []).map((_, i) => {
    const cells = rows.map((row) => row[i] ?? "");
    return { width: longest(cells), least: longest(cells.flatMap((cell) => cell.split(" "))) };
  });
  const total = () => columns.reduce((sum, { width }) => sum + width + COLUMN_EXTRA, 1);
  while (total() > widthColumns) {
    const widest = columns.filter(({ width, least }) => width > least).sort((a, b) => b.width - a.width)[0];
    if (widest === undefined) break;
    widest.width--;
  }
  return columns.map(({ width }) => width);
}

function renderTable({ columns, rows }: Answer["table"], { widthColumns }: Look): string {
  const widths = columnWidths([columns, ...rows], widthColumns);
  const wrap = (row: readonly string[]) => row.map((cell, i) => wrapAnsi(cell, widths[i] as number));
  const table = new Table({
    head: wrap(columns),
    colWidths: widths.map((width) => width + PADDING),
    colAligns: columns.map((_, i) => (isNumeric(rows.map((row) => row[i] ?? "")) ? "right" : "left")),
    style: { head: [], border: [], compact: true },
  });
  table.push(...rows.map(wrap));
  return table.toString();
}

function renderAnswer({ question, answer }: Answered, look: Look): string {
  const { colors, widthColumns } = look;
  const bullets = (texts: readonly string[]) =>
    texts.map((text) =>
      wrapAnsi(text, widthColumns - 4)
        .split("\n")
        .map((line, i) => `  ${i === 0 ? "-" : " "} ${line}`)
        .join("\n"),
    );
  const dim = (text: string) => colors.dim(renderParagraph(text, 0, look));
  const blocks = [
    [
      colors.bold(`${question.number}. ${question.title}`),
      renderParagraph(colors.bold(answer.headline), 0, look),
    ],
    [dim(`Asked: ${question.asked}`), dim(`Origin: ${question.origin}`)],
    bullets(answer.sentences),
    answer.table.rows.length === 0 ? [] : [renderTable(answer.table, look)],
    question.leavesOut.length === 0
      ? []
      : [colors.bold("What the model leaves out"), ...bullets(question.leavesOut).map(colors.dim)],
    [dim(`Decided by: ${question.decidedBy} (${aboutCost(question.decidedBy)})`)],
  ];
  return blocks
    .filter((lines) => lines.length > 0)
    .map((lines) => lines.join("\n"))
    .join("\n\n");
}

/** Every answer, headline first. */
export function renderAnswers(answered: readonly Answered[], perturbation: Perturbation, look: Look): string {
  const factors = factorsText(perturbation);
  const blocks = answered.map((each) => renderAnswer(each, look));
  if (factors !== "") blocks.unshift(look.colors.yellow(`Costs multiplied: ${factors}`));
  return `${blocks.join("\n\n\n")}\n`;
}
