/** What tests of the page have in common: its files, and a browser to look at it. */
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";

export const CHROMIUM = "/usr/bin/chromium";
export const haveChromium = existsSync(CHROMIUM);
if (!haveChromium) console.log("skipped: no /usr/bin/chromium; to run these tests: apt-get install chromium");

const asset = (path: string) =>
  readFileSync(new URL(`../src/lab/report/page/${path}`, import.meta.url), "utf8");
/** ECharts, and the page's own script and style. */
export const assets = {
  echarts: readFileSync(createRequire(import.meta.url).resolve("echarts/dist/echarts.min.js"), "utf8"),
  script: asset("page.js"),
  style: asset("page.css"),
};
