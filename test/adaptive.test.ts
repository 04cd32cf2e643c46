/** The policy adaptive against the bar, and what guests that are not Linux get out of it. */
import { describe, expect, it } from "vitest";
import { runBarCell } from "../src/cli/bar/cell.ts";
import { PAGE_BYTES } from "../src/common/address.ts";
import { UserError } from "../src/common/errors.ts";
import { readRuns } from "../src/guest/recording/read.ts";
import type { GuestAction } from "../src/guest/scripted-core.ts";
import type { CostProfile } from "../src/host/costs.ts";
import { PROFILES, THREAD_PROFILES } from "../src/host/profiles.ts";
import { adaptive } from "../src/kvm/spe/policies/adaptive.ts";
import { recordingSettings, scenarioSettings } from "../src/lab/bar/cases.ts";
import { BarCase, chargedAt, type Verdict } from "../src/lab/bar/measure.ts";
import { tableBytes } from "../src/lab/bar.ts";
import { randomSetting } from "../src/lab/random-settings.ts";
import { bytesSource } from "../src/perf/byte-source.ts";
import type { Machine, MachineOptions } from "../src/vmm/machine.ts";
import { bytesOf, RECORDINGS } from "./perf-recordings.ts";
import { disable, el, enable, ipnOf, OPS_PER_NS, remap, run, runScripted, sample } from "./scripted-guest.ts";

const SEED = Number(process.env["SPEVISOR_SEED"] ?? 1);

function profileNamed(name: string): CostProfile {
  const found = PROFILES.find((profile) => profile.name === name);
  if (found === undefined) throw new Error(`no profile ${name}`);
  return found;
}

const profiles = THREAD_PROFILES.map(profileNamed);

describe.each(scenarioSettings(SEED).map((setting) => new BarCase(setting)))(
  "the bar in $setting.scenario",
  (of) => {
    it.each(profiles)("is met on $name", (profile) => {
      expect(of.judge(adaptive, chargedAt(profile)).findings).toEqual([]);
    });

    // The thread's commands as posted: at both ends of every range, too.
    if (of.setting.scenario === "thread-a" || of.setting.scenario === "thread-b")
      it.each(profiles)("is met at both ends of the ranges of $name", (profile) => {
        for (const end of ["low", "high"] as const)
          expect(of.judge(adaptive, chargedAt(profile, end)).findings, end).toEqual([]);
      });
  },
);

describe.each(RECORDINGS)("the bar on %s", (name) => {
  it("is met on both profiles, for each target that it has", async () => {
    const settings = recordingSettings(await readRuns(bytesSource(name, bytesOf(name))), SEED);
    expect(settings.length).toBeGreaterThan(0);
    for (const setting of settings) {
      const of = new BarCase(setting);
      for (const profile of profiles)
        expect(
          of.judge(adaptive, chargedAt(profile)).findings,
          `${setting.scenario}, ${profile.name}`,
        ).toEqual([]);
    }
  });
});

/** SPEVISOR_SETTINGS takes more of them, in hundreds: 20 for a longer run. */
const HUNDREDS = Number(process.env["SPEVISOR_SETTINGS"] ?? 1);

describe.each(THREAD_PROFILES)("random settings on %s", (name) => {
  const EACH = 100;
  const profile = profileNamed(name);

  it.each(Array.from({ length: HUNDREDS }, (_, i) => SEED + i * EACH))(
    "are slowed down by no more than the bar allows: the hundred from seed %i on",
    async (first) => {
      // Lets the test runner's messages through.
      await new Promise(setImmediate);
      for (let seed = first; seed < first + EACH; seed++) {
        const of = new BarCase(randomSetting(seed));
        expect(
          of.judge(adaptive, chargedAt(profile)).findings.filter(({ clause }) => clause === "slowdown"),
          `npx spevisor bar --random 1 --seed ${seed} --profile ${profile.name}`,
        ).toEqual([]);
      }
    },
    60_000,
  );
});

/** `npx spevisor bar --random 1 --seed N`: what was missed once, and why. */
const MISSED = [
  // A window that ended a page before the guest's own limit, in buffers of 64 and 128 KiB that wrap.
  8_000_190, 8_000_515, 8_000_998,
  // A tick in every third gap of a guest that switches a thousand times, each in vain.
  7_000_658,
];

describe.each(MISSED)("random setting %i, once missed", (seed) => {
  it.each(THREAD_PROFILES)("meets the bar on %s at the values and both ends", async (profile) => {
    const input = { policy: "adaptive", setting: { kind: "random", seed }, profile };
    const { judged } = (await runBarCell(input, {})) as unknown as Verdict;
    expect(Object.values(judged).map(({ findings }) => findings)).toEqual([[], [], []]);
  });
});

describe("a guest that edits stage 1 between E=1 and the ERET to EL0, or later", () => {
  const RAM_PAGES = 2_048;
  const BUFFER_PAGES = 1_536;
  const FIRST = 100;
  const OTHER = [1_800, 1_801] as const;
  /** The longest that adaptive goes without a look at stage 1. */
  const LOOK_NS = 2_500_000;

  interface Outcome {
    readonly lost: number;
    readonly written: number;
    readonly blackoutNs: number;
    readonly faults: number;
    /** Pages that records went to while nothing pinned them, and when. */
    readonly unpinned: readonly { readonly page: number; readonly atNs: number }[];
  }

  /**
   * @param edited how many pages after the pointer the two pages lie that are mapped elsewhere; undefined: none
   * @param afterNs how long EL0 was profiled before
   */
  function profile(of: {
    readonly edited: number | undefined;
    readonly afterNs: number;
    readonly period: number;
    readonly mapped: boolean;
  }): Outcome {
    const { edited, afterNs, period, mapped } = of;
    const unpinned: { page: number; atNs: number }[] = [];
    const pointer = FIRST + Math.floor((afterNs * OPS_PER_NS) / (period + 1) / 64);
    const edits = edited === undefined ? [] : OTHER.flatMap((to, i) => remap(pointer + edited + i, to));
    const machine = runScripted({
      policy: adaptive,
      ramPages: RAM_PAGES,
      touched: mapped,
      maxBufferBytes: BUFFER_PAGES * PAGE_BYTES,
      actions: [
        ...sample(period),
        ...enable(FIRST, BUFFER_PAGES),
        ...(afterNs === 0 ? [] : [el(0), run(afterNs), el(1)]),
        ...edits,
        el(0),
        run(4_000_000),
        el(1),
        { kind: "psb" },
        disable,
      ],
      onRecordPage: (ipn, { vcpus }) => {
        const [vcpu] = vcpus;
        if (vcpu !== undefined && !vcpu.spe.holdings.pins.has(ipn))
          unpinned.push({ page: ipn - ipnOf(0), atNs: vcpu.timeline.nowNs });
      },
    });
    const [vcpu] = machine.vcpus;
    if (vcpu === undefined) throw new Error("no vCPU");
    const { lostInBlackout: lost, blackoutNs } = vcpu.truth;
    const { written } = vcpu.core.spu.counters;
    const faults = machine.spe.statistics.recordStage2Faults;
    machine.destroy();
    return { lost, written, blackoutNs, faults, unpinned };
  }

  const cases = [0, 4_000_000].flatMap((afterNs) =>
    [512, 1024].flatMap((period) => [0, 1, 5, 20, 100].map((edited) => ({ afterNs, period, edited }))),
  );

  it.each(cases)(
    "loses no more than until the next look: page $edited of the buffer, after $afterNs ns, period $period",
    (of) => {
      for (const mapped of [true, false]) {
        const without = profile({ ...of, edited: undefined, mapped });
        const outcome = profile({ ...of, mapped });
        const blackoutNs = outcome.blackoutNs - without.blackoutNs;
        expect(blackoutNs).toBeLessThanOrEqual(LOOK_NS);
        expect(outcome.lost - without.lost).toBeLessThanOrEqual((LOOK_NS * OPS_PER_NS) / of.period);
        // One of the two pages: then stage 1 is walked again.
        expect(outcome.faults - without.faults).toBeLessThanOrEqual(mapped ? 0 : 1);
        expect(outcome.written).toBeGreaterThan(without.written - (LOOK_NS * OPS_PER_NS) / of.period);
      }
    },
  );

  it.each(cases)(
    "has no record written to a page that nothing pins but until the next look: page $edited of the buffer, after $afterNs ns, period $period",
    (of) => {
      for (const mapped of [true, false]) {
        const { unpinned } = profile({ ...of, mapped });
        // A window is mapped before the worker has pinned it, at the first enable and where the edit is found out.
        for (const { page, atNs } of unpinned)
          expect(atNs < LOOK_NS || (atNs > of.afterNs && atNs < of.afterNs + LOOK_NS), `${page}`).toBe(true);
        // The page that is written next, where stage 2 happens to map it: nobody could know.
        if (of.edited === 0 && mapped) expect(unpinned.map(({ page }) => page)).toContain(OTHER[0]);
      }
    },
  );
});

describe("a guest that cycles buffers over all of its memory", () => {
  const RAM_PAGES = 4_096;
  const TABLES_END = 64;
  const ENABLES = 2_000;

  const cycle = (bufferPages: number, runNs: number, options: Partial<MachineOptions> = {}): Machine => {
    const actions: GuestAction[] = sample(256, true);
    for (let i = 0, first = TABLES_END; i < ENABLES; i++, first += bufferPages) {
      if (first + bufferPages > RAM_PAGES) first = TABLES_END;
      actions.push(...enable(first, bufferPages), run(runNs), disable);
    }
    return runScripted({
      policy: adaptive,
      actions,
      ramPages: RAM_PAGES,
      touched: true,
      maxBufferBytes: bufferPages * PAGE_BYTES,
      options,
    });
  };

  const cases = [2, 16, 64, 512, 4_000].flatMap((bufferPages) =>
    [1_000, 20_000, 200_000].map((runNs) => ({ bufferPages, runNs })),
  );

  it.each(cases)(
    "has no more pinned than one buffer of $bufferPages pages and its tables, and no more done in the background than it runs itself ($runNs ns each)",
    ({ bufferPages, runNs }) => {
      const machine = cycle(bufferPages, runNs);
      const { workers, pinnedPeakBytes } = machine.spe;
      const [vcpu] = machine.vcpus;
      const elapsedNs = vcpu?.timeline.nowNs ?? 0;
      const busyNs = workers.timelines.reduce(
        (sum, worker) => sum + worker.nowNs - worker.spentNs("idle"),
        0,
      );
      machine.destroy();
      expect(pinnedPeakBytes).toBeGreaterThan(0);
      expect(pinnedPeakBytes).toBeLessThanOrEqual(
        bufferPages * PAGE_BYTES + tableBytes(bufferPages * PAGE_BYTES, PAGE_BYTES),
      );
      expect(busyNs).toBeLessThanOrEqual(elapsedNs);
    },
  );

  it("is stopped by memlock where user space does not raise it", () => {
    const most = 8 * PAGE_BYTES;
    let machine: Machine | undefined;
    try {
      machine = cycle(2, 20_000, { memlockBytes: most, memlockMaxBytes: most });
    } catch (error) {
      expect(error).toBeInstanceOf(UserError);
    }
    if (machine !== undefined) expect(machine.memlock.markBytes).toBeLessThanOrEqual(most);
  });
});
