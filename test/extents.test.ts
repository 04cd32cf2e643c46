/**
 * Walks, pins and mappings are kept as extents; what is charged stays per page. So every record is the same, to the
 * byte, with every page taken one by one.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { POLICIES } from "../src/kvm/spe/policies/index.ts";
import { SCENARIOS } from "../src/lab/scenarios.ts";
import { record } from "./invariants/records.ts";
import { anySetting } from "./invariants/schedules.ts";

const anyProfile = fc.constantFrom("thread-normal", "thread-debug", "free");

describe.each(POLICIES)("policy $name", (policy) => {
  it("gives the same record with extents and without, over random schedules under pressure", () => {
    fc.assert(
      fc.property(anySetting, anyProfile, (setting, profile) => {
        const kept = record({ ...setting, extents: true }, policy, profile).text;
        expect(record({ ...setting, extents: false }, policy, profile).text).toBe(kept);
      }),
      { numRuns: 5, seed: 1 },
    );
  });

  it("and over a third of the thread's scenarios with a small buffer, each policy's neighbours over the others", () => {
    const third = POLICIES.indexOf(policy) % 3;
    for (const scenario of SCENARIOS.filter((_, i) => i % 3 === third)) {
      const setting = scenario.setting(256 * 1024, 1);
      const kept = record({ ...setting, extents: true }, policy).text;
      expect(record({ ...setting, extents: false }, policy).text, scenario.name).toBe(kept);
    }
  });
});
