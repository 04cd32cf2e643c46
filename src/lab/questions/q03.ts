/** Question 3: which policies are worth having: guest time against memory held against samples lost. */
import { DEFAULT_EVENT } from "../../guest/spe-event.ts";
import { POLICIES } from "../../kvm/spe/policies/index.ts";
import type { Setting } from "../experiment.ts";
import { policyNamed } from "../policies.ts";
import {
  type FrontierPoint,
  formatLost,
  formatPageSeconds,
  frontierOf,
  frontierVerdict,
} from "../report/frontier.ts";
import type { ModelRun } from "../report/run.ts";
import { THRESHOLDS } from "../report/verdicts.ts";
import { formatFactor, listed } from "../report/words.ts";
import { settingOf, THREAD_SCENARIOS } from "../scenarios.ts";
import { perCpu, toggling } from "../schedules.ts";
import { trial } from "../trial.ts";
import { type Chart, question, type Series } from "./question.ts";

interface Cell {
  readonly scenario: string;
  readonly policy: string;
  readonly [key: string]: string;
}

const PROFILE = "thread-normal";
const BUFFER_BYTES = 256 * 1024 ** 2;
const SEED = 1;
/** As the scenarios of these names, but shorter. */
const LONG = { count: 40, runNs: 49_000_000, gapNs: 1_000_000 } as const;
const PER_CPU = { vcpus: 2, durationNs: 1_000_000_000 } as const;
/** Where the filter lets nothing through, the same command without it tells what is lost. */
const TWINS = THREAD_SCENARIOS.map(({ name }) => name);
const CASES = ["thread-a", "thread-b", "long-task", "per-cpu"] as const;
type CaseName = (typeof CASES)[number];
const CASE_NAMES: Readonly<Record<CaseName, string>> = {
  "thread-a": "A",
  "thread-b": "B",
  "long-task": "long task",
  "per-cpu": "per CPU",
};
const PROFILING = POLICIES.filter(({ neverProfiles }) => neverProfiles !== true).map(({ name }) => name);

function settingFor(name: string): Setting {
  const thread = THREAD_SCENARIOS.find((scenario) => scenario.name === name);
  if (thread !== undefined) return thread.setting(BUFFER_BYTES, SEED);
  const schedule = name === "per-cpu" ? perCpu(PER_CPU) : toggling(LONG);
  return settingOf(name, schedule, DEFAULT_EVENT, BUFFER_BYTES, SEED);
}

const usable = ({ run, figures }: FrontierPoint): boolean =>
  run.slowdown < THRESHOLDS.usableSlowdown && (figures.lostShare ?? 0) < THRESHOLDS.nearlyCompleteLoss;

/** The points of a policy, in the order of CASES. */
type PointsOf = (policy: string) => readonly FrontierPoint[];

const chartsOf = (pointsOf: PointsOf): Chart[] => [
  {
    title: "Slowdown of each policy (* in the table: on the frontier)",
    kind: "bar",
    x: { name: "policy", scale: "categories" },
    y: { name: "times bare metal", scale: "log" },
    series: CASES.map(
      (name, i): Series => ({
        name: CASE_NAMES[name],
        points: PROFILING.map((policy) => [policy, (pointsOf(policy)[i] as FrontierPoint).run.slowdown]),
      }),
    ),
  },
  {
    title: "Memory held by each policy",
    kind: "bar",
    x: { name: "policy", scale: "categories" },
    y: { name: "page-seconds", scale: "log" },
    series: CASES.map(
      (name, i): Series => ({
        name: CASE_NAMES[name],
        points: PROFILING.map((policy): [string, number] => [
          policy,
          (pointsOf(policy)[i] as FrontierPoint).figures.pinnedPageSeconds,
        ]).filter(([, pages]) => pages > 0),
      }),
    ),
  },
];

export const q03 = question<Cell, ModelRun>({
  number: 3,
  title: "Which policies are worth having?",
  asked:
    "Unpin at once, keep, keep for a while, pin what is about to be written, pin at the first fault, pin nothing, copy, " +
    "hold the whole VM: what does each take of the guest's time, of the host's memory (page-seconds) and CPU, and of the " +
    "samples, and which of them is beaten by another in all four?",
  origin:
    "The designs are those of the series from v4 (2021) to v7 (September 2026) and of the threads of 2022 (Elisei, " +
    "Upton, Zyngier, Deacon); James Clark asked on 9 January 2026 for a heuristic. Nobody compared them.",
  leavesOut: [
    "A page-second has no price here. What it costs depends on what the host could have done with the memory.",
    "What is done before the guest starts (v7, v5).",
    "The objections of 2022 to a bounce buffer: without FEAT_FGT PMBIDR_EL1.P shows the guest that its buffer is not its own.",
    "Host pressure, hostile guests and edits of stage 1 during a session: other questions are about those.",
    "Where two policies agree to three digits, they count as equal.",
  ],
  decidedBy: "exit",
  cells: () =>
    [...TWINS, "long-task", "per-cpu"].flatMap((scenario) =>
      PROFILING.map((policy) => ({ scenario, policy })),
    ),
  run: ({ scenario, policy }, costTables) =>
    trial({
      setting: settingFor(scenario),
      policy: policyNamed(policy),
      costs: costTables.of(PROFILE),
      profile: PROFILE,
    }),
  answer(rows) {
    const all = rows.map(({ row }) => row);
    const cases = CASES.map((scenario) => ({
      scenario,
      points: frontierOf(
        { scenario, profile: PROFILE, runs: all.filter((run) => run.scenario === scenario) },
        all,
      ),
    }));
    const pointsOf = (policy: string): FrontierPoint[] =>
      cases.map(({ points }) => points.find(({ run }) => run.policy === policy) as FrontierPoint);
    const always = PROFILING.filter((policy) => pointsOf(policy).every(({ onFrontier }) => onFrontier));
    const never = PROFILING.filter((policy) => pointsOf(policy).every(({ onFrontier }) => !onFrontier));
    const fine = PROFILING.filter((policy) => pointsOf(policy).every(usable));
    const worst = (policy: string, of: (point: FrontierPoint) => number): number =>
      Math.max(...pointsOf(policy).map(of));
    const mostPages = (policy: string): number => worst(policy, ({ figures }) => figures.pinnedPageSeconds);
    const byMemory = [...fine].sort((a, b) => mostPages(a) - mostPages(b));
    const complete = byMemory.filter((policy) =>
      pointsOf(policy).every(({ lostSamples }) => lostSamples === 0),
    );
    const [least] = complete;
    const costs = (policy: string): string =>
      `${policy} (at most ${formatFactor(worst(policy, ({ run }) => run.slowdown))} times, ` +
      `${formatPageSeconds(mostPages(policy))} page-seconds, ` +
      `${formatLost(worst(policy, ({ figures }) => figures.lostShare ?? 0))} lost)`;
    const cell = ({ run, figures, onFrontier }: FrontierPoint): string =>
      `${formatFactor(run.slowdown)}, ${formatPageSeconds(figures.pinnedPageSeconds)}, ` +
      `${formatLost(figures.lostShare)}${onFrontier ? " *" : ""}`;
    const v6 = pointsOf("pin-on-enable");
    return {
      headline:
        least === undefined
          ? `No policy is below ${THRESHOLDS.usableSlowdown} times bare metal and complete in all four cases` +
            (byMemory.length === 0 ? "." : `; ${costs(byMemory[0] as string)} comes nearest.`)
          : `${least} is below ${THRESHOLDS.usableSlowdown} times bare metal and loses nothing in all four cases with the ` +
            `least memory held: ${formatFactor(worst(least, ({ run }) => run.slowdown))} times and ` +
            `${formatPageSeconds(mostPages(least))} page-seconds at most; v6 takes up to ` +
            `${formatFactor(worst("pin-on-enable", ({ run }) => run.slowdown))} times and is ` +
            `${v6.every(({ onFrontier }) => !onFrontier) ? "beaten by another in every case" : "not beaten in every case"}.`,
      sentences: [
        `${always.length === 0 ? "Each policy is beaten in some case" : `Nobody beats ${listed(always)} in any of the cases`}; ${never.length === 0 ? "each of the others is on the frontier (*) somewhere" : `${listed(never)} ${never.length === 1 ? "is" : "are"} beaten in all of them`}.`,
        `Below ${THRESHOLDS.usableSlowdown} times and with less than ${THRESHOLDS.nearlyCompleteLoss * 100} % lost throughout: ${byMemory.length === 0 ? "none" : listed(byMemory.map(costs))}.`,
        `v6 is, in ${v6.map((point, i) => `${CASE_NAMES[CASES[i] as CaseName]}, ${frontierVerdict(point)}`).join("; in ")}.`,
        "A and B are the thread's commands, whose filter lets no sample through; what is lost is that of the same commands without it.",
      ],
      table: {
        columns: ["policy", ...CASES.map((name) => `${CASE_NAMES[name]}: slowdown, page-seconds, lost`)],
        rows: PROFILING.map((policy) => [policy, ...pointsOf(policy).map(cell)]),
      },
      charts: chartsOf(pointsOf),
    };
  },
});
