import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { NO_INPUT } from "../../test/no-input.ts";
import { formatNs } from "../common/sizes.ts";
import { nsOf } from "../lab/compare/stretches.ts";
import type { Comparison } from "../lab/compare.ts";
import { readReport } from "../lab/report/report-file.ts";
import { runJob } from "./job.ts";
import { loadLab } from "./lab.ts";
import { main } from "./main.ts";

const folder = mkdtempSync(join(tmpdir(), "spevisor-compare-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const at = (name: string) => join(folder, name);

let out = "";
let err = "";
beforeEach(() => {
  out = "";
  err = "";
});

let columns = 120;
const compare = (...argv: string[]): Promise<number> =>
  main(["compare", ...argv], {
    stdin: NO_INPUT,
    stdout: { write: (text) => (out += text), columns },
    stderr: { write: (text) => (err += text) },
    env: {},
    runJob: async function* (job, onProgress) {
      yield* runJob(await loadLab(), job, onProgress);
    },
    loadLab,
    questions: new URL("../lab/questions/index.ts", import.meta.url),
    nowNs: () => 0,
  });

describe("spevisor compare", () => {
  it("says where two policies part and what each costs from there", async () => {
    const json = at("pair.json");
    expect(
      await compare("pin-on-enable", "until-changed", "--buffer", "16M", "--limit", "2", "--json", json),
    ).toBe(0);
    const report = readReport(readFileSync(json, "utf8"), json);
    const { sides, part } = report.comparison as unknown as Comparison;
    expect(report.runs.map(({ policy }) => policy)).toEqual(["pin-on-enable", "until-changed"]);
    expect(report.comparison?.sentences.join(" ")).toContain("They do the same until disable 1");
    expect(part).toMatchObject({ event: "disable", ordinal: 1 });
    expect(out).toContain("They do the same until disable 1");
    expect(out).toMatch(new RegExp(`in all +│ +${formatNs(nsOf(sides[0].after.charges))}`));
    expect(out).toMatch(/│ disable 1 .*│ +0 │/);
    expect(out).toContain("enable 2");
    expect(out).not.toContain("│ disable 2");
    expect(out).not.toContain("\u001b[");
    expect(err).toContain(`written: ${json}`);
  });

  it("writes nothing but JSON to standard output for --json -", async () => {
    expect(await compare("fault", "fault", "--buffer", "1M", "--json", "-")).toBe(0);
    const { comparison, runs } = readReport(out, "standard output");
    const { part, sides } = comparison as unknown as Comparison;
    expect(runs).toHaveLength(2);
    expect(part).toBeNull();
    expect(sides.map(({ policy }) => policy)).toEqual(["fault (1st)", "fault (2nd)"]);
  });

  it.each([80, 120])("keeps within %i columns", async (width) => {
    columns = width;
    expect(await compare("pin-on-enable", "until-changed", "--buffer", "16M")).toBe(0);
    columns = 120;
    expect(Math.max(...out.split("\n").map((line) => line.length))).toBeLessThanOrEqual(width);
  });

  it("takes a policy from a file", async () => {
    const mine = at("mine.ts");
    writeFileSync(
      mine,
      `export const mine = {
        name: "mine", summary: "Maps.", origin: "A test.", tradeOff: "None.", trapsBuffer: true,
        create: () => ({
          onBufferEnabled(buffer: never, ctx: { walk(b: never): { kind: string; all: never }; map(p: never): void }) {
            const walk = ctx.walk(buffer);
            if (walk.kind === "walked") ctx.map(walk.all);
            return { kind: "done" };
          },
        }),
      };`,
    );
    expect(await compare(mine, "pin-on-enable", "--buffer", "1M")).toBe(0);
    expect(out).toContain("mine against pin-on-enable");
    expect(out).toMatch(/until enable 1.*There pin-on-enable pins [\d,]+ pages/);
  });

  it("compares over a recording", async () => {
    const recording = fileURLToPath(new URL("../../recordings/make-j2.task.data", import.meta.url));
    expect(await compare("grace", "window", "--recording", recording, "--buffer", "1M")).toBe(0);
    expect(out).toContain("make-j2.task.data");
    expect(out).toContain("From there on");
  });

  it("has help with examples", async () => {
    expect(await compare("--help")).toBe(0);
    expect(out).toContain("Examples:");
  });

  it.each<[string[], RegExp]>([
    [["fault"], /missing required argument 'other'/],
    [["fault", "graze"], /policy "graze" does not exist\nDid you mean grace\?/],
    [["fault", "all"], /"all" is not one policy/],
    [
      ["fault", "grace", "--scenario", "thread-aa"],
      /scenario "thread-aa" does not exist\nDid you mean thread-a\?/,
    ],
    [["fault", "grace", "--profile", "thread-norml"], /Did you mean thread-normal\?/],
    [["fault", "grace", "--buffer", "3M"], /cannot be an AUX buffer/],
    [["fault", "grace", "--limit", "-1"], /--limit/],
    [["fault", "grace", "--recording", at("none.data")], /none.data: there is no such file/],
    [["fault", "grace", "--recording", "x", "--scenario", "per-cpu"], /exclude each other/],
    [["fault", at("none.ts")], /none.ts: there is no such file/],
    [["fault", "grace", "--json", join(folder, "no", "such.json")], /no such file or directory/],
  ])("refuses %j", async (argv, message) => {
    expect(await compare(...argv)).toBe(2);
    expect(err).toMatch(message);
    expect(err).not.toMatch(/\n\s+at /);
    expect(out).toBe("");
    expect(readdirSync(folder).filter((name) => name.endsWith(".tmp"))).toEqual([]);
  });
});
