/** A sweep as one HTML file that needs nothing else: charts of slowdown and loss, and the worst cells with their commands. */
import { counted } from "../../common/counts.ts";
import { formatBytes } from "../../common/sizes.ts";
import { axisLook, type ChartOption, colorOfPolicy, legend, text, tooltip } from "../report/chart-style.ts";
import { escapeHtml } from "../report/html-text.ts";
import {
  inlineJson,
  inlineScript,
  type PageAssets,
  type PageFacts,
  wholePage,
} from "../report/page-parts.ts";
import { speedTone } from "../report/verdicts.ts";
import { formatFactor } from "../report/words.ts";
import { labelOf, type SweepCell } from "./cell.ts";
import type { Group, Summary } from "./summary.ts";

export interface SweepPage extends PageFacts {
  readonly commandOf: (cell: SweepCell) => string;
}

interface Drawn {
  readonly id: string;
  readonly title: string;
  readonly note: string;
  readonly heightPx: number;
  readonly option: ChartOption;
}

const percent = (share: number): string => `${Number((100 * share).toPrecision(3))} %`;
const distinct = <T>(values: readonly T[]): T[] => [...new Set(values)];

/** What a chart shows of a group. */
interface Measure {
  readonly name: string;
  readonly of: (group: Group) => number | null;
  readonly axis: object;
  readonly tip: string;
}
const SLOWDOWN: Measure = {
  name: "slowdown",
  of: ({ slowdown }) => slowdown?.worst ?? null,
  axis: { type: "log", axisLabel: { color: "var(--muted)", formatter: "fn:times" } },
  tip: "fn:timesTip",
};
const LOSS: Measure = {
  name: "loss",
  of: ({ worstLostShare }) => worstLostShare,
  axis: {
    type: "value",
    min: 0,
    axisLabel: { color: "var(--muted)", formatter: "fn:share", hideOverlap: true },
  },
  tip: "fn:shareTip",
};

const grid = {
  top: 40,
  left: 8,
  right: 16,
  bottom: 8,
  outerBoundsMode: "same",
  outerBoundsContain: "axisLabel",
};

/** The worst of several groups, by a measure. */
const worstOf = (groups: readonly Group[], { of }: Measure): number | null => {
  const values = groups.flatMap((group) => of(group) ?? []);
  return values.length === 0 ? null : Math.max(...values);
};

function byBuffer(
  groups: readonly Group[],
  policies: readonly string[],
  measure: Measure,
): ChartOption | null {
  const buffers = distinct(groups.flatMap(({ bufferBytes }) => bufferBytes ?? [])).sort((a, b) => a - b);
  if (buffers.length < 2) return null;
  const series = policies.map((policy, i) => ({
    type: "line",
    name: policy,
    itemStyle: { color: colorOfPolicy(i) },
    lineStyle: { color: colorOfPolicy(i) },
    symbolSize: 7,
    data: buffers.map((bytes) =>
      worstOf(
        groups.filter((group) => group.policy === policy && group.bufferBytes === bytes),
        measure,
      ),
    ),
  }));
  return {
    ...text,
    grid,
    legend: legend(policies),
    tooltip: tooltip(measure.tip, { trigger: "axis" }),
    xAxis: { type: "category", data: buffers.map(formatBytes), ...axisLook },
    yAxis: { ...axisLook, ...measure.axis },
    series,
  };
}

function byWorkload(
  groups: readonly Group[],
  policies: readonly string[],
  measure: Measure,
): Omit<Drawn, "id" | "title" | "note"> {
  const workloads = distinct(groups.map(({ workload }) => workload));
  return {
    heightPx: 70 + workloads.length * (20 + 9 * policies.length),
    option: {
      ...text,
      grid,
      legend: legend(policies),
      tooltip: tooltip(measure.tip, { trigger: "axis", axisPointer: { type: "shadow" } }),
      xAxis: { ...axisLook, ...measure.axis },
      yAxis: {
        type: "category",
        inverse: true,
        data: workloads,
        ...axisLook,
        splitLine: { show: false },
        axisLabel: { color: "var(--text)", width: 130, overflow: "truncate" },
      },
      series: policies.map((policy, i) => ({
        type: "bar",
        name: policy,
        itemStyle: { color: colorOfPolicy(i) },
        // On a log axis bars begin at bare metal.
        data: workloads.map((workload) =>
          worstOf(
            groups.filter((group) => group.policy === policy && group.workload === workload),
            measure,
          ),
        ),
      })),
    },
  };
}

function chartsOf(all: readonly Group[]): Drawn[] {
  const charts: Drawn[] = [];
  for (const measure of [SLOWDOWN, LOSS]) {
    const groups = all.filter((group) => measure.of(group) !== null);
    const policies = distinct(groups.map(({ policy }) => policy));
    if (groups.length === 0) continue;
    const what = measure === SLOWDOWN ? "Slowdown" : "Samples lost";
    const note =
      measure === SLOWDOWN
        ? "Log axis; bare metal is 1. Of several cells the slowest."
        : "Of the samples that were selected; bare metal's own losses are in it. Of several cells the one that lost most.";
    const option = byBuffer(groups, policies, measure);
    if (option !== null)
      charts.push({
        id: `${measure.name}-buffer`,
        title: `${what} by buffer and policy`,
        note,
        heightPx: 320,
        option,
      });
    charts.push({
      id: `${measure.name}-workload`,
      title: `${what} by workload and policy`,
      note,
      ...byWorkload(groups, policies, measure),
    });
  }
  return charts;
}

const row = (head: string, cells: readonly (readonly [className: string, html: string])[]): string =>
  `<tr><th scope="row">${head}</th>${cells.map(([name, html]) => `<td class="${name}">${html}</td>`).join("")}</tr>`;

const table = (
  heads: readonly (readonly [className: string, title: string])[],
  rows: readonly string[],
): string =>
  `<div class="scroll"><table><thead><tr>${heads
    .map(([name, title]) => `<th scope="col" class="${name}">${title}</th>`)
    .join("")}</tr></thead><tbody>\n${rows.join("\n")}\n</tbody></table></div>`;

const times = (value: number | null | undefined): string =>
  value === null || value === undefined ? "-" : `${formatFactor(value)}×`;

const groupTable = (groups: readonly Group[]): string =>
  table(
    [
      ["", "workload"],
      ["", "policy"],
      ["right", "buffer"],
      ["right", "cells"],
      ["right", "slowdown, median"],
      ["right", "worst"],
      ["right", "lost, worst"],
    ],
    groups.map(({ workload, policy, bufferBytes, cells, failed, slowdown, worstLostShare }) =>
      row(escapeHtml(workload), [
        ["", escapeHtml(policy)],
        ["right", bufferBytes === null ? "-" : formatBytes(bufferBytes)],
        ["right", failed === 0 ? String(cells) : `${cells} (${failed} failed)`],
        ["right", times(slowdown?.median)],
        ["right", times(slowdown?.worst)],
        ["right", worstLostShare === null ? "-" : percent(worstLostShare)],
      ]),
    ),
  );

function worstList({ worst }: Summary, { commandOf }: SweepPage): string {
  const items = worst.map(({ cell, slowdown, lostShare, found }) => {
    const figures = [
      ...(slowdown === null ? [] : [`${times(slowdown)} bare metal`]),
      ...(lostShare === null ? [] : [`${percent(lostShare)} lost`]),
      ...(found === "" ? [] : [found]),
    ].join(", ");
    const tone = found !== "" ? "bad" : slowdown === null ? "plain" : speedTone(slowdown);
    return `<li><span class="tone ${tone}">${escapeHtml(labelOf(cell))}: ${escapeHtml(figures)}</span><br><code>${escapeHtml(commandOf(cell))}</code></li>`;
  });
  return `<ul class="verdicts">${items.join("\n")}</ul>`;
}

function failureList({ failures, failed }: Summary, { commandOf }: SweepPage): string {
  if (failed === 0) return "";
  const items = failures.map(
    ({ cell, why }) =>
      `<li><span class="tone bad">${escapeHtml(labelOf(cell))}: ${escapeHtml(why)}</span><br><code>${escapeHtml(commandOf(cell))}</code></li>`,
  );
  const more =
    failed > failures.length ? `<p class="muted">The first ${failures.length} of ${failed}.</p>` : "";
  return `<section aria-labelledby="failed"><h2 id="failed">Cells that failed</h2>${more}<ul class="verdicts">${items.join("\n")}</ul></section>`;
}

/** The whole page. */
export function sweepPage(summary: Summary, assets: PageAssets, page: SweepPage): string {
  const { groups } = summary;
  const charts = chartsOf(groups);
  const drawn = charts.map(({ id, title, note, heightPx, option }) => ({
    id,
    title,
    note,
    heightPx,
    option,
  }));
  return wholePage(page.title, assets.style, [
    `<header><h1>${escapeHtml(page.title)}</h1><p class="muted">${counted(summary.cells, "cell")}${summary.failed === 0 ? "" : `, ${summary.failed} failed`}.</p></header>`,
    "<main>",
    ...charts.map(
      ({ id, title, note }) =>
        `<section aria-labelledby="t-${id}"><h2 id="t-${id}">${title}</h2><p class="muted">${note}</p><noscript><p>The charts need JavaScript. The table below holds the same numbers.</p></noscript><div class="chart" id="${id}"></div></section>`,
    ),
    `<section aria-labelledby="worst"><h2 id="worst">The worst cells</h2><p class="muted">Each with the command that repeats it.</p>${worstList(summary, page)}</section>`,
    failureList(summary, page),
    `<section aria-labelledby="numbers"><h2 id="numbers">The numbers</h2>${groupTable(groups)}</section>`,
    "</main>",
    `<footer><p>Made by spevisor ${escapeHtml(page.version)}.</p></footer>`,
    `<script type="application/json" id="data">${inlineJson(drawn)}</script>`,
    `<script>${inlineScript(assets.echarts)}</script>`,
    `<script>${inlineScript(assets.script)}</script>`,
  ]);
}
