/**
 * The frontier of a case: what its policies trade. Three figures count, each the less the better: guest time, memory
 * pinned over time, samples lost. A policy that another one beats is dominated; the others are the frontier.
 */
import { PAGE_BYTES } from "../../common/address.ts";
import type { ModelRun } from "./run.ts";
import { type Case, samplingTwin } from "./verdicts.ts";
import { formatShare } from "./words.ts";

const FRONTIER_THRESHOLDS = {
  /**
   * Digits of a figure that count: those that are printed. 1.001 and 1.003 times bare metal are the same result. It
   * is rounding and no tolerance, so that whoever beats a policy also beats all that the policy beats.
   */
  digits: 3,
  /** Below three policies there is nothing to trade that the table of runs does not show. */
  fewestPolicies: 3,
} as const;

/** What is traded, each the less the better, rounded to the digits that count. */
export interface Figures {
  /** Times bare metal. */
  readonly slowdown: number;
  /** Guest pages pinned, times seconds. */
  readonly pinnedPageSeconds: number;
  /** Of the samples that bare metal selects, the part that is lost; null where the filters let nothing be lost. */
  readonly lostShare: number | null;
}

/** What a policy can be better in. */
export type Advantage = "faster" | "pins less" | "loses less";

export interface Dominator {
  readonly policy: string;
  readonly by: readonly Advantage[];
}

export interface FrontierPoint {
  readonly run: ModelRun;
  readonly figures: Figures;
  /** Samples lost, as a number; of the twin where that has the samples. */
  readonly lostSamples: number;
  readonly onFrontier: boolean;
  /** Everybody who beats this policy, the best of them first; empty on the frontier. */
  readonly dominatedBy: readonly Dominator[];
}

const rounded = (value: number): number => Number(value.toPrecision(FRONTIER_THRESHOLDS.digits));

/** Samples that the hypervisor lost: in blackouts, truncated, and while the buffer was full for longer than without it. */
export const samplesLost = ({ samples, baseline }: ModelRun): number =>
  samples.lostInBlackout + samples.truncated + Math.max(0, samples.lostWhileFull - baseline.lostWhileFull);

function figuresOf(run: ModelRun, all: readonly ModelRun[]): Figures & { readonly lostSamples: number } {
  const twin = samplingTwin(run, all);
  const lostSamples = samplesLost(twin);
  const measured = twin.samples.written + lostSamples > 0;
  return {
    slowdown: rounded(run.slowdown),
    pinnedPageSeconds: rounded(run.pinnedByteSeconds / PAGE_BYTES),
    lostShare: measured ? rounded(lostSamples / twin.samples.selected) : null,
    lostSamples,
  };
}

/** What `a` is better in than `b`. */
function advantages(a: Figures, b: Figures): Advantage[] {
  const better: Advantage[] = [];
  if (a.slowdown < b.slowdown) better.push("faster");
  if (a.pinnedPageSeconds < b.pinnedPageSeconds) better.push("pins less");
  if ((a.lostShare ?? 0) < (b.lostShare ?? 0)) better.push("loses less");
  return better;
}

/** Whether `a` is at least as good as `b` in everything and better in something. */
const dominates = (a: Figures, b: Figures): boolean =>
  advantages(b, a).length === 0 && advantages(a, b).length > 0;

/** One number for what a policy takes, to choose among those that beat another: what is a factor in either counts alike. */
const timeAndMemory = ({ slowdown, pinnedPageSeconds }: Figures): number =>
  slowdown * (1 + pinnedPageSeconds);

/**
 * The case's runs with their figures and who beats whom, in the order of the case.
 * @param all the runs of the whole report: where a filter lets nothing through, the twin without it tells what is lost
 */
export function frontierOf(of: Case, all: readonly ModelRun[]): FrontierPoint[] {
  const points = of.runs.map((run) => ({ run, figures: figuresOf(run, all) }));
  const beaten = (figures: Figures) => points.some((other) => dominates(other.figures, figures));
  return points.map(({ run, figures }) => {
    const dominatedBy = points
      .filter((other) => dominates(other.figures, figures))
      .map((other) => ({ ...other, by: advantages(other.figures, figures), beaten: beaten(other.figures) }))
      .sort(
        (a, b) =>
          Number(a.beaten) - Number(b.beaten) ||
          b.by.length - a.by.length ||
          (a.figures.lostShare ?? 0) - (b.figures.lostShare ?? 0) ||
          timeAndMemory(a.figures) - timeAndMemory(b.figures),
      )
      .map((other) => ({ policy: other.run.policy, by: other.by }));
    const { lostSamples, ...rest } = figures;
    return { run, figures: rest, lostSamples, onFrontier: dominatedBy.length === 0, dominatedBy };
  });
}

/** The frontier first, then the rest, each from the least pinned memory on and the fastest first: the order of tables. */
export const inOrder = (points: readonly FrontierPoint[]): FrontierPoint[] =>
  [...points].sort(
    (a, b) =>
      Number(b.onFrontier) - Number(a.onFrontier) ||
      (a.figures.lostShare ?? 0) - (b.figures.lostShare ?? 0) ||
      a.figures.pinnedPageSeconds - b.figures.pinnedPageSeconds ||
      a.figures.slowdown - b.figures.slowdown,
  );

/** Whether the case has enough policies for a frontier to say something. */
export const hasFrontier = (of: Case): boolean => of.runs.length >= FRONTIER_THRESHOLDS.fewestPolicies;

/** "on the frontier", or "dominated by window: faster, pins less". */
export function frontierVerdict({ dominatedBy: [best] }: FrontierPoint): string {
  return best === undefined ? "on the frontier" : `dominated by ${best.policy}: ${best.by.join(", ")}`;
}

/** "14,500", "5.29", "0": page-seconds to the digits that count. */
export const formatPageSeconds = (pageSeconds: number): string => rounded(pageSeconds).toLocaleString("en");

/** "4.1 %", "none", or "-" where the filters let nothing be lost. */
export const formatLost = (lostShare: number | null): string =>
  lostShare === null ? "-" : lostShare === 0 ? "none" : formatShare(lostShare, 1);
