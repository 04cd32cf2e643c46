import { describe, expect, it } from "vitest";
import { COST_NAMES, type Cost, type CostName, type CostProfile, checkedProfile } from "../host/costs.ts";
import { PROFILES } from "../host/profiles.ts";
import type { Setting } from "./experiment.ts";
import { Baseline, measure } from "./measure.ts";
import { policyNamed } from "./policies.ts";
import { SCENARIOS, type Scenario, THREAD_SCENARIOS } from "./scenarios.ts";

const BUFFER_BYTES = 64 * 1024;
const scenario = SCENARIOS[0] as Scenario;
const setting = { ...scenario.setting(BUFFER_BYTES, 1), memoryBytes: 64 * 1024 ** 2 };

/** A profile in which nothing costs anything but what is named. */
function profileOf(named: Partial<Record<CostName, Omit<Cost, "source">>>): CostProfile {
  const costs: Partial<Record<CostName, Cost>> = {};
  for (const name of COST_NAMES)
    costs[name] = { ...(named[name] ?? { ns: 0, lowNs: 0, highNs: 0 }), source: "assumed" };
  return checkedProfile({
    name: "by hand",
    about: "by hand",
    debugging: false,
    costs: costs as Record<CostName, Cost>,
  });
}

const measured = (profile: CostProfile, policy = "fault") =>
  measure(setting, policyNamed(policy), profile, new Baseline(setting)).run;

describe("measuring", () => {
  it("names the one cost whose range changes the verdict", () => {
    // 100 switches with 5 traps each: at 2 ms a trap, one second more than the 0.45 s of bare metal.
    const run = measured(
      profileOf({
        exit: { ns: 1_000, lowNs: 0, highNs: 2_000_000 },
        sysreg: { ns: 10, lowNs: 0, highNs: 20 },
        pinCall: { ns: 1, lowNs: 0, highNs: 1_000_000_000 },
      }),
    );
    expect(run.slowdown).toBeLessThan(1.01);
    expect(run.model.atHighCosts?.slowdown).toBeGreaterThan(3);
    expect(run.model.flips).toEqual(["exit"]);
  });

  it("names none where the verdict holds at both ends", () => {
    const run = measured(profileOf({ exit: { ns: 1_000, lowNs: 500, highNs: 2_000 } }));
    expect(run.model.flips).toEqual([]);
    expect(run.model.atLowCosts?.slowdown).toBeLessThan(run.model.atHighCosts?.slowdown as number);
  });

  it("adds up to what was charged: pins and traps of each toggle", () => {
    const run = measured(
      profileOf({
        exit: { ns: 7, lowNs: 7, highNs: 7 },
        pinPage: { ns: 11, lowNs: 11, highNs: 11 },
        unpinPage: { ns: 13, lowNs: 13, highNs: 13 },
      }),
      "pin-on-enable",
    );
    expect(run.bufferEnables).toBe(100);
    expect(run.pins).toBe(100);
    // Half of the buffer and the tables that map it, level 0 to level 3.
    const pages = BUFFER_BYTES / 2 / 4096 + 4;
    expect(run.pagesPinned).toBe(100 * pages);
    expect(run.pinNs).toBe(100 * pages * 11);
    expect(run.unpinNs).toBe(100 * pages * 13);
    expect(run.exitNs).toBe(100 * 5 * 7);
    expect(run.pinnedPeakBytes).toBe(pages * 4096);
    expect(run.unreclaimablePeakBytes).toBe(run.pinnedPeakBytes);
  });
});

describe("memory that the host cannot reclaim", () => {
  const on = (policy: string, backing: Setting["backing"] = "base") => {
    const changed = { ...setting, backing };
    return measure(changed, policyNamed(policy), PROFILES[0] as CostProfile, new Baseline(changed)).run;
  };
  const HUGE_BYTES = 2 * 1024 ** 2;

  it.each(["thp", "hugetlb-2M"] as const)(
    "has the whole 2 MiB of each page that is pinned on %s",
    (backing) => {
      const run = on("until-changed", backing);
      expect(run.pinnedPeakBytes).toBeGreaterThan(0);
      expect(run.unreclaimablePeakBytes).toBeGreaterThan(run.pinnedPeakBytes);
      expect(run.unreclaimablePeakBytes % HUGE_BYTES).toBe(0);
    },
  );

  it("is all of the guest's where that is pinned or prefaulted", () => {
    expect(on("whole-guest", "thp").unreclaimablePeakBytes).toBe(setting.memoryBytes);
    expect(on("prefault").unreclaimablePeakBytes).toBe(setting.memoryBytes);
  });

  it("is KVM's own buffer where records are copied, and nothing where nothing is held", () => {
    const copied = on("bounce", "thp");
    expect(copied.unreclaimablePeakBytes).toBe(copied.pinnedPeakBytes);
    expect(on("fault", "thp").unreclaimablePeakBytes).toBe(0);
  });
});

describe("the thread's scenarios", () => {
  it.each(THREAD_SCENARIOS.map((each) => [each.name, each] as const))(
    "%s is what the message says",
    (name, each) => {
      const { schedule, event, measured: counted } = each.setting(256 * 1024 ** 2, 1);
      const { segments } = schedule;
      expect(segments.count).toBe(name.startsWith("thread-a") ? 100 : 1_000);
      let cycles = 0;
      for (let i = 0; i < segments.count; i++) {
        if (i > 0) expect(segments.startNs[i]).toBeGreaterThanOrEqual(segments.endNs[i - 1] as number);
        if (counted?.(segments.task[i] as number) === true)
          cycles += ((segments.endNs[i] as number) - (segments.startNs[i] as number)) * 2.5;
      }
      // 12,683,357 cycles of `true`, but for rounding each run to whole ns.
      expect(Math.abs(cycles - 12_683_357)).toBeLessThan(2.5 * segments.count);
      expect(segments.endNs[segments.count - 1]).toBeLessThan(0.5e9);
      expect(event.minLatency).toBe(name.endsWith("-sampling") ? 0 : 1000);
      expect(each.reference("thread-normal") === null).toBe(name.endsWith("-sampling"));
      expect(each.reference("free")).toBeNull();
    },
  );
});
