/** From what a machine has counted to its record (report/run.ts). */
import { PAGE_BYTES } from "../common/address.ts";
import { TIME_KINDS, type TimeKind } from "../common/timeline.ts";
import type { ExitReason } from "../kvm/exit-reasons.ts";
import { OVER_NS } from "../kvm/spe/buffer-accounts.ts";
import { type MachineFigures, machineFigures, type TimeFigures } from "../vmm/figures.ts";
import type { Machine } from "../vmm/machine.ts";
import type { CodeMachine } from "../vmm/virtual-machine.ts";
import type { BareMetalOutcome, Setting, VmOutcome } from "./experiment.ts";
import { assumptionsOf } from "./experiment.ts";
import { type Model, type ModelRun, RUN_SCHEMA, type TimePart } from "./report/run.ts";

/** What a record says besides what its machine does. */
export interface RecordContext {
  readonly setting: Setting;
  readonly policy: string;
  readonly profile: string;
  readonly bareMetal: BareMetalOutcome;
  /** What only some runs have: none, nobody's and not counted, where they are left out. */
  readonly warnings?: readonly string[] | undefined;
  readonly reference?: Model["reference"] | undefined;
  readonly enablesWithoutDirectRule?: number | null | undefined;
}

const partOf = (kind: TimeKind): TimePart => `${kind}Ns`;

function split({ spentNs }: TimeFigures): Record<TimePart, number> {
  const parts = {} as Record<TimePart, number>;
  for (const kind of TIME_KINDS) parts[partOf(kind)] = spentNs[kind];
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

/** Exits by reason, in the order of their names; reasons that never occurred are left out. */
export function exitReasonsOf({ exitReasons }: Pick<MachineFigures, "exitReasons">) {
  const there = Object.entries(exitReasons) as [ExitReason, number][];
  return Object.fromEntries(
    there.filter(([, times]) => times > 0).sort(([a], [b]) => (a < b ? -1 : 1)),
  ) as Partial<Record<ExitReason, number>>;
}

/** What every record has, of what a machine has counted in `guestWallNs`. */
export function commonOf(
  machine: Pick<CodeMachine, "setupNs" | "prefaultedPages">,
  figures: MachineFigures,
  guestWallNs: number,
) {
  const { counts, samples, blackouts, peaks, worker, host } = figures;
  const vcpus = figures.vcpus.map((time, vcpu) => ({ vcpu, elapsedNs: time.elapsedNs, ...split(time) }));
  const totals = {} as Record<TimePart, number>;
  for (const kind of TIME_KINDS) totals[partOf(kind)] = sum(vcpus, (vcpu) => vcpu[partOf(kind)]);
  const busyNs = ({ elapsedNs, spentNs }: TimeFigures): number => elapsedNs - spentNs.idle;
  const backgroundNs = busyNs(worker) + busyNs(host);
  const { lostInBlackout, lostWhileFull, noSpace } = samples;
  return {
    schema: RUN_SCHEMA,
    setupNs: machine.setupNs,
    guestWallNs,
    vcpus,
    ...totals,
    backgroundNs,
    hostCpuNs:
      totals.walkNs +
      totals.pinNs +
      totals.unpinNs +
      totals.stage2Ns +
      totals.exitNs +
      totals.irqNs +
      backgroundNs -
      worker.spentNs.lockWait -
      host.spentNs.lockWait,
    excess: {
      firstPinNs: counts.firstPinNs,
      rewalkNs: counts.rewalkNs,
      trapNs: totals.exitNs + totals.irqNs,
    },
    longestStopNs: { cold: peaks.longestStopColdNs, warm: peaks.longestStopWarmNs },
    bufferEnables: counts.bufferEnables,
    bufferDisables: counts.bufferDisables,
    pins: counts.pins,
    unpins: counts.unpins,
    pagesPinned: counts.pagesPinned,
    pagesUnpinned: counts.pagesUnpinned,
    tablePagesPinned: counts.tablePagesPinned,
    pinnedPeakBytes: peaks.pinnedBytes,
    unreclaimablePeakBytes: peaks.unreclaimableBytes,
    pinnedByteSeconds: counts.pinnedByteNs / 1e9 + (machine.prefaultedPages * PAGE_BYTES * guestWallNs) / 1e9,
    heldAfterOffNs: counts.heldAfterOffNs,
    memlockPeakBytes: peaks.memlockBytes,
    recordStage2Faults: counts.recordStage2Faults,
    cpuStage2Faults: figures.exitReasons.DABT ?? 0,
    blackouts: {
      count: blackouts.count,
      totalNs: blackouts.totalNs,
      longestNs: peaks.longestBlackoutNs,
      instructions: blackouts.instructions,
    },
    samples: {
      selected: samples.selected + lostInBlackout + lostWhileFull + noSpace,
      written: samples.written - counts.recordsLostInCopy,
      filtered: samples.filtered,
      collided: samples.collided,
      lostInBlackout,
      lostWhileFull,
      truncated: samples.truncated + counts.recordsLostInCopy + noSpace,
    },
    fidelity: null,
    exitReasons: exitReasonsOf(figures),
  } as const;
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
 * The record of one run of the model in a VM: everything but what only several runs together tell. The machine is moved on:
 * call it once, at the end.
 */
export function modelRecordOf(outcome: VmOutcome, context: RecordContext): ModelRun {
  const { machine, replay, cores } = outcome;
  const { setting, bareMetal } = context;
  const counters = cores.map((core) => core.counters());
  const taskNs = sum(counters, (c) => c.taskNs);
  const common = commonOf(machine, machineFigures(machine), replay.lastTargetEndNs);
  return {
    ...common,
    scenario: setting.scenario,
    guest: "model",
    policy: context.policy,
    profile: context.profile,
    seed: setting.seed,
    assumptions: assumptionsOf(setting),
    warnings: [...(context.warnings ?? []), ...machine.warnings],
    bufferBytes: setting.bufferBytes,
    pageBytes: setting.pageBytes,
    backing: machine.backing,
    baseline: { selected: bareMetal.selected, lostWhileFull: bareMetal.lostWhileFull },
    bareMetalWallNs: bareMetal.wallNs,
    slowdown: replay.lastTargetEndNs / bareMetal.wallNs,
    machine: null,
    model: {
      slowdownRange: null,
      atLowCosts: null,
      atHighCosts: null,
      flips: [],
      withoutDirectSwitches: null,
      bufferEnablesWithoutDirectSwitchRule: context.enablesWithoutDirectRule ?? null,
      enableReasons: addUp(cores.flatMap((core) => core.reasons.map(({ enables }) => enables))),
      disableReasons: addUp(cores.flatMap((core) => core.reasons.map(({ disables }) => disables))),
      releasedAfterNs: releasedAfterNs(machine, machine.linger(LINGER_NS)),
      reference: context.reference ?? null,
    },
    contextSwitches: sum(counters, (c) => c.contextSwitches),
    memlockLimitBytes: Number.isFinite(setting.memlockMaxBytes) ? setting.memlockMaxBytes : null,
    guestClockGHz: taskNs === 0 ? null : sum(counters, (c) => c.taskCycles) / taskNs,
    guestComplaints: null,
  };
}
