/** Figures that were measured once, and stay: whoever changes how a run is recorded changes none of them. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { predict } from "../src/api/index.ts";
import { PROFILES } from "../src/host/profiles.ts";
import { linuxRecordOf } from "../src/lab/linux-record.ts";
import { Baseline, measure } from "../src/lab/measure.ts";
import { policyNamed } from "../src/lab/policies.ts";
import { checkRun } from "../src/lab/report/report-file.ts";
import type { ModelRun } from "../src/lab/report/run.ts";
import { SCENARIOS } from "../src/lab/scenarios.ts";
import { runTurns, smallRun } from "./small-run.ts";

type Figures = Pick<ModelRun, "scenario" | "policy" | "profile">;

const known = JSON.parse(readFileSync(new URL("figures/model.json", import.meta.url), "utf8")) as Figures[];
const BUFFER_BYTES = 256 * 1024 ** 2;
const [RECORDING] = known.map(({ scenario }) => scenario).filter((name) => name.endsWith(".data"));
const named = <T extends { readonly name: string }>(all: readonly T[], name: string): T => {
  const found = all.find((each) => each.name === name);
  if (found === undefined) throw new Error(`no ${name}`);
  return found;
};

it.each(known.filter(({ scenario }) => scenario !== RECORDING))(
  "$scenario under $policy has the figures that it had",
  (figures) => {
    const scenario = named(SCENARIOS, figures.scenario);
    const profile = named(PROFILES, figures.profile);
    const setting = scenario.setting(BUFFER_BYTES, 1);
    const { run } = measure(setting, policyNamed(figures.policy), profile, new Baseline(setting));
    expect(run).toMatchObject(figures);
  },
);

it("and so has a prediction", async () => {
  const figures = known.filter(({ scenario }) => scenario === RECORDING);
  const path = fileURLToPath(new URL(`../recordings/${RECORDING}`, import.meta.url));
  const runs = await predict(path, { policies: figures.map(({ policy }) => policy) });
  expect(figures.length).toBeGreaterThan(0);
  for (const [i, run] of runs.entries())
    expect({ ...run, scenario: run.scenario.replace(/.*\//, "") }).toMatchObject(figures[i] as Figures);
});

it("and so has a run of eight instructions", async () => {
  const { session, said } = smallRun();
  const stopped = await session.console(runTurns);
  const run = checkRun(linuxRecordOf(session, "a program", stopped));
  expect(said()).toBe("A");
  expect(run).toMatchObject({
    guestWallNs: 88_504,
    guestRunNs: 4,
    stage2Ns: 82_700,
    exitNs: 5_800,
    cpuStage2Faults: 2,
    exitReasons: { DABT: 2, MMIO: 1, HVC: 1 },
    machine: { ended: "off", status: null, instructions: 8, el0: 0, el1: 8, exceptions: 0, boot: null },
  });
});
