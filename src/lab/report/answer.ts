/** What a page opens with: the answer in two sentences, and for each policy the worst of what all cases come to. */
import { formatBytes, formatNs } from "../../common/sizes.ts";
import { formatLost, samplesLost } from "./frontier.ts";
import { MAIN_POLICIES, mainOf, POSTED, policiesOf, RECOMMENDED } from "./policy-order.ts";
import type { ModelRun } from "./run.ts";
import { casesOf, conclusionOf, samplingTwin, worstSlowdown } from "./verdicts.ts";
import { formatFactor, formatShare } from "./words.ts";

/** One policy over all cases of a report. */
export interface AnswerRow {
  readonly policy: string;
  /** What it does, in a few words; empty for policies that are not among the main ones. */
  readonly role: string;
  /** Over the cases, at the costs' values. */
  readonly slowdown: { readonly least: number; readonly most: number };
  /** Of the samples that bare metal selects, the most that a case loses; null where filters let nothing be lost. */
  readonly lostShare: number | null;
  readonly pinnedPeakBytes: number;
  /** What the host spends in all, over the vCPUs' time: the most of a case. */
  readonly hostCpuShare: number;
  readonly setupNs: number;
}

const hostCpuShare = (run: ModelRun): number =>
  run.hostCpuNs /
  Math.max(
    1,
    run.vcpus.reduce((sum, { elapsedNs }) => sum + elapsedNs, 0),
  );

function lostShareOf(run: ModelRun, all: readonly ModelRun[]): number | null {
  const twin = samplingTwin(run, all);
  const lost = samplesLost(twin);
  return twin.samples.written + lost === 0 ? null : lost / twin.samples.selected;
}

/** The rows of the main policies (of all, where fewer than two of those were run), in the order of the page. */
export function answerRows(runs: readonly ModelRun[]): AnswerRow[] {
  return mainOf(policiesOf(runs)).map((policy) => {
    const own = runs.filter((run) => run.policy === policy);
    const most = (value: (run: ModelRun) => number): number => Math.max(...own.map(value));
    const lost = own.map((run) => lostShareOf(run, runs)).filter((share) => share !== null);
    return {
      policy,
      role: MAIN_POLICIES.find((main) => main.policy === policy)?.role ?? "",
      slowdown: { least: Math.min(...own.map((run) => run.slowdown)), most: most(worstSlowdown) },
      lostShare: lost.length === 0 ? null : Math.max(...lost),
      pinnedPeakBytes: most((run) => run.pinnedPeakBytes),
      hostCpuShare: most(hostCpuShare),
      setupNs: most((run) => run.setupNs),
    };
  });
}

/** "10.1 to 453", or one number where both ends print the same. */
export function formatSpread({ least, most }: AnswerRow["slowdown"]): string {
  const [low, high] = [formatFactor(least), formatFactor(most)];
  return low === high ? low : `${low} to ${high}`;
}

/** The columns of the opening's table: title, what it says, and a row's cell. */
export const ANSWER_COLUMNS: readonly {
  readonly title: string;
  readonly meaning: string;
  cell(row: AnswerRow): string;
}[] = [
  { title: "policy", meaning: "what KVM does with the guest's buffer", cell: ({ policy }) => policy },
  {
    title: "slowdown",
    meaning: "wall time over bare metal's: the case with the least, to the case with the most",
    cell: ({ slowdown }) => `${formatSpread(slowdown)}×`,
  },
  {
    title: "lost",
    meaning: "samples lost, of those that bare metal selects, in the case with the most",
    cell: ({ lostShare }) => formatLost(lostShare),
  },
  {
    title: "pinned",
    meaning: "the most memory that was pinned at once",
    cell: ({ pinnedPeakBytes }) => (pinnedPeakBytes === 0 ? "none" : formatBytes(pinnedPeakBytes)),
  },
  {
    title: "host CPU",
    meaning:
      "what the host did in all, on the vCPUs' CPUs and on others, over the vCPUs' time: the most of a case",
    cell: ({ hostCpuShare: share }) => formatShare(share, 1),
  },
  {
    title: "setup",
    meaning: "work before the guest's first instruction, which is in no other column",
    cell: ({ setupNs }) => (setupNs === 0 ? "-" : formatNs(setupNs)),
  },
  { title: "keeps", meaning: "what it keeps in memory, and when", cell: ({ role }) => role || "-" },
];

const pinned = ({ pinnedPeakBytes }: AnswerRow): string =>
  pinnedPeakBytes === 0 ? "nothing" : formatBytes(pinnedPeakBytes);

const lostWords = ({ lostShare }: AnswerRow): string =>
  lostShare === null
    ? "no sample could be lost"
    : lostShare === 0
      ? "no sample is lost"
      : `${formatLost(lostShare)} of the samples are lost at most`;

/** Two sentences: what was posted and what is recommended cost here, and what for. Or what the first case concludes. */
export function answerSentences(runs: readonly ModelRun[]): string[] {
  const rows = answerRows(runs);
  const of = (policy: string) => rows.find((row) => row.policy === policy);
  const [posted, best] = [of(POSTED), of(RECOMMENDED)];
  const cases = casesOf(runs);
  if (posted === undefined || best === undefined)
    return cases.slice(0, 1).map((first) => {
      const { text } = conclusionOf(first, runs);
      return `${text[0]?.toUpperCase()}${text.slice(1)}.`;
    });
  const [what, apart, most] =
    cases.length === 1
      ? ["the command takes", "", ""]
      : ["the commands take", ", by command and kernel", " at most"];
  return [
    `Where KVM pins the guest's buffer at each enable (${posted.policy}), ${what} ${formatSpread(posted.slowdown)} times as long as on bare metal${apart}; where it keeps a small window ahead of the write pointer pinned (${best.policy}), ${formatFactor(best.slowdown.most)} times${most}, and ${lostWords(best)}.`,
    `The window holds ${pinned(best)} at most instead of ${pinned(posted)}, and all that the host does for it is ${formatShare(best.hostCpuShare, 1)} of the vCPUs' time or less.`,
  ];
}
