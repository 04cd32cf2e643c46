/** The hand-written scenarios: the thread's two commands, as posted and with samples let through. */

import type { Schedule } from "../guest/schedule.ts";
import { DEFAULT_EVENT, type SpeEvent } from "../guest/spe-event.ts";
import { DEFAULT_MEMLOCK_BYTES, defaultMemoryBytes, type Setting } from "./experiment.ts";
import type { Model } from "./report/run.ts";
import { type Burst, perCpu, scheduleOf, toggling } from "./schedules.ts";

export interface Scenario {
  readonly name: string;
  readonly summary: string;
  /** Where its numbers come from. */
  readonly origin: string;
  setting(bufferBytes: number, seed: number): Setting;
  /** What was measured for it under a cost profile's kernel, by whom. */
  reference(profile: string): Model["reference"];
}

/** PMBIRQ from the SPU to KVM's handler: a PPI taken as an exit from the guest. Assumed, 0.5 to 10 us. */
export const DEFAULT_IRQ_LATENCY_NS = 2_000;
/** The thread's machine is not named; a clock of 2.5 GHz is assumed. */
export const DEFAULT_CLOCK_GHZ = 2.5;
export const DEFAULT_IPC = 1;

/** "12683357 cycles" of `true` in the message's `perf stat` output. */
const CYCLES_OF_TRUE = 12_683_357;
/** "On the host these all take less than half a second": just under that. */
const BARE_METAL_NS = 450e6;
/** "the basic 'true' example resulting in 100 context switches". */
const SWITCHES_A = 100;
/**
 * The message gives no count for the second command, and its times imply 180 s / 0.2 s = 900 and 50 s / 0.04 s =
 * 1,250. Its figures have one significant digit: 0.04 s may be 0.035 to 0.045, 50 s 45 to 55, 0.2 s 0.15 to 0.25, 3 min
 * 150 to 210 s. Counts from 1,000 (45 / 0.045) to 1,400 (210 / 0.15) satisfy all of them, so rounding alone
 * reconciles the two; 1,000 is the nearest to both readings' middle.
 */
const SWITCHES_B = 1_000;
/**
 * `true` ran 12,683,357 cycles at 0.004 GHz: 3.2 s of task time, in which 16 stops of 0.2 s fit. So 16 of the switches
 * are its own; the rest are those of `perf stat`.
 */
const SWITCHES_OF_TRUE = 16;
/** What `perf stat` runs between two switches: assumed. */
const PERF_STAT_RUN_NS = 50_000;

const THREAD = "James Clark, 9 Jan 2026, reply to v6 29/35";

/** The message's filter, min_latency=1000,event_filter=10: it lets no record through. */
const FILTERED: SpeEvent = { ...DEFAULT_EVENT, minLatency: 1000, eventFilter: 10 };

/** Runs with equal waits in between, over `durationNs`. */
function evenly(runs: readonly Omit<Burst, "gapNs">[], durationNs: number): Burst[] {
  const busyNs = runs.reduce((sum, { runNs }) => sum + runNs, 0);
  const gapNs = Math.floor((durationNs - busyNs) / Math.max(1, runs.length - 1));
  return runs.map((run) => ({ ...run, gapNs }));
}

function scheduleA(): Schedule {
  const runNs = Math.round(CYCLES_OF_TRUE / DEFAULT_CLOCK_GHZ / SWITCHES_A);
  return scheduleOf({
    tasks: ["true"],
    bursts: evenly(
      Array.from({ length: SWITCHES_A }, () => ({ task: 0, runNs })),
      BARE_METAL_NS,
    ),
    assumptions: [
      `The command switches ${SWITCHES_A} times, as the message says; its ${CYCLES_OF_TRUE.toLocaleString("en")} cycles are those that the second command shows for the same program.`,
      "On bare metal it takes 0.45 s; the message says less than half a second.",
    ],
  });
}

function scheduleB(): Schedule {
  const trueRunNs = Math.round(CYCLES_OF_TRUE / DEFAULT_CLOCK_GHZ / SWITCHES_OF_TRUE);
  const before = Math.floor((SWITCHES_B - SWITCHES_OF_TRUE) / 2);
  const runs = Array.from({ length: SWITCHES_B }, (_, i) =>
    i >= before && i < before + SWITCHES_OF_TRUE
      ? { task: 1, runNs: trueRunNs }
      : { task: 0, runNs: PERF_STAT_RUN_NS },
  );
  return scheduleOf({
    tasks: ["perf", "true"],
    bursts: evenly(runs, BARE_METAL_NS),
    assumptions: [
      `The command switches ${SWITCHES_B.toLocaleString("en")} times: the message gives no count, its times imply 900 and 1,250, and rounding allows 1,000 to 1,400.`,
      `${SWITCHES_OF_TRUE} of the switches are those of \`true\`: its ${CYCLES_OF_TRUE.toLocaleString("en")} cycles at 0.004 GHz are 16 stops of 0.2 s.`,
      "On bare metal it takes 0.45 s; the message says less than half a second.",
    ],
  });
}

/** A setting with every assumption at its default: 4 KiB pages, a small guest, the usual limits. */
export function settingOf(
  scenario: string,
  schedule: Schedule,
  event: SpeEvent,
  bufferBytes: number,
  seed: number,
): Setting {
  return {
    scenario,
    schedule,
    event,
    bufferBytes,
    snapshot: false,
    pageBytes: 4096,
    backing: "base",
    memoryBytes: defaultMemoryBytes(schedule.vcpus, bufferBytes),
    memlockBytes: DEFAULT_MEMLOCK_BYTES,
    memlockMaxBytes: Number.POSITIVE_INFINITY,
    irqLatencyNs: DEFAULT_IRQ_LATENCY_NS,
    clockGHz: DEFAULT_CLOCK_GHZ,
    ipc: DEFAULT_IPC,
    seed,
    stage2AtStart: "absent",
  };
}

const SECONDS: Readonly<Record<"a" | "b", Readonly<Record<string, number>>>> = {
  a: { "thread-normal": 4, "thread-debug": 20 },
  b: { "thread-normal": 50, "thread-debug": 180 },
};

function scenario(letter: "a" | "b", sampling: boolean): Scenario {
  const name = `thread-${letter}${sampling ? "-sampling" : ""}`;
  const command = letter === "a" ? "true" : "perf stat true";
  return {
    name,
    summary: sampling
      ? `perf record -e arm_spe/period=4096/ -m,256M -- ${command}: no filter, so that records are written`
      : `perf record -e arm_spe/min_latency=1000,event_filter=10/ -m,256M -- ${command}: no record passes the filter`,
    origin: sampling ? `${THREAD}, without its filters` : THREAD,
    setting(bufferBytes, seed) {
      const schedule = letter === "a" ? scheduleA() : scheduleB();
      const event = sampling ? DEFAULT_EVENT : FILTERED;
      return {
        ...settingOf(name, schedule, event, bufferBytes, seed),
        measured: (task) => schedule.tasks[task]?.comm === "true",
      };
    },
    reference: (profile) => {
      const seconds = SECONDS[letter][profile];
      return seconds === undefined || sampling
        ? null
        : { wallNs: seconds * 1e9, bareMetalBelowNs: 0.5e9, source: THREAD };
    },
  };
}

/** The thread's commands, each as posted and with samples let through. */
export const THREAD_SCENARIOS: readonly Scenario[] = [
  scenario("a", false),
  scenario("b", false),
  scenario("a", true),
  scenario("b", true),
];

const further = (name: string, summary: string, schedule: () => Schedule): Scenario => ({
  name,
  summary,
  origin: "Written for comparison: nobody has measured it.",
  setting: (bufferBytes, seed) => settingOf(name, schedule(), DEFAULT_EVENT, bufferBytes, seed),
  reference: () => null,
});

/** What the thread's commands do not show: long sessions, per-CPU sessions, a task that moves between vCPUs. */
const FURTHER: readonly Scenario[] = [
  further("long-task", "perf record of one task that runs for 5 s in slices of 50 ms", () =>
    toggling({ count: 100, runNs: 49_000_000, gapNs: 1_000_000 }, [
      "The task runs 49 ms of every 50 ms, as one that shares its CPU with little else.",
    ]),
  ),
  further("per-cpu", "perf record -a over 4 vCPUs for 2 s: the buffers stay on", () =>
    perCpu({ vcpus: 4, durationNs: 2_000_000_000 }, ["Every vCPU is busy all the time."]),
  ),
  further("migrating", "perf record of one task that wakes up on another of 4 vCPUs each time", () =>
    toggling({ count: 400, runNs: 1_000_000, gapNs: 1_000_000, vcpus: 4 }, [
      "The task sleeps for 1 ms after each 1 ms of running and always wakes up on the next vCPU.",
    ]),
  ),
];

export const SCENARIOS: readonly Scenario[] = [...THREAD_SCENARIOS, ...FURTHER];
