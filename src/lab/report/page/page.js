// The page's own script, inlined after ECharts. `formatNs` and `formatBytes` come before it (html.ts puts them there).
/* global echarts, formatNs, formatBytes */
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const times = (x) =>
    `${x < 10 ? x.toFixed(2) : x < 100 ? x.toFixed(1) : Math.round(x).toLocaleString("en")}×`;
  const escaped = (text) => echarts.format.encodeHTML(String(text));
  const bold = (text) => `<b>${escaped(text)}</b>`;
  const rows = (title, list) =>
    `${bold(title)}<br>${list.map(({ marker, seriesName, shown }) => `${marker}${escaped(seriesName)}: ${bold(shown)}`).join("<br>")}`;

  /** The middle of a policy's lane in a case's row, and how high a lane is. */
  const lane = (api, row, index, of) => {
    const [, middle] = api.coord([1, row]);
    const band = api.size([0, 1])[1] * 0.84;
    return { y: middle - band / 2 + ((index + 0.5) * band) / of, height: band / of };
  };

  /** Where something lies in the frontier's chart already. */
  let taken = [];

  /** What stands in a chart's option as "fn:name". */
  const functions = {
    ns: (value) => (Number(value) === 0 ? "0" : formatNs(Number(value))),
    bytes: (value) => (Number(value) === 0 ? "0" : formatBytes(Number(value))),
    share: (value) => `${Math.round(value * 100)} %`,
    timesTick: (value) => (value >= 1 ? `${value.toLocaleString("en")}×` : ""),

    /** Moves a label of the frontier up or down until it lies on no dot and on no label that has its place. */
    besideOthers: ({ dataIndex, labelRect }) => {
      const chart = charts.get("frontier");
      if (dataIndex === 0)
        taken = chosenCase()
          .frontier.option.series.at(-1)
          .data.map(({ value, symbolSize }) => {
            const [x, y] = chart.convertToPixel({ gridIndex: 0 }, value);
            const r = symbolSize / 2;
            return { x: x - r, y: y - r, width: 2 * r, height: 2 * r };
          });
      // The rectangle given is lower than the letters are: a line's height around its middle is theirs.
      const { x, width } = labelRect;
      const height = 14;
      const top = labelRect.y + (labelRect.height - height) / 2;
      const lowest = chart.getHeight() - chosenCase().frontier.option.grid.bottom + height / 2;
      const free = (y) =>
        y >= 0 &&
        y + height <= lowest &&
        taken.every(
          (box) =>
            x >= box.x + box.width || box.x >= x + width || y >= box.y + box.height || box.y >= y + height,
        );
      const steps = Array.from({ length: 24 }, (_, i) => (i % 2 === 0 ? 1 : -1) * Math.ceil(i / 2));
      const dy = (steps.find((step) => free(top + step * (height + 1))) ?? 0) * (height + 1);
      taken.push({ x, y: top + dy, width, height });
      return { dy };
    },
    count: (value) => value.toLocaleString("en"),
    excessTick: (value) => `${(1 + value).toLocaleString("en")}×`,

    lollipop: ({ seriesName }, api) => {
      const [slowdown, row, index, of, low, high, , furthest] = [0, 1, 2, 3, 4, 5, 6, 7].map((i) =>
        api.value(i),
      );
      const { y } = lane(api, row, index, of);
      const x = (value) => api.coord([value, row])[0];
      const color = api.visual("color");
      const line = (from, to, lineWidth, opacity) => ({
        type: "line",
        shape: { x1: x(from), y1: y, x2: x(to), y2: y },
        style: { stroke: color, lineWidth, opacity },
      });
      return {
        type: "group",
        children: [
          line(1, slowdown, 3, 0.45),
          ...(high > low ? [line(low, high, 9, 0.25)] : []),
          { type: "circle", shape: { cx: x(slowdown), cy: y, r: 5 }, style: { fill: color } },
          {
            type: "text",
            style: {
              x: x(furthest) + 10,
              y,
              // Colours come again after eight.
              text: of > 8 ? `${times(slowdown)} ${seriesName}` : times(slowdown),
              fill: styleOf("--muted"),
              fontSize: 11,
              fontFamily: styleOf("--font"),
              stroke: styleOf("--surface"),
              lineWidth: 3,
              verticalAlign: "middle",
            },
          },
        ],
      };
    },
    diamond: (_, api) => {
      const [slowdown, row, index, of] = [0, 1, 2, 3].map((i) => api.value(i));
      const { y } = lane(api, row, index, of);
      const [x] = api.coord([slowdown, row]);
      const r = 6.5;
      return {
        type: "polygon",
        shape: {
          points: [
            [x, y - r],
            [x + r, y],
            [x, y + r],
            [x - r, y],
          ],
        },
        style: { fill: "transparent", stroke: styleOf("--text"), lineWidth: 2 },
      };
    },
    span: (params, api) => {
      const row = api.value(0);
      const [x1, y] = api.coord([api.value(1), row]);
      const [x2] = api.coord([api.value(2), row]);
      const height = api.size([0, 1])[1] * 0.72;
      const area = params.coordSys;
      const left = Math.max(x1, area.x);
      const width = Math.max(Math.min(x2, area.x + area.width) - left, 1);
      if (x2 < area.x || x1 > area.x + area.width) return undefined;
      return {
        type: "rect",
        shape: { x: left, y: y - height / 2, width, height },
        style: { fill: api.visual("color") },
      };
    },

    slowdownTip: ({ seriesName, value, marker, componentType }) => {
      if (componentType !== "series") return "";
      const [slowdown, row, , , low, high, wallNs] = value;
      const where = escaped(data.rows[row]);
      if (value.length < 6)
        return `${where}<br>${marker}${escaped(seriesName)}: ${bold(formatNs(low))} (${times(slowdown)})`;
      const range = high > low ? `<br>over the cost ranges: ${times(low)} to ${times(high)}` : "";
      return `${where}<br>${marker}${escaped(seriesName)}: ${bold(times(slowdown))}, ${formatNs(wallNs)}${range}`;
    },
    frontierTip: ({ name, data: point }) => {
      if (point?.figures === undefined) return "";
      const { slowdown, pinnedPageSeconds, lost, lostSamples, hostCpuNs } = point.figures;
      const samples = lostSamples === 0 ? "" : ` (${lostSamples.toLocaleString("en")})`;
      return [
        bold(name),
        `slowdown: ${bold(times(slowdown))}`,
        `page-seconds pinned: ${bold(pinnedPageSeconds.toLocaleString("en"))}`,
        `samples lost: ${bold(lost)}${samples}`,
        `host CPU: ${bold(formatNs(hostCpuNs))}`,
        escaped(point.verdict),
      ].join("<br>");
    },
    splitTip: (list) =>
      rows(
        list[0].name,
        list.filter((p) => p.value > 0).map((p) => ({ ...p, shown: formatNs(p.value) })),
      ),
    shareTip: (list) =>
      rows(
        list[0].name,
        list.filter((p) => p.value > 0).map((p) => ({ ...p, shown: `${(p.value * 100).toPrecision(3)} %` })),
      ),
    pinnedTip: (list) =>
      rows(
        formatNs(list[0].axisValue),
        list.map((p) => ({ ...p, shown: formatBytes(p.value[2]) })),
      ),
    spanTip: ({ seriesName, value, marker }) =>
      `${marker}${bold(seriesName)}: ${formatNs(value[2] - value[1])}<br>from ${formatNs(value[1])} to ${formatNs(value[2])}`,
  };

  const styleOf = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  /** An option with its colours and functions put in. */
  const resolved = (value) => {
    if (typeof value === "string") {
      if (value.startsWith("var(")) return styleOf(value.slice(4, -1));
      return value.startsWith("fn:") ? functions[value.slice(3)] : value;
    }
    if (Array.isArray(value)) return typeof value[0] === "number" ? value : value.map(resolved);
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, resolved(inner)]));
  };

  const element = (id) => document.getElementById(id);
  const charts = new Map();

  /** Draws (or draws anew) a chart in the element of that id. */
  const draw = (id, { option, heightPx }, renderer, description) => {
    const at = element(id);
    charts.get(id)?.dispose();
    at.style.height = `${heightPx}px`;
    const chart = echarts.init(at, null, { renderer });
    charts.set(id, chart);
    chart.setOption({ aria: { enabled: true, label: { description } }, ...resolved(option) });
  };

  const chosenCase = () => data.cases[Number(element("case").value)];

  const drawTimeline = () => {
    const runs = chosenCase().runs;
    const run = runs[Math.min(Number(element("policy").value), runs.length - 1)];
    draw(
      "timeline",
      run.timeline,
      "canvas",
      `Timeline of ${run.policy}: buffer on and off, host work, blackouts.`,
    );
    element("timeline-note").textContent =
      run.timeline.joinedGapNs > 0
        ? `Stretches less than ${formatNs(run.timeline.joinedGapNs)} apart are drawn as one.`
        : "Every stretch is drawn.";
  };

  const drawCase = () => {
    const chosen = chosenCase();
    const policy = element("policy");
    const before = policy.selectedOptions[0]?.text ?? data.firstPolicy;
    policy.replaceChildren(
      ...chosen.runs.map((run, i) => new Option(run.policy, String(i), false, run.policy === before)),
    );
    draw(
      "split",
      { option: chosen.split[element("split-as").value], heightPx: chosen.splitHeightPx },
      "svg",
      `Where the time of ${chosen.label} went, by policy. The same numbers are in the table.`,
    );
    element("frontier-part").hidden = chosen.frontier === null;
    if (chosen.frontier !== null)
      draw(
        "frontier",
        chosen.frontier,
        "svg",
        `What the policies of ${chosen.label} trade: memory pinned over time, slowdown, samples lost.`,
      );
    draw(
      "pinned",
      { option: chosen.pinned, heightPx: 300 },
      "canvas",
      `Memory pinned over time in ${chosen.label}.`,
    );
    drawTimeline();
  };

  const drawAll = () => {
    draw("slowdown", data.slowdown, "svg", "Slowdown by policy. The same numbers are in the table.");
    drawCase();
  };

  element("case").addEventListener("change", drawCase);
  element("split-as").addEventListener("change", drawCase);
  element("policy").addEventListener("change", drawTimeline);
  addEventListener("resize", () => {
    for (const chart of charts.values()) chart.resize();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  drawAll();
  document.documentElement.dataset.ready = "yes";
})();
