/** Question 22: a host whose CPUs are all vCPUs'. */
import { formatBytes } from "../../common/sizes.ts";
import { policyNamed } from "../policies.ts";
import { formatShare, listed } from "../report/words.ts";
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
import { question } from "./question.ts";

interface Cell {
  readonly policy: string;
  readonly periodOps: number;
  readonly spareCpu: boolean;
  readonly [key: string]: string | number | boolean;
}

const PROFILE = "thread-normal";
const BUFFER_BYTES = 4 * MIB;
const VCPUS = 4;
const SCENARIO = "system-50ms";
const PERIODS = [1_024, 4_096, 65_536] as const;
const OURS = "adaptive";
const POLICIES = [OURS, "bounce-ahead", "window", "until-changed", "fault", "prefault"] as const;
/** Those that the guest finds out about where FEAT_FGT is missing. */
const NEEDS_FGT: readonly string[] = ["bounce-ahead"];

export const q22 = question<Cell, HostRow>({
  number: 22,
  title: "No CPU to spare: who pays for a worker then?",
  asked:
    "Where a host's CPUs all run vCPUs, what a worker, a timer or a reader does is the vCPUs' own time. Which policy is cheapest " +
    "there, with FEAT_FGT and without?",
  origin:
    "Asked of the window: its slowdown counted only the vCPUs' time, and its worker had a CPU of its own.",
  leavesOut: [
    "Caches and the scheduler: what a worker pushes out, and how long a vCPU waits that it has preempted.",
    "perf's reader, which runs on no vCPU's time here.",
  ],
  decidedBy: "pinPage",
  cells: () =>
    PERIODS.flatMap((periodOps) =>
      POLICIES.flatMap((policy) => [true, false].map((spareCpu) => ({ policy, periodOps, spareCpu }))),
    ),
  run: ({ policy, periodOps, spareCpu }, costTables) =>
    runOnHost(
      settingOfSession({ scenario: SCENARIO, bufferBytes: BUFFER_BYTES, periodOps, vcpus: VCPUS, spareCpu }),
      policyNamed(policy),
      costTables.of(PROFILE),
    ),
  answer(rows) {
    const of = (policy: string, periodOps: number, spareCpu: boolean): HostRow => {
      const found = rows.find(
        ({ cell }) => cell.policy === policy && cell.periodOps === periodOps && cell.spareCpu === spareCpu,
      );
      if (found === undefined) throw new Error(`no row for ${policy}, ${periodOps}`);
      return found.row;
    };
    const session = { vcpus: VCPUS, bufferBytes: BUFFER_BYTES };
    /** Loses next to nothing, and holds no more than the buffers. */
    const sound = (policy: string, periodOps: number): boolean => {
      const row = of(policy, periodOps, false);
      return lostShare(row) <= COMPLETE && row.peakBytes <= mostHeldBytes(session);
    };
    const best = (periodOps: number, policies: readonly string[]): string | undefined =>
      leastBy(
        policies.filter((policy) => sound(policy, periodOps)),
        (policy) => of(policy, periodOps, false).slowdown,
      );
    const without = POLICIES.filter((policy) => !NEEDS_FGT.includes(policy));
    const [shortest] = PERIODS;
    const told = (policy: string | undefined): string =>
      policy === undefined ? "none" : `${policy} (${formatNear(of(policy, shortest, false).slowdown)} times)`;
    const winners = [...new Set(PERIODS.map((period) => best(period, POLICIES)))].filter(
      (name) => name !== undefined,
    );
    const [first] = winners;
    return {
      headline:
        `Without a CPU to spare the cheapest policy that loses nothing and holds no more than the buffers is ${told(best(shortest, POLICIES))} at a period of ${shortest.toLocaleString("en")}, and without FEAT_FGT ${told(best(shortest, without))}; ` +
        `${winners.length === 1 ? `${first} is the cheapest at the other periods, too` : `over the periods it is ${listed(winners)}`}.`,
      sentences: [
        `${OURS} takes ${PERIODS.map((period) => `${formatNear(of(OURS, period, true).slowdown)} times with CPUs to spare and ${formatNear(of(OURS, period, false).slowdown)} without at ${period.toLocaleString("en")}`).join("; ")}.`,
        `prefault takes ${formatNear(of("prefault", shortest, false).slowdown)} at ${shortest.toLocaleString("en")} and holds ${formatBytes(of("prefault", shortest, false).peakBytes)}; fault loses ${formatShare(of("fault", shortest, false).lost, of("fault", shortest, false).selected)}.`,
        `${VCPUS} busy vCPUs, buffers of ${formatBytes(BUFFER_BYTES)} each.`,
      ],
      table: {
        columns: [
          "period",
          "policy",
          "with CPUs to spare",
          "without",
          "lost without",
          "host CPU, of the vCPUs' time",
          "most pinned",
        ],
        rows: PERIODS.flatMap((period) =>
          POLICIES.map((policy) => {
            const row = of(policy, period, false);
            return [
              period.toLocaleString("en"),
              policy,
              formatNear(of(policy, period, true).slowdown),
              formatNear(row.slowdown),
              formatShare(row.lost, row.selected),
              formatShare(row.hostCpuNs, row.vcpuNs),
              formatBytes(row.peakBytes),
            ];
          }),
        ),
      },
      charts: [
        {
          title: "Longer than on bare metal, without a CPU to spare",
          kind: "line",
          x: { name: "period (operations)", scale: "log" },
          y: { name: "longer by (%)", scale: "linear" },
          series: POLICIES.map((policy) => ({
            name: policy,
            points: PERIODS.map(
              (period) => [period, (of(policy, period, false).slowdown - 1) * 100] as const,
            ),
          })),
        },
      ],
    };
  },
});
