/** Question 24: the buffers that perf asks for when nobody says how large. */
import { formatBytes } from "../../common/sizes.ts";
import { policyNamed } from "../policies.ts";
import { THRESHOLDS } from "../report/verdicts.ts";
import { formatFactor, formatShare, listed } from "../report/words.ts";
import {
  formatNear,
  type HostRow,
  KIB,
  lostShare,
  MIB,
  mostBy,
  runOnHost,
  settingOfSession,
} from "./hosts.ts";
import { question } from "./question.ts";

interface Cell {
  readonly policy: string;
  readonly scenario: string;
  readonly bufferBytes: number;
  readonly [key: string]: string | number;
}

const PROFILE = "thread-normal";
const V6 = "pin-on-enable";
const OURS = "adaptive";
const POLICIES = [V6, "until-changed", OURS, "bounce-ahead", "fault"] as const;
const DEFAULTS = [128 * KIB, 4 * MIB] as const;
const SIZES = [...DEFAULTS, 256 * MIB] as const;
/** Switches a thousand times; one task; all CPUs. */
const SCENARIOS = ["thread-b-sampling", "task-300ms", "system-300ms"] as const;
const PERIOD_OPS = 4_096;
const vcpusOf = (scenario: string): number => (scenario.startsWith("system") ? 2 : 1);

export const q24 = question<Cell, HostRow>({
  number: 24,
  title: "Default buffers: does any of this matter at 128 KiB and 4 MiB?",
  asked:
    "perf takes 128 KiB where a user records and 4 MiB where root does. A small buffer is quickly pinned and quickly full: its LIMIT " +
    "comes again and again. Which policies are usable there, and which lose samples at each LIMIT?",
  origin:
    "The thread's buffer is 256 MiB. James Clark (9 January 2026): a larger buffer is the normal reaction to profiling overheads, and makes it worse in a VM.",
  leavesOut: [
    "perf's reader copies without taking a vCPU's time; a slow one loses samples on bare metal, too.",
  ],
  decidedBy: "pinPage",
  cells: () =>
    SIZES.flatMap((bufferBytes) =>
      SCENARIOS.flatMap((scenario) => POLICIES.map((policy) => ({ policy, scenario, bufferBytes }))),
    ),
  run({ policy, scenario, bufferBytes }, costTables) {
    const setting = settingOfSession({
      scenario,
      bufferBytes,
      periodOps: PERIOD_OPS,
      vcpus: vcpusOf(scenario),
      spareCpu: true,
    });
    return runOnHost(setting, policyNamed(policy), costTables.of(PROFILE));
  },
  answer(rows) {
    const of = (policy: string, bufferBytes: number) =>
      rows.filter(({ cell }) => cell.policy === policy && cell.bufferBytes === bufferBytes);
    const slowest = (policy: string, bufferBytes: number): number =>
      Math.max(...of(policy, bufferBytes).map(({ row }) => row.slowdown));
    const worst = (policy: string, bufferBytes: number): HostRow =>
      mostBy(of(policy, bufferBytes), ({ row }) => lostShare(row)).row;
    const lost = (policy: string, bufferBytes: number): string => {
      const row = worst(policy, bufferBytes);
      return formatShare(row.lost, row.selected);
    };
    const usable = (policy: string): boolean =>
      DEFAULTS.every((bytes) => slowest(policy, bytes) < THRESHOLDS.usableSlowdown);
    const nearly = (policy: string): boolean =>
      DEFAULTS.every((bytes) => lostShare(worst(policy, bytes)) < THRESHOLDS.nearlyCompleteLoss);
    const fine = POLICIES.filter((policy) => usable(policy) && nearly(policy));
    const by = (policy: string): string =>
      DEFAULTS.map((bytes) => `${formatFactor(slowest(policy, bytes))} times at ${formatBytes(bytes)}`).join(
        " and ",
      );
    const unusableFrom = SIZES.find((bytes) => slowest(V6, bytes) >= THRESHOLDS.usableSlowdown);
    return {
      headline:
        `At perf's default buffers v6 takes up to ${by(V6)}, and is ${unusableFrom === undefined ? "usable at any size here" : `past ${THRESHOLDS.usableSlowdown} times from ${formatBytes(unusableFrom)} on`}; ` +
        `${OURS} takes up to ${by(OURS)} and loses ${lost(OURS, DEFAULTS[0])} and ${lost(OURS, DEFAULTS[1])} of the samples at most.`,
      sentences: [
        `Below ${THRESHOLDS.usableSlowdown} times and with less than ${THRESHOLDS.nearlyCompleteLoss * 100} % lost at both: ${fine.length === 0 ? "none" : listed(fine)}.`,
        `With ${formatBytes(SIZES[2])} v6 takes up to ${formatFactor(slowest(V6, SIZES[2]))} times, ${OURS} ${formatFactor(slowest(OURS, SIZES[2]))}.`,
        `What ${OURS} pins is at most ${SIZES.map((bytes) => `${formatBytes(mostBy(of(OURS, bytes), ({ row }) => row.peakBytes).row.peakBytes)} of ${formatBytes(bytes)} for each vCPU`).join(", ")}, over ${vcpusOf("system")} vCPUs at most.`,
      ],
      table: {
        columns: ["buffer", "session", "policy", "slowdown", "lost", "blackouts", "most pinned"],
        rows: rows.map(({ cell, row }) => [
          formatBytes(cell.bufferBytes),
          cell.scenario,
          cell.policy,
          formatNear(row.slowdown),
          formatShare(row.lost, row.selected),
          row.blackouts.toLocaleString("en"),
          formatBytes(row.peakBytes),
        ]),
      },
      charts: [
        {
          title: "The worst slowdown by buffer",
          kind: "line",
          x: { name: "buffer (KiB)", scale: "log" },
          y: { name: "longer by (%)", scale: "log" },
          series: POLICIES.map((policy) => ({
            name: policy,
            points: SIZES.map(
              (bytes) => [bytes / KIB, Math.max(0.01, (slowest(policy, bytes) - 1) * 100)] as const,
            ),
          })),
        },
      ],
    };
  },
});
