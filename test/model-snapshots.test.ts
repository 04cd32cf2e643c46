/** A model's machine saved while its guest profiles, and restored in a new one, goes on as if nothing had been. */
import { afterAll, describe, expect, it } from "vitest";
import type { Ipn } from "../src/common/address.ts";
import { RAM_FIRST_IPN } from "../src/guest/memory.ts";
import { POLICIES } from "../src/kvm/spe/policies/index.ts";
import type { PinPolicy } from "../src/kvm/spe/policy.ts";
import type { MadeVm } from "../src/lab/experiment.ts";
import { policyNamed } from "../src/lab/policies.ts";
import { restoreVm, type SavedVm, saveVm } from "../src/lab/snapshot.ts";
import { digestOf, made, ran, savedAt } from "./invariants/snapshots.ts";

const SEED = Number(process.env["SPEVISOR_SEED"] ?? 1);
const SETTINGS = 4;

/** What was under way when a machine was saved. */
const reached = { enabled: 0, pinned: 0, timer: 0, bouncing: 0, worker: 0 };
const look = ({ machine }: MadeVm): void => {
  for (const { spe, nextTimerNs, timeline } of machine.vcpus) {
    if (spe.enabledBuffer !== undefined) reached.enabled += 1;
    if (!spe.keepsNone) reached.pinned += 1;
    if (Number.isFinite(nextTimerNs)) reached.timer += 1;
    if (spe.bouncePages > 0) reached.bouncing += 1;
    if (machine.spe.workers.doneAtNs > timeline.nowNs) reached.worker += 1;
  }
};

/** How many turns of a schedule pass until a worker of its policy's has something to do that takes time; undefined where none has. */
function turnsToWorker(seed: number, policy: PinPolicy, turns: number): number | undefined {
  const { machine } = made(seed, policy);
  machine.start();
  for (let at = 1; at < turns; at += 1) {
    machine.runSteps(1);
    if (machine.vcpus.some(({ timeline }) => machine.spe.workers.doneAtNs > timeline.nowNs)) return at;
  }
  return undefined;
}

describe.each(POLICIES)("a machine under $name", (policy) => {
  it.each(Array.from({ length: SETTINGS }, (_, i) => SEED * 1_000 + i))(
    "goes on from a snapshot, setting %i",
    (seed) => {
      const whole = ran(seed, policy);
      const { turns } = whole.machine;
      // A place of the seed's own, and not always the same one for every policy.
      const anywhere = (seed * 7919 + POLICIES.indexOf(policy) * 104_729) % Math.max(1, turns);
      const at = (seed % 2 === 1 ? turnsToWorker(seed, policy, turns) : undefined) ?? anywhere;
      const { first, saved, second } = savedAt(at, seed, policy);
      look(first);
      expect(saveVm(second)).toEqual(saved);
      second.machine.run();
      expect(digestOf(second)).toEqual(digestOf(whole));
      // The first one was not disturbed.
      first.machine.run();
      expect(digestOf(first)).toEqual(digestOf(whole));
      second.machine.destroy();
      expect([second.machine.memlock.currentBytes, second.machine.mm.pins.pages]).toEqual([0, 0]);
    },
  );
});

describe("a machine in which no policy has acted", () => {
  /** As saved after some time without SPE, under a policy that does nothing before the guest uses it. */
  const saved = (seed: number): SavedVm => {
    const vm = made(seed, policyNamed("adaptive"));
    vm.machine.start();
    vm.machine.touch([RAM_FIRST_IPN + 3, RAM_FIRST_IPN + 700], true);
    const state = saveVm(vm);
    if (typeof state === "string") throw new Error(state);
    return JSON.parse(JSON.stringify(state)) as SavedVm;
  };

  it.each(POLICIES)("goes on under $name as one that began under it", (policy) => {
    const seed = SEED * 1_000;
    const vm = made(seed, policy);
    restoreVm(vm, saved(seed));
    const whole = made(seed, policy);
    whole.machine.touch([RAM_FIRST_IPN + 3, RAM_FIRST_IPN + 700], true);
    whole.machine.start();
    expect(vm.machine.setupNs).toBe(whole.machine.setupNs);
    for (const page of [3, 700])
      expect(vm.machine.vm.stage2.allows((RAM_FIRST_IPN + page) as Ipn, true)).toBe(true);
    vm.machine.run();
    whole.machine.run();
    expect(digestOf(vm)).toEqual(digestOf(whole));
  });

  it("has its time, and what its new policy does at the start is not part of it", () => {
    const seed = SEED * 1_000;
    const before = made(seed, policyNamed("adaptive"));
    before.machine.start();
    for (const vcpu of before.machine.vcpus) vcpu.idleUntil(5_000);
    const vm = made(seed, policyNamed("whole-guest"));
    restoreVm(vm, saveVm(before) as SavedVm);
    expect(vm.machine.vcpus.map(({ nowNs }) => nowNs)).toEqual(before.machine.vcpus.map(() => 5_000));
    expect(vm.machine.setupNs).toBeGreaterThan(0);
    expect(vm.machine.spe.pinnedPages).toBe(vm.machine.vm.memslots.pages);
  });
});

it("a machine goes on under no other policy than the one that has acted", () => {
  const seed = SEED * 1_000;
  const first = made(seed, policyNamed("whole-guest"));
  first.machine.start();
  const saved = saveVm(first) as SavedVm;
  expect(() => restoreVm(made(seed, policyNamed("adaptive")), saved)).toThrow(/whole-guest .*adaptive/);
});

afterAll(() => {
  const { enabled, pinned, timer, bouncing, worker } = reached;
  for (const [what, times] of Object.entries({ enabled, pinned, timer, bouncing, worker }))
    expect(times, `snapshots with ${what}`).toBeGreaterThan(0);
});
