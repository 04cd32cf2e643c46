/** Files that go into pages as they are. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type { PageAssets } from "../lab/report/page-parts.ts";

const pageAsset = (name: string): string =>
  readFileSync(new URL(`../lab/report/page/${name}`, import.meta.url), "utf8");

/** ECharts, the pages' style, and a page's own script, read from where they are installed. */
export const pageAssets = (script: "page.js" | "sweep.js"): PageAssets => ({
  echarts: readFileSync(createRequire(import.meta.url).resolve("echarts/dist/echarts.min.js"), "utf8"),
  script: pageAsset(script),
  style: pageAsset("page.css"),
});
