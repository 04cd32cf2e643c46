/** That the figures of docs/recommendation.md are those that its commands print. */
import { existsSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { profileNamed } from "../src/cli/lab.ts";
import { formatBytes, formatNs } from "../src/common/sizes.ts";
import { THREAD_PROFILES } from "../src/host/profiles.ts";
import { NAMED_CELLS } from "../src/lab/bar/matrix.ts";
import { QUESTIONS } from "../src/lab/questions/index.ts";
import type { ModelRun } from "../src/lab/report/run.ts";
import { formatFactor, formatShare } from "../src/lab/report/words.ts";
import { SCENARIOS } from "../src/lab/scenarios.ts";
import { slowerRuns } from "./slower-run.ts";

const document = readFileSync(new URL("../docs/recommendation.md", import.meta.url), "utf8");
const MIB = 1024 ** 2;

const lost = ({ samples }: ModelRun): string =>
  samples.written === 0 ? "-" : formatShare(samples.lostInBlackout, samples.selected);

/** One row of the document's tables: v6, v7 and adaptive in one scenario on one kernel. */
function row(scenario: (typeof SCENARIOS)[number], profile: string, bufferBytes: number): string {
  const setting = scenario.setting(bufferBytes, 1);
  const [v6, v7, adaptive] = slowerRuns(setting, profileNamed(profile), [
    "pin-on-enable",
    "prefault",
    "adaptive",
  ]) as [ModelRun, ModelRun, ModelRun];
  const stop = ({ longestStopNs: { cold, warm } }: ModelRun): string => formatNs(Math.max(cold, warm));
  return `| ${[
    scenario.name,
    profile.replace("thread-", ""),
    formatFactor(v6.slowdown),
    stop(v6),
    formatFactor(v7.slowdown),
    `${formatBytes(v7.pinnedPeakBytes)}, ${formatNs(v7.setupNs)}`,
    formatFactor(adaptive.slowdown),
    stop(adaptive),
    formatBytes(adaptive.pinnedPeakBytes),
    formatNs(adaptive.hostCpuNs),
    lost(adaptive),
  ].join(" | ")} |`;
}

describe("the recommendation's tables", () => {
  const [, large = "", small = ""] = document.split(/^With (?:256|4) MiB/m);
  const tables = [
    ["256 MiB", 256 * MIB, large],
    ["4 MiB", 4 * MIB, small],
  ] as const;
  it.each(
    tables.flatMap(([size, bytes, table]) =>
      SCENARIOS.flatMap((scenario) =>
        THREAD_PROFILES.map((profile) => [scenario.name, profile, size, bytes, table] as const),
      ),
    ),
  )("have what is measured for %s on %s with %s", (name, profile, _size, bytes, table) => {
    const scenario = SCENARIOS.find((each) => each.name === name) as (typeof SCENARIOS)[number];
    expect(table).toContain(row(scenario, profile, bytes));
  });
});

it("names files, questions and cells that there are", () => {
  const links = [...document.matchAll(/\]\(([^)#]+)\)/g)].map(([, path]) => path as string);
  expect(links.length).toBeGreaterThan(10);
  for (const link of links) expect(existsSync(new URL(`../docs/${link}`, import.meta.url)), link).toBe(true);
  const numbers = QUESTIONS.map(({ number }) => number);
  for (const [, n] of document.matchAll(/\bask (\d+)/g)) expect(numbers).toContain(Number(n));
  const reasons = new Set(NAMED_CELLS.map(({ why }) => why.split(":")[0]));
  for (const cells of ["short sessions", "late workers", "who pays", "perf's default buffers"])
    expect(reasons).toContain(cells);
});
