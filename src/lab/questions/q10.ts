/** Question 10: buffer sizes. On the host bigger buffers cost less; under v6 they cost more. */
import { formatBytes } from "../../common/sizes.ts";
import { READER } from "../../guest/driver.ts";
import { DEFAULT_EVENT } from "../../guest/spe-event.ts";
import { policyNamed } from "../policies.ts";
import { formatCount, formatFactor, formatShare, listed } from "../report/words.ts";
import { settingOf } from "../scenarios.ts";
import { toggling } from "../schedules.ts";
import { trial } from "../trial.ts";
import { question } from "./question.ts";

interface Cell {
  readonly policy: string;
  readonly bufferBytes: number;
  readonly [key: string]: string | number;
}
interface Row {
  readonly wallNs: number;
  readonly bareMetalNs: number;
  /** What the task runs, without the driver. */
  readonly runNs: number;
  /** How often perf's reader is woken: counted, half a buffer each. */
  readonly wakeUps: number;
  readonly lostOnBareMetal: number;
  readonly lost: number;
  readonly selected: number;
  readonly [key: string]: number;
}

const KIB = 1024;
const SIZES = [64, 256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576].map((kib) => kib * KIB);
const V6 = "pin-on-enable";
const POLICIES = [V6, "until-changed", "bounce-ahead", "adaptive", "prefault"] as const;
const THE_HINT = 4 * KIB * KIB;
const SEED = 1;
const PROFILE = "thread-normal";
const RECORD_BYTES = 64;
const TOGGLES = 200;
const RUN_NS = 2_000_000;
const GAP_NS = 500_000;
/** What waking perf up takes of a CPU: two switches, poll, the mmap page. Assumed; its copying does not depend on the size. */
const WAKE_UP_NS = 10_000;
const USABLE = 1.2;
/** Two overheads closer than this, in shares of the run time, are the same. */
const SAME = 0.002;

export const q10 = question<Cell, Row>({
  number: 10,
  title: "Buffer sizes: where does v6 lose what a big buffer saves?",
  asked:
    "On the host a bigger buffer means fewer interrupts and wake-ups, so profiling gets cheaper. Under v6 it means more " +
    "pages to pin at each switch. Where do the two cross, which policy gives the host's slope back, and is 4 MiB fine?",
  origin:
    "James Clark, 9 January 2026, reply to v6 29/35, on what a limit of the buffer's size would mean; perf's own default is 4 MiB for root.",
  leavesOut: [
    `perf's reader runs beside the task here, on no vCPU's time; each of its wake-ups is counted with ${WAKE_UP_NS / 1_000} us (assumed).`,
    "What perf does with the data: writing the file costs the same whatever the buffer's size.",
    "Caches: a small buffer stays in them, a big one does not.",
  ],
  decidedBy: "pinPage",
  cells: () => POLICIES.flatMap((policy) => SIZES.map((bufferBytes) => ({ policy, bufferBytes }))),
  run({ policy, bufferBytes }, costTables) {
    const schedule = toggling({ count: TOGGLES, runNs: RUN_NS, gapNs: GAP_NS });
    const setting = settingOf("sizes", schedule, DEFAULT_EVENT, bufferBytes, SEED);
    const run = trial({ setting, policy: policyNamed(policy), costs: costTables.of(PROFILE) });
    const { samples } = run;
    return {
      wallNs: run.guestWallNs,
      bareMetalNs: run.bareMetalWallNs,
      runNs: schedule.durationNs,
      wakeUps: Math.floor((samples.written * RECORD_BYTES) / (bufferBytes / 2)),
      lostOnBareMetal: run.baseline.lostWhileFull,
      lost: samples.lostInBlackout,
      selected: samples.selected,
    };
  },
  answer(rows) {
    const of = (policy: string, bufferBytes: number): Row => {
      const found = rows.find(({ cell }) => cell.policy === policy && cell.bufferBytes === bufferBytes);
      if (found === undefined) throw new Error(`no row for ${policy}, ${bufferBytes}`);
      return found.row;
    };
    const wakeUps = (row: Row): number => row.wakeUps * WAKE_UP_NS;
    /** What profiling takes of the run: on bare metal, and what the hypervisor adds. */
    const host = (row: Row): number => (row.bareMetalNs - row.runNs + wakeUps(row)) / row.runNs;
    const added = (row: Row): number => (row.wallNs - row.bareMetalNs) / row.runNs;
    const total = (row: Row): number => host(row) + added(row);
    const largest = SIZES.at(-1) as number;
    const smallest = SIZES[0] as number;
    const cross = SIZES.find((bytes) => added(of(V6, bytes)) > host(of(V6, bytes)));
    const cheapest = SIZES.reduce((a, b) => (total(of(V6, b)) < total(of(V6, a)) - SAME ? b : a));
    const restores = POLICIES.filter(
      (policy) =>
        policy !== V6 &&
        SIZES.every(
          (bytes, i) =>
            i === 0 || total(of(policy, bytes)) <= total(of(policy, SIZES[i - 1] as number)) + SAME,
        ),
    );
    const hint = of(V6, THE_HINT);
    const hintTimes = hint.wallNs / hint.bareMetalNs;
    const fine = hintTimes < USABLE ? "is usable" : "is not usable";
    const share = (part: number): string => formatShare(Math.max(0, part), 1);
    return {
      headline:
        `${cross === undefined ? "v6 never costs more than profiling itself" : `From ${formatBytes(cross)} on v6 costs more than profiling itself does`}: ` +
        `${formatBytes(THE_HINT)} ${fine} (${formatFactor(hintTimes)} times bare metal), and ` +
        `${restores.length === 0 ? "no policy gives" : `${listed(restores)} ${restores.length === 1 ? "gives" : "give"}`} the host's slope back.`,
      sentences: [
        `On the host profiling takes ${share(host(of(V6, smallest)))} of the time with ${formatBytes(smallest)} and ${share(host(of(V6, largest)))} with ${formatBytes(largest)}; v6 adds ${share(added(of(V6, smallest)))} and ${formatFactor(added(of(V6, largest)))} times the whole run.`,
        `Under v6 the cheapest buffer has ${formatBytes(cheapest)}. With it ${share(of(V6, cheapest).lostOnBareMetal / Math.max(1, of(V6, cheapest).selected))} of the samples are lost to a full buffer on bare metal already, with ${formatBytes(smallest)} ${share(of(V6, smallest).lostOnBareMetal / Math.max(1, of(V6, smallest).selected))}: the reader comes ${READER.wakeUpNs / 1e6} ms after its wake-up.`,
        `At ${formatBytes(256 * KIB * KIB)} profiling takes ${POLICIES.map((policy) => `${share(total(of(policy, 256 * KIB * KIB)))} under ${policy}`).join(", ")}.`,
      ],
      table: {
        columns: [
          "buffer",
          "wake-ups",
          "full on bare metal",
          "host",
          ...POLICIES.map((policy) => `+ ${policy}`),
        ],
        rows: SIZES.map((bytes) => {
          const row = of(V6, bytes);
          return [
            formatBytes(bytes),
            formatCount(row.wakeUps),
            formatShare(row.lostOnBareMetal, row.selected),
            share(host(row)),
            ...POLICIES.map((policy) => share(added(of(policy, bytes)))),
          ];
        }),
      },
      charts: [
        {
          title: "What profiling takes of the run time",
          kind: "line",
          x: { name: "buffer (KiB)", scale: "log" },
          y: { name: "% of the run time", scale: "log" },
          series: [
            {
              name: "host",
              points: SIZES.map((bytes) => [bytes / KIB, 100 * host(of(V6, bytes))] as const),
            },
            ...POLICIES.map((policy) => ({
              name: policy,
              points: SIZES.map((bytes) => [bytes / KIB, 100 * total(of(policy, bytes))] as const),
            })),
          ],
        },
      ],
    };
  },
});
