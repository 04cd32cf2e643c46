/** Question 21: host workers that are late. */
import { PAGE_BYTES } from "../../common/address.ts";
import { formatBytes, formatNs } from "../../common/sizes.ts";
import { policyNamed } from "../policies.ts";
import { formatShare } from "../report/words.ts";
import {
  COMPLETE,
  formatNear,
  type HostRow,
  lostShare,
  MIB,
  mostBy,
  runOnHost,
  settingOfSession,
} from "./hosts.ts";
import { question } from "./question.ts";

interface Cell {
  readonly scenario: string;
  readonly policy: string;
  /** Times the profile's own delay. */
  readonly times: number;
  readonly [key: string]: string | number;
}
interface Row extends HostRow {
  readonly wakeNs: number;
}

const PROFILE = "thread-normal";
const RECORD_BYTES = 64;
const BUFFER_BYTES = 256 * MIB;
const PERIOD_OPS = 1_024;
/** From the profile's 10 us to a scheduler's slice on a busy host. */
const TIMES = [1, 10, 100, 1_000] as const;
const OURS = "adaptive";
const POLICIES = [OURS, "bounce-ahead", "fault"] as const;
const SCENARIOS = [
  ["task-50ms", 1],
  ["system-50ms", 4],
] as const;
const sessionOf = (scenario: string) => ({
  scenario,
  bufferBytes: BUFFER_BYTES,
  periodOps: PERIOD_OPS,
  vcpus: SCENARIOS.find(([name]) => name === scenario)?.[1] ?? 1,
  spareCpu: true,
});

/** How many pages were pinned for each that was written: those ahead of the pointer and tables count as well. */
const pinnedFor = (row: Row): number =>
  row.pagesPinned / Math.max(1, (row.written * RECORD_BYTES) / PAGE_BYTES);
const MOST = 0.5;

export const q21 = question<Cell, Row>({
  number: 21,
  title: "Late workers: what does a policy lose that leaves the pinning to a worker?",
  asked:
    "A host worker starts when the scheduler lets it: after 10 us on an idle host, after milliseconds on a busy one. What does a " +
    "policy that has a worker pin lose meanwhile, beside policies that need none?",
  origin:
    "Follows from the window: the first version waited for its worker and lost a third of a short session's samples with a worker that was 10 ms late.",
  leavesOut: [
    "A worker that never comes, or one that is stuck in a migration of pages.",
    "A delay that varies: each wake-up here takes as long as the others.",
    "The host takes no page away. One that was mapped and is not pinned yet may go, which is a blackout.",
  ],
  decidedBy: "workerWake",
  cells: () =>
    SCENARIOS.flatMap(([scenario]) =>
      POLICIES.flatMap((policy) =>
        // Only the one with a worker can be late.
        (policy === OURS ? TIMES : [TIMES[0]]).map((times) => ({ scenario, policy, times })),
      ),
    ),
  run({ scenario, policy, times }, costTables) {
    const costs = costTables.of(PROFILE);
    const wakeNs = costs.workerWake * times;
    return {
      ...runOnHost(settingOfSession(sessionOf(scenario)), policyNamed(policy), {
        ...costs,
        workerWake: wakeNs,
      }),
      wakeNs,
    };
  },
  answer(rows) {
    const of = (policy: string) => rows.filter(({ cell }) => cell.policy === policy);
    const at = (times: number) => of(OURS).filter(({ cell }) => cell.times === times);
    const worst = (some: readonly { row: Row }[]): Row => mostBy(some, ({ row }) => lostShare(row)).row;
    const slowest = (some: readonly { row: Row }[]): number =>
      Math.max(...some.map(({ row }) => row.slowdown));
    const latest = at(TIMES[TIMES.length - 1]!);
    const prompt = at(TIMES[0]);
    const { wakeNs } = worst(latest);
    const least = (some: readonly { row: Row }[]): number =>
      Math.min(...some.map(({ row }) => pinnedFor(row)));
    const complete = lostShare(worst(latest)) <= COMPLETE;
    const still = least(latest) >= MOST;
    const share = (row: Row): string => formatShare(row.lost, row.selected);
    return {
      headline:
        `With a worker that is ${formatNs(wakeNs)} late ${OURS} loses ${share(worst(latest))} of a short session's samples, and fault ${share(worst(of("fault")))}: ` +
        `the profile ${complete ? "stays complete" : "is not complete any more"}, ${still ? "and most" : "but fewer than half"} of the pages that are written are pinned.`,
      sentences: [
        `What a late worker costs is pins, and not time: after ${formatNs(worst(prompt).wakeNs)} and after ${formatNs(wakeNs)} at least ${least(prompt).toFixed(2)} and ${least(latest).toFixed(2)} pages had been pinned for each that was written, those ahead of PMBPTR and tables with them; the slowdown is at most ${formatNear(slowest(prompt))} and ${formatNear(slowest(latest))}.`,
        `bounce-ahead needs no worker: it loses ${share(worst(of("bounce-ahead")))} at ${formatNear(slowest(of("bounce-ahead")))} times bare metal.`,
        `Sessions of 50 ms, a sample each ${PERIOD_OPS.toLocaleString("en")} operations, buffers of ${formatBytes(BUFFER_BYTES)}: the shorter the session, the more of it a late worker misses.`,
      ],
      table: {
        columns: [
          "session",
          "policy",
          "worker after",
          "slowdown",
          "lost",
          "blackouts",
          "pinned for each written",
          "most pinned",
        ],
        rows: rows.map(({ cell, row }) => [
          cell.scenario,
          cell.policy,
          cell.policy === OURS ? formatNs(row.wakeNs) : "-",
          formatNear(row.slowdown),
          share(row),
          String(row.blackouts),
          cell.policy === OURS ? pinnedFor(row).toFixed(2) : "-",
          formatBytes(row.peakBytes),
        ]),
      },
      charts: [
        {
          title: `Pages that ${OURS} has pinned for each that was written`,
          kind: "line",
          x: { name: "worker after (us)", scale: "log" },
          y: { name: "pages", scale: "linear" },
          series: SCENARIOS.map(([name]) => ({
            name,
            points: of(OURS)
              .filter(({ cell }) => cell.scenario === name)
              .map(({ row }) => [row.wakeNs / 1e3, pinnedFor(row)] as const),
          })),
        },
      ],
    };
  },
});
