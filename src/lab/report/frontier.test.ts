import { describe, expect, it } from "vitest";
import { type Over, syntheticRun, syntheticThread } from "../../../test/synthetic-runs.ts";
import { formatPageSeconds, frontierOf, frontierVerdict, inOrder, samplesLost } from "./frontier.ts";
import type { ModelRun } from "./run.ts";
import { casesOf } from "./verdicts.ts";

const PAGE = 4096;

/** A run with these three figures. */
const run = (policy: string, slowdown: number, pageSeconds: number, lost = 0, over: Over = {}): ModelRun => {
  const one = syntheticRun({ policy, slowdown, pinnedByteSeconds: pageSeconds * PAGE, ...over });
  return {
    ...one,
    samples: { ...one.samples, written: one.samples.written - lost, lostInBlackout: lost },
  };
};

const pointsOf = (...runs: ModelRun[]) => frontierOf({ scenario: "s", profile: "p", runs }, runs);
const verdictsOf = (...runs: ModelRun[]) => pointsOf(...runs).map(frontierVerdict);

describe("the frontier", () => {
  it("has those who are best in something, and the others with who beats them and in what", () => {
    expect(
      verdictsOf(
        run("slow", 10, 1000),
        run("kept", 1.1, 15_000),
        run("lossy", 1, 0, 400),
        run("bad", 10, 2000, 1),
      ),
    ).toEqual([
      "on the frontier",
      "on the frontier",
      "on the frontier",
      "dominated by slow: pins 2.00 times less, loses nothing",
    ]);
  });

  it("names the one that beats a policy in most, and one that is itself on the frontier", () => {
    const [, , worst] = pointsOf(run("best", 1, 10), run("middle", 2, 20), run("worst", 3, 30));
    expect(worst?.dominatedBy).toMatchObject([
      { policy: "best", by: ["faster", "pins less"] },
      { policy: "middle", by: ["faster", "pins less"] },
    ]);
    expect(frontierVerdict(worst as NonNullable<typeof worst>)).toContain("dominated by best");
  });

  it("names the one that takes least in time and memory together where several beat it in as much", () => {
    const verdicts = verdictsOf(run("fast", 1, 200_000), run("lean", 1.04, 80), run("poor", 450, 1_700_000));
    expect(verdicts).toEqual([
      "on the frontier",
      "on the frontier",
      "dominated by lean: 433 times as fast, pins 21,300 times less",
    ]);
  });

  it("does not see a difference that is not printed, and sees one that is", () => {
    expect(verdictsOf(run("a", 1.001, 10), run("b", 1.003, 10))).toEqual([
      "on the frontier",
      "on the frontier",
    ]);
    expect(verdictsOf(run("a", 1.001, 10), run("b", 1.02, 10))[1]).toBe("dominated by a: faster by 2 %");
  });

  it("says by how much, and that the host's CPU time counts, too", () => {
    const cpu = (hostCpuNs: number): Over => ({ hostCpuNs });
    expect(verdictsOf(run("a", 1, 10, 0, cpu(5e6)), run("b", 1, 10, 0, cpu(6e6)))[1]).toBe(
      "dominated by a: takes 16.7 % less host CPU",
    );
    expect(verdictsOf(run("a", 1, 0, 0, cpu(0)), run("b", 1, 10, 0, cpu(6e6)))[1]).toBe(
      "dominated by a: pins nothing, takes no host CPU",
    );
    expect(verdictsOf(run("a", 1, 10, 1), run("b", 1.1, 10, 30))[1]).toBe(
      "dominated by a: faster by 9.1 %, loses 30.0 times less",
    );
    expect(
      verdictsOf(run("a", 1, 10, 0, cpu(9e6)), run("b", 1.1, 20)).every((text) => text === "on the frontier"),
    ).toBe(true);
  });

  it("keeps two that are equal", () => {
    expect(pointsOf(run("a", 1.1, 5), run("b", 1.1, 5)).every((point) => point.onFrontier)).toBe(true);
  });

  it("is never empty, and whoever beats a dominated policy best is on it", () => {
    const runs = Array.from({ length: 60 }, (_, i) =>
      run(`p${i}`, 1 + ((i * 7919) % 97) / 50, (i * 104_729) % 89, (i * 1299) % 11),
    );
    const points = pointsOf(...runs);
    const onIt = new Set(points.filter((point) => point.onFrontier).map((point) => point.run.policy));
    expect(onIt.size).toBeGreaterThan(0);
    for (const point of points) if (!point.onFrontier) expect(onIt).toContain(point.dominatedBy[0]?.policy);
  });

  it("takes what is lost from the twin without filters", () => {
    const runs = syntheticThread().map((detail) => detail.run);
    const points = frontierOf(casesOf(runs)[0] as ReturnType<typeof casesOf>[0], runs);
    const fault = points.find((point) => point.run.policy === "fault");
    expect(fault?.run.samples.lostInBlackout).toBe(0);
    expect(fault?.lostSamples).toBe(430);
    expect(fault?.figures.lostShare).toBe(0.043);
  });

  it("says that nothing could be lost where the filters let nothing through and there is no twin", () => {
    const filtered = syntheticRun().samples;
    const all = { ...filtered, written: 0, filtered: 9_990 };
    const [a] = pointsOf(run("a", 1, 1, 0, {}), run("b", 1, 1));
    expect(a?.figures.lostShare).toBe(0);
    const lone = syntheticRun({ samples: all });
    expect(pointsOf(lone)[0]?.figures.lostShare).toBeNull();
  });

  it("counts as lost while full only what bare metal would not have lost", () => {
    const { samples } = syntheticRun();
    const full = { ...samples, written: samples.written - 30, lostWhileFull: 30 };
    expect(samplesLost(syntheticRun({ samples: full, baseline: { selected: 100, lostWhileFull: 20 } }))).toBe(
      10,
    );
    expect(samplesLost(syntheticRun({ samples: full, baseline: { selected: 100, lostWhileFull: 40 } }))).toBe(
      0,
    );
  });

  it("is listed first, from the most complete and least pinned on", () => {
    const points = pointsOf(
      run("bad", 9, 9, 9),
      run("big", 1, 100),
      run("small", 1.2, 10),
      run("lossy", 1, 0, 9),
    );
    expect(inOrder(points).map((point) => point.run.policy)).toEqual(["small", "big", "lossy", "bad"]);
  });
});

it("prints page-seconds to three digits", () => {
  expect([0, 5.2891, 14_523].map(formatPageSeconds)).toEqual(["0", "5.29", "14,500"]);
});
