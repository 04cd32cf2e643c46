/**
 * The bar that a policy is measured by: what a guest, its profile and its host may expect. From runs to findings; the limits are
 * in bar/limits.ts, and what makes the runs is bar/measure.ts.
 */
import { formatBytes, formatNs } from "../common/sizes.ts";
import {
  type Circumstances,
  isWithinReach,
  MOST_OVER_TRAPS,
  MOST_RELEASED_AFTER_NS,
  mostLostShare,
  mostSlowdown,
  mostStopNs,
  NEGLIGIBLE,
  NOT_KNOWING,
} from "./bar/limits.ts";
import type { Setting } from "./experiment.ts";
import type { ModelRun } from "./report/run.ts";

export const CLAUSES = ["slowdown", "lost", "pinned", "released", "stops", "memlock"] as const;
export type Clause = (typeof CLAUSES)[number];

/** Something that a policy does not meet. */
export interface Finding {
  readonly clause: Clause;
  /** "1.52 times bare metal, 1.05 allowed". */
  readonly text: string;
}

/** What was measured of one setting at one set of costs: the worst of its readings of the waits. */
export interface Measured {
  readonly slowdown: number;
  /** Samples that blackouts took, and their share of those that bare metal selects. */
  readonly lost: number;
  readonly lostShare: number;
  readonly blackouts: number;
  readonly blackoutNs: number;
  /** What the host did in all, on the vCPUs' CPUs and on others, as a share of the vCPUs' time. */
  readonly hostCpuNs: number;
  readonly hostCpuShare: number;
  readonly pinnedPeakBytes: number;
  /** With the whole huge page that a pinned page keeps. */
  readonly unreclaimablePeakBytes: number;
  readonly releasedAfterNs: number | null;
  readonly longestStopNs: { readonly cold: number; readonly warm: number };
  readonly memlockPeakBytes: number;
  readonly memlockLimitBytes: number | null;
}

/** The limit itself, or what is more where that forbids it. */
export type SlowdownBound = "limit" | "traps" | "cold start" | "twice a cold start" | "inline";
/** The limit itself, or what is more where no figure is promised. */
export type LostBound = "limit" | "one PMBIRQ" | "fault";

/** What a run is held to. */
export interface Allowed {
  readonly slowdown: number;
  /** What that comes from. */
  readonly slowdownBy: SlowdownBound;
  readonly lostShare: number;
  readonly lostBy: LostBound;
  /** Null: nothing is asked of stops. */
  readonly stopNs: number | null;
  readonly pinnedBytes: number;
  /** Failing gracefully is all that is asked of the slowdown, or of what is lost. */
  readonly graceful: boolean;
}

/** What a policy is compared with where its own figures are not enough; run when it is asked for. */
export interface References {
  /** The traps alone: stage 2 maps everything before time begins, and nothing is pinned. */
  trapsSlowdown(): number;
  /** The traps, and the least that a cold start takes (bar/cold-start.ts). */
  coldSlowdown(): number;
  /** The share of samples that one PMBIRQ takes on each vCPU, until the host has it. */
  oneStopLostShare(): number;
  /** Nothing is pinned; each page that is missing is a blackout. */
  faultLostShare(): number;
  /** Every page is pinned by the vCPU that writes it. */
  inlineSlowdown(): number;
}

/** The worst of the readings of the waits, for each number. */
export function measuredOf(runs: readonly ModelRun[]): Measured {
  const worst = (value: (run: ModelRun) => number): number => Math.max(...runs.map(value));
  const held = runs.some(({ model }) => model.releasedAfterNs === null);
  const vcpuNs = (run: ModelRun): number => run.vcpus.reduce((sum, { elapsedNs }) => sum + elapsedNs, 0);
  const lostShare = ({ samples }: ModelRun): number =>
    samples.selected === 0 ? 0 : samples.lostInBlackout / samples.selected;
  return {
    slowdown: worst((run) => run.slowdown),
    lost: worst(({ samples }) => samples.lostInBlackout),
    lostShare: worst(lostShare),
    blackouts: worst((run) => run.blackouts.count),
    blackoutNs: worst((run) => run.blackouts.totalNs),
    hostCpuNs: worst((run) => run.hostCpuNs),
    hostCpuShare: worst((run) => run.hostCpuNs / vcpuNs(run)),
    pinnedPeakBytes: worst((run) => run.pinnedPeakBytes),
    unreclaimablePeakBytes: worst((run) => run.unreclaimablePeakBytes),
    releasedAfterNs: held ? null : worst((run) => run.model.releasedAfterNs ?? 0),
    longestStopNs: {
      cold: worst((run) => run.longestStopNs.cold),
      warm: worst((run) => run.longestStopNs.warm),
    },
    memlockPeakBytes: worst((run) => run.memlockPeakBytes),
    memlockLimitBytes: runs[0]?.memlockLimitBytes ?? null,
  };
}

/** What is allowed: references are run only where a limit is not met without them. */
export function allowedFor(
  { slowdown, lostShare }: Measured,
  of: Circumstances,
  references: References,
  pinnedBytes: number,
): Allowed {
  const slow = mostSlowdown(of);
  const lost = mostLostShare(of);
  return {
    ...allowedSlowdown(slowdown, slow, references),
    ...allowedLost(lostShare, lost, references),
    stopNs: mostStopNs(of),
    pinnedBytes,
    graceful: !isWithinReach(of) || slow === null || lost === null,
  };
}

/** From the least bound to the most: one that is met ends it, so that no more is run than is needed. */
function allowedSlowdown(
  measured: number,
  most: number | null,
  references: References,
): Pick<Allowed, "slowdown" | "slowdownBy"> {
  const bounds: readonly (readonly [SlowdownBound, () => number])[] = [
    ["limit", () => most ?? NEGLIGIBLE.slowdown],
    ["traps", () => MOST_OVER_TRAPS * references.trapsSlowdown()],
    ["cold start", () => MOST_OVER_TRAPS * withColdStart(references, 1)],
    ["twice a cold start", () => MOST_OVER_TRAPS * withColdStart(references, NOT_KNOWING)],
    ...(most === null ? [["inline", () => references.inlineSlowdown()] as const] : []),
  ];
  let allowed: Pick<Allowed, "slowdown" | "slowdownBy"> = { slowdown: 0, slowdownBy: "limit" };
  for (const [slowdownBy, bound] of bounds) {
    const slowdown = bound();
    if (slowdown > allowed.slowdown) allowed = { slowdown, slowdownBy };
    if (measured <= slowdown) break;
  }
  return allowed;
}

function withColdStart({ trapsSlowdown, coldSlowdown }: References, times: number): number {
  const traps = trapsSlowdown();
  return traps + times * Math.max(0, coldSlowdown() - traps);
}

function allowedLost(
  measured: number,
  most: number | null,
  references: References,
): Pick<Allowed, "lostShare" | "lostBy"> {
  const own = { lostShare: most ?? NEGLIGIBLE.lostShare, lostBy: "limit" } as const;
  if (most !== null || measured <= own.lostShare) return own;
  // The limit of the first window, at a rate that nobody has promised: one PMBIRQ, however short the session.
  const oneStop = references.oneStopLostShare();
  const stopped = oneStop > own.lostShare ? ({ lostShare: oneStop, lostBy: "one PMBIRQ" } as const) : own;
  if (measured <= stopped.lostShare) return stopped;
  const faults = references.faultLostShare();
  return faults > stopped.lostShare ? { lostShare: faults, lostBy: "fault" } : stopped;
}

const times = (ratio: number): string => ratio.toPrecision(4);
const percent = (share: number): string => `${Number((share * 100).toPrecision(3))} %`;

/** What a policy does not meet. */
export function findingsOf(measured: Measured, allowed: Allowed): Finding[] {
  const { releasedAfterNs, longestStopNs, memlockLimitBytes } = measured;
  const findings: Finding[] = [];
  const find = (clause: Clause, text: string) => findings.push({ clause, text });
  if (measured.slowdown > allowed.slowdown)
    find(
      "slowdown",
      `${times(measured.slowdown)} times bare metal, ${times(allowed.slowdown)} allowed${allowed.slowdownBy === "limit" ? "" : ` (${allowed.slowdownBy})`}`,
    );
  if (measured.lostShare > allowed.lostShare)
    find(
      "lost",
      `${percent(measured.lostShare)} of the samples (${measured.lost}), ${percent(allowed.lostShare)} allowed${allowed.lostBy === "limit" ? "" : ` (${allowed.lostBy})`}`,
    );
  if (measured.pinnedPeakBytes > allowed.pinnedBytes)
    find(
      "pinned",
      `${formatBytes(measured.pinnedPeakBytes)} pinned, ${formatBytes(allowed.pinnedBytes)} are the buffers and their tables`,
    );
  if (releasedAfterNs === null) find("released", "still pinned 2 s after the end");
  else if (releasedAfterNs > MOST_RELEASED_AFTER_NS)
    find(
      "released",
      `given back ${formatNs(releasedAfterNs)} after the last disable, ${formatNs(MOST_RELEASED_AFTER_NS)} allowed`,
    );
  if (allowed.stopNs !== null)
    for (const kind of ["cold", "warm"] as const)
      if (longestStopNs[kind] > allowed.stopNs)
        find(
          "stops",
          `a ${kind} stop of ${formatNs(longestStopNs[kind])}, ${formatNs(allowed.stopNs)} allowed`,
        );
  if (memlockLimitBytes !== null && measured.memlockPeakBytes > memlockLimitBytes)
    find("memlock", `${formatBytes(measured.memlockPeakBytes)} locked of ${formatBytes(memlockLimitBytes)}`);
  return findings;
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
