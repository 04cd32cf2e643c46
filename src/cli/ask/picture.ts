/** A chart as an SVG picture: drawn by ECharts without a browser, the same bytes each time. */
import { type EChartsOption, init } from "echarts";
import type { Axis, Chart } from "../../lab/questions/question.ts";

const WIDTH_PX = 760;
const PLOT_HEIGHT_PX = 320;
/** Text is not measured without a browser: a generous width of a character at 12 px. */
const CHARACTER_PX = 7;

/** Okabe and Ito's colours, which are told apart by people who see fewer of them; readable on white. */
const COLORS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8a6d00", "#56b4e9", "#555555", "#e69f00"];
/** Lines differ by their marks, too. */
const MARKS = ["circle", "rect", "triangle", "diamond", "emptyCircle", "emptyRect", "emptyTriangle", "pin"];

const INK = "#1f2328";
const MUTED = "#59636e";
const RULE = "#d1d9e0";

const number = (value: number): string => value.toLocaleString("en", { maximumSignificantDigits: 6 });

/** The values that a chart shows along an axis. */
const valuesOn = ({ series }: Chart, axis: 0 | 1): (number | string)[] =>
  series.flatMap(({ points }) => points.map((point) => point[axis]));

/** Where a log axis begins and ends, and which values it names: powers of two if all are, or 1, 2, 5 of decades. */
function logScale(values: readonly number[]): { base: number; min: number; max: number; ticks: number[] } {
  const positive = values.filter((value) => value > 0);
  const least = positive.length === 0 ? 1 : Math.min(...positive);
  const most = positive.length === 0 ? 10 : Math.max(...positive);
  const doublings = positive.every((value) => Number.isInteger(Math.log2(value)));
  if (doublings && most > least) {
    const step = Math.ceil(Math.log2(most / least) / 12);
    const count = Math.ceil(Math.log2(most / least) / step);
    const ticks = Array.from({ length: count + 1 }, (_, i) => least * 2 ** (i * step));
    return { base: 2, min: least, max: ticks.at(-1) as number, ticks };
  }
  const steps = most / least < 1_000 ? [1, 2, 5] : [1];
  const first = Math.floor(Math.log10(least));
  const last = Math.ceil(Math.log10(most));
  const ticks = [];
  for (let decade = first; decade <= last; decade++)
    for (const step of steps) ticks.push(Number((step * 10 ** decade).toPrecision(1)));
  const min = ticks.filter((tick) => tick <= least).at(-1) ?? least;
  const above = ticks.find((tick) => tick >= most && tick > min) ?? most;
  return { base: 10, min, max: above, ticks: ticks.filter((tick) => tick >= min && tick <= above) };
}

const LOOK = {
  axisLine: { show: true, lineStyle: { color: MUTED } },
  axisTick: { show: true, lineStyle: { color: MUTED } },
  splitLine: { show: true, lineStyle: { color: RULE } },
  nameTextStyle: { color: INK, fontSize: 12 },
} as const;

function axisOption(axis: Axis, values: readonly (number | string)[]) {
  const label = { color: INK, fontSize: 12 };
  switch (axis.scale) {
    case "categories":
      return {
        ...LOOK,
        type: "category" as const,
        data: [...new Set(values.map(String))],
        splitLine: { show: false },
        axisLabel: { ...label, interval: 0, hideOverlap: false },
      };
    case "log": {
      const { base, min, max, ticks } = logScale(values.map(Number));
      return {
        ...LOOK,
        type: "log" as const,
        logBase: base,
        min,
        max,
        axisTick: { ...LOOK.axisTick, customValues: ticks },
        axisLabel: { ...label, customValues: ticks, formatter: number },
      };
    }
    case "linear":
      return { ...LOOK, type: "value" as const, axisLabel: { ...label, formatter: number } };
  }
}

/** How many lines the legend breaks into. */
function legendLines(names: readonly string[]): number {
  let lines = 1;
  let usedPx = 0;
  for (const name of names) {
    const wantedPx = 52 + name.length * CHARACTER_PX;
    if (usedPx > 0 && usedPx + wantedPx > WIDTH_PX - 40) {
      lines++;
      usedPx = 0;
    }
    usedPx += wantedPx;
  }
  return lines;
}

const LINE_PX = 20;
const TITLE_PX = 40;

function optionOf(chart: Chart): { option: EChartsOption; heightPx: number } {
  const names = chart.series.map(({ name }) => name);
  const hasLegend = names.length > 1;
  const legendPx = hasLegend ? legendLines(names) * LINE_PX + 8 : 0;
  const top = TITLE_PX + legendPx + 24;
  // A log axis has no place for nothing.
  const drawable = ([x, y]: readonly [number | string, number]): boolean =>
    (chart.x.scale !== "log" || Number(x) > 0) && (chart.y.scale !== "log" || y > 0);
  const undrawn = chart.series.flatMap(({ points }) => points.filter((point) => !drawable(point))).length;
  const categories = chart.x.scale === "categories" || chart.kind === "bar";
  const xAxis: Axis = categories ? { name: chart.x.name, scale: "categories" } : chart.x;
  const notePx = undrawn === 0 ? 0 : LINE_PX;
  const heightPx = top + PLOT_HEIGHT_PX + 60 + notePx;
  const option: EChartsOption = {
    animation: false,
    backgroundColor: "#ffffff",
    color: COLORS,
    textStyle: { fontFamily: "sans-serif", color: INK },
    title: { text: chart.title, left: 12, top: 10, textStyle: { fontSize: 15, color: INK } },
    legend: {
      show: hasLegend,
      top: TITLE_PX,
      left: 8,
      width: WIDTH_PX - 24,
      itemWidth: 22,
      itemGap: 24,
      textStyle: { color: INK, fontSize: 12 },
      data: names,
    },
    grid: { top, left: 80, right: 30, height: PLOT_HEIGHT_PX },
    xAxis: {
      ...axisOption(xAxis, valuesOn(chart, 0)),
      name: chart.x.name,
      nameLocation: "middle",
      nameGap: 32,
    },
    yAxis: {
      ...axisOption(chart.y, valuesOn(chart, 1)),
      name: chart.y.name,
      nameLocation: "end",
      nameTextStyle: { color: INK, fontSize: 12, align: "left", padding: [0, 0, 0, -70] },
    },
    graphic:
      undrawn === 0
        ? []
        : [
            {
              type: "text",
              left: 12,
              bottom: 8,
              style: {
                text: `Not drawn, because a logarithmic axis has no zero: ${undrawn} ${undrawn === 1 ? "point" : "points"}.`,
                fill: MUTED,
                fontSize: 12,
              },
            },
          ],
    series: chart.series.map(({ name, points }, i) => ({
      type: chart.kind,
      name,
      symbol: MARKS[i % MARKS.length],
      symbolSize: chart.kind === "scatter" ? 9 : 7,
      showSymbol: true,
      barMaxWidth: 40,
      data: points.filter(drawable).map(([x, y]): (number | string)[] => [categories ? String(x) : x, y]),
    })) as NonNullable<EChartsOption["series"]>,
  };
  return { option, heightPx };
}

/** The picture's text. */
export function svgOf(chart: Chart): string {
  const { option, heightPx } = optionOf(chart);
  const drawing = init(null, null, { renderer: "svg", ssr: true, width: WIDTH_PX, height: heightPx });
  drawing.setOption(option);
  const svg = drawing.renderToSVGString();
  drawing.dispose();
  // The library numbers its drawings, which would make a picture depend on those before it.
  return `${svg.replace(/\bzr\d+-/g, "zr-")}\n`;
}
