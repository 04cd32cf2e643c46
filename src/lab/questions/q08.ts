/** Question 8: pages that are missing now and then, against pinning them all: lost samples, bias and time. */
import { randomStream } from "../../common/random.ts";
import { formatBytes, formatNs } from "../../common/sizes.ts";
import { DEFAULT_EVENT } from "../../guest/spe-event.ts";
import { randomPressure } from "../../host/pressure.ts";
import type { Setting } from "../experiment.ts";
import { policyNamed } from "../policies.ts";
import { hypervisorNs } from "../report/run.ts";
import { formatCount, formatShare } from "../report/words.ts";
import { settingOf } from "../scenarios.ts";
import { toggling } from "../schedules.ts";
import { trial } from "../trial.ts";
import { type Chart, question, type Series } from "./question.ts";

interface Cell {
  readonly sweep: "buffer" | "host" | "latency" | "period";
  readonly policy: "fault" | "pin-on-enable";
  readonly bufferBytes: number;
  /** Compaction events a second, of 32 pages each, somewhere in the guest's memory. */
  readonly eventsPerS: number;
  readonly irqLatencyNs: number;
  readonly period: number;
  readonly [key: string]: string | number;
}
interface Row {
  readonly enables: number;
  readonly faults: number;
  readonly lost: number;
  readonly selected: number;
  readonly hypervisorNs: number;
  readonly guestNs: number;
  /** Total variation distance of the sampled positions, in BINS parts of the run: from what ran, and of two runs. */
  readonly fromTruth: number;
  readonly ofTwoRuns: number;
  readonly [key: string]: number;
}

const KIB = 1024;
const MIB = 1024 ** 2;
const BUFFERS = [256 * KIB, MIB, 4 * MIB, 16 * MIB, 256 * MIB] as const;
const EVENTS_PER_S = [0, 300, 3_000, 30_000] as const;
/** Beside the base's. */
const LATENCIES_NS = [500, 10_000, 50_000] as const;
const PERIODS = [256, 4_096, 16_384] as const;
/** An interrupt that comes at once, and one that comes late. */
const SOON_NS = 2_000;
const LATE_NS = 10_000;
const PROFILE = "thread-normal";
/** Small enough for the host's events to hit the buffer. */
const MEMORY_BYTES = 256 * MIB;
const RUNS = 20;
const RUN_NS = 4_000_000;
const GAP_NS = 1_000_000;
const BINS = 20;
const SEEDS = [1, 2] as const;
/** Chances that a fault leaves PMBSR_EL1.DL set, and everything since the enable is void. */
const DL = [0.01, 0.1, 1] as const;

const BASE = { bufferBytes: 4 * MIB, eventsPerS: 3_000, irqLatencyNs: SOON_NS, period: 1_024 } as const;

function settingFor(cell: Cell, seed: number): Setting {
  const schedule = toggling({ count: RUNS, runNs: RUN_NS, gapNs: GAP_NS });
  const of = settingOf("sliced", schedule, { ...DEFAULT_EVENT, period: cell.period }, cell.bufferBytes, seed);
  const { eventsPerS } = cell;
  return {
    ...of,
    irqLatencyNs: cell.irqLatencyNs,
    memoryBytes: cell.bufferBytes > MEMORY_BYTES / 4 ? of.memoryBytes : MEMORY_BYTES,
    ...(eventsPerS === 0
      ? {}
      : { pressure: (pages: number) => randomPressure({ compact: eventsPerS }, pages, randomStream(seed)) }),
  };
}

/** Which share of the samples lies in each part of the run. */
const normed = (parts: readonly number[]): number[] => {
  const sum = parts.reduce((a, b) => a + b, 0);
  return parts.map((part) => part / Math.max(sum, Number.MIN_VALUE));
};
const distance = (a: readonly number[], b: readonly number[]): number =>
  a.reduce((sum, part, i) => sum + Math.abs(part - (b[i] as number)), 0) / 2;

/** A run, and which share of each part of it was watched. */
function watchedRun(cell: Cell, seed: number, costs: Parameters<typeof trial>[0]["costs"]) {
  const dark = new Array<number>(RUNS).fill(0);
  const setting = settingFor(cell, seed);
  const run = trial({
    setting,
    policy: policyNamed(cell.policy),
    costs,
    attach(machine) {
      for (const { truth, core } of machine.vcpus) {
        let startedNs = -1;
        let countedNs = 0;
        truth.onBlackout = (startNs, endNs) => {
          // Told again as a blackout goes on.
          const fromNs = startNs === startedNs ? countedNs : startNs;
          startedNs = startNs;
          countedNs = endNs;
          // Each slice of the task is a part of the program, wherever the hypervisor has pushed it to.
          const part = Math.min(RUNS - 1, Math.floor(core.counters().taskNs / RUN_NS));
          dark[part] = (dark[part] as number) + endNs - fromNs;
        };
      }
    },
  });
  const watched = dark.map((ns) => Math.max(0, RUN_NS - ns));
  return { run, parts: normed(watched) };
}

/** The expected share of an enable's records that DL voids, with faults evenly spread over it. */
function voided(faultsPerEnable: number, chance: number): number {
  const faults = Math.round(faultsPerEnable);
  let share = 0;
  for (let i = 1; i <= faults; i++) share += (i / (faults + 1)) * chance * (1 - chance) ** (faults - i);
  return share;
}

const lostShare = (row: Row): number => row.lost / Math.max(1, row.selected);
const timeShare = (row: Row): number => row.hypervisorNs / row.guestNs;

function sweepCells(): Cell[] {
  const base = { ...BASE, policy: "fault" as const };
  return [
    ...BUFFERS.flatMap((bufferBytes) =>
      (
        [
          ["fault", SOON_NS],
          ["fault", LATE_NS],
          ["pin-on-enable", SOON_NS],
        ] as const
      ).map(([policy, irqLatencyNs]) => ({
        ...BASE,
        sweep: "buffer" as const,
        policy,
        irqLatencyNs,
        bufferBytes,
        eventsPerS: 0,
      })),
    ),
    ...EVENTS_PER_S.map((eventsPerS) => ({ ...base, sweep: "host" as const, eventsPerS })),
    ...LATENCIES_NS.map((irqLatencyNs) => ({ ...base, sweep: "latency" as const, irqLatencyNs })),
    ...PERIODS.map((period) => ({ ...base, sweep: "period" as const, period })),
  ];
}

const LABEL: Readonly<Record<Cell["sweep"], (cell: Cell) => string>> = {
  buffer: (cell) =>
    `${formatBytes(cell.bufferBytes)}: ${cell.policy}${cell.policy === "fault" ? `, interrupt after ${formatNs(cell.irqLatencyNs)}` : ""}`,
  host: (cell) => `fault, ${formatCount(cell.eventsPerS)} host events a second`,
  latency: (cell) => `fault, interrupt after ${formatNs(cell.irqLatencyNs)}`,
  period: (cell) => `fault, a sample every ${formatCount(cell.period)} ops`,
};

/** All that the cells came to. */
type Rows = readonly { readonly cell: Cell; readonly row: Row }[];

/** The row of a buffer's size, under a policy. */
const rowOf =
  (rows: Rows) =>
  (policy: Cell["policy"], bufferBytes: number, irqLatencyNs: number = SOON_NS): Row => {
    const found = rows.find(
      ({ cell }) =>
        cell.sweep === "buffer" &&
        cell.policy === policy &&
        cell.bufferBytes === bufferBytes &&
        cell.irqLatencyNs === irqLatencyNs,
    );
    if (found === undefined) throw new Error(`no row for ${policy}, ${bufferBytes}, ${irqLatencyNs}`);
    return found.row;
  };

const inSweep = (rows: Rows, sweep: Cell["sweep"]): Rows => rows.filter(({ cell }) => cell.sweep === sweep);
const evil = (row: Row): number => lostShare(row) + timeShare(row);

const chartsOf = (rows: Rows): Chart[] => [
  {
    title: "Blackouts against pins",
    kind: "line",
    x: { name: "buffer (KiB)", scale: "log" },
    y: { name: "samples and time (%)", scale: "log" },
    series: (
      [
        ["fault", SOON_NS],
        ["fault", LATE_NS],
        ["pin-on-enable", SOON_NS],
      ] as const
    ).map(
      ([policy, irqLatencyNs]): Series => ({
        name: policy === "fault" ? `fault, ${formatNs(irqLatencyNs)}` : policy,
        points: BUFFERS.map((bytes) => [bytes / KIB, 100 * evil(rowOf(rows)(policy, bytes, irqLatencyNs))]),
      }),
    ),
  },
  {
    title: "Samples lost by fault as the host compacts",
    kind: "line",
    x: { name: "events a second", scale: "log" },
    y: { name: "%", scale: "linear" },
    series: [
      {
        name: "lost",
        points: inSweep(rows, "host")
          .filter(({ cell }) => cell.eventsPerS > 0)
          .map(({ cell, row }) => [cell.eventsPerS, 100 * lostShare(row)]),
      },
      {
        name: "two runs differ",
        points: inSweep(rows, "host")
          .filter(({ cell }) => cell.eventsPerS > 0)
          .map(({ cell, row }) => [cell.eventsPerS, 100 * row.ofTwoRuns]),
      },
    ],
  },
];

export const q08 = question<Cell, Row>({
  number: 8,
  title: "Are random blackouts better than slow pinning?",
  asked:
    "Without pins a missing page is a blackout. How many samples are lost and how biased are the rest, against the time that " +
    "pinning at each enable takes; and from which buffer size on are blackouts the smaller evil?",
  origin:
    "James Clark, 9 January 2026: without a heuristic, random blackouts almost seem preferable to slow pinning.",
  leavesOut: [
    "The program behaves the same from beginning to end. One whose phases differ turns the uneven loss into wrong shares of its functions.",
    "What PMBSR_EL1.DL voids is counted from the faults of each enable; how often hardware sets it is not known.",
    "A percent of samples and a percent of time are weighed alike here. Whoever trusts a profile may weigh samples more.",
  ],
  decidedBy: "pinPage",
  cells: sweepCells,
  run(cell, costTables) {
    const costs = costTables.of(PROFILE);
    // What is swept for its bias runs twice.
    const of = SEEDS.slice(0, cell.sweep === "buffer" ? 1 : 2).map((seed) => watchedRun(cell, seed, costs));
    const first = of[0] as (typeof of)[number];
    const second = of.at(-1) as (typeof of)[number];
    const { run } = first;
    return {
      enables: run.bufferEnables,
      faults: run.recordStage2Faults,
      // Each fault drops the record that met it.
      lost: run.samples.lostInBlackout + run.recordStage2Faults,
      selected: run.samples.selected,
      hypervisorNs: hypervisorNs(run),
      guestNs: run.guestRunNs,
      fromTruth: distance(first.parts, normed(new Array<number>(BINS).fill(1))),
      ofTwoRuns: distance(first.parts, second.parts),
    };
  },
  answer(rows) {
    const of = rowOf(rows);
    const better = (bytes: number, irqLatencyNs: number): boolean =>
      evil(of("fault", bytes, irqLatencyNs)) < evil(of("pin-on-enable", bytes));
    /** From which size on blackouts cost less than pins. */
    const says = (irqLatencyNs: number): string => {
      const from = BUFFERS.find((bytes) => BUFFERS.every((b) => b < bytes || better(b, irqLatencyNs)));
      if (from === undefined) return "at no size";
      return from === BUFFERS[0]
        ? `at every size from ${formatBytes(from)} on`
        : `from ${formatBytes(from)} of buffer on`;
    };
    const at = 4 * MIB;
    const figures = (irqLatencyNs: number): string => {
      const row = of("fault", at, irqLatencyNs);
      return `${formatShare(lostShare(row), 1)} of the samples and ${formatShare(timeShare(row), 1)} of the time with an interrupt after ${formatNs(irqLatencyNs)}`;
    };
    const worst = (sweep: Cell["sweep"]) =>
      inSweep(rows, sweep).reduce((a, b) => (lostShare(b.row) > lostShare(a.row) ? b : a));
    const biased = [...inSweep(rows, "host"), ...inSweep(rows, "latency"), ...inSweep(rows, "period")].reduce(
      (a, b) => (b.row.ofTwoRuns > a.row.ofTwoRuns ? b : a),
    );
    const host = worst("host");
    const dl = DL.map(
      (chance) =>
        `${formatShare(voided(host.row.faults / host.row.enables, chance), 1)} at a chance of ${chance}`,
    );
    return {
      headline: `Blackouts cost less than v6's pins ${says(SOON_NS)} if the interrupt comes after ${formatNs(SOON_NS)}, and ${says(LATE_NS)} if it comes after ${formatNs(LATE_NS)}.`,
      sentences: [
        `At ${formatBytes(at)}, fault loses ${figures(SOON_NS)}, ${figures(LATE_NS)}; v6 takes ${formatShare(timeShare(of("pin-on-enable", at)), 1)} of the time.`,
        `Time is the hypervisor's over the guest's own, with ${RUNS} slices of ${formatNs(RUN_NS)} each; shares of samples and of time are added.`,
        `What drives the loss: it reaches ${formatShare(lostShare(worst("latency").row), 1)} with an interrupt after ${formatNs(worst("latency").cell.irqLatencyNs)}, ${formatShare(lostShare(worst("period").row), 1)} with a sample every ${formatCount(worst("period").cell.period)} ops, and ${formatShare(lostShare(host.row), 1)} with ${formatCount(host.cell.eventsPerS)} compactions of 32 pages a second in a guest of ${formatBytes(MEMORY_BYTES)}.`,
        `Bias: two runs of one program differ by at most ${formatShare(biased.row.ofTwoRuns, 1)} in where their samples lie (total variation over ${BINS} parts; ${LABEL[biased.cell.sweep](biased.cell)}); ${formatShare(biased.row.fromTruth, 1)} is what one of them differs by from what ran.`,
        `Counted: if a fault sets DL and voids what was recorded since the enable, ${formatCount(Math.round(host.row.faults / host.row.enables))} faults an enable void ${dl.join(", ")}.`,
      ],
      table: {
        columns: ["setting", "faults", "samples lost", "hypervisor / guest time", "bias", "two runs differ"],
        rows: rows.map(({ cell, row }) => [
          LABEL[cell.sweep](cell),
          formatCount(row.faults),
          formatShare(lostShare(row), 1),
          formatShare(timeShare(row), 1),
          formatShare(row.fromTruth, 1),
          cell.sweep === "buffer" ? "" : formatShare(row.ofTwoRuns, 1),
        ]),
      },
      charts: chartsOf(rows),
    };
  },
});
