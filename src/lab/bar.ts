/**
 * The bar that a policy is measured by: what a guest, its profile and its host may expect, as numbers. From runs to
 * findings; what makes the runs is bar/measure.ts.
 */
import { formatBytes, formatNs } from "../common/sizes.ts";
import { OVER_NS } from "../kvm/spe/buffer-accounts.ts";
import type { Machine } from "../vmm/machine.ts";
import type { Setting } from "./experiment.ts";
import type { ModelRun } from "./report/run.ts";

/** How much longer than on bare metal a command may take. */
export const MOST_SLOWDOWN = 1.2;
/** What a policy may add to the traps alone, where those take more than MOST_SLOWDOWN leaves. */
export const MOST_OVER_TRAP_ONLY = 1.1;
/** Profiling is over when E was 0 for OVER_NS; everything is to be given back within as long again. */
export const MOST_RELEASED_AFTER_NS = 2 * OVER_NS;
/** From a vCPU's first enable on until its profiling is in steady state. */
export const STEADY_AFTER_NS = 10_000_000;
/** Longest stop of a vCPU by host work: at any enable, and at the first after profiling was over. */
export const MOST_STOP_NS = { warm: 1_000_000, cold: 10_000_000 } as const;
/** Stops are held to this on a kernel without debugging options. */
export const STOPS_ON = "thread-normal";

export const CLAUSES = ["slowdown", "blackouts", "pinned", "released", "stops", "memlock"] as const;
export type Clause = (typeof CLAUSES)[number];

/** Something that a policy does not meet. */
export interface Finding {
  readonly clause: Clause;
  /** "1.52 times bare metal, 1.2 allowed". */
  readonly text: string;
}

/** A run, and what only whoever watched it knows. */
export interface WatchedRun {
  readonly run: ModelRun;
  /** Blackouts that lasted into the steady state or began in it. */
  readonly steadyBlackouts: number;
}

/** The runs of one setting at one set of costs: one for each reading of the waits. */
export interface BarRuns {
  readonly runs: readonly WatchedRun[];
  /** The same under trap-only. */
  readonly trapOnly: readonly WatchedRun[];
  readonly profile: string;
  /** See mostPinnedBytes. */
  readonly mostPinnedBytes: number;
}

/** What was measured of one setting at one set of costs: the worst of its readings. */
export interface Measured {
  readonly slowdown: number;
  readonly trapOnlySlowdown: number;
  readonly allowedSlowdown: number;
  /** All of them, and those in steady state. */
  readonly blackouts: number;
  readonly steadyBlackouts: number;
  readonly blackoutNs: number;
  readonly pinnedPeakBytes: number;
  readonly releasedAfterNs: number | null;
  readonly longestStopNs: { readonly cold: number; readonly warm: number };
  readonly memlockPeakBytes: number;
  readonly memlockLimitBytes: number | null;
}

const worst = (runs: readonly WatchedRun[], value: (run: ModelRun) => number): number =>
  Math.max(...runs.map(({ run }) => value(run)));

/** How slow a policy may be where the traps alone are `trapOnly` times as slow as bare metal. */
export const allowedSlowdown = (trapOnly: number): number =>
  Math.max(MOST_SLOWDOWN, MOST_OVER_TRAP_ONLY * trapOnly);

/** The worst of the readings of the waits, for each number. */
export function measuredOf({ runs, trapOnly }: BarRuns): Measured {
  const trapOnlySlowdown = worst(trapOnly, (run) => run.slowdown);
  const held = runs.some(({ run }) => run.model.releasedAfterNs === null);
  return {
    slowdown: worst(runs, (run) => run.slowdown),
    trapOnlySlowdown,
    allowedSlowdown: allowedSlowdown(trapOnlySlowdown),
    blackouts: worst(runs, (run) => run.blackouts.count),
    steadyBlackouts: Math.max(...runs.map(({ steadyBlackouts }) => steadyBlackouts)),
    blackoutNs: worst(runs, (run) => run.blackouts.totalNs),
    pinnedPeakBytes: worst(runs, (run) => run.pinnedPeakBytes),
    releasedAfterNs: held ? null : worst(runs, (run) => run.model.releasedAfterNs ?? 0),
    longestStopNs: {
      cold: worst(runs, (run) => run.longestStopNs.cold),
      warm: worst(runs, (run) => run.longestStopNs.warm),
    },
    memlockPeakBytes: worst(runs, (run) => run.memlockPeakBytes),
    memlockLimitBytes: runs[0]?.run.memlockLimitBytes ?? null,
  };
}

const times = (ratio: number): string => ratio.toPrecision(4);

/**
 * Slowdown alone: all that random settings are held to.
 * @returns nothing where the bar is met
 */
export function slowdownFindings({ slowdown, allowedSlowdown }: Measured): Finding[] {
  return slowdown <= allowedSlowdown
    ? []
    : [
        {
          clause: "slowdown",
          text: `${times(slowdown)} times bare metal, ${times(allowedSlowdown)} allowed`,
        },
      ];
}

/**
 * What a policy does not meet in a setting without host pressure. In steady state no blackout is allowed, not even one
 * in which no record would have passed the filter.
 */
export function findingsOf(of: BarRuns): Finding[] {
  const measured = measuredOf(of);
  const { steadyBlackouts, releasedAfterNs, longestStopNs } = measured;
  const findings = slowdownFindings(measured);
  const find = (clause: Clause, text: string) => findings.push({ clause, text });
  if (steadyBlackouts > 0)
    find(
      "blackouts",
      `${steadyBlackouts} later than ${formatNs(STEADY_AFTER_NS)} after the first enable, none allowed`,
    );
  if (measured.pinnedPeakBytes > of.mostPinnedBytes)
    find(
      "pinned",
      `${formatBytes(measured.pinnedPeakBytes)} pinned, ${formatBytes(of.mostPinnedBytes)} are the buffers and their tables`,
    );
  if (releasedAfterNs === null) find("released", "still pinned 2 s after the end");
  else if (releasedAfterNs > MOST_RELEASED_AFTER_NS)
    find(
      "released",
      `given back ${formatNs(releasedAfterNs)} after the last disable, ${formatNs(MOST_RELEASED_AFTER_NS)} allowed`,
    );
  if (of.profile === STOPS_ON)
    for (const kind of ["cold", "warm"] as const)
      if (longestStopNs[kind] > MOST_STOP_NS[kind])
        find(
          "stops",
          `a ${kind} stop of ${formatNs(longestStopNs[kind])}, ${formatNs(MOST_STOP_NS[kind])} allowed`,
        );
  if (measured.memlockLimitBytes !== null && measured.memlockPeakBytes > measured.memlockLimitBytes)
    find(
      "memlock",
      `${formatBytes(measured.memlockPeakBytes)} locked of ${formatBytes(measured.memlockLimitBytes)}`,
    );
  return findings;
}

/** Counts the blackouts of a machine's vCPUs in steady state. */
export class SteadyBlackouts {
  count = 0;

  attach(machine: Machine): void {
    const firstEnableNs = new Map<number, number>();
    machine.spe.onBuffer = (vcpu, on, atNs) => {
      if (on && !firstEnableNs.has(vcpu)) firstEnableNs.set(vcpu, atNs);
    };
    for (const { index, truth } of machine.vcpus) {
      let countedNs = Number.NaN;
      // Told again and again while a blackout lasts, always with the instant at which it began.
      truth.onBlackout = (startNs, endNs) => {
        const since = firstEnableNs.get(index) ?? 0;
        if (startNs === countedNs || endNs <= since + STEADY_AFTER_NS) return;
        countedNs = startNs;
        this.count += 1;
      };
    }
  }
}

/** Input address bits of the guest's kernel half (TCR_EL1.T1SZ = 16). */
const VA_BITS = 48;

/**
 * Table pages that map a buffer, wherever in VA space it starts: at each level but the root's one more than its
 * size asks for, where it straddles.
 * @returns bytes
 */
export function tableBytes(bufferBytes: number, granuleBytes: number): number {
  const bitsOfOffset = Math.log2(granuleBytes);
  const bitsOfLevel = bitsOfOffset - 3;
  const levels = Math.ceil((VA_BITS - bitsOfOffset) / bitsOfLevel);
  let tables = 1;
  for (let level = 1, reach = granuleBytes; level < levels; level++) {
    reach *= 2 ** bitsOfLevel;
    tables += Math.ceil(bufferBytes / reach) + 1;
  }
  return tables * granuleBytes;
}

/** The most that a setting's vCPUs need pinned: for each a buffer and the tables that map it. */
export const mostPinnedBytes = ({ schedule, bufferBytes, pageBytes }: Setting): number =>
  schedule.vcpus * (bufferBytes + tableBytes(bufferBytes, pageBytes));
