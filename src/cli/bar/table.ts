/** Verdicts on the terminal: a table, and what is missed and by how much. */
import Table from "cli-table3";
import { counted, formatCount } from "../../common/counts.ts";
import { formatBytes, formatNs } from "../../common/sizes.ts";
import type { CostEnd } from "../../host/costs.ts";
import { MOST_OVER_TRAPS, NOT_KNOWING } from "../../lab/bar/limits.ts";
import { type Judged, meetsBar, shownOf, type Verdict } from "../../lab/bar/measure.ts";
import type { LostBound, SlowdownBound } from "../../lab/bar.ts";
import { type BarSetting, cellOptions } from "./cell.ts";

const HEAD = [
  "case",
  "profile",
  "slowdown",
  "allowed",
  "lost",
  "allowed",
  "host CPU",
  "blackouts",
  "peak",
  "kept",
  "stop",
  "verdict",
] as const;

/** How many are shown of random settings. */
const WORST = 5;

const percent = (share: number): string => `${Number((share * 100).toPrecision(3))} %`;

const clausesOf = ({ findings }: Judged): string =>
  [...new Set(findings.map(({ clause }) => clause))].join(", ");

const AT: Readonly<Record<CostEnd, string>> = {
  value: "",
  low: " at low costs",
  high: " at high costs",
};

/** "met", "misses slowdown", "met; misses lost at high costs". */
function verdictText(verdict: Verdict): string {
  const shown = shownOf(verdict);
  const own = shown.findings.length === 0 ? "met" : `misses ${clausesOf(shown)}`;
  const graceful = shown.allowed?.graceful === true ? ", gracefully" : "";
  const others = (Object.entries(verdict.judged) as [CostEnd, Judged][])
    .filter(([, judged]) => judged !== shown && clausesOf(judged) !== clausesOf(shown))
    .map(([end, judged]) =>
      judged.findings.length === 0 ? `met${AT[end]}` : `misses ${clausesOf(judged)}${AT[end]}`,
    );
  return [`${own}${own === "met" ? graceful : ""}`, ...others].join("; ");
}

function rowOf(verdict: Verdict): string[] {
  const { measured, allowed } = shownOf(verdict);
  const [end] = Object.keys(verdict.judged) as CostEnd[];
  const profile = `${verdict.profile}${end === undefined ? "" : AT[end]}`;
  const numbers =
    measured === null || allowed === null
      ? new Array<string>(HEAD.length - 3).fill("-")
      : [
          measured.slowdown.toFixed(3),
          allowed.slowdown.toFixed(3),
          percent(measured.lostShare),
          percent(allowed.lostShare),
          percent(measured.hostCpuShare),
          measured.blackouts === 0 ? "0" : `${measured.blackouts} (${formatNs(measured.blackoutNs)})`,
          formatBytes(measured.pinnedPeakBytes),
          formatBytes(measured.unreclaimablePeakBytes),
          formatNs(Math.max(measured.longestStopNs.cold, measured.longestStopNs.warm)),
        ];
  return [verdict.scenario, profile, ...numbers, verdictText(verdict)];
}

/** What is missed and by how much, a line for each finding. */
const findingLines = (verdicts: readonly Verdict[]): string[] =>
  verdicts.flatMap(({ scenario, profile, judged }) =>
    (Object.entries(judged) as [CostEnd, Judged][]).flatMap(([end, { findings }]) =>
      findings.map(({ clause, text }) => `  ${scenario}, ${profile}${AT[end]}: ${clause}: ${text}`),
    ),
  );

const flipLines = (verdicts: readonly Verdict[]): string[] =>
  verdicts.flatMap(({ scenario, profile, flips }) =>
    flips.map(
      ({ end, met, costs }) =>
        `  ${scenario}, ${profile}: ${met ? "met" : "missed"} at ${end} costs; ${costs.length === 0 ? "no single cost does it" : `alone do it: ${costs.join(", ")}`}`,
    ),
  );

/** What allowed more than the limits. */
const BEYOND_LIMITS = [
  "traps",
  "cold start",
  "twice a cold start",
  "inline",
  "one PMBIRQ",
  "fault",
] as const satisfies readonly (SlowdownBound | LostBound)[];
type Beyond = (typeof BEYOND_LIMITS)[number];
const BOUND_TEXT: Readonly<Record<Beyond, string>> = {
  traps: `slowdown: up to ${MOST_OVER_TRAPS} times the traps`,
  "cold start": "slowdown: up to that with the least cold start",
  "twice a cold start": `slowdown: up to that with ${NOT_KNOWING} times the least cold start, since nobody knows how fast the guest will write`,
  inline: "slowdown: gracefully, up to pinning each page on the vCPU",
  "one PMBIRQ": "lost: gracefully, up to one PMBIRQ on each vCPU",
  fault: "lost: gracefully, up to what fault loses",
};
/** Those that are somebody's judgement, and neither a promise, nor what no policy can do without, nor another policy's figure. */
const JUDGED: readonly Beyond[] = ["twice a cold start", "one PMBIRQ"];
/** So many cases of each are named. */
const MOST_NAMED = 10;

/** How many verdicts took more than the limits, by what allowed it: nobody need believe in those bounds unseen. */
function boundLines(verdicts: readonly Verdict[]): string[] {
  const cases = new Map<Beyond, string[]>(BEYOND_LIMITS.map((bound) => [bound, []]));
  for (const { scenario, profile, judged } of verdicts)
    for (const [end, { allowed }] of Object.entries(judged) as [CostEnd, Judged][])
      for (const by of [allowed?.slowdownBy ?? "limit", allowed?.lostBy ?? "limit"])
        if (by !== "limit") cases.get(by)?.push(`${scenario}, ${profile}${AT[end]}`);
  return [...cases].flatMap(([bound, names]) => {
    const named = JUDGED.includes(bound) ? names.slice(0, MOST_NAMED) : [];
    const more = JUDGED.includes(bound) ? names.length - named.length : 0;
    return [
      ...(names.length === 0 ? [] : [`  ${formatCount(names.length)} ${BOUND_TEXT[bound]}`]),
      ...named.map((name) => `    ${name}`),
      ...(more === 0 ? [] : [`    and ${formatCount(more)} more; --json has slowdownBy and lostBy of each`]),
    ];
  });
}

/** A verdict has one for each end of the costs' ranges. */
const boundsTitle = (verdicts: readonly Verdict[]): string => {
  const judged = verdicts.reduce((sum, verdict) => sum + Object.keys(verdict.judged).length, 0);
  return `Of ${formatCount(judged)} figures, met or missed, so many are held to more than the limits:`;
};

/** How near a verdict is to missing its slowdown or its samples: above 1 it does. */
function strain(verdict: Verdict): number {
  const of = ({ measured, allowed }: Judged): number =>
    measured === null || allowed === null
      ? Number.POSITIVE_INFINITY
      : Math.max(measured.slowdown / allowed.slowdown, measured.lostShare / allowed.lostShare);
  return Math.max(...Object.values(verdict.judged).map(of));
}

/** What all cells have in common, which is said once, and verdicts under what is left of their names. */
function named(
  verdicts: readonly Verdict[],
  settings: readonly BarSetting[],
): { readonly common: readonly string[]; readonly verdicts: readonly Verdict[] } {
  const options = settings.map((setting) => (setting.kind === "cell" ? cellOptions(setting.cell) : []));
  const common = (options[0] ?? []).filter((option) => options.every((each) => each.includes(option)));
  return {
    common,
    verdicts: verdicts.map((verdict, i) => {
      const setting = settings[i];
      if (setting?.kind !== "cell") return verdict;
      const own = (options[i] ?? []).filter((option) => !common.includes(option));
      return { ...verdict, scenario: [setting.cell.scenario, ...own].join(" ") };
    }),
  };
}

/**
 * @param settings of the verdicts, in their order
 * @param random shows the worst of them alone
 * @param notes what is to be said of the cases as a whole
 */
export function renderVerdicts(
  all: readonly Verdict[],
  settings: readonly BarSetting[],
  random: boolean,
  notes: readonly string[] = [],
): string {
  const { common, verdicts } = named(all, settings);
  const shown = random ? [...verdicts].sort((a, b) => strain(b) - strain(a)).slice(0, WORST) : verdicts;
  const table = new Table({
    head: [...HEAD],
    colAligns: HEAD.map((_, i) => (i < 2 || i === HEAD.length - 1 ? "left" : "right")),
    style: { head: [], border: [], compact: true },
  });
  for (const verdict of shown) table.push(rowOf(verdict));
  const missing = verdicts.filter((verdict) => !meetsBar(verdict));
  const section = (title: string, lines: readonly string[]) => (lines.length === 0 ? [] : [title, ...lines]);
  const what = random
    ? ` of which the worst ${shown.length === 1 ? "one is" : `${shown.length} are`} shown`
    : "";
  return `${[
    ...(common.length === 0 ? [] : [`Each with ${common.join(" ")}:`]),
    table.toString(),
    ...section("Missed:", findingLines(random ? shown : verdicts)),
    ...section("The verdict depends on costs:", flipLines(verdicts)),
    ...section(boundsTitle(verdicts), boundLines(verdicts)),
    ...notes,
    `${counted(verdicts.length, "case")}${what}, ${counted(missing.length, "misses", "miss")} the bar`,
  ].join("\n")}\n`;
}
