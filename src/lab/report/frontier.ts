/**
 * The frontier of a case: what its policies trade. Four figures count, each the less the better: guest time, memory pinned over
 * time, samples lost, the host's CPU time. A policy that another one beats is dominated; the others are the frontier.
 */
import { PAGE_BYTES } from "../../common/address.ts";
import { assertNever } from "../../common/errors.ts";
import { formatNs } from "../../common/sizes.ts";
import type { ModelRun } from "./run.ts";
import { type Case, samplingTwin } from "./verdicts.ts";
import { formatFactor, formatShare } from "./words.ts";

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
  /** What the host spends in all; setting up before the guest's first instruction is apart. */
  readonly hostCpuNs: number;
}

/** What a policy can be better in. */
export type Advantage = "faster" | "pins less" | "loses less" | "takes less host CPU";

export interface Dominator {
  readonly policy: string;
  readonly by: readonly Advantage[];
  /** The same with how much: "pins 4,260 times less". */
  readonly byHowMuch: readonly string[];
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
    hostCpuNs: rounded(run.hostCpuNs),
    lostSamples,
  };
}

/** What `a` is better in than `b`. */
function advantages(a: Figures, b: Figures): Advantage[] {
  const better: Advantage[] = [];
  if (a.slowdown < b.slowdown) better.push("faster");
  if (a.pinnedPageSeconds < b.pinnedPageSeconds) better.push("pins less");
  if ((a.lostShare ?? 0) < (b.lostShare ?? 0)) better.push("loses less");
  if (a.hostCpuNs < b.hostCpuNs) better.push("takes less host CPU");
  return better;
}

/** From here on a difference is a factor, below it a percentage. */
const AS_FACTOR = 2;

/** "4,260 times less", "12 % less": `less` beside `more`, neither nothing. */
const lessBy = (less: number, more: number): string =>
  more / less >= AS_FACTOR
    ? `${formatFactor(rounded(more / less))} times less`
    : `${formatShare(more - less, more)} less`;

/** What `a` is better in than `b`, and by how much. */
function inFigures(advantage: Advantage, a: Figures, b: Figures): string {
  switch (advantage) {
    case "faster": {
      const ratio = b.slowdown / a.slowdown;
      return ratio >= AS_FACTOR
        ? `${formatFactor(ratio)} times as fast`
        : `faster by ${formatShare(b.slowdown - a.slowdown, b.slowdown)}`;
    }
    case "pins less":
      return a.pinnedPageSeconds === 0
        ? "pins nothing"
        : `pins ${lessBy(a.pinnedPageSeconds, b.pinnedPageSeconds)}`;
    case "loses less":
      return (a.lostShare ?? 0) === 0
        ? "loses nothing"
        : `loses ${lessBy(a.lostShare ?? 0, b.lostShare ?? 0)}`;
    case "takes less host CPU":
      return a.hostCpuNs === 0 ? "takes no host CPU" : `takes ${lessBy(a.hostCpuNs, b.hostCpuNs)} host CPU`;
    default:
      return assertNever(advantage);
  }
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
      .map((other) => ({
        policy: other.run.policy,
        by: other.by,
        byHowMuch: other.by.map((advantage) => inFigures(advantage, other.figures, figures)),
      }));
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

/** "on the frontier", or "dominated by window: faster by 2.8 %, pins 4,260 times less". */
export function frontierVerdict({ dominatedBy: [best] }: FrontierPoint): string {
  return best === undefined ? "on the frontier" : `dominated by ${best.policy}: ${best.byHowMuch.join(", ")}`;
}

/** The columns of the frontier's table, but for the last one, which has the verdict. */
export const FRONTIER_COLUMNS: readonly {
  readonly title: string;
  readonly meaning: string;
  cell(point: FrontierPoint): string;
}[] = [
  { title: "policy", meaning: "the pin policy", cell: ({ run }) => run.policy },
  {
    title: "slowdown",
    meaning: "wall time over bare metal's",
    cell: ({ figures }) => `${formatFactor(figures.slowdown)}×`,
  },
  {
    title: "page-s pinned",
    meaning: "guest pages pinned, times seconds",
    cell: ({ figures }) => formatPageSeconds(figures.pinnedPageSeconds),
  },
  {
    title: "lost in all",
    meaning:
      "samples lost in blackouts, truncated, or to a buffer that is full for longer than on bare metal; where a filter lets none through, those of the same command without it",
    cell: ({ figures }) => formatLost(figures.lostShare),
  },
  {
    title: "host CPU",
    meaning: "CPU time that the host spent on the VM in all, on the vCPUs' CPUs and on others, but for setup",
    cell: ({ figures }) => formatNs(figures.hostCpuNs),
  },
];

export const TRADE_COLUMN = {
  title: "the trade",
  meaning:
    "on the frontier: no other policy is at least as good in all four figures, to three digits, and better in one; else the best of those that are, in what, and by how much",
} as const;

/** "14,500", "5.29", "0": page-seconds to the digits that count. */
export const formatPageSeconds = (pageSeconds: number): string => rounded(pageSeconds).toLocaleString("en");

/** "4.1 %", "none", or "-" where the filters let nothing be lost. */
export const formatLost = (lostShare: number | null): string =>
  lostShare === null ? "-" : lostShare === 0 ? "none" : formatShare(lostShare, 1);
