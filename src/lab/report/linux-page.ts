/** The part of a page that has Linux's runs: tables, and what is to be said of them. It needs no script. */
import { isBareMetal, isFreeSpe, overFreeSpe } from "../linux/baseline.ts";
import { type LinuxCase, type LinuxMatrix, linuxCasesOf, modelBeside } from "../linux/matrix.ts";
import { notesOf, sentencesOf } from "../linux/sentences.ts";
import { escapeHtml, htmlList } from "./html-text.ts";
import { type LinuxColumn, machineName, spokenColumns } from "./linux-columns.ts";
import { legendOf } from "./opening.ts";
import type { LinuxRun } from "./run.ts";
import { speedTone, type Tone } from "./verdicts.ts";
import { formatFactor } from "./words.ts";

/** How a case ended, in a sentence: what the posted policy costs, and what the best one does. */
function answerOf(of: LinuxCase): { readonly tone: Tone; readonly text: string } {
  const measured = of.runs
    .filter((run) => !isBareMetal(run) && !isFreeSpe(run))
    .flatMap((run) => {
      const factor = overFreeSpe(run);
      return factor === null ? [] : [{ run, factor }];
    });
  const posted = measured.find(({ run }) => run.policy === "pin-on-enable");
  const [best] = measured
    .filter(({ run }) => run.samples.lostInBlackout === 0 && run.blackouts.count === 0)
    .sort((a, b) => a.factor - b.factor || a.run.pinnedPeakBytes - b.run.pinnedPeakBytes);
  const say = ({ run, factor }: { run: LinuxRun; factor: number }) =>
    `${machineName(run)} takes ${formatFactor(factor)} times what the VM takes where SPE is free`;
  const texts = [...new Set([posted, best])].filter((each) => each !== undefined).map(say);
  if (best === undefined)
    return { tone: "bad", text: [...texts, "no policy is without a blackout"].join("; ") };
  return { tone: speedTone(best.factor), text: `${texts.join("; ")}, and loses nothing` };
}

const cell = ({ cell, align }: LinuxColumn, i: number, row: Parameters<LinuxColumn["cell"]>): string =>
  i === 0
    ? `<th scope="row">${escapeHtml(cell(...row))}</th>`
    : `<td class="${align}">${escapeHtml(cell(...row))}</td>`;

function tableOf(of: LinuxCase, matrix: LinuxMatrix): string {
  const rows = of.runs.map((run) => [run, modelBeside(matrix, run)] as const);
  if (rows.length === 0) return "";
  const columns = spokenColumns(rows);
  const head = columns.map(
    ({ title, align, meaning }) =>
      `<th scope="col" class="${align}" title="${escapeHtml(meaning)}">${escapeHtml(title)}</th>`,
  );
  const body = rows.map(
    (row) => `<tr>${columns.map((column, i) => cell(column, i, [...row])).join("")}</tr>`,
  );
  return `<div class="scroll"><table><thead><tr>${head.join("")}</tr></thead><tbody>\n${body.join("\n")}\n</tbody></table></div>`;
}

/** Sections for a page's main part. */
export function linuxSections(matrix: LinuxMatrix): string {
  const cases = linuxCasesOf(matrix);
  return [
    '<section aria-labelledby="linux">',
    '<h2 id="linux">On Linux itself</h2>',
    `<p class="muted">The same commands, typed in a guest that executes an unmodified kernel, its driver and its perf.</p>`,
    '<ul class="answers">',
    ...cases.map((of) => {
      const { tone, text } = answerOf(of);
      return `<li class="${tone}"><strong>${escapeHtml(of.title)}</strong><span class="tone ${tone}">${escapeHtml(text)}</span></li>`;
    }),
    "</ul>",
    "</section>",
    '<section aria-labelledby="linux-numbers">',
    '<h2 id="linux-numbers">Linux: the numbers, and what they mean</h2>',
    ...cases.map((of) =>
      [
        `<h3>${escapeHtml(of.title)}</h3>`,
        `<p><code>${escapeHtml(of.command)}</code></p>`,
        tableOf(of, matrix),
        htmlList(sentencesOf(of, matrix)),
      ].join("\n"),
    ),
    "<h3>What the columns say</h3>",
    legendOf(spokenColumns(matrix.runs.map((run) => [run, modelBeside(matrix, run)] as const))),
    "</section>",
    "<section>",
    "<h2>The guest and its machine</h2>",
    htmlList(notesOf(matrix)),
    "</section>",
  ].join("\n");
}
