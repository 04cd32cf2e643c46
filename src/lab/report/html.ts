/** The report as one HTML file that needs nothing else: no network, no server, no second file. */
import { formatBytes, formatNs } from "../../common/sizes.ts";
import type { LinuxMatrix } from "../linux/matrix.ts";
import type { ChartOption } from "./chart-style.ts";
import { pinnedChart, slowdownChart, spansPerRun, timelineChart, timeSplitChart } from "./charts.ts";
import { COLUMNS } from "./columns.ts";
import type { RunDetail } from "./detail.ts";
import { hasFrontier } from "./frontier.ts";
import { frontierChart } from "./frontier-chart.ts";
import { escapeHtml } from "./html-text.ts";
import { linuxSections } from "./linux-page.ts";
import { notesOf } from "./notes.ts";
import { adviceSection, glossarySection, legendOf, opening } from "./opening.ts";
import { inlineJson, inlineScript, type PageAssets, type PageFacts, wholePage } from "./page-parts.ts";
import { policiesOf } from "./policy-order.ts";
import type { ModelRun } from "./run.ts";
import { type Case, casesOf, conclusionOf, type Verdict, verdictsOf } from "./verdicts.ts";

/** A function that page.js shares with us, as a declaration of that name: both must print the same numbers. */
const shared = (name: string, fn: (value: number) => string): string => `const ${name} = ${fn};`;

const list = (items: readonly string[]): string => items.join("\n");

const toned = ({ tone, text }: Verdict): string => `<span class="tone ${tone}">${escapeHtml(text)}</span>`;

/**
 * The whole page.
 * @param linux runs of Linux itself, which come behind the model's; with no run of the model, the page has no charts
 */
export function renderHtml(
  details: readonly RunDetail[],
  assets: PageAssets,
  facts: PageFacts,
  linux?: LinuxMatrix,
): string {
  const runs = details.map((detail) => detail.run);
  const cases = casesOf(runs);
  const hasModel = cases.length > 0;
  return wholePage(facts.title, assets.style, [
    header(runs, facts),
    "<main>",
    ...(hasModel ? [opening(runs)] : []),
    contents(hasModel, linux !== undefined),
    ...(hasModel ? [adviceSection(), answers(cases, runs), chartSections(cases), tables(cases)] : []),
    ...(linux === undefined ? [] : [linuxSections(linux)]),
    glossarySection(),
    notes(runs),
    "</main>",
    `<footer><p>Made by spevisor ${escapeHtml(facts.version)}. Policies, costs and recordings are models of what they name; the assumptions above say how.</p></footer>`,
    ...(hasModel ? chartScripts(details, cases, assets) : []),
  ]);
}

/** The charts: what they show, what draws them. */
const chartScripts = (
  details: readonly RunDetail[],
  cases: readonly Case[],
  { echarts, script }: PageAssets,
): string[] => [
  `<script type="application/json" id="data">${inlineJson(chartData(details, cases))}</script>`,
  `<script>${inlineScript(echarts)}</script>`,
  `<script>${inlineScript(list([shared("formatNs", formatNs), shared("formatBytes", formatBytes), script]))}</script>`,
];

/** What page.js draws from. */
function chartData(details: readonly RunDetail[], cases: readonly Case[]) {
  const runs = details.map((detail) => detail.run);
  const policies = policiesOf(runs);
  const budget = spansPerRun(details.length);
  const slowest = [...runs].sort((a, b) => b.slowdown - a.slowdown)[0];
  return {
    rows: cases.map(labelOf),
    firstPolicy: slowest?.policy ?? "",
    slowdown: slowdownChart(runs),
    cases: cases.map((of) => {
      const own = details.filter((detail) => of.runs.includes(detail.run));
      return {
        label: labelOf(of),
        splitHeightPx: 90 + of.runs.length * 38,
        split: { time: timeSplitChart(of, "time"), share: timeSplitChart(of, "share") } satisfies Record<
          string,
          ChartOption
        >,
        frontier: hasFrontier(of) ? frontierChart(of, runs) : null,
        pinned: pinnedChart(own, policies),
        runs: own.map((detail) => ({ policy: detail.run.policy, timeline: timelineChart(detail, budget) })),
      };
    }),
  };
}

const labelOf = (of: Case): string => `${of.scenario} on costs ${of.profile}`;

function header(runs: readonly ModelRun[], facts: PageFacts): string {
  const of = (values: readonly string[]) => escapeHtml([...new Set(values)].join(", "));
  return list([
    "<header>",
    `<h1>${escapeHtml(facts.title)}</h1>`,
    runs.length === 0
      ? '<p class="muted">What Arm SPE costs in a VM, by pin policy.</p>'
      : `<p class="muted">What Arm SPE costs in a VM, by pin policy. Buffer ${of(runs.map((run) => formatBytes(run.bufferBytes)))} on ${of(runs.map((run) => run.backing))} memory; guest: ${of(runs.map((run) => run.guest))}; seed ${of(runs.map((run) => String(run.seed)))}.</p>`,
    "</header>",
  ]);
}

/** The page's sections by the ids of their headings. */
const contents = (hasModel: boolean, hasLinux: boolean): string =>
  `<nav aria-label="Contents"><ul>${[
    ...(hasModel
      ? [
          ["answer", "The answer"],
          ["advice", "Which policy on which host"],
          ["cases", "Case by case"],
          ["slow", "Slowdown by policy"],
          ["one", "One case: trades, time, memory, timeline"],
          ["numbers", "The numbers"],
        ]
      : []),
    ...(hasLinux
      ? [
          ["linux", "On Linux itself"],
          ["linux-numbers", "Linux: the numbers"],
        ]
      : []),
    ["glossary", "Words"],
  ]
    .map(([id, text]) => `<li><a href="#${id}">${text}</a></li>`)
    .join("")}</ul></nav>`;

function answers(cases: readonly Case[], runs: readonly ModelRun[]): string {
  return list([
    '<section aria-labelledby="cases">',
    '<h2 id="cases">Case by case: which policies keep profiling complete and the guest usable?</h2>',
    '<ul class="answers">',
    ...cases.map((of) => {
      const conclusion = conclusionOf(of, runs);
      return `<li class="${conclusion.tone}"><strong>${escapeHtml(labelOf(of))}</strong>${toned(conclusion)}</li>`;
    }),
    "</ul>",
    "</section>",
  ]);
}

const options = (labels: readonly string[]): string =>
  labels.map((label, i) => `<option value="${i}">${escapeHtml(label)}</option>`).join("");

const chartSections = (cases: readonly Case[]): string => `<section aria-labelledby="slow">
<h2 id="slow">Slowdown by policy</h2>
<p class="muted">Log axis; bare metal is 1, the dashed line is a fifth slower. A wide band is what the ranges of the costs allow; a diamond is what somebody measured.</p>
<noscript><p>The charts need JavaScript. The tables below hold the same numbers.</p></noscript>
<div class="chart" id="slowdown"></div>
</section>
<section aria-labelledby="one">
<h2 id="one">One case at a time</h2>
<div class="choices">
<label>Case <select id="case">${options(cases.map(labelOf))}</select></label>
</div>
<div id="frontier-part">
<h3>What each policy trades</h3>
<p class="muted">Down and left is better. A filled mark is on the frontier: no other policy is at least as good in slowdown, memory pinned over time, samples lost and host CPU, and better in one. A hollow one is a policy that another one beats; the tooltip says which, in what and by how much. Green loses no sample, yellow fewer than one in a hundred, red more. The dashed line is a fifth slower than bare metal. A page-second is a guest page, pinned for a second.</p>
<div class="chart" id="frontier"></div>
</div>
<h3>Where the time went</h3>
<div class="choices"><label>Show <select id="split-as"><option value="time">time</option><option value="share">share of each policy's time</option></select></label></div>
<div class="chart" id="split"></div>
<h3>Memory pinned over time</h3>
<p class="muted">Log axis; a line on the bottom means that nothing is pinned.</p>
<div class="chart" id="pinned"></div>
<h3>Timeline</h3>
<div class="choices"><label>Policy <select id="policy"></select></label><span class="muted" id="timeline-note"></span></div>
<p class="muted">Drag the handles below the chart, or turn the wheel over it, to zoom.</p>
<div class="chart" id="timeline"></div>
</section>`;

function tables(cases: readonly Case[]): string {
  const columns = COLUMNS.map(
    (column) =>
      `<th scope="col" class="${column.align}" title="${escapeHtml(column.meaning)}">${escapeHtml(column.title)}</th>`,
  ).join("");
  return list([
    '<section aria-labelledby="numbers">',
    '<h2 id="numbers">The numbers, and what they mean</h2>',
    ...cases.map((of) =>
      list([
        `<h3>${escapeHtml(labelOf(of))}${bareMetal(of)}</h3>`,
        `<div class="scroll"><table><thead><tr>${columns}</tr></thead><tbody>`,
        ...of.runs.map(
          (run) => `<tr>${COLUMNS.map((column, i) => cell(column.cell(run), column.align, i)).join("")}</tr>`,
        ),
        "</tbody></table></div>",
        `<ul class="verdicts">`,
        ...of.runs.map(
          (run) =>
            `<li><strong>${escapeHtml(run.policy)}</strong> ${verdictsOf(run).map(toned).join(" ")}</li>`,
        ),
        "</ul>",
        seenBy(of),
      ]),
    ),
    "<h3>What the columns say</h3>",
    legendOf(COLUMNS),
    "</section>",
  ]);
}

const cell = (text: string, align: string, column: number): string =>
  column === 0 ? `<th scope="row">${escapeHtml(text)}</th>` : `<td class="${align}">${escapeHtml(text)}</td>`;

const bareMetal = (of: Case): string =>
  of.runs[0] === undefined ? "" : `, bare metal ${formatNs(of.runs[0].bareMetalWallNs)}`;

function seenBy(of: Case): string {
  const seen = of.runs.find((run) => run.model.reference !== null)?.model.reference;
  if (seen === undefined || seen === null) return "";
  const metal =
    seen.bareMetalBelowNs === null ? "" : `, under ${formatNs(seen.bareMetalBelowNs)} on bare metal`;
  return `<p class="muted">Seen: ${formatNs(seen.wallNs)}${metal} (${escapeHtml(seen.source)}).</p>`;
}

function notes(runs: readonly ModelRun[]): string {
  const section = (title: string, texts: readonly string[]): string =>
    texts.length === 0
      ? ""
      : `<section><h2>${title}</h2><ul>${texts.map((text) => `<li>${escapeHtml(text)}</li>`).join("")}</ul></section>`;
  return list([
    section("Warnings", notesOf(runs, "warnings")),
    section("Assumptions", notesOf(runs, "assumptions")),
  ]);
}
