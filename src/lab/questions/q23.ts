/** Question 23: who pays. All CPU time that the host spends, on whatever CPU. */
import { formatBytes, formatNs } from "../../common/sizes.ts";
import { policyNamed } from "../policies.ts";
import { formatFactor, formatShare } from "../report/words.ts";
import {
  COMPLETE,
  formatNear,
  type HostRow,
  KIB,
  leastBy,
  lostShare,
  MIB,
  mostBy,
  mostHeldBytes,
  runOnHost,
  settingOfSession,
} from "./hosts.ts";
import { question } from "./question.ts";

interface Cell {
  readonly policy: string;
  readonly session: number;
  readonly [key: string]: string | number;
}

const PROFILE = "thread-normal";
const OURS = "adaptive";
const RIVAL = "bounce-ahead";
const POLICIES = ["pin-on-enable", "until-changed", OURS, RIVAL, "window", "fault", "prefault"] as const;
const SESSIONS = [
  { scenario: "task-50ms", bufferBytes: 128 * KIB, periodOps: 4_096, vcpus: 1 },
  { scenario: "task-50ms", bufferBytes: 4 * MIB, periodOps: 4_096, vcpus: 1 },
  { scenario: "system-50ms", bufferBytes: 4 * MIB, periodOps: 1_024, vcpus: 4 },
  { scenario: "system-50ms", bufferBytes: 256 * MIB, periodOps: 4_096, vcpus: 4 },
] as const;
const nameOf = (session: (typeof SESSIONS)[number]): string =>
  `${session.scenario}, ${formatBytes(session.bufferBytes)}, ${session.periodOps.toLocaleString("en")}, ${session.vcpus} vCPU${session.vcpus === 1 ? "" : "s"}`;

export const q23 = question<Cell, HostRow>({
  number: 23,
  title: "Who pays: what does profiling take of the host's CPUs in all?",
  asked:
    "A slowdown counts what stops a vCPU. What a worker does elsewhere costs somebody else. How much CPU time does each policy " +
    "take of the host in all, and how much of it is on no vCPU?",
  origin: "Asked of the window, whose slowdown is small since a worker pins.",
  leavesOut: [
    "What v7 does before the guest starts (prefault: setup), which is paid once and by memory that stays taken.",
    "What others do without the memory that is pinned.",
    "perf's reader in the guest, which costs the same under each policy.",
  ],
  decidedBy: "pinPage",
  cells: () => SESSIONS.flatMap((_, session) => POLICIES.map((policy) => ({ policy, session }))),
  run: ({ policy, session }, costTables) =>
    runOnHost(
      settingOfSession({ ...SESSIONS[session]!, spareCpu: true }),
      policyNamed(policy),
      costTables.of(PROFILE),
    ),
  answer(rows) {
    const of = (policy: string, session: number): HostRow => {
      const found = rows.find(({ cell }) => cell.policy === policy && cell.session === session);
      if (found === undefined) throw new Error(`no row for ${policy}, ${session}`);
      return found.row;
    };
    const sound = (policy: string, session: number): boolean =>
      lostShare(of(policy, session)) <= COMPLETE &&
      of(policy, session).peakBytes <= mostHeldBytes(SESSIONS[session]!);
    const cheapest = SESSIONS.map((_, session) =>
      leastBy(
        POLICIES.filter((policy) => sound(policy, session)),
        (policy) => of(policy, session).hostCpuNs,
      ),
    );
    const wins = (policy: string): number => cheapest.filter((name) => name === policy).length;
    const first = mostBy([...POLICIES], wins);
    const ratio = (session: number): number => of(OURS, session).hostCpuNs / of(RIVAL, session).hostCpuNs;
    const numbers = SESSIONS.map((_, i) => i);
    const furthest = mostBy(numbers, ratio);
    const elsewhere = mostBy(
      numbers,
      (session) => of(OURS, session).elsewhereNs / of(OURS, session).hostCpuNs,
    );
    return {
      headline:
        `${first} takes the least CPU time of the host in ${wins(first)} of ${SESSIONS.length} sessions, of those that lose nothing and hold no more than the buffers; ` +
        `${OURS} takes ${formatFactor(ratio(furthest))} times what ${RIVAL} does where that is most, and ${formatFactor(Math.min(...numbers.map(ratio)))} times where it is least.`,
      sentences: [
        `Up to ${formatShare(of(OURS, elsewhere).elsewhereNs, of(OURS, elsewhere).hostCpuNs)} of what ${OURS} takes is on no vCPU: where the host has CPUs to spare, the guest does not see it (${formatNear(of(OURS, furthest).slowdown)} times bare metal in ${nameOf(SESSIONS[furthest]!)}, ${RIVAL} ${formatNear(of(RIVAL, furthest).slowdown)}).`,
        `By session the cheapest: ${SESSIONS.map((session, i) => `${cheapest[i] ?? "none"} in ${nameOf(session)}`).join("; ")}.`,
        `prefault takes next to nothing then, and ${formatBytes(of("prefault", 0).peakBytes)} or more for good.`,
      ],
      table: {
        columns: [
          "session",
          "policy",
          "host CPU",
          "of the vCPUs' time",
          "on no vCPU",
          "slowdown",
          "lost",
          "most pinned",
        ],
        rows: SESSIONS.flatMap((session, i) =>
          POLICIES.map((policy) => {
            const row = of(policy, i);
            return [
              nameOf(session),
              policy,
              formatNs(row.hostCpuNs),
              formatShare(row.hostCpuNs, row.vcpuNs),
              formatShare(row.elsewhereNs, row.hostCpuNs),
              formatNear(row.slowdown),
              formatShare(row.lost, row.selected),
              formatBytes(row.peakBytes),
            ];
          }),
        ),
      },
      charts: [
        {
          title: "Host CPU in all, of the vCPUs' time",
          kind: "bar",
          x: { name: "policy", scale: "categories" },
          y: { name: "%", scale: "linear" },
          series: SESSIONS.map((session, i) => ({
            name: nameOf(session),
            points: POLICIES.map(
              (policy) => [policy, (100 * of(policy, i).hostCpuNs) / of(policy, i).vcpuNs] as const,
            ),
          })),
        },
      ],
    };
  },
});
