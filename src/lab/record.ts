/** From what a machine was at its end to its record (report/run.ts). */
import { PAGE_BYTES } from "../common/address.ts";
import { TIME_KINDS, type TimeKind, type Timeline } from "../common/timeline.ts";
import { OVER_NS } from "../kvm/spe/buffer-accounts.ts";
import type { Machine } from "../vmm/machine.ts";
import type { BareMetalOutcome, Setting, VmOutcome } from "./experiment.ts";
import { assumptionsOf } from "./experiment.ts";
import { RUN_SCHEMA, type Run, type TimePart } from "./report/run.ts";

/** What a record says besides what its machine does. */
export interface RecordContext {
  readonly setting: Setting;
  readonly policy: string;
  readonly profile: string;
  readonly bareMetal: BareMetalOutcome;
  readonly warnings: readonly string[];
  readonly reference: Run["reference"];
  readonly enablesWithoutDirectRule: number | null;
}

const partOf = (kind: TimeKind): TimePart => `${kind}Ns`;

function split(timeline: Timeline): Record<TimePart, number> {
  const parts = {} as Record<TimePart, number>;
  for (const kind of TIME_KINDS) parts[partOf(kind)] = timeline.spentNs(kind);
  return parts;
}

const sum = <T>(items: readonly T[], value: (item: T) => number): number =>
  items.reduce((total, item) => total + value(item), 0);

/** Adds up counts by name; names that never occurred are left out. */
function addUp(counts: readonly Readonly<Record<string, number>>[]): Record<string, number> {
  const total: Record<string, number> = {};
  for (const each of counts)
    for (const [name, n] of Object.entries(each)) if (n > 0) total[name] = (total[name] ?? 0) + n;
  return total;
}

/** How long the guest sleeps on after its last instruction, to see what a policy gives back: OVER_NS and as long again. */
const LINGER_NS = 2 * OVER_NS;

/** From the last disable to when nothing was pinned any more; null if something still is after LINGER_NS. */
function releasedAfterNs({ vcpus }: Machine, releasedNs: number | undefined): number | null {
  if (releasedNs === undefined) return null;
  const lastDisableNs = Math.max(0, ...vcpus.map(({ spe }) => spe.accounts.lastDisableNs ?? 0));
  return Math.max(0, releasedNs - lastDisableNs);
}

/**
 * The record of one run of a VM: everything but what only several runs together tell. The machine is moved on: call
 * it once, at the end.
 */
export function recordOf(outcome: VmOutcome, context: RecordContext): Run {
  const { machine, replay, cores } = outcome;
  const { setting, bareMetal } = context;
  const { spe, memlock } = machine;
  const { statistics } = spe;
  const vcpus = machine.vcpus.map((vcpu) => ({
    vcpu: vcpu.index,
    elapsedNs: vcpu.timeline.nowNs,
    ...split(vcpu.timeline),
  }));
  const totals = {} as Record<TimePart, number>;
  for (const kind of TIME_KINDS) totals[partOf(kind)] = sum(vcpus, (vcpu) => vcpu[partOf(kind)]);
  const truths = machine.vcpus.map((vcpu) => vcpu.truth);
  const counters = cores.map((core) => core.counters());
  const spus = cores.map((core) => core.spu.counters);
  const lost = {
    lostInBlackout: sum(truths, (t) => t.lostInBlackout),
    lostWhileFull: sum(truths, (t) => t.lostWhileFull),
    noSpace: sum(truths, (t) => t.truncated),
  };
  const taskNs = sum(counters, (c) => c.taskNs);
  const slowdown = replay.lastTargetEndNs / bareMetal.wallNs;
  const run: Run = {
    schema: RUN_SCHEMA,
    scenario: setting.scenario,
    guest: "model",
    policy: context.policy,
    profile: context.profile,
    seed: setting.seed,
    assumptions: assumptionsOf(setting),
    warnings: [...context.warnings],
    bufferBytes: setting.bufferBytes,
    pageBytes: setting.pageBytes,
    backing: spe.policy.backing ?? setting.backing,
    setupNs: machine.setupNs,
    guestWallNs: replay.lastTargetEndNs,
    bareMetalWallNs: bareMetal.wallNs,
    slowdown,
    slowdownRange: null,
    atLowCosts: null,
    atHighCosts: null,
    withoutDirectSwitches: null,
    flips: [],
    reference: context.reference,
    vcpus,
    ...totals,
    backgroundNs:
      spe.worker.nowNs - spe.worker.spentNs("idle") + machine.host.nowNs - machine.host.spentNs("idle"),
    excess: {
      firstPinNs: statistics.firstPinNs,
      rewalkNs: statistics.rewalkNs,
      trapNs: totals.exitNs + totals.irqNs,
    },
    longestStopNs: { cold: statistics.longestStopColdNs, warm: statistics.longestStopWarmNs },
    bufferEnables: statistics.bufferEnables,
    bufferDisables: statistics.bufferDisables,
    enableReasons: addUp(cores.map((core) => core.reasons.enables)),
    disableReasons: addUp(cores.map((core) => core.reasons.disables)),
    bufferEnablesWithoutDirectSwitchRule: context.enablesWithoutDirectRule,
    contextSwitches: sum(counters, (c) => c.contextSwitches),
    pins: statistics.pins,
    unpins: statistics.unpins,
    pagesPinned: statistics.pagesPinned,
    pagesUnpinned: statistics.pagesUnpinned,
    tablePagesPinned: statistics.tablePagesPinned,
    pinnedPeakBytes: spe.pinnedPeakBytes,
    pinnedByteSeconds:
      statistics.pinnedByteNs / 1e9 + (spe.prefaultedPages * PAGE_BYTES * replay.lastTargetEndNs) / 1e9,
    heldAfterOffNs: statistics.heldAfterOffNs,
    releasedAfterNs: null,
    memlockPeakBytes: memlock.markBytes,
    memlockLimitBytes: Number.isFinite(setting.memlockMaxBytes) ? setting.memlockMaxBytes : null,
    stage2Faults: statistics.stage2Faults,
    blackouts: {
      count: sum(truths, (t) => t.blackoutCount),
      totalNs: sum(truths, (t) => t.blackoutNs),
      longestNs: Math.max(...truths.map((t) => t.longestBlackoutNs)),
      instructions: sum(truths, (t) => t.blackoutInstructions),
    },
    samples: {
      selected: sum(spus, (s) => s.selected) + lost.lostInBlackout + lost.lostWhileFull + lost.noSpace,
      written: sum(spus, (s) => s.written) - statistics.recordsLostInCopy,
      filtered: sum(spus, (s) => s.filtered),
      collided: sum(spus, (s) => s.collided),
      lostInBlackout: lost.lostInBlackout,
      lostWhileFull: lost.lostWhileFull,
      truncated: sum(spus, (s) => s.truncated) + statistics.recordsLostInCopy + lost.noSpace,
    },
    bareMetalLostWhileFull: bareMetal.lostWhileFull,
    fidelity: null,
    guestClockGHz: taskNs === 0 ? null : sum(counters, (c) => c.taskCycles) / taskNs,
    guestComplaints: null,
    exitReasons: Object.fromEntries([...statistics.exitReasons].sort(([a], [b]) => (a < b ? -1 : 1))),
  };
  return { ...run, releasedAfterNs: releasedAfterNs(machine, machine.linger(LINGER_NS)) };
}
