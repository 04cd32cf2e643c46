/** What the questions from 21 on have in common: a policy in a session on a host, and what that comes to. */
import type { CostTable } from "../../host/costs.ts";
import type { PinPolicy } from "../../kvm/spe/policy.ts";
import { settingOfCell, USUAL_CELL } from "../bar/cell.ts";
import { measuredOf } from "../bar.ts";
import type { Setting } from "../experiment.ts";
import { trial } from "../trial.ts";

export interface Session {
  /** A session of the bar, "task-50ms", or one of `spevisor scenarios`. */
  readonly scenario: string;
  readonly bufferBytes: number;
  readonly periodOps: number;
  readonly vcpus: number;
  /** Whether the host has CPUs beside the vCPUs' own. */
  readonly spareCpu: boolean;
}

/** What a run on a host comes to. */
export interface HostRow {
  readonly slowdown: number;
  readonly lost: number;
  readonly selected: number;
  readonly written: number;
  readonly blackouts: number;
  readonly hostCpuNs: number;
  /** Of it, what was on no vCPU's timeline. */
  readonly elsewhereNs: number;
  readonly vcpuNs: number;
  readonly peakBytes: number;
  readonly pagesPinned: number;
  readonly stopNs: number;
  readonly wallNs: number;
  readonly [key: string]: number;
}

export const KIB = 1024;
export const MIB = 1024 ** 2;

export const settingOfSession = ({ spareCpu, ...session }: Session): Setting =>
  settingOfCell({ ...USUAL_CELL, ...session, hostCpus: spareCpu ? null : session.vcpus });

/** Runs a policy in a setting at one set of costs. */
export function runOnHost(setting: Setting, policy: PinPolicy, costs: CostTable): HostRow {
  const run = trial({ setting, policy, costs });
  const { slowdown, lost, blackouts, hostCpuNs, pinnedPeakBytes, longestStopNs } = measuredOf([run]);
  return {
    slowdown,
    lost,
    selected: run.samples.selected,
    written: run.samples.written,
    blackouts,
    hostCpuNs,
    elsewhereNs: setting.hostCpus === setting.schedule.vcpus ? 0 : Math.min(run.backgroundNs, hostCpuNs),
    vcpuNs: run.vcpus.reduce((sum, { elapsedNs }) => sum + elapsedNs, 0),
    peakBytes: pinnedPeakBytes,
    pagesPinned: run.pagesPinned,
    stopNs: Math.max(longestStopNs.cold, longestStopNs.warm),
    wallNs: run.guestWallNs,
  };
}

/** Samples lost, as a share of those selected. */
export const lostShare = ({ lost, selected }: HostRow): number => (selected === 0 ? 0 : lost / selected);

/** Fewer than this is a complete profile: what the bar allows of a kernel with debugging. */
export const COMPLETE = 0.001;

/** What the guest's buffers take, with some for their tables: a policy that pins more holds what no profile needs. */
export const mostHeldBytes = ({ vcpus, bufferBytes }: Pick<Session, "vcpus" | "bufferBytes">): number =>
  vcpus * (bufferBytes * 1.01 + 64 * KIB);

/** The least by a measure; undefined of none. */
export const leastBy = <T>(of: readonly T[], measure: (value: T) => number): T | undefined =>
  of.length === 0 ? undefined : of.reduce((a, b) => (measure(b) < measure(a) ? b : a));

/** The most by a measure of some. */
export const mostBy = <T>(of: readonly T[], measure: (value: T) => number): T =>
  of.reduce((a, b) => (measure(b) > measure(a) ? b : a));

/** "1.0013": slowdowns near 1 need their digits. */
export const formatNear = (slowdown: number): string =>
  slowdown < 10 ? slowdown.toFixed(slowdown < 1.1 ? 4 : 2) : slowdown.toPrecision(3);
