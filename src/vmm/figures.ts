/**
 * What a machine has counted, and what it has counted between two instants: a command's own, say, without the boot before
 * it.
 */
import { TIME_KINDS, type TimeKind, type Timeline } from "../common/timeline.ts";
import type { Core } from "../cpu/core.ts";
import type { CoreCode } from "../cpu/execute/core-code.ts";
import type { ExitReason } from "../kvm/exit-reasons.ts";
import type { GuestCore } from "../kvm/guest-core.ts";
import type { GroundTruth } from "../kvm/spe/ground-truth.ts";
import type { Statistics } from "../kvm/statistics.ts";

/** Plain data whose every leaf is a number that only grows. */
type Counts = number | readonly Counts[] | { readonly [name: string]: Counts | undefined };

/** What KVM counts (kvm/statistics.ts), but for what is a peak. */
const COUNTED = [
  "bufferEnables",
  "bufferDisables",
  "pins",
  "unpins",
  "pagesPinned",
  "pagesUnpinned",
  "tablePagesPinned",
  "recordStage2Faults",
  "recordsLostInCopy",
  "firstPinNs",
  "rewalkNs",
  "heldAfterOffNs",
  "pinnedByteNs",
] as const;

/** A machine as far as it is counted: a VM, or bare metal. */
export interface CountedMachine {
  readonly nowNs: number;
  readonly vcpus: readonly {
    readonly timeline: Timeline;
    readonly truth: GroundTruth;
    readonly core: Pick<GuestCore, "spu">;
  }[];
  /** The policy's workers, and what the host does by itself. */
  readonly workers: readonly Timeline[];
  readonly host: Timeline;
  readonly statistics: Statistics;
  readonly pinnedPeakBytes: number;
  readonly unreclaimablePeakBytes: number;
  readonly memlockPeakBytes: number;
}

/** Where a timeline's time went: the parts add up to `elapsedNs`. */
export interface TimeFigures {
  readonly elapsedNs: number;
  readonly spentNs: Readonly<Record<TimeKind, number>>;
}

/** Of any machine. Names carry units. */
export interface MachineFigures {
  readonly nowNs: number;
  readonly vcpus: readonly TimeFigures[];
  /** The policy's workers together, and what the host does by itself. */
  readonly worker: TimeFigures;
  readonly host: TimeFigures;
  readonly counts: Readonly<Record<(typeof COUNTED)[number], number>>;
  readonly exitReasons: Readonly<Partial<Record<ExitReason, number>>>;
  /** What the SPUs did with samples, and what the ground truth has of those that they never took. */
  readonly samples: {
    readonly selected: number;
    readonly written: number;
    /** By the guest's own wish: its filters let them not through, or the buffer was in discard mode. */
    readonly filtered: number;
    readonly collided: number;
    readonly truncated: number;
    readonly lostInBlackout: number;
    readonly lostWhileFull: number;
    /** The guest's driver had no AUX space. */
    readonly noSpace: number;
  };
  readonly blackouts: { readonly count: number; readonly totalNs: number; readonly instructions: number };
  /** The most of something: no counts, and no differences of two instants. See `restartPeaks`. */
  readonly peaks: {
    readonly longestStopColdNs: number;
    readonly longestStopWarmNs: number;
    readonly longestBlackoutNs: number;
    readonly pinnedBytes: number;
    readonly unreclaimableBytes: number;
    readonly memlockBytes: number;
  };
}

/** Of one that executes code. */
export interface CodeFigures extends MachineFigures {
  readonly cores: readonly {
    readonly instructions: number;
    readonly el0: number;
    readonly el1: number;
    readonly exceptions: number;
    /** Of tasks, by Linux that is built with PID_IN_CONTEXTIDR. */
    readonly contextSwitches: number;
  }[];
  /** How often each encoding was met that the core does not have, by the word in hexadecimal. */
  readonly undefined: Readonly<Record<string, number>>;
}

const timeOf = (timeline: Timeline): TimeFigures => {
  const { nowNs, spentNs } = timeline.save();
  return { elapsedNs: nowNs, spentNs };
};

const sum = <T>(items: readonly T[], value: (item: T) => number): number =>
  items.reduce((total, item) => total + value(item), 0);

const together = (times: readonly TimeFigures[]): TimeFigures => ({
  elapsedNs: sum(times, ({ elapsedNs }) => elapsedNs),
  spentNs: Object.fromEntries(
    TIME_KINDS.map((kind) => [kind, sum(times, ({ spentNs }) => spentNs[kind])]),
  ) as TimeFigures["spentNs"],
});

/** What a machine has counted so far. */
export function machineFigures(machine: CountedMachine): MachineFigures {
  const { statistics, vcpus } = machine;
  const truths = vcpus.map(({ truth }) => truth);
  const spus = vcpus.map(({ core }) => core.spu.counters);
  return {
    nowNs: machine.nowNs,
    vcpus: vcpus.map(({ timeline }) => timeOf(timeline)),
    worker: together(machine.workers.map(timeOf)),
    host: timeOf(machine.host),
    counts: Object.fromEntries(COUNTED.map((name) => [name, statistics[name]])) as MachineFigures["counts"],
    exitReasons: Object.fromEntries(statistics.exitReasons),
    samples: {
      selected: sum(spus, (s) => s.selected),
      written: sum(spus, (s) => s.written),
      filtered: sum(spus, (s) => s.filtered + s.discarded),
      collided: sum(spus, (s) => s.collided),
      truncated: sum(spus, (s) => s.truncated),
      lostInBlackout: sum(truths, (t) => t.lostInBlackout),
      lostWhileFull: sum(truths, (t) => t.lostWhileFull),
      noSpace: sum(truths, (t) => t.truncated),
    },
    blackouts: {
      count: sum(truths, (t) => t.blackoutCount),
      totalNs: sum(truths, (t) => t.blackoutNs),
      instructions: sum(truths, (t) => t.blackoutInstructions),
    },
    peaks: {
      longestStopColdNs: statistics.longestStopColdNs,
      longestStopWarmNs: statistics.longestStopWarmNs,
      longestBlackoutNs: Math.max(...truths.map((t) => t.longestBlackoutNs)),
      pinnedBytes: machine.pinnedPeakBytes,
      unreclaimableBytes: machine.unreclaimablePeakBytes,
      memlockBytes: machine.memlockPeakBytes,
    },
  };
}

/** What a machine that executes code has counted so far. */
export function codeFigures(vm: {
  readonly machine: CountedMachine;
  readonly cores: readonly { readonly core: Core }[];
  readonly code: CoreCode;
}): CodeFigures {
  return {
    ...machineFigures(vm.machine),
    cores: vm.cores.map(({ core }) => {
      const [el0, el1] = core.executedByLevel;
      const { executed: instructions, contextSwitches } = core;
      return { instructions, el0, el1, exceptions: core.exceptions.taken, contextSwitches };
    }),
    undefined: Object.fromEntries(
      [...vm.code.undefinedWords].map(([word, times]) => [`0x${word.toString(16).padStart(8, "0")}`, times]),
    ),
  };
}

/** The longest of what a machine has seen is that from now on. */
export function restartPeaks({ statistics, vcpus }: CountedMachine): void {
  statistics.longestStopColdNs = 0;
  statistics.longestStopWarmNs = 0;
  for (const { truth } of vcpus) truth.longestBlackoutNs = 0;
}

/** What was counted from one instant to a later one. */
export const since = <T extends MachineFigures>(now: T, before: T): T => ({
  ...(difference(now as unknown as Counts, before as unknown as Counts) as unknown as T),
  peaks: now.peaks,
});

function difference(now: Counts, before: Counts | undefined): Counts {
  if (typeof now === "number") return now - ((before as number | undefined) ?? 0);
  if (Array.isArray(now)) return now.map((each, i) => difference(each, (before as readonly Counts[])[i]));
  const was = before as Readonly<Record<string, Counts | undefined>> | undefined;
  const parts = Object.entries(now).map(([name, value]) => [name, difference(value as Counts, was?.[name])]);
  return Object.fromEntries(parts) as Counts;
}

/** What there was any of, the most frequent first. */
export const byFrequency = (counts: Readonly<Record<string, number | undefined>>): Record<string, number> =>
  Object.fromEntries(
    Object.entries(counts)
      .filter((entry): entry is [string, number] => (entry[1] ?? 0) > 0)
      .sort(([, a], [, b]) => b - a),
  );
