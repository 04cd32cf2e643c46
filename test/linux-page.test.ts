/** The page with Linux's runs, as people see it: on a telephone and on a desk. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { type Browser, chromium } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { withBaselines } from "../src/lab/linux/baseline.ts";
import type { LinuxMatrix } from "../src/lab/linux/matrix.ts";
import { LINUX_SCENARIOS } from "../src/lab/linux/scenarios/index.ts";
import { renderHtml } from "../src/lab/report/html.ts";
import { assets, CHROMIUM, haveChromium } from "./page-assets.ts";
import { syntheticMatrix } from "./synthetic-linux.ts";
import { syntheticThread } from "./synthetic-runs.ts";

const HOSTILE = `[    3.1] BUG: </td><script>document.title = "hijacked"</script>`;
const matrix: LinuxMatrix = {
  runs: withBaselines(
    ["thread-a", "thread-b"].flatMap((scenario) =>
      syntheticMatrix(scenario, "thread-normal").map((run) =>
        run.policy === "pin-on-enable" ? { ...run, guestComplaints: [HOSTILE] } : run,
      ),
    ),
  ),
  failures: [
    { scenario: "memlock-short", machine: "fault", profile: "thread-normal", why: "4 MiB are too few" },
  ],
  scenarios: LINUX_SCENARIOS,
  models: [],
  guest: "Debian 12.1 (bookworm), Linux 6.1",
};
const facts = { title: "spevisor thread --guest linux", version: "0.1.0" };
const linuxOnly = renderHtml([], assets, facts, matrix);

it("needs no script where there are no charts", () => {
  expect(linuxOnly).not.toMatch(/<script|<link|@import|url\(/);
  expect(linuxOnly).toContain("BUG: &lt;/td&gt;");
});

it("has what a model says beside a run, where one is there", () => {
  expect(linuxOnly).not.toContain(">model</th>");
  const [model] = syntheticThread().map(({ run }) => run);
  const models = [
    { ...model!, scenario: "thread-a", policy: "adaptive", profile: "thread-normal", guestWallNs: 1.25e9 },
  ];
  const page = renderHtml([], assets, facts, { ...matrix, models });
  expect(page).toContain(">model</th>");
  expect(page).toContain("1.25 s");
});

describe.skipIf(!haveChromium)("in a browser", () => {
  const folder = mkdtempSync(join(tmpdir(), "spevisor-linux-page-"));
  const [alone, beside] = ["alone.html", "beside.html"].map((name) => join(folder, name)) as [string, string];
  let browser: Browser;
  beforeAll(async () => {
    writeFileSync(alone, linuxOnly);
    writeFileSync(beside, renderHtml(syntheticThread(), assets, facts, matrix));
    browser = await chromium.launch({
      executablePath: CHROMIUM,
      args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"],
    });
  });
  afterAll(async () => {
    await browser?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it.each([400, 1400])("fits into %i pixels: only tables scroll", async (width) => {
    const context = await browser.newContext({ viewport: { width, height: 900 }, offline: true });
    const page = await context.newPage();
    const complaints: string[] = [];
    page.on("console", (message) => complaints.push(message.text()));
    page.on("pageerror", (error) => complaints.push(String(error)));
    for (const file of [alone, beside]) {
      await page.goto(pathToFileURL(file).href);
      if (file === beside) await page.waitForSelector("html[data-ready=yes]");
      expect(await page.evaluate("document.documentElement.scrollWidth"), file).toBeLessThanOrEqual(width);
      expect(await page.title()).toBe(facts.title);
    }
    expect(await page.locator("#linux-numbers").count()).toBe(1);
    expect(complaints).toEqual([]);
    await context.close();
  });

  it("has a row for each run, and says what has none", async () => {
    const page = await browser.newPage();
    await page.goto(pathToFileURL(alone).href);
    expect(await page.locator("tbody tr").count()).toBe(matrix.runs.length);
    const text = (await page.locator("main").textContent()) ?? "";
    expect(text).toContain("No figures of fault: 4 MiB are too few");
    expect(text).toContain("perf record -e arm_spe/min_latency=1000,event_filter=10/ -m,256M -- true");
  });
});
