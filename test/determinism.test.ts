/**
 * The core is pure: the same inputs give the same bits in Node, in a worker and in a browser, and another seed gives
 * others.
 */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { Worker } from "node:worker_threads";
import { build } from "esbuild";
import { chromium } from "playwright-core";
import { afterAll, expect, it } from "vitest";
import { measured } from "./determinism/measured.ts";

const SEED = 20_260_109;
const CHROMIUM = "/usr/bin/chromium";
const haveChromium = existsSync(CHROMIUM);
if (!haveChromium) console.log("skipped: no /usr/bin/chromium; to run these tests: apt-get install chromium");

const folder = mkdtempSync(join(tmpdir(), "spevisor-determinism-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function bundle(entry: string, platform: "node" | "browser", outfile: string): Promise<string> {
  const file = join(folder, outfile);
  await build({
    entryPoints: [fileURLToPath(new URL(`./determinism/${entry}`, import.meta.url))],
    bundle: true,
    platform,
    format: platform === "node" ? "esm" : "iife",
    target: platform === "node" ? "node20" : "es2022",
    outfile: file,
  });
  return file;
}

const here = measured(SEED);

it("gives the same bytes for the same seed, and others for another", () => {
  expect(measured(SEED)).toBe(here);
  expect(measured(SEED + 1)).not.toBe(here);
});

it("gives the same bytes in a worker", async () => {
  const file = await bundle("in-worker.ts", "node", "in-worker.mjs");
  const there = await new Promise<unknown>((done, failed) => {
    const worker = new Worker(pathToFileURL(file), { workerData: { seed: SEED } });
    worker.once("message", done);
    worker.once("error", failed);
  });
  expect(there).toBe(here);
});

it.skipIf(!haveChromium)("gives the same bytes in a browser", async () => {
  const file = await bundle("in-browser.ts", "browser", "in-browser.js");
  const page = join(folder, "page.html");
  writeFileSync(
    page,
    `<!doctype html><meta charset="utf-8"><title>spevisor</title><script src="${pathToFileURL(file)}"></script>`,
  );
  const context = await chromium.launchPersistentContext(join(folder, "profile"), {
    executablePath: CHROMIUM,
    headless: true,
    offline: true,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
  try {
    const tab = await context.newPage();
    await tab.goto(pathToFileURL(page).href);
    expect(await tab.evaluate(`measured(${SEED})`)).toBe(here);
  } finally {
    await context.close();
  }
});
