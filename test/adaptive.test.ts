/** The policy adaptive against the bar, and what guests that are not Linux get out of it. */
import { describe, expect, it } from "vitest";
import { readRuns } from "../src/guest/recording/read.ts";
import { costTable } from "../src/host/costs.ts";
import { PROFILES, THREAD_PROFILES } from "../src/host/profiles.ts";
import { adaptive } from "../src/kvm/spe/policies/adaptive.ts";
import { recordingSettings, scenarioSettings } from "../src/lab/bar/cases.ts";
import { BarCase, verdictOf } from "../src/lab/bar/measure.ts";
import { bytesSource } from "../src/perf/byte-source.ts";
import { bytesOf, RECORDINGS } from "./perf-recordings.ts";

const SEED = Number(process.env["SPEVISOR_SEED"] ?? 1);

const profiles = THREAD_PROFILES.map((name) => {
  const found = PROFILES.find((profile) => profile.name === name);
  if (found === undefined) throw new Error(`no profile ${name}`);
  return found;
});

describe.each(scenarioSettings(SEED).map((setting) => new BarCase(setting)))(
  "the bar in $setting.scenario",
  (of) => {
    it.each(profiles)("is met on $name", (profile) => {
      expect(verdictOf(of, adaptive, profile, { ends: false }).atValues.findings).toEqual([]);
    });

    // The thread's commands as posted: at both ends of every range, too.
    if (of.setting.scenario === "thread-a" || of.setting.scenario === "thread-b")
      it.each(profiles)("is met at both ends of the ranges of $name", ({ name, ...rest }) => {
        for (const end of ["low", "high"] as const)
          expect(of.judge(adaptive, name, costTable({ name, ...rest }, end)).findings, end).toEqual([]);
      });
  },
);

describe.each(RECORDINGS)("the bar on %s", (name) => {
  it("is met on both profiles, for each target that it has", async () => {
    const settings = recordingSettings(await readRuns(bytesSource(name, bytesOf(name))), SEED);
    expect(settings.length).toBeGreaterThan(0);
    for (const setting of settings) {
      const of = new BarCase(setting);
      for (const profile of profiles)
        expect(
          verdictOf(of, adaptive, profile, { ends: false }).atValues.findings,
          `${setting.scenario}, ${profile.name}`,
        ).toEqual([]);
    }
  });
});
