/** What a page opens and closes with: the answer, a picture of it that needs no script, the advice, the glossary. */
import { ADVICE } from "./advice.ts";
import { ANSWER_COLUMNS, type AnswerRow, answerRows, answerSentences, formatSpread } from "./answer.ts";
import { GLOSSARY } from "./glossary.ts";
import { escapeHtml } from "./html-text.ts";
import { markOf, policiesOf } from "./policy-order.ts";
import type { ModelRun } from "./run.ts";
import { THRESHOLDS } from "./verdicts.ts";

/** A policy's mark as a picture of a line's height; it stands beside the policy's name. */
const markSvg = (index: number): string => {
  const { color, path } = markOf(index);
  return `<svg class="mark" viewBox="0 0 16 16" aria-hidden="true"><path d="${path}" fill="${color}"/></svg>`;
};

/** Slowdowns up to here fill the picture's width: at least so much, or everything would look alike. */
const LEAST_END = 2;

const round = (percent: number): string => String(Number(percent.toFixed(2)));

/** Bars over a log axis that starts at bare metal: from the case with the least to the case with the most. */
function picture(rows: readonly AnswerRow[], policies: readonly string[]): string {
  const most = Math.max(LEAST_END, ...rows.map(({ slowdown }) => slowdown.most));
  const place = (slowdown: number): number => (100 * Math.log(Math.max(1, slowdown))) / Math.log(most);
  const ticks = [1, 10, 100, 1_000].filter((tick) => tick <= most);
  const bar = ({ slowdown }: AnswerRow): string => {
    const [from, to] = [place(slowdown.least), place(slowdown.most)];
    return `<span class="track"><span class="usable" style="left:${round(place(THRESHOLDS.usableSlowdown))}%"></span><span class="reach" style="width:${round(from)}%"></span><span class="spread" style="left:${round(from)}%;width:${round(to - from)}%"></span></span>`;
  };
  return [
    `<div class="bars" role="img" aria-label="${escapeHtml(`Slowdown by policy, on a log axis: ${rows.map((row) => `${row.policy} ${formatSpread(row.slowdown)} times`).join(", ")}`)}">`,
    ...rows.map(
      (row) =>
        `<div class="bar" style="--bar:${markOf(policies.indexOf(row.policy)).color}"><span class="name">${markSvg(policies.indexOf(row.policy))}${escapeHtml(row.policy)}</span>${bar(row)}<span class="much">${formatSpread(row.slowdown)}×</span></div>`,
    ),
    `<div class="bar axis"><span class="name"></span><span class="track">${ticks.map((tick) => `<span style="left:${round(place(tick))}%">${tick === 1 ? "bare metal" : `${tick.toLocaleString("en")}×`}</span>`).join("")}</span><span class="much"></span></div>`,
    "</div>",
  ].join("\n");
}

function table(rows: readonly AnswerRow[], policies: readonly string[]): string {
  const align = (i: number): string => (i === 0 || i === ANSWER_COLUMNS.length - 1 ? "left" : "right");
  const head = ANSWER_COLUMNS.map(
    ({ title }, i) => `<th scope="col" class="${align(i)}">${escapeHtml(title)}</th>`,
  ).join("");
  const body = rows.map(
    (row) =>
      `<tr>${ANSWER_COLUMNS.map((column, i) =>
        i === 0
          ? `<th scope="row">${markSvg(policies.indexOf(row.policy))}${escapeHtml(column.cell(row))}</th>`
          : `<td class="${align(i)}">${escapeHtml(column.cell(row))}</td>`,
      ).join("")}</tr>`,
  );
  return `<div class="scroll" tabindex="0" role="group" aria-label="Policies over all cases"><table class="summary"><thead><tr>${head}</tr></thead><tbody>\n${body.join("\n")}\n</tbody></table></div>`;
}

/** What columns say, below a table. */
export const legendOf = (columns: readonly { readonly title: string; readonly meaning: string }[]): string =>
  `<dl class="legend">${columns.map(({ title, meaning }) => `<div><dt>${escapeHtml(title)}</dt><dd>${escapeHtml(meaning)}</dd></div>`).join("")}</dl>`;

/** The first section: two sentences, a picture, a table. */
export function opening(runs: readonly ModelRun[]): string {
  const rows = answerRows(runs);
  const policies = policiesOf(runs);
  return [
    '<section aria-labelledby="answer">',
    '<h2 id="answer">What should KVM do with a guest\'s profiling buffer?</h2>',
    `<p class="lead">${answerSentences(runs).map(escapeHtml).join(" ")}</p>`,
    picture(rows, policies),
    '<p class="muted">How many times as long as on bare metal, on a log axis: pale up to the case with the least, full from there to the case with the most. The dashed line is a fifth longer, which people put up with from a profiler.</p>',
    table(rows, policies),
    legendOf(ANSWER_COLUMNS),
    "</section>",
  ].join("\n");
}

/** One choice for each kind of host. */
export const adviceSection = (): string =>
  [
    '<section aria-labelledby="advice">',
    '<h2 id="advice">Which policy on which host</h2>',
    '<p class="muted">The first line that fits. On a kernel with lockdep, kmemleak and the like it is the same: all host work is some five times as dear. <code>npx spevisor ask</code> with the number has the figures.</p>',
    '<ul class="advice">',
    ...ADVICE.map(
      ({ host, policy, why, question }) =>
        `<li>${escapeHtml(host)}: <strong>${escapeHtml(policy)}</strong>, since ${escapeHtml(why)} (ask ${question}).</li>`,
    ),
    "</ul>",
    "</section>",
  ].join("\n");

export const glossarySection = (): string =>
  [
    '<section aria-labelledby="glossary">',
    '<h2 id="glossary">Words</h2>',
    `<dl class="legend">${GLOSSARY.map(([term, meaning]) => `<div><dt>${escapeHtml(term)}</dt><dd>${escapeHtml(meaning).replaceAll(/`([^`]+)`/g, "<code>$1</code>")}</dd></div>`).join("")}</dl>`,
    "</section>",
  ].join("\n");
