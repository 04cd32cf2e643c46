// The script of a sweep's page, inlined after ECharts.
/* global echarts */
(() => {
  const drawn = JSON.parse(document.getElementById("data").textContent);
  const escaped = (text) => echarts.format.encodeHTML(String(text));
  const times = (value) =>
    `${value < 10 ? Number(value.toPrecision(3)) : Math.round(value).toLocaleString("en")}×`;
  const share = (value) => `${Number((100 * value).toPrecision(3))} %`;
  const tip = (shown) => (list) =>
    `<b>${escaped(list[0].axisValue)}</b><br>${list
      .filter(({ value }) => typeof value === "number")
      .map(({ marker, seriesName, value }) => `${marker}${escaped(seriesName)}: <b>${shown(value)}</b>`)
      .join("<br>")}`;
  /** What stands in a chart's option as "fn:name". */
  const functions = { times, share, timesTip: tip(times), shareTip: tip(share) };
  const styleOf = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const resolved = (value) => {
    if (typeof value === "string") {
      if (value.startsWith("var(")) return styleOf(value.slice(4, -1));
      return value.startsWith("fn:") ? functions[value.slice(3)] : value;
    }
    if (Array.isArray(value)) return value.map(resolved);
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, resolved(inner)]));
  };
  const charts = [];
  const drawAll = () => {
    for (const chart of charts.splice(0)) chart.dispose();
    for (const { id, title, heightPx, option } of drawn) {
      const at = document.getElementById(id);
      at.style.height = `${heightPx}px`;
      const chart = echarts.init(at, null, { renderer: "svg" });
      charts.push(chart);
      const description = `${title}. The same numbers are in the table.`;
      chart.setOption({ aria: { enabled: true, label: { description } }, ...resolved(option) });
    }
  };
  addEventListener("resize", () => {
    for (const chart of charts) chart.resize();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  drawAll();
  document.documentElement.dataset.ready = "yes";
})();
