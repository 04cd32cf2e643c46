/** The frontier of a case as a scatter chart; see charts.ts for what its strings mean. */

import { axisLook, type ChartOption, text, tooltip } from "./chart-style.ts";
import { type FrontierPoint, formatLost, frontierOf, frontierVerdict } from "./frontier.ts";
import type { ModelRun } from "./run.ts";
import { type Case, THRESHOLDS } from "./verdicts.ts";

/** Below this excess over bare metal a slowdown is printed as 1.00 times: it is drawn as none. */
const LEAST_EXCESS = 0.005;

/** The colour says what is lost: nothing, little, or more than a nearly complete profile may lose. */
const colorOfLost = (lostShare: number | null): string =>
  lostShare === null || lostShare === 0
    ? "var(--good)"
    : lostShare < THRESHOLDS.nearlyCompleteLoss
      ? "var(--fair)"
      : "var(--bad)";

/** The least and the most of what is drawn; nothing lies on the least. */
interface Bounds {
  readonly leastPinned: number;
  readonly mostPinned: number;
  readonly mostExcess: number;
}

function boundsOf(points: readonly FrontierPoint[]): Bounds {
  const pinned = points.map(({ figures }) => figures.pinnedPageSeconds).filter((value) => value > 0);
  const leastPinned = 10 ** Math.floor(Math.log10(Math.min(10, ...pinned)) - 0.5);
  return {
    leastPinned,
    mostPinned: Math.max(10 * leastPinned, ...pinned),
    mostExcess: Math.max(1, ...points.map(({ figures }) => figures.slowdown - 1)),
  };
}

const placeOf = ({ figures }: FrontierPoint, { leastPinned }: Bounds): [number, number] => [
  Math.max(figures.pinnedPageSeconds, leastPinned),
  Math.max(figures.slowdown - 1, LEAST_EXCESS),
];

/** A policy, with what its tooltip says. */
function itemOf(point: FrontierPoint, bounds: Bounds) {
  const { run, figures, lostSamples, onFrontier } = point;
  const color = colorOfLost(figures.lostShare);
  const lost =
    figures.lostShare === null || figures.lostShare === 0 ? "" : `, ${formatLost(figures.lostShare)} lost`;
  return {
    name: run.policy,
    value: placeOf(point, bounds),
    figures: {
      ...figures,
      lost: formatLost(figures.lostShare),
      lostSamples,
    },
    verdict: frontierVerdict(point),
    symbolSize: onFrontier ? 15 : 10,
    itemStyle: { color: onFrontier ? color : "transparent", borderColor: color, borderWidth: 2 },
    label: {
      formatter: `${run.policy}${lost}`,
      color: onFrontier ? "var(--text)" : "var(--muted)",
      fontWeight: onFrontier ? "bold" : "normal",
    },
  };
}

/** The line through those on the frontier, with the chart's edges. */
function frontierSeries(points: readonly FrontierPoint[], bounds: Bounds) {
  const edge = (axis: "xAxis" | "yAxis", value: number, label: string, type: string) => ({
    [axis]: value,
    lineStyle: { color: "var(--muted)", type },
    label: { formatter: label, color: "var(--muted)", position: "start" },
  });
  return {
    type: "line",
    data: points
      .filter((point) => point.onFrontier)
      .map((point) => placeOf(point, bounds))
      .sort((a, b) => a[0] - b[0] || b[1] - a[1]),
    symbol: "none",
    silent: true,
    lineStyle: { color: "var(--accent)", width: 2, type: "dotted" },
    markLine: {
      silent: true,
      z: 1,
      symbol: "none",
      // Decimals that are kept of where a line lies.
      precision: 6,
      data: [
        edge("xAxis", bounds.leastPinned, "0", "solid"),
        edge("yAxis", LEAST_EXCESS, "1.00×", "solid"),
        edge("yAxis", THRESHOLDS.usableSlowdown - 1, "", "dashed"),
      ],
    },
  };
}

const policySeries = (points: readonly FrontierPoint[], bounds: Bounds) => ({
  type: "scatter",
  clip: false,
  z: 3,
  data: points.map((point) => itemOf(point, bounds)),
  label: {
    show: true,
    position: "right",
    distance: 8,
    fontSize: 12,
    textBorderColor: "var(--surface)",
    textBorderWidth: 3,
  },
  labelLine: { show: true, lineStyle: { color: "var(--line)" } },
  // ECharts' own moveOverlap leaves labels of one height in one place.
  labelLayout: "fn:besideOthers",
});

const decades = (from: number, to: number): number[] =>
  Array.from({ length: Math.ceil(Math.log10(to / from)) + 1 }, (_, i) =>
    Number((from * 10 ** i).toPrecision(1)),
  );

const logAxis = (name: string, ticks: readonly number[], formatter: string) => ({
  type: "log",
  name,
  nameLocation: "middle",
  ...axisLook,
  axisLine: { onZero: false, lineStyle: { color: "var(--line)" } },
  splitLine: { show: false },
  axisLabel: { color: "var(--muted)", formatter, customValues: ticks },
});

/**
 * What the policies of a case trade: page-seconds pinned against slowdown, both from nothing on, and what each loses
 * as its colour and in its label. Both axes are logarithms of what is more than nothing; nothing lies on their edges.
 * @param all the runs of the whole report, for the twins
 */
export function frontierChart(of: Case, all: readonly ModelRun[]): { option: ChartOption; heightPx: number } {
  const points = frontierOf(of, all);
  const bounds = boundsOf(points);
  const { leastPinned, mostPinned, mostExcess } = bounds;
  return {
    heightPx: 420,
    option: {
      ...text,
      tooltip: tooltip("fn:frontierTip"),
      grid: { top: 24, left: 64, right: 130, bottom: 56 },
      xAxis: {
        ...logAxis("page-seconds pinned", decades(10 * leastPinned, mostPinned), "fn:count"),
        nameGap: 32,
        min: leastPinned,
        max: mostPinned * 1.6,
      },
      yAxis: {
        ...logAxis("times bare metal", decades(0.01, mostExcess), "fn:excessTick"),
        nameGap: 46,
        min: LEAST_EXCESS,
        max: mostExcess * 1.6,
      },
      series: [frontierSeries(points, bounds), policySeries(points, bounds)],
    },
  };
}
