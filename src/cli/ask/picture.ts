/** A chart as an SVG picture: drawn by ECharts without a browser, the same bytes each time. */
import { type EChartsOption, init } from "echarts";
import wrapAnsi from "wrap-ansi";
import type { Axis, Chart } from "../../lab/questions/question.ts";

const WIDTH_PX = 760;
const PLOT_HEIGHT_PX = 320;
const LEFT_PX = 80;
const RIGHT_PX = 40;
const PLOT_WIDTH_PX = WIDTH_PX - LEFT_PX - RIGHT_PX;
const LINE_PX = 20;
/** Text is not measured without a browser: a generous width of a character at 12 px, and at the title's 15 px. */
const CHARACTER_PX = 7;
const TITLE_CHARACTER_PX = 9;
/** Between two names of the legend, along and across. */
const LEGEND_GAP_PX = 18;
const LEGEND_MARK_PX = 22;
const LEGEND_LINE_PX = 14 + LEGEND_GAP_PX;

/** Okabe and Ito's colours, which are told apart by people who see fewer of them; readable on white. */
const COLORS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8a6d00", "#56b4e9", "#555555", "#e69f00"];
/** Lines differ by their marks, too; one fewer than colours, so that no pair comes twice soon. */
const MARKS = ["circle", "rect", "triangle", "diamond", "emptyCircle", "emptyRect", "emptyTriangle"];

const INK = "#1f2328";
const MUTED = "#59636e";
const RULE = "#d1d9e0";

const number = (value: number): string =>
  value.toLocaleString("en", {
    maximumSignificantDigits: 6,
    notation: Math.abs(value) >= 1e7 ? "compact" : "standard",
  });

/** How a category is named. */
const category = (x: number | string): string => (typeof x === "number" ? number(x) : x);

/** The values that a chart shows along an axis. */
const valuesOn = ({ series }: Chart, axis: 0 | 1): (number | string)[] =>
  series.flatMap(({ points }) => points.map((point) => point[axis]));

/**
 * Where a log axis begins and ends, and which values it names: powers of two if all are, or 1, 2, 5 of decades.
 * @param below the axis begins below the least value, where bars stand
 */
function logScale(
  values: readonly number[],
  below: boolean,
): { base: number; min: number; max: number; ticks: number[] } {
  const positive = values.filter((value) => value > 0);
  const least = positive.length === 0 ? 1 : Math.min(...positive);
  const most = positive.length === 0 ? 10 : Math.max(...positive);
  const doublings = positive.every((value) => Number.isInteger(Math.log2(value)));
  if (doublings && most > least && !below) {
    const step = Math.ceil(Math.log2(most / least) / 12);
    const count = Math.ceil(Math.log2(most / least) / step);
    const ticks = Array.from({ length: count + 1 }, (_, i) => least * 2 ** (i * step));
    return { base: 2, min: least, max: ticks.at(-1) as number, ticks };
  }
  const steps = most / least < 1_000 ? [1, 2, 5] : [1];
  const first = Math.floor(Math.log10(least)) - 1;
  const last = Math.ceil(Math.log10(most));
  const ticks = [];
  for (let decade = first; decade <= last; decade++)
    for (const step of steps) ticks.push(Number((step * 10 ** decade).toPrecision(1)));
  const min = ticks.filter((tick) => (below ? tick < least : tick <= least)).at(-1) ?? least / 10;
  const above = ticks.find((tick) => tick >= most && tick > min) ?? most;
  return { base: 10, min, max: above, ticks: ticks.filter((tick) => tick >= min && tick <= above) };
}

const NAME = { color: INK, fontSize: 12 } as const;
const LOOK = {
  axisLine: { show: true, lineStyle: { color: MUTED } },
  axisTick: { show: true, lineStyle: { color: MUTED } },
  splitLine: { show: true, lineStyle: { color: RULE } },
  nameTextStyle: NAME,
} as const;

function axisOption(
  axis: Axis,
  values: readonly (number | string)[],
  { bars = false, slanted = false }: { readonly bars?: boolean; readonly slanted?: boolean },
) {
  const label = { color: INK, fontSize: 12 };
  switch (axis.scale) {
    case "categories":
      return {
        ...LOOK,
        type: "category" as const,
        data: [...new Set(values.map(category))],
        splitLine: { show: false },
        axisLabel: { ...label, interval: 0, hideOverlap: false, rotate: slanted ? 30 : 0 },
      };
    case "log": {
      const { base, min, max, ticks } = logScale(values.map(Number), bars);
      return {
        ...LOOK,
        type: "log" as const,
        logBase: base,
        // Where bars stand: without it on 1.
        startValue: min,
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
    const wantedPx = LEGEND_MARK_PX + LEGEND_GAP_PX + 8 + name.length * CHARACTER_PX;
    if (usedPx > 0 && usedPx + wantedPx > WIDTH_PX - 24) {
      lines++;
      usedPx = 0;
    }
    usedPx += wantedPx;
  }
  return lines;
}

/** A log axis has no place for nothing. */
const drawable = ({ x, y }: Chart, [atX, atY]: readonly [number | string, number]): boolean =>
  (x.scale !== "log" || Number(atX) > 0) && (y.scale !== "log" || atY > 0);

/** The axes and where they are. Bars lie on their side where their names have no room beside each other. */
function plotOf(chart: Chart, topPx: number) {
  const bars = chart.kind === "bar";
  const names = [...new Set(valuesOn(chart, 0).map(category))];
  const longestPx = Math.max(...names.map((name) => name.length)) * CHARACTER_PX;
  const categories = bars || chart.x.scale === "categories";
  const crowded = categories && (longestPx + 12) * names.length > PLOT_WIDTH_PX;
  const sideways = bars && crowded;
  const x = axisOption(
    categories ? { name: chart.x.name, scale: "categories" } : chart.x,
    valuesOn(chart, 0),
    { slanted: crowded && !sideways },
  );
  const y = axisOption(chart.y, valuesOn(chart, 1), { bars });
  const along = { nameLocation: "middle", nameGap: 32 } as const;
  const above = (leftPx: number) => {
    const padding: number[] = [0, 0, 0, 12 - leftPx];
    return { nameLocation: "end" as const, nameTextStyle: { ...NAME, align: "left" as const, padding } };
  };
  if (sideways) {
    const rowPx = Math.max(22, chart.series.length * 13 + 9);
    const left = Math.max(LEFT_PX, longestPx + 20);
    const height = names.length * rowPx;
    return {
      sideways,
      categories,
      bottomPx: topPx + height + 60,
      option: {
        grid: { top: topPx, left, right: RIGHT_PX, height },
        xAxis: { ...y, ...along, name: chart.y.name },
        yAxis: { ...x, ...above(left), name: chart.x.name, nameLocation: "start" as const, inverse: true },
      },
    };
  }
  const labelsPx = crowded ? Math.ceil(longestPx / 2) : 0;
  return {
    sideways,
    categories,
    bottomPx: topPx + PLOT_HEIGHT_PX + 60 + labelsPx,
    option: {
      grid: { top: topPx, left: LEFT_PX, right: RIGHT_PX, height: PLOT_HEIGHT_PX },
      xAxis: {
        ...x,
        ...along,
        name: chart.x.name,
        nameGap: along.nameGap + labelsPx,
      },
      yAxis: { ...y, ...above(LEFT_PX), name: chart.y.name },
    },
  };
}

function optionOf(chart: Chart): { option: EChartsOption; heightPx: number } {
  const names = chart.series.map(({ name }) => name);
  const title = wrapAnsi(chart.title, (WIDTH_PX - 24) / TITLE_CHARACTER_PX);
  const titlePx = 20 + LINE_PX * title.split("\n").length;
  const legendPx = names.length > 1 ? legendLines(names) * LEGEND_LINE_PX : 0;
  const { option, categories, sideways, bottomPx } = plotOf(chart, titlePx + legendPx + 28);
  const undrawn = chart.series.flatMap(({ points }) => points.filter((point) => !drawable(chart, point)));
  const note = `Not drawn, because a logarithmic axis has no zero: ${undrawn.length} ${undrawn.length === 1 ? "point" : "points"}.`;
  return {
    heightPx: bottomPx + (undrawn.length > 0 ? LINE_PX : 0),
    option: {
      animation: false,
      backgroundColor: "#ffffff",
      color: COLORS,
      textStyle: { fontFamily: "sans-serif", color: INK },
      title: {
        text: title,
        left: 7,
        top: 8,
        textStyle: { fontSize: 15, lineHeight: LINE_PX, color: INK },
      },
      legend: {
        show: names.length > 1,
        top: titlePx - 4,
        left: 7,
        width: WIDTH_PX - 24,
        itemWidth: LEGEND_MARK_PX,
        itemGap: LEGEND_GAP_PX,
        textStyle: { color: INK, fontSize: 12 },
        data: names,
      },
      ...option,
      graphic:
        undrawn.length === 0
          ? []
          : [
              {
                type: "text",
                left: 12,
                bottom: 8,
                style: { text: note, fill: MUTED, fontSize: 12, fontFamily: "sans-serif" },
              },
            ],
      series: chart.series.map(({ name, points }, i) => ({
        type: chart.kind,
        name,
        // Nobody's pointer changes a picture: without this the file carries styles for it.
        silent: true,
        symbol: MARKS[i % MARKS.length],
        symbolSize: chart.kind === "scatter" ? 9 : 7,
        showSymbol: true,
        itemStyle: { opacity: 1 },
        barMaxWidth: 40,
        data: points
          .filter((point) => drawable(chart, point))
          .map(([x, y]) => {
            const atX = categories ? category(x) : x;
            return sideways ? [y, atX] : [atX, y];
          }),
      })) as NonNullable<EChartsOption["series"]>,
    },
  };
}

const escaped = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

/** The picture's text. */
export function svgOf(chart: Chart): string {
  const { option, heightPx } = optionOf(chart);
  const drawing = init(null, null, { renderer: "svg", ssr: true, width: WIDTH_PX, height: heightPx });
  drawing.setOption(option);
  const svg = drawing.renderToSVGString();
  drawing.dispose();
  const title = `<title>${escaped(chart.title)}</title>`;
  return `${withoutCounters(svg).replace(/^<svg[^>]*>/, (start) => `${start}\n${title}`)}\n`;
}

/**
 * The library counts its drawings and the styles that it has for pointers, in names that would make a picture depend
 * on those before it. A picture has no pointer.
 */
const withoutCounters = (svg: string): string =>
  svg
    .replace(/<style[\s\S]*<\/style>\s*/, "")
    .replace(/ (class|ecmeta_\w+)="[^"]*"/g, "")
    .replace(/\bzr\d+-/g, "zr-");
