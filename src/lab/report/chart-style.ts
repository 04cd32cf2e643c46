/** What the page's charts have in common; see charts.ts. */

/** An ECharts option with the strings named above in places of functions: no type of the library's fits it. */
export type ChartOption = Readonly<Record<string, unknown>>;

/** Policies take the page's eight distinguishable colours in turn. */
const POLICY_COLORS = 8;
export const colorOfPolicy = (index: number): string => `var(--policy-${index % POLICY_COLORS})`;

export const text = { textStyle: { color: "var(--text)", fontFamily: "var(--font)" }, animation: false };
export const tooltip = (formatter: string, over: object = {}) => ({
  backgroundColor: "var(--surface)",
  borderColor: "var(--line)",
  textStyle: { color: "var(--text)" },
  formatter,
  confine: true,
  ...over,
});
export const legend = (data: readonly string[]) => ({
  type: "scroll",
  top: 0,
  left: 0,
  itemWidth: 14,
  itemHeight: 10,
  textStyle: { color: "var(--text)" },
  inactiveColor: "var(--line)",
  pageTextStyle: { color: "var(--text)" },
  data,
});
export const axisLook = {
  axisLine: { show: true, lineStyle: { color: "var(--line)" } },
  axisTick: { show: false },
  splitLine: { lineStyle: { color: "var(--grid)" } },
  axisLabel: { color: "var(--muted)" },
  nameTextStyle: { color: "var(--muted)" },
};
export const rowAxis = (data: readonly string[]) => ({
  type: "category",
  inverse: true,
  data,
  ...axisLook,
  splitLine: { show: false },
  axisLabel: { color: "var(--text)" },
});
