/** Question 25: many vCPUs that are profiled at once. */
import { formatBytes } from "../../common/sizes.ts";
import { policyNamed } from "../policies.ts";
import { formatShare } from "../report/words.ts";
import { COMPLETE, formatNear, type HostRow, lostShare, MIB, runOnHost, settingOfSession } from "./hosts.ts";
import { question } from "./question.ts";

interface Cell {
  readonly policy: string;
  readonly vcpus: number;
  readonly [key: string]: string | number;
}

const PROFILE = "thread-normal";
const OURS = "adaptive";
const POLICIES = [OURS, "bounce-ahead", "window", "fault"] as const;
const VCPUS = [1, 2, 4, 8, 16] as const;
const BUFFER_BYTES = 16 * MIB;
const PERIOD_OPS = 1_024;
const SCENARIO = "system-20ms";
/** More than this beside one vCPU's, and they are in each other's way. */
const SAME = 0.01;

export const q25 = question<Cell, HostRow>({
  number: 25,
  title: "Many vCPUs: does a window for each scale?",
  asked:
    "`perf record -a` profiles every vCPU at once. Each has a window and a worker of its own, and all share the VM's mm, its mmap " +
    "lock and its stage 2. Do up to 16 of them get in each other's way?",
  origin:
    "Asked of the window: with one worker for the VM, 16 vCPUs lost 4.6 % of their samples on a normal kernel.",
  leavesOut: [
    "Locks are waited for by those who come later; cache lines that go back and forth between their holders cost nothing here.",
    "A host without a CPU for each worker: question 22 is about that.",
  ],
  decidedBy: "pinPage",
  cells: () => POLICIES.flatMap((policy) => VCPUS.map((vcpus) => ({ policy, vcpus }))),
  run: ({ policy, vcpus }, costTables) =>
    runOnHost(
      settingOfSession({
        scenario: SCENARIO,
        bufferBytes: BUFFER_BYTES,
        periodOps: PERIOD_OPS,
        vcpus,
        spareCpu: true,
      }),
      policyNamed(policy),
      costTables.of(PROFILE),
    ),
  answer(rows) {
    const of = (policy: string, vcpus: number): HostRow => {
      const found = rows.find(({ cell }) => cell.policy === policy && cell.vcpus === vcpus);
      if (found === undefined) throw new Error(`no row for ${policy}, ${vcpus}`);
      return found.row;
    };
    const most = VCPUS[VCPUS.length - 1]!;
    const [one, all] = [of(OURS, 1), of(OURS, most)];
    const share = (row: HostRow): string => formatShare(row.lost, row.selected);
    const cpu = (row: HostRow): number => row.hostCpuNs / row.vcpuNs;
    const scales = (policy: string): boolean =>
      of(policy, most).slowdown - of(policy, 1).slowdown < SAME && lostShare(of(policy, most)) <= COMPLETE;
    return {
      headline:
        `From 1 to ${most} vCPUs ${OURS} goes from ${formatNear(one.slowdown)} to ${formatNear(all.slowdown)} times bare metal, from ${formatShare(cpu(one), 1)} to ${formatShare(cpu(all), 1)} of a host CPU for each vCPU, and loses ${share(all)} at ${most}: ` +
        `${scales(OURS) ? "it scales" : "they are in each other's way"}.`,
      sentences: [
        `The others go to ${POLICIES.filter((policy) => policy !== OURS)
          .map(
            (policy) =>
              `${formatNear(of(policy, most).slowdown)} (${policy}, ${share(of(policy, most))} lost)`,
          )
          .join(", ")}.`,
        `${OURS} pins ${formatBytes(all.peakBytes / most)} for each of ${most} vCPUs at most, ${formatBytes(one.peakBytes)} for a single one.`,
        `Every vCPU busy for 20 ms, a sample each ${PERIOD_OPS.toLocaleString("en")} operations, a buffer of ${formatBytes(BUFFER_BYTES)} each.`,
      ],
      table: {
        columns: ["policy", "vCPUs", "slowdown", "lost", "host CPU, of the vCPUs' time", "pinned, each vCPU"],
        rows: rows.map(({ cell, row }) => [
          cell.policy,
          String(cell.vcpus),
          formatNear(row.slowdown),
          share(row),
          formatShare(cpu(row), 1),
          formatBytes(Math.round(row.peakBytes / cell.vcpus)),
        ]),
      },
      charts: [
        {
          title: "Longer than on bare metal, by vCPUs",
          kind: "line",
          x: { name: "vCPUs", scale: "log" },
          y: { name: "longer by (%)", scale: "log" },
          series: POLICIES.map((policy) => ({
            name: policy,
            points: VCPUS.map(
              (vcpus) => [vcpus, Math.max(0.01, (of(policy, vcpus).slowdown - 1) * 100)] as const,
            ),
          })),
        },
      ],
    };
  },
});
