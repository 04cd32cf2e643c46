/**
 * What every pin policy must keep, whatever it bets on: run over each registered one, and with SPEVISOR_POLICY=FILE
 * over one that is in nobody's list.
 */
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { UserError } from "../src/common/errors.ts";
import { randomStream } from "../src/common/random.ts";
import type { Memlock } from "../src/host/memlock.ts";
import { type PressureEvent, randomPressure } from "../src/host/pressure.ts";
import { POLICIES } from "../src/kvm/spe/policies/index.ts";
import { pinOnEnable } from "../src/kvm/spe/policies/pin-on-enable.ts";
import { DONE, type PinPolicy, type SpeBuffer } from "../src/kvm/spe/policy.ts";
import { DEFAULT_MEMLOCK_BYTES, runBareMetal, runVm, type Setting } from "../src/lab/experiment.ts";
import { scenarioOf } from "../src/lab/invariants/generate.ts";
import { runScenario } from "../src/lab/invariants/run.ts";
import type { InvariantScenario } from "../src/lab/invariants/scenario.ts";
import { asPolicy } from "../src/lab/policies.ts";
import { SCENARIOS } from "../src/lab/scenarios.ts";
import type { Machine } from "../src/vmm/machine.ts";
import { costsOf, record } from "./invariants/records.ts";
import { harmlessSetting } from "./invariants/schedules.ts";
import { goesOnFromSnapshots } from "./invariants/snapshots.ts";

const file = process.env["SPEVISOR_POLICY"];
/** How many random schedules and scenarios each test takes: those of the list meet thousands in other tests. */
const [SCHEDULES, RANDOM_SCENARIOS] = file === undefined ? [12, 25] : [40, 100];

async function policiesOf(path: string): Promise<PinPolicy[]> {
  const module: Record<string, unknown> = await import(pathToFileURL(resolve(path)).href);
  const found = Object.values(module)
    .map(asPolicy)
    .filter((value) => typeof value !== "string");
  if (found.length === 0) throw new Error(`${path} exports no policy`);
  return found;
}

const policies = file === undefined ? POLICIES : await policiesOf(file);

/** Schedules that are saved on their way, and at how many places each. */
const SNAPSHOT_SEEDS = [1, 2, 3];
const SNAPSHOTS = 3;

/** The thread's first command with samples let through, and a buffer small enough to fill up. */
const linux = (changes: Partial<Setting> = {}): Setting => {
  const scenario = SCENARIOS.find(({ name }) => name === "thread-a-sampling");
  if (scenario === undefined) throw new Error("no thread-a-sampling");
  return { ...scenario.setting(128 * 1024, 1), memoryBytes: 16 * 1024 ** 2, ...changes };
};

const harsh = (pages: number) =>
  randomPressure(
    {
      reclaim: 200,
      migrate: 200,
      compact: 200,
      ksm: 100,
      "thp-split": 50,
      "thp-collapse": 50,
      numa: 50,
    },
    pages,
    randomStream(7),
  );

// Vitest gives up on a worker that does not answer for a minute.
afterEach(() => new Promise<void>((resolve) => setImmediate(resolve)));

it("names every policy once", () => {
  expect(new Set(policies.map(({ name }) => name)).size).toBe(policies.length);
});

describe("a policy that keeps something and does not save it", () => {
  /** Pins from the third enable on: how often it was called is its own. */
  const counting = (saves: boolean): PinPolicy => ({
    ...pinOnEnable,
    name: "counting",
    create() {
      const { onBufferEnabled, ...others } = pinOnEnable.create();
      let enables = 0;
      const restore = (state: unknown): void => {
        enables = state as number;
      };
      return {
        ...others,
        onBufferEnabled(buffer, ctx) {
          enables += 1;
          return enables < 3 ? DONE : (onBufferEnabled?.(buffer, ctx) ?? DONE);
        },
        ...(saves ? { save: () => enables, restore } : {}),
      };
    },
  });
  /** Keeps its pins for as long as the buffer is where it was. */
  const remembering: PinPolicy = {
    ...pinOnEnable,
    name: "remembering",
    create() {
      const { onBufferEnabled } = pinOnEnable.create();
      let held: SpeBuffer | undefined;
      return {
        onBufferEnabled(buffer, ctx) {
          if (held?.pointer === buffer.pointer && held.limit === buffer.limit) return DONE;
          held = buffer;
          return onBufferEnabled?.(buffer, ctx) ?? DONE;
        },
      };
    },
  };
  const goesOn = (policy: PinPolicy): boolean[] =>
    SNAPSHOT_SEEDS.flatMap((seed) => goesOnFromSnapshots(seed, policy, SNAPSHOTS));

  it.each([counting(false), remembering])("is found: $name", (policy) => {
    expect(goesOn(policy)).toContain(false);
  });

  it("is fine once it does", () => {
    expect(goesOn(counting(true))).not.toContain(false);
  });
});

describe.each(policies)("pin policy $name", (policy) => {
  it("says what it does, who proposed it and what one pays", () => {
    expect(asPolicy(policy)).toBe(policy);
    for (const text of [policy.summary, policy.origin, policy.tradeOff]) {
      expect(text).toMatch(/^["A-Z]/);
      expect(text.length).toBeGreaterThan(20);
    }
    expect(policy.summary).toMatch(/\.$/);
    expect(policy.tradeOff).toMatch(/\.$/);
  });

  /** A reference that never profiles has no samples to look for. */
  const profiles = (what: string, test: () => void): void => {
    if (policy.neverProfiles !== true) it(what, test);
  };

  it("goes on from a snapshot: what it keeps from one call to the next it saves and restores", () => {
    for (const seed of SNAPSHOT_SEEDS)
      expect(goesOnFromSnapshots(seed, policy, SNAPSHOTS), `the same run, seed ${seed}`).not.toContain(false);
  });

  profiles("lets Linux profile: samples arrive, and no fault is told that is not the guest's own", () => {
    const { run } = record(linux(), policy);
    expect(run.samples.written).toBeGreaterThan(run.samples.selected / 2);
    expect(run.model.disableReasons["buffer fault"]).toBeUndefined();
    expect(run.bufferEnables).toBe(run.bufferDisables);
  });

  profiles("does so under pressure from the host, on every backing", () => {
    for (const backing of ["base", "thp", "hugetlb-2M", "guest-memfd"] as const) {
      const { run } = record(linux({ backing, pressure: harsh }), policy);
      expect(run.samples.written, backing).toBeGreaterThan(0);
      expect(run.model.disableReasons["buffer fault"], backing).toBeUndefined();
    }
  });

  it("leaves no page pinned and nothing locked after the VM is gone, and unpins what it pinned", () => {
    const { outcome } = record(linux({ pressure: harsh }), policy);
    const { machine } = outcome;
    expect(machine.mm.pins.pages).toBe(0);
    expect(machine.memlock.currentBytes).toBe(0);
    expect(machine.spe.statistics.pagesUnpinned).toBe(machine.spe.statistics.pagesPinned);
  });

  it("gets by with RLIMIT exits where it locks more than it may at first", () => {
    const { run, outcome } = record(linux({ memlockBytes: 0 }), policy);
    // What guest_memfd holds is not locked.
    expect(run.memlockPeakBytes).toBe(policy.backing === "guest-memfd" ? 0 : run.pinnedPeakBytes);
    // The maximum buffer is configured before; its tables are not.
    if (run.memlockPeakBytes > linux().bufferBytes) expect(outcome.machine.rlimitExits).toBeGreaterThan(0);
    expect(run.model.disableReasons["buffer fault"]).toBeUndefined();
  });

  it("gives everything back where user space may not lock that much", () => {
    const most = linux().bufferBytes;
    const setting = linux({ memlockBytes: most, memlockMaxBytes: most });
    try {
      const { run } = record(setting, policy);
      expect(run.memlockPeakBytes).toBeLessThanOrEqual(most);
    } catch (error) {
      expect(error).toBeInstanceOf(UserError);
    }
  });

  /** When the limit changes: early in a run of 450 ms, before the buffer was written all over. */
  const MID_RUN_NS = 20_000_000;

  /** Runs with memlock changed mid-run; undefined where memlock does not suffice even to begin. */
  function runWithMemlockChanged(setting: Setting, change: (memlock: Memlock) => void) {
    let machine: Machine | undefined;
    let changed = false;
    let gaveUp = false;
    // The host is asked for its second event when it is done with the first, which harms nobody.
    function* pressure(): Generator<PressureEvent> {
      yield { kind: "numa", atNs: MID_RUN_NS, first: 0, pages: 1 };
      changed = true;
      if (machine !== undefined) change(machine.memlock);
    }
    try {
      runVm({ ...setting, pressure }, policy, costsOf("thread-normal"), "kept", {
        attach: (made) => {
          machine = made;
        },
      });
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      gaveUp = true;
    }
    // Too little even before the first run: nothing was set up.
    if (machine === undefined) return undefined;
    machine.destroy();
    return { machine, changed, gaveUp };
  }

  it.each([
    ["user space may raise it again", Number.POSITIVE_INFINITY],
    ["user space may not raise it", DEFAULT_MEMLOCK_BYTES],
  ])("gives everything back where the limit is lowered while the VM runs, and %s", (_, memlockMaxBytes) => {
    let markBytes = 0;
    const setting = linux({ bufferBytes: 512 * 1024, memlockMaxBytes });
    const ended = runWithMemlockChanged(setting, (memlock) => {
      memlock.limitBytes = 0;
      markBytes = memlock.markBytes;
    });
    if (ended === undefined) return;
    const { memlock, mm, rlimitExits } = ended.machine;
    // What was locked once may be locked again; for more than that user space has to raise the limit.
    if (memlock.markBytes > markBytes) expect(rlimitExits).toBeGreaterThan(0);
    expect(memlock.currentBytes).toBe(0);
    expect(mm.pins.pages).toBe(0);
  });

  it.each([
    ["user space may raise it", Number.POSITIVE_INFINITY],
    ["user space may not raise it", DEFAULT_MEMLOCK_BYTES],
  ])("does so where somebody else takes what is left of the limit, and %s", (_, memlockMaxBytes) => {
    let othersBytes = 0;
    let asThenBytes = 0;
    const setting = linux({ bufferBytes: 512 * 1024, memlockMaxBytes });
    const ended = runWithMemlockChanged(setting, (memlock) => {
      asThenBytes = memlock.limitBytes;
      othersBytes = Math.max(0, memlock.limitBytes - memlock.currentBytes);
      expect(memlock.lock(othersBytes).kind).toBe("locked");
    });
    if (ended === undefined) return;
    const { memlock, mm, rlimitExits } = ended.machine;
    // More than was allowed then takes an RLIMIT exit, and where that does not help the run ends.
    if (memlock.markBytes > asThenBytes) expect(rlimitExits).toBeGreaterThan(0);
    if (memlockMaxBytes < Number.POSITIVE_INFINITY)
      expect(memlock.markBytes).toBeLessThanOrEqual(Math.max(asThenBytes, memlockMaxBytes));
    else expect(ended.gaveUp).toBe(false);
    expect(memlock.currentBytes).toBe(othersBytes);
    expect(mm.pins.pages).toBe(0);
  });

  profiles("profiles in snapshot mode", () => {
    const { run } = record(linux({ snapshot: true }), policy);
    expect(run.samples.written).toBeGreaterThan(0);
    expect(run.model.disableReasons["buffer fault"]).toBeUndefined();
  });

  it("keeps its accounts over random schedules on several vCPUs, and nothing from one VM to the next", () => {
    fc.assert(
      fc.property(harmlessSetting, (setting) => {
        const { run, text, outcome } = record(setting, policy);
        expect(outcome.machine.mm.pins.pages).toBe(0);
        expect(run.model.disableReasons["buffer fault"]).toBeUndefined();
        expect(record(setting, policy).text).toBe(text);
      }),
      { numRuns: SCHEDULES, seed: 2 },
    );
  });

  it("accounts for every sample that bare metal selects over the same instructions", () => {
    fc.assert(
      fc.property(harmlessSetting, (any) => {
        const setting: Setting = { ...any, event: { ...any.event, jitter: false } };
        const bareMetal = runBareMetal(setting, costsOf("thread-normal"), "kept");
        const { selected } = record(setting, policy).run.samples;
        // On each vCPU what is selected and what is lost are counted apart: a sample each.
        expect(Math.abs(selected - bareMetal.selected)).toBeLessThanOrEqual(2 * setting.schedule.vcpus);
      }),
      { numRuns: SCHEDULES, seed: 2 },
    );
  });

  /** The first scenarios that fit, with every invariant checked along the way. */
  const survive = (fits: (scenario: InvariantScenario) => boolean): void => {
    let ran = 0;
    for (let seed = 0; ran < RANDOM_SCENARIOS; seed++) {
      const scenario = scenarioOf(seed);
      if (!fits(scenario)) continue;
      try {
        runScenario(scenario, policy);
      } catch (error) {
        const replay = `npm run replay -- --seed ${seed} --policy ${file ?? policy.name}`;
        throw new Error(`${replay}\n${(error as Error).stack}`, { cause: error });
      }
      ran += 1;
    }
  };

  it("holds what it reports while the host takes pages away", () =>
    survive(({ pressure }) => pressure.length > 10));

  it("works on several vCPUs that share pages", () => survive(({ scripts }) => scripts.length > 1));

  it("never passes memlock's limit, whether it may be raised or not", () =>
    survive(({ memlockBytes, memlockMaxBytes }) => memlockBytes < 100_000 || memlockMaxBytes < 1e9));

  it("survives guests whose tables have holes, lead out of memory or lie in the buffer", () =>
    survive(({ spaces }) => spaces.some(({ setup }) => setup.some(({ output }) => output === undefined))));
});
