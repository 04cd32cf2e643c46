import { describe, expect, it } from "vitest";
import { type Over, syntheticRun, syntheticThread } from "../../../test/synthetic-runs.ts";
import type { ModelRun } from "./run.ts";
import {
  casesOf,
  conclusionOf,
  profileVerdict,
  samplingTwin,
  speedOf,
  speedVerdict,
  verdictsOf,
} from "./verdicts.ts";

const textsOf = (over: Over) => verdictsOf(syntheticRun(over)).map((verdict) => verdict.text);
const samples = (over: Partial<ModelRun["samples"]>): ModelRun["samples"] => ({
  selected: 10_000,
  written: 10_000,
  filtered: 0,
  collided: 0,
  lostInBlackout: 0,
  lostWhileFull: 0,
  truncated: 0,
  ...over,
});

describe("the speed verdict", () => {
  it.each([
    [1, "unnoticeable"],
    [1.19, "usable"],
    [1.2, "slow"],
    [2, "painful"],
    [8, "unusable"],
  ])("calls %s times %s", (slowdown, word) => {
    expect(speedOf(slowdown)).toBe(word);
  });

  it("says how long, how many times and what that means", () => {
    expect(speedVerdict(syntheticRun({ guestWallNs: 20.6e9, slowdown: 51.5 })).text).toBe(
      "20.6 s, 51.5 times bare metal: unusable",
    );
  });

  it("shows both readings of a replay and judges by the worse", () => {
    const run = syntheticRun({
      guestWallNs: 2e9,
      slowdown: 5,
      model: { slowdownRange: { kept: 5, absorbing: 1.1 } },
    });
    expect(speedVerdict(run)).toEqual({
      about: "speed",
      tone: "bad",
      text: "2 s, 5.00 times bare metal, or 1.10 if its waits hide some of that: painful",
    });
  });

  it("is a range, and says why, where it is open which switches are direct", () => {
    const open = (slowdown: number, without: number) =>
      syntheticRun({
        guestWallNs: 1e9 * slowdown,
        slowdown,
        bufferEnables: 1504,
        model: {
          withoutDirectSwitches: { slowdown: without, guestWallNs: 1e9 * without, bufferEnables: 17_407 },
        },
      });
    expect(speedVerdict(open(1.1, 2.5))).toEqual({
      about: "speed",
      tone: "bad",
      text:
        "1.1 s to 2.5 s, 1.10 to 2.50 times bare metal: usable to painful, with 1,504 to 17,407 enables, " +
        "as which switches are direct is not recorded (perf record --sample-cpu does)",
    });
    expect(speedVerdict(open(1, 1)).text).toMatch(
      /^1 s, 1.00 times bare metal: unnoticeable, with 1,504 to 17,407/,
    );
    const of = { scenario: "s", profile: "p", runs: [open(1.1, 2.5)] };
    expect(conclusionOf(of, of.runs).text).toMatch(
      /no policy here is usable .*until-changed \(1.10 to 2.50 times/,
    );
  });

  it("names the cost on which it depends when it flips over the ranges, and is silent when it does not", () => {
    const at = (low: number, high: number) => ({
      slowdown: 1.1,
      model: { atLowCosts: { slowdown: low }, atHighCosts: { slowdown: high }, flips: ["pin", "walk"] },
    });
    expect(textsOf(at(1.05, 1.4))).toContain(
      "usable (1.05 times) where all costs are at their low ends, slow (1.40 times) at their high ends: depends on pin and walk",
    );
    expect(textsOf(at(1.05, 1.15)).join()).not.toContain("depends");
  });

  it("splits the excess where a run is too slow, and only there", () => {
    const excess = { firstPinNs: 0.5e6, rewalkNs: 0.2e6, trapNs: 0.1e6 };
    expect(textsOf({ slowdown: 1.3, excess })).toContain(
      "of 1 ms in the hypervisor: first pin 500 µs, later walks and pins 200 µs, traps 100 µs, other 200 µs",
    );
    expect(textsOf({ slowdown: 1.1, excess }).join()).not.toContain("first pin");
  });
});

describe("the profile verdict", () => {
  it.each<[string, Over, string, string]>([
    ["nothing lost", { samples: samples({}) }, "good", "complete profile"],
    [
      "samples lost",
      {
        samples: samples({ written: 9_590, lostInBlackout: 410 }),
        blackouts: { count: 1204, totalNs: 1, longestNs: 1, instructions: 1 },
      },
      "bad",
      "loses 4.1 % of samples in 1,204 blackouts",
    ],
    [
      "hardly any lost",
      {
        samples: samples({ written: 9_999, lostInBlackout: 1 }),
        blackouts: { count: 1, totalNs: 1, longestNs: 1, instructions: 1 },
      },
      "fair",
      "loses 0.01 % of samples in 1 blackout",
    ],
    [
      "what bare metal loses too",
      {
        samples: samples({ written: 9_000, lostWhileFull: 1_000 }),
        baseline: { selected: 10_000, lostWhileFull: 1_000 },
      },
      "good",
      "complete profile",
    ],
    [
      "more lost while full than on bare metal",
      {
        samples: samples({ written: 9_000, lostWhileFull: 1_000 }),
        baseline: { selected: 10_000, lostWhileFull: 400 },
      },
      "bad",
      "loses 6 % while the buffer was full, beyond bare metal's",
    ],
    [
      "everything filtered",
      { samples: samples({ written: 0, filtered: 10_000 }) },
      "plain",
      "the filter lets no sample through",
    ],
  ])("%s", (_, over, tone, text) => {
    expect(profileVerdict(syntheticRun(over))).toMatchObject({ tone, text });
  });
});

it("says what the host gives up", () => {
  const held = { pinnedPeakBytes: 128 * 1024 ** 2, heldAfterOffNs: 3.2e9 };
  expect(textsOf({ ...held, model: { releasedAfterNs: 2e8 } })).toContain(
    "holds 128 MiB pinned, for 3.2 s with profiling off",
  );
  expect(textsOf({ ...held, model: { releasedAfterNs: null } })).toContain(
    "holds 128 MiB pinned, for 3.2 s with profiling off, and still holds it when profiling is over",
  );
  expect(textsOf({ pinnedPeakBytes: 2 * 1024 ** 3, model: { releasedAfterNs: 0 } })).toContain(
    "holds 2 GiB pinned, more than the buffer",
  );
  expect(textsOf({ exitReasons: { KVM_EXIT_RLIMIT: 3 }, memlockLimitBytes: 8 * 1024 ** 2 })).toContain(
    "memlock limit of 8 MiB hit 3 times",
  );
  expect(textsOf({ longestStopNs: { cold: 30e6, warm: 1e3 } })).toContain(
    "stops a vCPU for 30 ms at a time (the first enable only)",
  );
  expect(textsOf({ longestStopNs: { cold: 22e9, warm: 22e9 } }).join()).toContain("RCU stalls");
});

describe("a case's conclusion", () => {
  const runs = syntheticThread().map((detail) => detail.run);

  it("groups by scenario and profile, keeping the order", () => {
    expect(casesOf(runs)).toHaveLength(8);
    expect(casesOf(runs)[0]).toMatchObject({ scenario: "thread-a", profile: "thread-normal" });
  });

  it("asks a filtered run's unfiltered twin about lost samples", () => {
    const filtered = runs.find((run) => run.scenario === "thread-a" && run.policy === "fault") as ModelRun;
    expect(samplingTwin(filtered, runs)).toMatchObject({ scenario: "thread-a-sampling", policy: "fault" });
  });

  it("prefers what is complete, then usable, then pins least", () => {
    const of = casesOf(runs)[0] as ReturnType<typeof casesOf>[number];
    const { text, tone } = conclusionOf(of, runs);
    expect(tone).toBe("good");
    expect(text).toMatch(/^usable and complete: until-changed .*, then prefault \(.*2 GiB pinned\)$/);
    expect(text).not.toMatch(/[ ,]fault /);
    const slow = { ...of, runs: of.runs.filter((run) => run.policy === "pin-on-enable") };
    expect(conclusionOf(slow, runs)).toMatchObject({ tone: "bad" });
    const lossy = { ...of, runs: of.runs.filter((run) => run.policy === "fault") };
    expect(conclusionOf(lossy, runs).text).toBe("every policy here loses samples");
  });

  it("does not hide a policy that is nearly complete", () => {
    const hardly = syntheticRun({
      policy: "fault",
      pinnedPeakBytes: 0,
      samples: samples({ written: 9_999, lostInBlackout: 1 }),
    });
    const of = { scenario: "s", profile: "p", runs: [hardly] };
    expect(conclusionOf(of, of.runs)).toMatchObject({
      tone: "fair",
      text: "every policy here loses samples; usable and nearly complete: fault (1.00 times, nothing pinned)",
    });
  });
});
