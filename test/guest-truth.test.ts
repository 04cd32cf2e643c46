/** The sampled profile of a known program against the exact one: how far it is by chance, and what blackouts make of it. */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ExactReport } from "../src/lab/exact/report.ts";
import { readReport } from "../src/lab/report/report-file.ts";
import type { Run } from "../src/lab/report/run.ts";
import { runInGuest, scratchFolder } from "./guest/cli.ts";
import { guestFor } from "./guest/guests.ts";
import { buildExact, CROSS_COMPILER, hasCrossCompiler } from "./guest/programs.ts";

const guest = await guestFor("guest, profiles against the truth");
if (!hasCrossCompiler) console.log(`guest, profiles against the truth: skipped, needs ${CROSS_COMPILER}`);
const MINUTES = 60_000;
const scratch = scratchFolder("guest-truth");
afterAll(scratch.remove);

const SCRIPT =
  "cat >/tmp/exact && chmod +x /tmp/exact && " +
  "perf record --no-bpf-event -o /out/perf.data -m,512K -e arm_spe/period=1024,jitter=1/ -- /tmp/exact";

/** A host that takes pages away, and takes a millisecond from a fault of the unit's to its handler. */
const HARD = ["--memory", "256M", "--pressure", "numa:40000", "--irq-latency", "1ms"];

interface Profiled {
  readonly run: Run;
  readonly exact: ExactReport;
  readonly err: string;
}

async function profiled(name: string, options: readonly string[], counts = true): Promise<Profiled> {
  const [json, exact] = [scratch.at(`${name}.json`), scratch.at(`${name}.exact`)];
  const { code, err } = await runInGuest(
    ["sh", "-c", SCRIPT],
    [...options, "--out", scratch.at(name), "--json", json, ...(counts ? ["--exact-profile", exact] : [])],
    { input: { file: scratch.at("exact") } },
  );
  expect(code, err).toBe(0);
  const [run] = readReport(readFileSync(json, "utf8"), json).runs;
  const report = counts ? JSON.parse(readFileSync(exact, "utf8")) : undefined;
  return { run: run as Run, exact: report as ExactReport, err };
}

/** Without where the machine was stopped after its /out had been brought, which is when this computer looked. */
const comparable = ({ fidelity: _, machine, ...run }: Run) => ({
  ...run,
  machine:
    machine === null
      ? null
      : { ...machine, vcpus: machine.vcpus.map(({ pc: _pc, el: _el, ...vcpu }) => vcpu) },
});

describe.skipIf(guest === undefined || !hasCrossCompiler)("a program of four million instructions", () => {
  beforeAll(() => {
    buildExact(scratch.at("exact"));
  });

  it.each([
    ["bare metal", ["--bare-metal"]],
    ["adaptive", ["--policy", "adaptive"]],
  ])("is sampled as chance has it under %s", { timeout: 5 * MINUTES }, async (name, options) => {
    const { run, exact } = await profiled(name.replace(" ", "-"), options);
    const { symbols, lines, top } = exact;
    expect(symbols?.instructions).toBeGreaterThan(4e6);
    expect(symbols?.totalVariation).toBeLessThan(symbols?.atMost ?? 0);
    expect(lines.totalVariation).toBeLessThan(lines.atMost);
    expect(
      top
        .slice(0, 3)
        .map((each) => each.name)
        .sort(),
    ).toEqual(["fill [exact]", "mix [exact]", "total [exact]"]);
    expect(run.fidelity).toEqual({ totalVariation: symbols?.totalVariation, topSymbolError: exact.topError });
    // Each record that the unit has written was counted where it was taken.
    expect(lines.samples).toBe(run.samples.written);
  });

  it("is the same run uncounted", { timeout: 5 * MINUTES }, async () => {
    const counted = await profiled("counted", ["--policy", "adaptive"]);
    const plain = await profiled("plain", ["--policy", "adaptive"], false);
    expect(comparable(counted.run)).toEqual(comparable(plain.run));
    const recorded = (name: string): Buffer => readFileSync(`${scratch.at(name)}/perf.data`);
    expect(recorded("counted").equals(recorded("plain"))).toBe(true);
  });

  it("says under fault which code its blackouts hide", { timeout: 5 * MINUTES }, async () => {
    const { run, exact, err } = await profiled("fault", ["--policy", "fault", ...HARD]);
    expect(run.samples.lostInBlackout).toBeGreaterThan(100);
    expect(exact.symbols?.totalVariation).toBeGreaterThan(exact.symbols?.atMost ?? 1);
    expect(exact.unseen[0]?.name).toMatch(/^(fill|mix|total) \[exact\]$/);
    expect(err).toContain("missing most");
  });
});
