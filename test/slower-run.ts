/** A run as `spevisor thread` shows it: of the readings of its waits the slower one. */
import type { Waits } from "../src/guest/replay.ts";
import { type CostProfile, costTable } from "../src/host/costs.ts";
import type { Setting } from "../src/lab/experiment.ts";
import { Baseline, readingsOf } from "../src/lab/measure.ts";
import { policyNamed } from "../src/lab/policies.ts";
import type { ModelRun } from "../src/lab/report/run.ts";
import { trial } from "../src/lab/trial.ts";

const NEGLIGIBLE = 1.1;

/** Runs a setting at a profile's values under each of the policies, in their order. */
export function slowerRuns(setting: Setting, profile: CostProfile, policies: readonly string[]): ModelRun[] {
  const costs = costTable(profile);
  const baseline = new Baseline(setting);
  const [first, ...others] = readingsOf(setting);
  return policies.map((name) => {
    const run = (waits: Waits): ModelRun =>
      trial({
        setting,
        policy: policyNamed(name),
        costs,
        profile: profile.name,
        waits,
        bareMetal: baseline.of(costs, waits),
      });
    const one = run(first ?? "kept");
    // Where hardly anything stops the guest, waits have nothing to hide.
    const more = one.slowdown < NEGLIGIBLE ? [] : others.map(run);
    return [one, ...more].reduce((a, b) => (b.slowdown > a.slowdown ? b : a));
  });
}
