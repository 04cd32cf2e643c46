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
import { randomPressure } from "../src/host/pressure.ts";
import { POLICIES } from "../src/kvm/spe/policies/index.ts";
import type { PinPolicy } from "../src/kvm/spe/policy.ts";
import { runBareMetal, type Setting } from "../src/lab/experiment.ts";
import { scenarioOf } from "../src/lab/invariants/generate.ts";
import { runScenario } from "../src/lab/invariants/run.ts";
import type { InvariantScenario } from "../src/lab/invariants/scenario.ts";
import { asPolicy } from "../src/lab/policies.ts";
import { SCENARIOS } from "../src/lab/scenarios.ts";
import { costsOf, record } from "./invariants/records.ts";
import { harmlessSetting } from "./invariants/schedules.ts";

const file = process.env["SPEVISOR_POLICY"];

async function policiesOf(path: string): Promise<PinPolicy[]> {
  const module: Record<string, unknown> = await import(pathToFileURL(resolve(path)).href);
  const found = Object.values(module)
    .map(asPolicy)
    .filter((value) => typeof value !== "string");
  if (found.length === 0) throw new Error(`${path} exports no policy`);
  return found;
}

const policies = file === undefined ? POLICIES : await policiesOf(file);

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

  profiles("lets Linux profile: samples arrive, and no fault is told that is not the guest's own", () => {
    const { run } = record(linux(), policy);
    expect(run.samples.written).toBeGreaterThan(run.samples.selected / 2);
    expect(run.disableReasons["buffer fault"]).toBeUndefined();
    expect(run.bufferEnables).toBe(run.bufferDisables);
  });

  profiles("does so under pressure from the host, on every backing", () => {
    for (const backing of ["base", "thp", "hugetlb-2M", "guest-memfd"] as const) {
      const { run } = record(linux({ backing, pressure: harsh }), policy);
      expect(run.samples.written, backing).toBeGreaterThan(0);
      expect(run.disableReasons["buffer fault"], backing).toBeUndefined();
    }
  });

  it("leaves no page pinned and nothing locked after the VM is gone, and unpins what it pinned", () => {
    const { outcome } = record(linux({ pressure: harsh }), policy);
    const { machine } = outcome;
    expect(machine.mm.pins.pages).toBe(0);
    expect(machine.memlock.currentBytes).toBe(0);
    expect(machine.vm.statistics.pagesUnpinned).toBe(machine.vm.statistics.pagesPinned);
  });

  it("gets by with RLIMIT exits where it locks more than it may at first", () => {
    const { run, outcome } = record(linux({ memlockBytes: 0 }), policy);
    // What guest_memfd holds is not locked.
    expect(run.memlockPeakBytes).toBe(policy.backing === "guest-memfd" ? 0 : run.pinnedPeakBytes);
    // The maximum buffer is configured before; its tables are not.
    if (run.memlockPeakBytes > linux().bufferBytes) expect(outcome.machine.rlimitExits).toBeGreaterThan(0);
    expect(run.disableReasons["buffer fault"]).toBeUndefined();
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

  profiles("profiles in snapshot mode", () => {
    const { run } = record(linux({ snapshot: true }), policy);
    expect(run.samples.written).toBeGreaterThan(0);
    expect(run.disableReasons["buffer fault"]).toBeUndefined();
  });

  it("keeps its accounts over random schedules on several vCPUs, and nothing from one VM to the next", () => {
    fc.assert(
      fc.property(harmlessSetting, (setting) => {
        const { run, text, outcome } = record(setting, policy);
        expect(outcome.machine.mm.pins.pages).toBe(0);
        expect(run.disableReasons["buffer fault"]).toBeUndefined();
        expect(record(setting, policy).text).toBe(text);
      }),
      { numRuns: 60, seed: 2 },
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
      { numRuns: 60, seed: 2 },
    );
  });

  /** The first scenarios that fit, with every invariant checked along the way. */
  const survive = (fits: (scenario: InvariantScenario) => boolean): void => {
    let ran = 0;
    for (let seed = 0; ran < 150; seed++) {
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
