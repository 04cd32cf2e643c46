/**
 * The limits of the bar, and nothing else: functions of what a host and a profile are like, so that they hold between the
 * points that have names. What is measured is held to them in bar.ts.
 */
import { OVER_NS } from "../../kvm/spe/buffer-accounts.ts";

/** What a limit may depend on. */
export interface Circumstances {
  /** Samples that a vCPU selects in a second of running: its clock times its instructions a cycle, over the period. */
  readonly samplesPerSecond: number;
  readonly vcpus: number;
  /** From queueing work to a host worker running it. */
  readonly workerWakeNs: number;
  /** Whether the host's kernel has lockdep, kmemleak and the like. */
  readonly debugging: boolean;
  /** Whether the host has CPUs beside the vCPUs' own. */
  readonly hasSpareCpu: boolean;
  /** Whether costs are at their values, and not at an end of their ranges. */
  readonly atValues: boolean;
}

/** A period of so many operations at the scenarios' 2.5 GHz and one instruction a cycle. */
const samplesPerSecondAt = (periodOps: number): number => 2.5e9 / periodOps;
/** Beyond the one, and beyond so many vCPUs, a policy may fall behind, if it does so gracefully. */
const MOST_SAMPLES_PER_SECOND = samplesPerSecondAt(1_024);
const MOST_VCPUS = 16;

/** A worker that is awake so soon is no excuse; one that is later than the other is beyond what is promised. */
const PROMPT_WAKE_NS = 100_000;
const LATEST_WAKE_NS = 10_000_000;
/** Samples lost of those selected, cold start counted. */
const MOST_LOST_SHARE = { normal: 0.000_1, debugging: 0.001, lateWorker: 0.002 } as const;

/** `low` at `from`, `high` at `to`, and in between on a line; before and after it stays. */
const between = (at: number, [from, low]: readonly [number, number], [to, high]: readonly [number, number]) =>
  low + (high - low) * Math.min(1, Math.max(0, (at - from) / (to - from)));

/** Whether a policy is held to figures here, and not only to failing gracefully. */
export const isWithinReach = ({ samplesPerSecond, vcpus, workerWakeNs }: Circumstances): boolean =>
  samplesPerSecond <= MOST_SAMPLES_PER_SECOND && vcpus <= MOST_VCPUS && workerWakeNs <= LATEST_WAKE_NS;

/**
 * The share of samples that blackouts may take; the later the worker, the more (a line over the logarithm of its delay).
 * @returns null where failing gracefully is all that is asked
 */
export function mostLostShare(of: Circumstances): number | null {
  if (!isWithinReach(of)) return null;
  const prompt = of.debugging ? MOST_LOST_SHARE.debugging : MOST_LOST_SHARE.normal;
  return between(
    Math.log(of.workerWakeNs),
    [Math.log(PROMPT_WAKE_NS), prompt],
    [Math.log(LATEST_WAKE_NS), MOST_LOST_SHARE.lateWorker],
  );
}

/** How much longer than on bare metal a command may take, where the host has CPUs to spare. */
const MOST_SLOWDOWN = { normal: 1.05, debugging: 1.15 } as const;
/** Where it has none, by how often is sampled: what the workers do is on the vCPUs' time. */
const MOST_SLOWDOWN_WITHOUT_SPARE = [
  [samplesPerSecondAt(4_096), 1.05],
  [samplesPerSecondAt(1_024), 1.1],
] as const;
/** What a policy may add to the traps and its cold start, where those take more than that leaves. */
export const MOST_OVER_TRAPS = 1.05;
/**
 * How many times a cold start may cost what it costs at least (cold-start.ts). Nobody knows at a first enable how fast the guest will
 * write, nor for how long: Linux writes PMSIRR_EL1 after PMBLIMITR_EL1. To map ahead what is not needed costs leaves, to look in time
 * costs an exit: the ski rental problem, in which no rule pays less than twice what somebody pays who knows (Karlin, Manasse, Rudolph
 * and Sleator, Competitive snoopy caching, 1988).
 */
export const NOT_KNOWING = 2;

/**
 * How slow a policy may be, traps apart.
 * @returns null where failing gracefully is all that is asked
 */
export function mostSlowdown(of: Circumstances): number | null {
  if (!isWithinReach(of)) return null;
  if (of.hasSpareCpu) return of.debugging ? MOST_SLOWDOWN.debugging : MOST_SLOWDOWN.normal;
  return of.debugging || !of.atValues ? null : between(of.samplesPerSecond, ...MOST_SLOWDOWN_WITHOUT_SPARE);
}

/** What nobody need compare with anything, where failing gracefully is all that is asked. */
export const NEGLIGIBLE = { slowdown: MOST_SLOWDOWN.normal, lostShare: MOST_LOST_SHARE.lateWorker } as const;

/** Longest stop of a vCPU by host work at a time, the first enable included. */
const MOST_STOP_NS = { normal: 50_000, debugging: 250_000 } as const;

/** @returns null where nothing is asked: off the costs' values */
export const mostStopNs = ({ debugging, atValues }: Circumstances): number | null =>
  !atValues ? null : debugging ? MOST_STOP_NS.debugging : MOST_STOP_NS.normal;

/** Profiling is over when E was 0 for OVER_NS; everything is to be given back within as long again. */
export const MOST_RELEASED_AFTER_NS = 2 * OVER_NS;
