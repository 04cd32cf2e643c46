/**
 * The page's charts as ECharts options, computed here as plain JSON. Two kinds of strings are resolved by the page:
 * "var(--x)" is a colour of its style sheet (so light and dark are one option), "fn:x" is one of page.js's
 * functions, for what JSON cannot hold.
 */
import { axisLook, type ChartOption, colorOfPolicy, legend, rowAxis, text, tooltip } from "./chart-style.ts";
import type { RunDetail, SpanKind } from "./detail.ts";
import { policiesOf } from "./policy-order.ts";
import type { ModelRun, TimePart } from "./run.ts";
import { TIME_PARTS } from "./run.ts";
import { thinSpans, thinSteps } from "./thin.ts";
import { type Case, casesOf, THRESHOLDS, worstSlowdown } from "./verdicts.ts";

export const PART_NAMES: Readonly<Record<TimePart, string>> = {
  guestRunNs: "guest",
  idleNs: "idle",
  walkNs: "walk",
  pinNs: "pin",
  unpinNs: "unpin",
  stage2Ns: "stage 2",
  exitNs: "exit",
  irqNs: "irq",
  lockWaitNs: "lock wait",
  stealNs: "steal",
};

const SPAN_NAMES: Readonly<Record<SpanKind, string>> = {
  "buffer-on": "buffer on",
  walk: "walk",
  pin: "pin",
  unpin: "unpin",
  stage2: "stage 2",
  exit: "exit",
  irq: "irq",
  blackout: "blackout",
  idle: "idle",
};

/** The three rows of a vCPU in the timeline, and which row a span is drawn in. */
const LANES = ["buffer on", "host work", "blackout"] as const;
const LANE_OF: Readonly<Record<SpanKind, 0 | 1 | 2>> = {
  "buffer-on": 0,
  walk: 1,
  pin: 1,
  unpin: 1,
  stage2: 1,
  exit: 1,
  irq: 1,
  idle: 1,
  blackout: 2,
};

/** All spans on one page, which keeps it to a few megabytes and quick to open; at most so many in one run. */
const SPANS_PER_PAGE = 120_000;
const SPANS_PER_RUN = 20_000;
const STEPS_PER_RUN = 3_000;

/** Where a chart's axes lie: their labels are within. */
const gridOf = ({ top, right, bottom }: Readonly<Record<"top" | "right" | "bottom", number>>) => ({
  top,
  left: 8,
  right,
  bottom,
  outerBoundsMode: "same",
  outerBoundsContain: "axisLabel",
});

/** Instants of a run. */
const timeAxis = {
  type: "value",
  min: 0,
  max: "dataMax",
  ...axisLook,
  axisLabel: { color: "var(--muted)", formatter: "fn:ns", hideOverlap: true },
};

const colorOfPart = (name: string): string => `var(--part-${name.replaceAll(" ", "-")})`;
/** A recording's path is longer than a chart has room for: its name is enough beside the table that has all of it. */
const shortScenario = (of: Case): string => of.scenario.split(/[\\/]/).at(-1) ?? of.scenario;

const labelOf = (of: Case, several: boolean): string =>
  several ? `${shortScenario(of)}\n${of.profile}` : shortScenario(of);

/** The largest slowdown that is drawn for a run. */
const furthest = (run: ModelRun): number =>
  Math.max(worstSlowdown(run), run.model.atHighCosts?.slowdown ?? 0, seenSlowdown(run) ?? 0);

/** What the slowdown chart's series have in common: its rows are cases, and in each a lane for each policy. */
interface SlowdownRows {
  readonly runs: readonly ModelRun[];
  readonly cases: readonly Case[];
  readonly policies: readonly string[];
}

const rowOf = ({ cases }: SlowdownRows, run: ModelRun): number =>
  cases.findIndex((of) => of.scenario === run.scenario && of.profile === run.profile);

/** A policy's slowdowns, each with the ends of its range. */
const slowdownSeries = (rows: SlowdownRows, policy: string, lane: number) => ({
  type: "custom",
  name: policy,
  renderItem: "fn:lollipop",
  color: colorOfPolicy(lane),
  clip: false,
  encode: { x: 0, y: 1 },
  data: rows.runs
    .filter((run) => run.policy === policy)
    .map((run) => [
      run.slowdown,
      rowOf(rows, run),
      lane,
      rows.policies.length,
      run.model.atLowCosts?.slowdown ?? run.slowdown,
      Math.max(run.model.atHighCosts?.slowdown ?? 0, worstSlowdown(run)),
      run.guestWallNs,
      furthest(run),
    ]),
});

/** What somebody measured for the same thing. */
const seenSeries = (rows: SlowdownRows) => ({
  type: "custom",
  name: SEEN,
  renderItem: "fn:diamond",
  color: "var(--text)",
  encode: { x: 0, y: 1 },
  data: rows.runs.flatMap((run) => {
    const slowdown = seenSlowdown(run);
    const { policies } = rows;
    const lane = policies.indexOf(run.policy);
    return slowdown === undefined
      ? []
      : [[slowdown, rowOf(rows, run), lane, policies.length, run.model.reference?.wallNs ?? 0]];
  }),
  z: 4,
});

/** Lines at bare metal's time and at what is still usable. */
function slowdownMarks() {
  const line = (at: number, label: string, type: string) => ({
    xAxis: at,
    lineStyle: { color: "var(--muted)", type },
    label: { formatter: label, color: "var(--muted)", position: "start" },
  });
  return {
    type: "scatter",
    data: [],
    silent: true,
    markLine: {
      silent: true,
      z: 1,
      symbol: "none",
      data: [line(1, "bare metal", "solid"), line(THRESHOLDS.usableSlowdown, "", "dashed")],
    },
  };
}

/** Slowdown by policy on a log axis, from bare metal at 1, with cost ranges and what others measured. */
export function slowdownChart(runs: readonly ModelRun[]): { option: ChartOption; heightPx: number } {
  const cases = casesOf(runs);
  const policies = policiesOf(runs);
  const rows = { runs, cases, policies };
  const severalProfiles = new Set(runs.map((run) => run.profile)).size > 1;
  const most = Math.max(...runs.map(furthest));
  const seen = seenSeries(rows);
  return {
    heightPx: 110 + cases.length * (22 + policies.length * 17),
    option: {
      ...text,
      tooltip: tooltip("fn:slowdownTip"),
      legend: legend([...policies, ...(seen.data.length > 0 ? [SEEN] : [])]),
      grid: gridOf({ top: 56, right: 64, bottom: 30 }),
      xAxis: {
        type: "log",
        min: 0.7,
        max: roundUp(Math.max(2, most * 1.2)),
        name: "times bare metal",
        nameLocation: "middle",
        nameGap: 26,
        minorSplitLine: { show: true, lineStyle: { color: "var(--grid)", opacity: 0.5 } },
        ...axisLook,
        axisLabel: { color: "var(--muted)", formatter: "fn:timesTick" },
      },
      yAxis: {
        ...rowAxis(cases.map((of) => labelOf(of, severalProfiles))),
        axisLabel: { color: "var(--text)", lineHeight: 16 },
      },
      series: [...policies.map((policy, lane) => slowdownSeries(rows, policy, lane)), seen, slowdownMarks()],
    },
  };
}

/** The name under which somebody else's measurement stands in the legend. */
const SEEN = "measured in the thread";

/** The next of 1, 2, 5, 10, 20, ...: where an axis may end with a round number. */
function roundUp(value: number): number {
  const decade = 10 ** Math.floor(Math.log10(value));
  return ([1, 2, 5].find((step) => step * decade >= value) ?? 10) * decade;
}

const seenSlowdown = (run: ModelRun): number | undefined =>
  run.model.reference === null || run.bareMetalWallNs === 0
    ? undefined
    : run.model.reference.wallNs / run.bareMetalWallNs;

/** Where each policy's time went, stacked: in seconds, or as shares of each policy's elapsed time. */
export function timeSplitChart(of: Case, as: "time" | "share"): ChartOption {
  const parts = TIME_PARTS.filter((part) => of.runs.some((run) => run[part] > 0));
  const elapsed = of.runs.map((run) => TIME_PARTS.reduce((sum, part) => sum + run[part], 0));
  return {
    ...text,
    tooltip: tooltip(as === "time" ? "fn:splitTip" : "fn:shareTip", {
      trigger: "axis",
      axisPointer: { type: "shadow" },
    }),
    legend: legend(parts.map((part) => PART_NAMES[part])),
    grid: gridOf({ top: 40, right: 24, bottom: 8 }),
    xAxis: {
      type: "value",
      ...(as === "share" ? { max: 1 } : {}),
      ...axisLook,
      axisLabel: { color: "var(--muted)", formatter: as === "time" ? "fn:ns" : "fn:share" },
    },
    yAxis: rowAxis(of.runs.map((run) => run.policy)),
    series: parts.map((part) => ({
      type: "bar",
      name: PART_NAMES[part],
      stack: "time",
      barMaxWidth: 26,
      color: colorOfPart(PART_NAMES[part]),
      data: of.runs.map((run, i) =>
        as === "time" ? run[part] : run[part] / Math.max(1, elapsed[i] as number),
      ),
    })),
  };
}

/** Bytes pinned from instant to instant, one stepped line for each policy. */
export function pinnedChart(details: readonly RunDetail[], policies: readonly string[]): ChartOption {
  const floor = leastShown(details);
  return {
    ...text,
    tooltip: tooltip("fn:pinnedTip", { trigger: "axis" }),
    legend: legend(details.map((detail) => detail.run.policy)),
    grid: gridOf({ top: 40, right: 24, bottom: 56 }),
    xAxis: timeAxis,
    yAxis: {
      type: "log",
      logBase: 4,
      min: floor,
      max: "dataMax",
      ...axisLook,
      axisLabel: { color: "var(--muted)", formatter: "fn:bytes" },
    },
    dataZoom: zoom(0),
    series: details.map(({ run, pinnedOverTime }) => {
      const steps = thinSteps(pinnedOverTime, STEPS_PER_RUN);
      const endNs = Math.max(run.guestWallNs, steps.at(-1)?.[0] ?? 0);
      const lane = policies.indexOf(run.policy);
      return {
        type: "line",
        name: run.policy,
        step: "end",
        symbol: "none",
        color: colorOfPolicy(lane),
        lineStyle: { width: 2 },
        // The third number is what the tooltip says: a log axis has no place for nothing.
        data: [...steps, [endNs, steps.at(-1)?.[1] ?? 0] as const].map(([atNs, bytes]) => [
          atNs,
          Math.max(bytes, floor),
          bytes,
        ]),
      };
    }),
  };
}

/** Where the pinned axis starts: a power of four below the least that any run holds; nothing pinned lies on it. */
function leastShown(details: readonly RunDetail[]): number {
  const held = details
    .flatMap((detail) => detail.pinnedOverTime.map(([, bytes]) => bytes))
    .filter((bytes) => bytes > 0);
  const least = held.reduce((a, b) => Math.min(a, b), 4 ** 11);
  return 4 ** (Math.ceil(Math.log2(least) / 2) - 1);
}

const zoom = (bottom: number) => [
  { type: "inside", filterMode: "weakFilter" },
  {
    type: "slider",
    filterMode: "weakFilter",
    height: 22,
    bottom,
    labelFormatter: "fn:ns",
    textStyle: { color: "var(--muted)" },
    borderColor: "var(--line)",
    showDataShadow: false,
    brushSelect: false,
  },
];

/** One run from instant to instant: when the buffer was on, what the host did, and what went unsampled. */
export function timelineChart(
  { run, spans }: RunDetail,
  budget: number,
): { option: ChartOption; heightPx: number; joinedGapNs: number } {
  const thinned = thinSpans(spans, budget);
  const vcpus = run.vcpus.length;
  const rows = run.vcpus.flatMap(({ vcpu }) =>
    LANES.map((lane) => (vcpus === 1 ? lane : `vCPU ${vcpu} ${lane}`)),
  );
  const rowOf = new Map(run.vcpus.map(({ vcpu }, i) => [vcpu, i * LANES.length]));
  const kinds = (Object.keys(SPAN_NAMES) as SpanKind[]).filter((kind) =>
    thinned.spans.some((span) => span.kind === kind),
  );
  return {
    heightPx: 130 + rows.length * (vcpus > 4 ? 16 : 26),
    joinedGapNs: thinned.joinedGapNs,
    option: {
      ...text,
      tooltip: tooltip("fn:spanTip"),
      legend: legend(kinds.map((kind) => SPAN_NAMES[kind])),
      grid: gridOf({ top: 40, right: 24, bottom: 56 }),
      xAxis: timeAxis,
      yAxis: rowAxis(rows),
      dataZoom: zoom(0),
      series: kinds.map((kind) => ({
        type: "custom",
        name: SPAN_NAMES[kind],
        renderItem: "fn:span",
        color: colorOfPart(SPAN_NAMES[kind]),
        encode: { x: [1, 2], y: 0 },
        progressive: 4000,
        data: thinned.spans
          .filter((span) => span.kind === kind)
          .map((span) => [
            (rowOf.get(span.vcpu) ?? 0) + LANE_OF[kind],
            Math.round(span.startNs),
            Math.round(span.endNs),
          ]),
      })),
    },
  };
}

/** How many spans each of a page's timelines may have. */
export const spansPerRun = (timelines: number): number =>
  Math.min(SPANS_PER_RUN, Math.floor(SPANS_PER_PAGE / Math.max(1, timelines)));
