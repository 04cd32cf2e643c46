import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { renderHtml } from "../src/lab/report/html.ts";
import { assets, CHROMIUM, haveChromium } from "./page-assets.ts";
import { syntheticThread } from "./synthetic-runs.ts";

const details = syntheticThread();
/** Text that a careless page would run. */
const HOSTILE = `</script><script>document.title = "hijacked"</script><!-- "&'`;
const html = () =>
  renderHtml(
    details.map((detail, i) =>
      i === 0 ? { ...detail, run: { ...detail.run, warnings: [HOSTILE], policy: HOSTILE } } : detail,
    ),
    assets,
    { title: "spevisor thread", version: "0.1.0" },
  );

it("needs no second file and no network", () => {
  const page = html().replace(assets.echarts, "");
  expect(page).not.toMatch(/<(script|img|iframe)[^>]*\ssrc=|<link|@import|url\(/);
});

describe.skipIf(!haveChromium)("the page in a browser", () => {
  const folder = mkdtempSync(join(tmpdir(), "spevisor-html-"));
  const file = join(folder, "report.html");
  let browser: Browser;
  let page: Page;
  const complaints: string[] = [];

  beforeAll(async () => {
    writeFileSync(file, html());
    browser = await chromium.launch({
      executablePath: CHROMIUM,
      args: [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
      ],
    });
    const context = await browser.newContext({ viewport: { width: 1200, height: 900 }, offline: true });
    page = await context.newPage();
    page.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warning") complaints.push(message.text());
    });
    page.on("pageerror", (error) => complaints.push(String(error)));
    await page.goto(pathToFileURL(file).href);
    await page.waitForSelector("html[data-ready=yes]");
  });

  afterAll(async () => {
    await browser?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  /** How many pixels of a canvas are not transparent, or how many shapes an SVG chart has. */
  const inked = (id: string): Promise<number> =>
    page.evaluate(`(() => {
      const at = document.getElementById(${JSON.stringify(id)});
      const svg = at.querySelector("svg");
      if (svg) return svg.querySelectorAll("path, circle, text").length;
      const canvas = at.querySelector("canvas");
      const copy = Object.assign(document.createElement("canvas"), { width: canvas.width, height: canvas.height });
      const context = copy.getContext("2d", { willReadFrequently: true });
      context.drawImage(canvas, 0, 0);
      const pixels = context.getImageData(0, 0, copy.width, copy.height).data;
      let n = 0;
      for (let i = 3; i < pixels.length; i += 4) if (pixels[i] !== 0) n++;
      return n;
    })()`);

  it.each(["slowdown", "frontier", "split", "pinned", "timeline"])("draws the %s chart", async (id) => {
    expect(await inked(id)).toBeGreaterThan(30);
  });

  it("prints slowdowns in the chart as the table does", async () => {
    const slowest = details.map(({ run }) => run.slowdown).reduce((a, b) => Math.max(a, b));
    const text = await page.locator("#slowdown svg").textContent();
    expect(text).toContain(`${Math.round(slowest)}×`);
    expect(await page.locator("table").last().textContent()).toContain(`${Math.round(slowest)}×`);
  });

  it("names every policy in the frontier's chart, with what it loses", async () => {
    const text = await page.locator("#frontier svg").textContent();
    for (const policy of ["pin-on-enable", "prefault", "until-changed"]) expect(text).toContain(policy);
    await page.selectOption("#case", { label: "thread-a-sampling on costs thread-debug" });
    expect(await page.locator("#frontier svg").textContent()).toContain("fault, 4.3 % lost");
  });

  it("draws another case and another policy when asked", async () => {
    const before = await page.locator("#split svg").textContent();
    await page.selectOption("#case", { label: "thread-b-sampling on costs thread-debug" });
    expect(await page.locator("#split svg").textContent()).not.toBe(before);
    await page.selectOption("#policy", { label: "fault" });
    expect(await inked("timeline")).toBeGreaterThan(30);
  });

  it("shows hostile names as text", async () => {
    expect(await page.title()).toBe("spevisor thread");
    expect(await page.locator("li", { hasText: "hijacked" }).count()).toBeGreaterThan(0);
  });

  it("has a table row for every run, and its assumptions", async () => {
    expect(await page.locator("[aria-labelledby=numbers] tbody tr").count()).toBe(details.length);
    expect(await page.locator("main").textContent()).toContain("The command switches 100 times.");
  });

  it("names every control and every section", async () => {
    expect(await page.locator("select").count()).toBe(3);
    expect(await page.locator("label:has(select)").count()).toBe(3);
    expect(await page.locator("#slowdown").getAttribute("aria-label")).toContain("Slowdown by policy");
  });

  it("follows the system into dark", async () => {
    await page.emulateMedia({ colorScheme: "dark" });
    expect(await page.evaluate("getComputedStyle(document.body).backgroundColor")).toBe("rgb(18, 21, 27)");
    expect(await inked("timeline")).toBeGreaterThan(30);
  });

  it("has complained about nothing in all of this", () => {
    expect(complaints).toEqual([]);
  });
});
