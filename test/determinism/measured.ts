/** One scenario measured under two policies, as the text of its report: what must be the same wherever it runs. */
import { PROFILES } from "../../src/host/profiles.ts";
import { Baseline, measure } from "../../src/lab/measure.ts";
import { policyNamed } from "../../src/lab/policies.ts";
import { SCENARIOS } from "../../src/lab/scenarios.ts";

export function measured(seed: number): string {
  const scenario = SCENARIOS.find(({ name }) => name === "thread-a-sampling");
  const profile = PROFILES.find(({ name }) => name === "thread-normal");
  if (scenario === undefined || profile === undefined) throw new Error("thread-a-sampling is gone");
  const plain = scenario.setting(1024 ** 2, seed);
  // Jitter, filters and timestamps take the seed's random draws.
  const setting = { ...plain, event: { ...plain.event, jitter: true, minLatency: 8 } };
  const baseline = new Baseline(setting);
  return JSON.stringify(
    ["fault", "until-changed"].map((name) => measure(setting, policyNamed(name), profile, baseline)),
  );
}
