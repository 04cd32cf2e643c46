/** Answers as a Markdown page, with their charts as pictures in a folder beside it. */
import { existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { basename, dirname, extname, join } from "node:path";
import type { Answer } from "../../lab/questions/question.ts";
import { fileError, type PendingFile } from "../files.ts";
import type { Answered } from "./answered.ts";
import { svgOf } from "./picture.ts";
import { aboutCost, isNumeric } from "./terminal.ts";

/** The pictures of a page, begun as files. */
export interface Pictures {
  /** The folder's name, as seen from the page. */
  readonly folder: string;
  /** Removes pictures of an earlier page that this one does not show. */
  removeUnused(): void;
}

const OURS = /^q\d\d-\d+\.svg$/;
const nameOf = (number: number, chart: number): string =>
  `q${String(number).padStart(2, "0")}-${chart + 1}.svg`;

/** Draws every chart into the folder that has the page's name without its ending: docs/answers/q05-1.svg. */
export function beginPictures(
  page: string,
  answered: readonly Answered[],
  begin: (path: string) => PendingFile,
): Pictures {
  const folder = basename(page, extname(page));
  const path = join(dirname(page), folder);
  const used = new Set<string>();
  const charts = answered.flatMap(({ question, answer }) =>
    answer.charts.map((chart, i) => ({ chart, name: nameOf(question.number, i) })),
  );
  if (charts.length > 0)
    try {
      mkdirSync(path, { recursive: true });
    } catch (error) {
      throw fileError(path, error);
    }
  for (const { chart, name } of charts) {
    used.add(name);
    begin(join(path, name)).write(svgOf(chart));
  }
  return {
    folder,
    removeUnused: () => {
      if (!existsSync(path)) return;
      for (const name of readdirSync(path))
        if (OURS.test(name) && !used.has(name)) rmSync(join(path, name), { force: true });
    },
  };
}

/** Text in a table's cell: a bar would end it. */
const inCell = (text: string): string => text.replaceAll("|", "\\|").replaceAll("\n", " ");

function tableOf({ columns, rows }: Answer["table"]): string {
  const line = (cells: readonly string[]) => `| ${cells.map(inCell).join(" | ")} |`;
  const marks = columns.map((_, i) => (isNumeric(rows.map((row) => row[i] ?? "")) ? "---:" : "---"));
  return [line(columns), `| ${marks.join(" | ")} |`, ...rows.map(line)].join("\n");
}

const list = (texts: readonly string[]): string => texts.map((text) => `- ${text}`).join("\n");

function sectionOf({ question, answer }: Answered, folder: string): string {
  const { number, title, asked, origin, leavesOut, decidedBy } = question;
  const blocks = [
    `<a id="q${number}"></a>`,
    `## ${number}. ${title}`,
    `**${answer.headline}**`,
    `*Asked:* ${asked}  \n*Origin:* ${origin}`,
    list(answer.sentences),
    answer.table.rows.length === 0 ? "" : tableOf(answer.table),
    ...answer.charts.map(({ title: what }, i) => `![${what}](${folder}/${nameOf(number, i)})`),
    leavesOut.length === 0 ? "" : `What the model leaves out:\n\n${list(leavesOut)}`,
    `Decided by the cost \`${decidedBy}\`: ${aboutCost(decidedBy)}. Try another: \`npx spevisor ask ${number} --costs ${decidedBy}=10\``,
  ];
  return blocks.filter((block) => block !== "").join("\n\n");
}

/**
 * The page: the headlines, then a section for each question.
 * @param asked what stands after `npx spevisor ask`
 */
export function markdownOf(answered: readonly Answered[], asked: string, pictures: Pictures): string {
  const blocks = [
    "# Answers",
    "The questions that were asked about SPE in virtual machines and never measured, answered on spevisor's model. " +
      "Each answer is a sweep of runs and is computed from its rows; each names the cost that decides it and what " +
      "the model leaves out.",
    `Written by \`npx spevisor ask ${asked}\`. Do not edit it: the next run writes it anew.`,
    [
      "| | question | answer |",
      "| ---: | --- | --- |",
      ...answered.map(
        ({ question: { number, title }, answer }) =>
          `| ${number} | [${inCell(title)}](#q${number}) | ${inCell(answer.headline)} |`,
      ),
    ].join("\n"),
    ...answered.map((each) => sectionOf(each, pictures.folder)),
  ];
  return `${blocks.join("\n\n")}\n`;
}
