/** Question 26: what the thread's pair of figures is made of, and whether that decides anything. */
import type { CostTable } from "../../host/costs.ts";
import { policyNamed } from "../policies.ts";
import { formatFactor, formatShare, listed } from "../report/words.ts";
import {
  COMPLETE,
  formatNear,
  type HostRow,
  leastBy,
  lostShare,
  MIB,
  mostHeldBytes,
  runOnHost,
  settingOfSession,
} from "./hosts.ts";
import { type CostTables, question } from "./question.ts";

type Split = "GUP" | "stage 2" | "public GUP";

interface Cell {
  readonly split: Split;
  readonly policy: string;
  readonly session: number;
  readonly [key: string]: string | number;
}

const SPLITS: readonly Split[] = ["GUP", "stage 2", "public GUP"];
const V6 = "pin-on-enable";
const OURS = "adaptive";
const POLICIES = [V6, "until-changed", OURS, "bounce-ahead", "window"] as const;
const SESSIONS = [
  { scenario: "thread-b", bufferBytes: 256 * MIB, periodOps: 4_096, vcpus: 1, spareCpu: true },
  { scenario: "task-50ms", bufferBytes: 4 * MIB, periodOps: 1_024, vcpus: 1, spareCpu: true },
  { scenario: "system-50ms", bufferBytes: 4 * MIB, periodOps: 1_024, vcpus: 4, spareCpu: false },
] as const;
const NAMES = ["the thread's second command", "a task, 4 MiB", "all CPUs, 4 MiB, none to spare"] as const;

/** What is charged: the pair as GUP's; as stage 2's, with GUP's own at the public figures; or the public figures alone. */
function costsOf(split: Split, tables: CostTables): CostTable {
  const pair = tables.of("thread-normal");
  const known = tables.of("gup-public");
  switch (split) {
    case "GUP":
      return pair;
    case "public GUP":
      return known;
    case "stage 2":
      return {
        ...pair,
        pinPage: known.pinPage,
        unpinPage: known.unpinPage,
        stage2Leaf: pair.stage2Leaf + Math.max(0, pair.pinPage - known.pinPage),
        stage2Unmap: pair.stage2Unmap + Math.max(0, pair.unpinPage - known.unpinPage),
      };
  }
}

export const q26 = question<Cell, HostRow>({
  number: 26,
  title: "The split: does it matter what the thread's 0.04 s are made of?",
  asked:
    "One pin and unpin of a session takes 0.04 s, of which nobody has said how much is GUP, stage 2 or the walk. Public figures of " +
    "GUP (62 and 15 ns a page) are a sixteenth of what the profile takes for it. Does the choice of a policy depend on that?",
  origin:
    "James Clark, 9 January 2026, gives the pair; Linux commit a03db236 has gup_test's figures for longterm pins of base pages.",
  leavesOut: [
    "A fourth split, with the time in accounting or in locks: it would be charged per page as well.",
    "Only the first split gives the thread's own 4 s: v6 leaves a page mapped at stage 2 when it unpins it, so what mapping costs is paid once, and at the public figures nothing is left that takes as long. Something that neither has took the time there.",
  ],
  decidedBy: "pinPage",
  cells: () =>
    SPLITS.flatMap((split) =>
      SESSIONS.flatMap((_, session) => POLICIES.map((policy) => ({ split, policy, session }))),
    ),
  run: ({ split, policy, session }, costTables) =>
    runOnHost(settingOfSession(SESSIONS[session]!), policyNamed(policy), costsOf(split, costTables)),
  answer(rows) {
    const of = (split: Split, policy: string, session: number): HostRow => {
      const found = rows.find(
        ({ cell }) => cell.split === split && cell.policy === policy && cell.session === session,
      );
      if (found === undefined) throw new Error(`no row for ${split}, ${policy}, ${session}`);
      return found.row;
    };
    const best = (split: Split, session: number): string =>
      leastBy(
        POLICIES.filter(
          (policy) =>
            lostShare(of(split, policy, session)) <= COMPLETE &&
            of(split, policy, session).peakBytes <= mostHeldBytes(SESSIONS[session]!),
        ),
        (policy) => of(split, policy, session).slowdown,
      ) ?? "none";
    const numbers = SESSIONS.map((_, i) => i);
    const turning = numbers.filter((i) => new Set(SPLITS.map((split) => best(split, i))).size > 1);
    const fewer = (split: Split): number => Math.max(...numbers.map((i) => of(split, OURS, i).slowdown));
    const cheap = (split: Split, session: number): string =>
      leastBy([...POLICIES], (policy) => of(split, policy, session).hostCpuNs) ?? "none";
    return {
      headline:
        `The fastest policy ${turning.length === 0 ? "is the same whatever the pair is made of" : `changes with what the pair is made of in ${turning.length} of ${SESSIONS.length} cases`}; ` +
        `${OURS} takes at most ${listed(SPLITS.map((split) => `${formatNear(fewer(split))} times with ${split}`))}, v6 ${listed(SPLITS.map((split) => formatFactor(of(split, V6, 0).slowdown)))} times on the thread's second command.`,
      sentences: [
        ...numbers.map(
          (i) =>
            `${NAMES[i]}: fastest ${listed(SPLITS.map((split) => `${best(split, i)} (${split})`))}; least host CPU ${listed(SPLITS.map((split) => `${cheap(split, i)} (${split})`))}.`,
        ),
        '"GUP" takes the pair for GUP, as the profile thread-normal does; "stage 2" takes GUP at the public figures and the rest of the pair for mapping and unmapping; "public GUP" is the profile gup-public, without that rest.',
      ],
      table: {
        columns: [
          "case",
          "policy",
          ...SPLITS.map((split) => `${split}: slowdown`),
          ...SPLITS.map((split) => `${split}: host CPU`),
        ],
        rows: numbers.flatMap((i) =>
          POLICIES.map((policy) => [
            NAMES[i] as string,
            policy,
            ...SPLITS.map((split) => formatNear(of(split, policy, i).slowdown)),
            ...SPLITS.map((split) =>
              formatShare(of(split, policy, i).hostCpuNs, of(split, policy, i).vcpuNs),
            ),
          ]),
        ),
      },
      charts: [
        {
          title: "All CPUs, 4 MiB, none to spare: longer than on bare metal",
          kind: "bar",
          x: { name: "policy", scale: "categories" },
          y: { name: "longer by (%)", scale: "linear" },
          series: SPLITS.map((split) => ({
            name: split,
            points: POLICIES.map((policy) => [policy, (of(split, policy, 2).slowdown - 1) * 100] as const),
          })),
        },
      ],
    };
  },
});
