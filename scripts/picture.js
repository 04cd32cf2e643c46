// `node scripts/picture.js REPORT.html OUT.png`: the picture that a report opens with, for the README.
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const [report, out] = process.argv.slice(2);
if (report === undefined || out === undefined) {
  process.stderr.write("usage: node scripts/picture.js REPORT.html OUT.png\n");
  process.exit(2);
}
const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu"],
});
const page = await browser.newPage({ viewport: { width: 1040, height: 900 }, deviceScaleFactor: 1.5 });
await page.goto(pathToFileURL(resolve(report)).href);
await page.waitForSelector("html[data-ready=yes]");
await page.locator(".bars").screenshot({ path: out });
await browser.close();
