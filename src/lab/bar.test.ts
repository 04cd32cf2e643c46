import { describe, expect, it } from "vitest";
import { type CostProfile, costTable } from "../host/costs.ts";
import { PROFILES } from "../host/profiles.ts";
import type { PinPolicy } from "../kvm/spe/policy.ts";
import { BarCase, chargedAt, type Judged, meetsBar, shownOf, verdictOf } from "./bar/measure.ts";
import { type Allowed, findingsOf, measuredOf, tableBytes } from "./bar.ts";
import { policyNamed } from "./policies.ts";
import { randomSetting } from "./random-settings.ts";
import { SCENARIOS } from "./scenarios.ts";
import { trial } from "./trial.ts";

const MIB = 1024 ** 2;

function profileNamed(name: string): CostProfile {
  const found = PROFILES.find((profile) => profile.name === name);
  if (found === undefined) throw new Error(`no profile ${name}`);
  return found;
}

function settingNamed(name: string, bufferBytes: number) {
  const found = SCENARIOS.find((scenario) => scenario.name === name);
  if (found === undefined) throw new Error(`no scenario ${name}`);
  return found.setting(bufferBytes, 1);
}

const normal = profileNamed("thread-normal");

const ANYTHING: Allowed = {
  slowdown: Number.POSITIVE_INFINITY,
  slowdownBy: "limit",
  lostShare: 1,
  lostBy: "limit",
  stopNs: null,
  pinnedBytes: Number.POSITIVE_INFINITY,
  graceful: false,
};

describe("the tables of a buffer", () => {
  it("are as the architecture has them: 129 and 3 upper ones for 256 MiB in 4 KiB pages, where it straddles", () => {
    expect(tableBytes(256 * MIB, 4096)).toBe((1 + 2 + 2 + 129) * 4096);
  });

  it("are fewer and larger with larger granules", () => {
    expect(tableBytes(256 * MIB, 16_384)).toBe((1 + 2 + 2 + 9) * 16_384);
    expect(tableBytes(256 * MIB, 65_536)).toBe((1 + 2 + 2) * 65_536);
  });
});

describe("a verdict", () => {
  const sampling = () => new BarCase(settingNamed("thread-a-sampling", MIB));
  const clauses = ({ findings }: Judged): string[] => findings.map(({ clause }) => clause);
  const judge = (of: BarCase, policy: PinPolicy, profile = normal): Judged =>
    of.judge(policy, chargedAt(profile));

  it("finds a profile that is never written to be lost, and nothing else", () => {
    const judged = judge(sampling(), policyNamed("trap-only"));
    expect(clauses(judged)).toEqual(["lost"]);
    expect(judged.measured?.lostShare).toBe(1);
  });

  it("finds v6 slow, and its stops long, in the thread's first command", () => {
    const of = new BarCase(settingNamed("thread-a", 256 * MIB));
    expect(clauses(judge(of, policyNamed("pin-on-enable")))).toEqual(["slowdown", "stops", "stops"]);
  });

  it("asks nothing of stops off the costs' values", () => {
    const of = new BarCase(settingNamed("thread-a", 256 * MIB));
    expect(clauses(of.judge(policyNamed("pin-on-enable"), chargedAt(normal, "low")))).toEqual(["slowdown"]);
  });

  it("has no numbers for a policy that must lock more than the buffers and their tables", () => {
    const judged = judge(sampling(), policyNamed("whole-guest"));
    expect(judged.measured).toBeNull();
    expect(clauses(judged)).toEqual(["memlock"]);
  });

  it("finds what is pinned for ever, and what is pinned beyond a buffer and its tables", () => {
    const { setting } = sampling();
    const run = trial({ setting, policy: policyNamed("until-changed"), costs: costTable(normal) });
    const measured = measuredOf([run]);
    const found = findingsOf(measured, { ...ANYTHING, pinnedBytes: 4096 });
    expect(found.map(({ clause }) => clause)).toEqual(["pinned", "released"]);
  });

  it("names the cost that turns it", () => {
    const profile: CostProfile = {
      ...normal,
      costs: { ...normal.costs, timerIrq: { ns: 0, lowNs: 0, highNs: 2_000_000, source: "assumed" } },
    };
    const slow: PinPolicy = {
      ...policyNamed("prefault"),
      name: "ticking",
      trapsBuffer: true,
      create: ticking,
    };
    const thp = { ...settingNamed("thread-a", MIB), stage2AtStart: "mapped" as const };
    const verdict = verdictOf(new BarCase(thp), slow, profile, { at: "all", flips: true });
    expect(shownOf(verdict).findings).toEqual([]);
    expect(verdict.flips).toEqual([{ end: "high", met: false, costs: ["timerIrq"] }]);
    expect(meetsBar(verdict)).toBe(false);
  });

  /** A policy that pins nothing and stops its vCPU every 50 us. */
  function ticking(): ReturnType<PinPolicy["create"]> {
    return {
      onBufferEnabled(_, ctx) {
        ctx.armTimer(ctx.nowNs + 50_000, "again");
        return { kind: "done" };
      },
      onTimer(_, ctx) {
        if (ctx.buffer !== undefined) ctx.armTimer(ctx.nowNs + 50_000, "again");
      },
    };
  }
});

describe("a random setting", () => {
  it("is the same for the same seed, and another for another", () => {
    expect(randomSetting(7)).toEqual(randomSetting(7));
    expect(randomSetting(8).schedule).not.toEqual(randomSetting(7).schedule);
  });

  it("lasts at least half a millisecond, in order, with no vCPU in two places", () => {
    for (let seed = 0; seed < 300; seed++) {
      const { schedule } = randomSetting(seed);
      const { count, startNs, endNs, vcpu } = schedule.segments;
      expect(Math.max(...endNs), `seed ${seed}`).toBeGreaterThanOrEqual(500_000);
      const freeNs = new Array<number>(schedule.vcpus).fill(0);
      for (let i = 0; i < count; i++) {
        const on = vcpu[i] as number;
        expect(startNs[i], `seed ${seed}`).toBeGreaterThanOrEqual(freeNs[on] as number);
        if (i > 0) expect(startNs[i]).toBeGreaterThanOrEqual(startNs[i - 1] as number);
        freeNs[on] = endNs[i] as number;
      }
    }
  });
});
