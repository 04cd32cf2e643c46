/** A schedule under a policy that is saved on its way, and gone on with in a machine that was just made. */
import { TIME_KINDS } from "../../src/common/timeline.ts";
import type { PinPolicy } from "../../src/kvm/spe/policy.ts";
import { type MadeVm, makeVm, type Setting } from "../../src/lab/experiment.ts";
import { randomSetting } from "../../src/lab/random-settings.ts";
import { restoreVm, type SavedVm, saveVm } from "../../src/lab/snapshot.ts";
import { costsOf } from "./records.ts";

/** As much of a buffer as is worth writing down for each snapshot. */
const MOST_BUFFER_BYTES = 2 * 1024 ** 2;
const COSTS = costsOf("thread-normal");

const setting = (seed: number): Setting => {
  const drawn = randomSetting(seed);
  return { ...drawn, bufferBytes: Math.min(drawn.bufferBytes, MOST_BUFFER_BYTES) };
};

/** A random schedule's machine, not started. */
export const made = (seed: number, policy: PinPolicy): MadeVm => makeVm(setting(seed), policy, COSTS, "kept");

/** One that has run to its end. */
export function ran(seed: number, policy: PinPolicy): MadeVm {
  const vm = made(seed, policy);
  vm.machine.start();
  vm.machine.run();
  return vm;
}

/** Everything that a report could tell. */
export const digestOf = ({ machine, guest }: MadeVm) => ({
  vcpus: machine.vcpus.map(({ timeline, truth }) => ({
    nowNs: timeline.nowNs,
    spent: TIME_KINDS.map((kind) => timeline.spentNs(kind)),
    truth: truth.save(),
  })),
  cores: guest.cores.map((core) => ({
    spu: core.spu.save(),
    counters: core.counters(),
    reasons: core.reasons,
  })),
  replay: guest.replay.save(),
  statistics: machine.spe.statistics.save(),
  invalidations: [...machine.vm.invalidations],
  memlock: machine.memlock.save(),
  peakBytes: [machine.spe.pinnedPeakBytes, machine.spe.unreclaimablePeakBytes],
  setupNs: machine.setupNs,
  rlimitExits: machine.rlimitExits,
  hostNs: machine.host.nowNs,
  workerNs: machine.spe.workers.timelines.map(({ nowNs }) => nowNs),
});

/**
 * Runs a machine for some steps and saves it; another one goes on from there.
 * @returns the one that was saved, with what was, and the other, which has not run
 */
export function savedAt(steps: number, seed: number, policy: PinPolicy) {
  const first = made(seed, policy);
  first.machine.start();
  first.machine.runSteps(steps);
  const saved = saveVm(first);
  if (typeof saved === "string") throw new Error(saved);
  const second = made(seed, policy);
  restoreVm(second, JSON.parse(JSON.stringify(saved)) as SavedVm);
  return { first, saved, second };
}

/** Whether each of `places` snapshots of a schedule, evenly spread over it, goes on as the schedule did. */
export function goesOnFromSnapshots(seed: number, policy: PinPolicy, places: number): boolean[] {
  const whole = ran(seed, policy);
  const { turns } = whole.machine;
  return Array.from({ length: places }, (_, i) => {
    const { second } = savedAt(Math.floor(((i + 1) * turns) / (places + 1)), seed, policy);
    second.machine.run();
    return JSON.stringify(digestOf(second), plainly) === JSON.stringify(digestOf(whole), plainly);
  });
}

const plainly = (_key: string, value: unknown): unknown =>
  typeof value === "bigint" ? `${value}n` : value === Number.POSITIVE_INFINITY ? "never" : value;
