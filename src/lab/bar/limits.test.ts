import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { allowedFor, type Measured, type References } from "../bar.ts";
import { type Circumstances, mostLostShare, mostSlowdown, mostStopNs, NEGLIGIBLE } from "./limits.ts";

const USUAL: Circumstances = {
  samplesPerSecond: 2.5e9 / 4096,
  vcpus: 1,
  workerWakeNs: 10_000,
  debugging: false,
  hasSpareCpu: true,
  atValues: true,
};

const anyCircumstances = fc.record({
  samplesPerSecond: fc.double({ min: 1e3, max: 2.5e9 / 1024, noNaN: true }),
  vcpus: fc.integer({ min: 1, max: 16 }),
  workerWakeNs: fc.integer({ min: 1, max: 10_000_000 }),
  debugging: fc.boolean(),
  hasSpareCpu: fc.boolean(),
  atValues: fc.boolean(),
});

describe("the limits", () => {
  it.each([
    [{}, 0.0001, 1.05, 50_000],
    [{ debugging: true }, 0.001, 1.15, 250_000],
    [{ workerWakeNs: 100_000 }, 0.0001, 1.05, 50_000],
    [{ workerWakeNs: 1_000_000 }, 0.00105, 1.05, 50_000],
    [{ workerWakeNs: 10_000_000 }, 0.002, 1.05, 50_000],
    [{ hasSpareCpu: false }, 0.0001, 1.05, 50_000],
    [{ hasSpareCpu: false, samplesPerSecond: 2.5e9 / 1024 }, 0.0001, 1.1, 50_000],
    [{ hasSpareCpu: false, debugging: true }, 0.001, null, 250_000],
    [{ hasSpareCpu: false, atValues: false }, 0.0001, null, null],
    [{ workerWakeNs: 10_000_001 }, null, null, 50_000],
    [{ samplesPerSecond: 2.5e9 / 1023 }, null, null, 50_000],
    [{ vcpus: 17 }, null, null, 50_000],
  ] as const)("of %j are those that were promised", (circumstances, lost, slowdown, stopNs) => {
    const of = { ...USUAL, ...circumstances };
    const share = mostLostShare(of);
    if (lost === null) expect(share).toBeNull();
    else expect(share).toBeCloseTo(lost, 12);
    expect(mostSlowdown(of)).toBe(slowdown);
    expect(mostStopNs(of)).toBe(stopNs);
  });

  it("hold between the points that have names, and a harder case is never held to more", () => {
    fc.assert(
      fc.property(anyCircumstances, fc.double({ min: 1, max: 10, noNaN: true }), (of, factor) => {
        const share = mostLostShare(of) as number;
        expect(share).toBeGreaterThanOrEqual(0.0001);
        expect(share).toBeLessThanOrEqual(0.002);
        const later = mostLostShare({ ...of, workerWakeNs: Math.round(of.workerWakeNs * factor) });
        expect(later ?? 1).toBeGreaterThanOrEqual(share);
        const slowdown = mostSlowdown(of) ?? Number.POSITIVE_INFINITY;
        const faster = mostSlowdown({ ...of, samplesPerSecond: of.samplesPerSecond * factor });
        expect(faster ?? Number.POSITIVE_INFINITY).toBeGreaterThanOrEqual(slowdown);
      }),
    );
  });
});

describe("what is allowed", () => {
  const measured = (slowdown: number, lostShare: number): Measured => ({
    slowdown,
    lostShare,
    lost: 1,
    blackouts: 1,
    blackoutNs: 1,
    hostCpuNs: 0,
    hostCpuShare: 0,
    pinnedPeakBytes: 0,
    unreclaimablePeakBytes: 0,
    releasedAfterNs: 0,
    longestStopNs: { cold: 0, warm: 0 },
    memlockPeakBytes: 0,
    memlockLimitBytes: null,
  });
  const asked: string[] = [];
  const says = (name: string, figure: number): number => {
    asked.push(name);
    return figure;
  };
  const references: References = {
    trapsSlowdown: () => says("traps", 1.2),
    coldSlowdown: () => says("cold", 1.3),
    oneStopLostShare: () => says("stop", 0.004),
    faultLostShare: () => says("fault", 0.3),
    inlineSlowdown: () => says("inline", 1.7),
  };
  const allowed = (of: Partial<Circumstances>, slowdown: number, lostShare: number) => {
    asked.length = 0;
    return allowedFor(measured(slowdown, lostShare), { ...USUAL, ...of }, references, 0);
  };
  const BEYOND = { samplesPerSecond: 2.5e9 / 256 };

  it("runs no reference where the limits are met", () => {
    expect(allowed({}, 1.04, 0)).toMatchObject({
      slowdown: 1.05,
      slowdownBy: "limit",
      lostShare: 0.0001,
      graceful: false,
    });
    expect(allowed(BEYOND, 1.05, 0.002)).toMatchObject({ ...NEGLIGIBLE, graceful: true });
    expect(asked).toEqual([]);
  });

  it("is 1.05 times what the traps alone cost, where that is more, and no more lost than the limit", () => {
    expect(allowed({}, 1.06, 0.5)).toMatchObject({
      slowdown: 1.05 * 1.2,
      slowdownBy: "traps",
      lostShare: 0.0001,
    });
    expect(asked).toEqual(["traps"]);
  });

  it("is beyond that what the least cold start costs, then twice that, and nothing more", () => {
    expect(allowed({}, 1.36, 0)).toMatchObject({ slowdown: 1.05 * 1.3, slowdownBy: "cold start" });
    const most = { slowdown: 1.05 * (1.2 + 2 * (1.3 - 1.2)), slowdownBy: "twice a cold start" };
    expect(allowed({}, 1.4, 0)).toMatchObject(most);
    expect(allowed({}, 9, 0)).toMatchObject(most);
    expect(asked).not.toContain("inline");
  });

  it("beyond reach is what fault loses and what pinning inline costs", () => {
    expect(allowed(BEYOND, 1.5, 0.01)).toMatchObject({
      slowdown: 1.7,
      slowdownBy: "inline",
      lostShare: 0.3,
      lostBy: "fault",
      graceful: true,
    });
    expect(asked.filter((name, i) => asked.indexOf(name) === i)).toEqual([
      "traps",
      "cold",
      "inline",
      "stop",
      "fault",
    ]);
  });

  it("beyond reach is one PMBIRQ for each vCPU at least, however short the session", () => {
    expect(allowed(BEYOND, 1.04, 0.003)).toMatchObject({
      lostShare: 0.004,
      lostBy: "one PMBIRQ",
      graceful: true,
    });
    expect(asked).toEqual(["stop"]);
  });
});
