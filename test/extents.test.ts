/**
 * Walks, pins and mappings are kept as extents; what is charged stays per page. So every record is the same, to the
 * byte, with every page taken one by one.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { costTable } from "../src/host/costs.ts";
import { PROFILES } from "../src/host/profiles.ts";
import { POLICIES } from "../src/kvm/spe/policies/index.ts";
import type { PinPolicy } from "../src/kvm/spe/policy.ts";
import { runBareMetal, runVm, type Setting } from "../src/lab/experiment.ts";
import { SpanListener } from "../src/lab/listener.ts";
import { recordOf } from "../src/lab/record.ts";
import { checkRun } from "../src/lab/report/run.ts";
import { SCENARIOS } from "../src/lab/scenarios.ts";
import { anySetting } from "./invariants/schedules.ts";

const profiles = PROFILES.filter(({ name }) => ["thread-normal", "thread-debug", "free"].includes(name));

/** One run's record and charts, as text; checked for the sums that must hold. */
function recordText(setting: Setting, policy: PinPolicy, profile: number): string {
  const costs = costTable(profiles[profile] as (typeof profiles)[number]);
  const bareMetal = runBareMetal(setting, costs, "kept");
  const listener = new SpanListener();
  const outcome = runVm(setting, policy, costs, "kept", { attach: (machine) => listener.attach(machine) });
  const run = recordOf(outcome, {
    setting,
    policy: policy.name,
    profile: "any",
    bareMetal,
    warnings: [],
    reference: null,
    enablesWithoutDirectRule: null,
  });
  outcome.machine.destroy();
  expect(outcome.machine.mm.pins.pages).toBe(0);
  return JSON.stringify({
    run: checkRun(run),
    spans: listener.spans(),
    pinned: listener.pinnedOverTime(),
  });
}

describe.each(POLICIES)("policy $name", (policy) => {
  it("gives the same record with extents and without, over random schedules under pressure", () => {
    fc.assert(
      fc.property(anySetting, fc.nat(profiles.length - 1), (setting, profile) => {
        const kept = recordText({ ...setting, extents: true }, policy, profile);
        expect(recordText({ ...setting, extents: false }, policy, profile)).toBe(kept);
      }),
      { numRuns: 150, seed: 1 },
    );
  });

  it("and over the thread's scenarios with a small buffer", () => {
    for (const scenario of SCENARIOS) {
      const setting = scenario.setting(256 * 1024, 1);
      const kept = recordText({ ...setting, extents: true }, policy, 0);
      expect(recordText({ ...setting, extents: false }, policy, 0), scenario.name).toBe(kept);
    }
  });
});
