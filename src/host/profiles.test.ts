import { describe, expect, it } from "vitest";
import { BrokenInvariant } from "../common/errors.ts";
import {
  COST_NAMES,
  type CostProfile,
  checkedProfile,
  costTable,
  GUEST_COSTS,
  withFactors,
  withFreeSpe,
} from "./costs.ts";
import { PROFILES, THREAD_PROFILES } from "./profiles.ts";

function profile(name: string): CostProfile {
  const found = PROFILES.find((p) => p.name === name);
  if (found === undefined) throw new Error(`no profile ${name}`);
  return found;
}

/** Seconds that the pin and unpin of so many pages take. */
const pairSeconds = (name: string, pages: number, end: "value" | "low" | "high" = "value"): number => {
  const { pinPage, unpinPage } = costTable(profile(name), end);
  return ((pinPage + unpinPage) * pages) / 1e9;
};

describe("cost profiles", () => {
  it.each(PROFILES.map(({ name }) => name))(
    "%s has a whole value, a range and a source for every cost",
    (name) => {
      const { costs, about } = profile(name);
      expect(Object.keys(costs).sort()).toEqual([...COST_NAMES].sort());
      expect(about).not.toBe("");
      for (const cost of COST_NAMES) {
        const { ns, lowNs, highNs, source } = costs[cost];
        for (const value of [ns, lowNs, highNs]) expect(Number.isSafeInteger(value)).toBe(true);
        expect(lowNs).toBeLessThanOrEqual(ns);
        expect(ns).toBeLessThanOrEqual(highNs);
        expect(source).toMatch(/assumed|by definition|James Clark|Linux commit/);
        // What is only believed has room to be wrong.
        if (source !== "by definition") expect(highNs).toBeGreaterThan(lowNs);
      }
    },
  );

  it.each([
    ["thread-normal", 32_768, 0.04, 0.035, 0.045],
    ["thread-debug", 32_768, 0.2, 0.15, 0.25],
    ["thread-normal-whole", 65_536, 0.04, 0.035, 0.045],
    ["thread-debug-whole", 65_536, 0.2, 0.15, 0.25],
  ])("%s: %i pages take %f s, %f to %f", (name, pages, seconds, low, high) => {
    // Rounding to whole ns a page leaves at most 1 ns for each of the two.
    const slackSeconds = pages / 1e9;
    expect(Math.abs(pairSeconds(name, pages) - seconds)).toBeLessThan(slackSeconds);
    expect(Math.abs(pairSeconds(name, pages, "low") - low)).toBeLessThan(slackSeconds);
    expect(Math.abs(pairSeconds(name, pages, "high") - high)).toBeLessThan(slackSeconds);
  });

  it("differs between the readings of the buffer by a factor of two", () => {
    const ratio = pairSeconds("thread-debug", 1) / pairSeconds("thread-debug-whole", 1);
    expect(ratio).toBeCloseTo(2, 2);
  });

  it("slows a debugging host's work down, not the guest's", () => {
    const normal = costTable(profile("thread-normal"));
    const debug = costTable(profile("thread-debug"));
    for (const name of COST_NAMES)
      if (name in GUEST_COSTS) expect(debug[name]).toBe(normal[name]);
      else expect(debug[name] / normal[name]).toBeCloseTo(5, 1);
  });

  it("charges nothing but the guest's own work for a host that is free", () => {
    const free = costTable(profile("free"));
    const normal = costTable(profile("thread-normal"));
    for (const name of COST_NAMES) expect(free[name]).toBe(name in GUEST_COSTS ? normal[name] : 0);
  });

  it("has the profiles that stand for the thread's kernels", () => {
    expect(THREAD_PROFILES).toEqual(["thread-normal", "thread-debug"]);
    expect(PROFILES.slice(0, 2).map(({ name }) => name)).toEqual(THREAD_PROFILES);
    expect(new Set(PROFILES.map(({ name }) => name)).size).toBe(PROFILES.length);
  });
});

describe("a cost table", () => {
  const normal = profile("thread-normal");

  it("takes one end for all costs, or for one alone", () => {
    const low = costTable(normal, "low");
    const one = costTable(normal, "high", "exit");
    for (const name of COST_NAMES) {
      // The guest's own costs are on both sides of a slowdown: they stay.
      expect(low[name]).toBe(name in GUEST_COSTS ? normal.costs[name].ns : normal.costs[name].lowNs);
      expect(one[name]).toBe(name === "exit" ? normal.costs.exit.highNs : normal.costs[name].ns);
    }
  });

  it.each([
    ["a fraction of a ns", { ns: 1.5, lowNs: 1, highNs: 2, source: "assumed" }],
    ["a value above its range", { ns: 3, lowNs: 1, highNs: 2, source: "assumed" }],
    ["a value below its range", { ns: 0, lowNs: 1, highNs: 2, source: "assumed" }],
    ["a negative cost", { ns: 0, lowNs: -1, highNs: 2, source: "assumed" }],
    ["no source", { ns: 1, lowNs: 1, highNs: 2, source: " " }],
  ])("is refused for %s", (_what, exit) => {
    expect(() => checkedProfile({ ...normal, costs: { ...normal.costs, exit } })).toThrow(BrokenInvariant);
    expect(checkedProfile(normal)).toBe(normal);
  });
});

it("what SPE alone has the host do costs nothing where SPE is free, and the rest what it did", () => {
  for (const profile of PROFILES) {
    const costs = costTable(profile);
    const free = withFreeSpe(costs);
    expect([free.pinPage, free.walkTable, free.maintenanceIrq]).toEqual([0, 0, 0]);
    expect([free.exit, free.stage2Leaf, free.sysreg]).toEqual([costs.exit, costs.stage2Leaf, costs.sysreg]);
  }
});

it("factors multiply a cost's value and range, and nothing else, and the name says so", () => {
  const normal = profile("thread-normal");
  const dearer = withFactors(normal, { exit: 2.5, workerWake: 0.1 });
  expect(dearer.name).toBe("thread-normal (exit=2.5,workerWake=0.1)");
  for (const end of ["value", "low", "high"] as const) {
    const [before, after] = [costTable(normal, end), costTable(dearer, end)];
    expect(after).toEqual({
      ...before,
      exit: Math.round(before.exit * 2.5),
      workerWake: Math.round(before.workerWake * 0.1),
    });
  }
  expect(checkedProfile(dearer)).toBe(dearer);
  expect(withFactors(normal, {})).toBe(normal);
});
