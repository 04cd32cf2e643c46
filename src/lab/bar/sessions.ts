/**
 * Sessions of a given length on any number of vCPUs: what a bar asks of that the thread's commands do not show. Each vCPU has
 * a task that runs throughout, profiled per CPU (`perf record -a`), or one that is switched out for a moment at each tick.
 */
import type { Schedule } from "../../guest/schedule.ts";
import { type Burst, perCpu, scheduleOf } from "../schedules.ts";

/** What decides how long a session is that is to get somewhere. */
export interface SessionOptions {
  readonly vcpus: number;
  readonly bufferBytes: number;
  /** Samples that a vCPU selects in a second of running. */
  readonly samplesPerSecond: number;
}

export interface Session {
  readonly name: string;
  readonly summary: string;
  durationNs(of: SessionOptions): number;
  schedule(of: SessionOptions): Schedule;
}

/** A tick at HZ=250, and how much of it the task runs. */
const TICK_NS = 4_000_000;
const GAP_NS = 100_000;

/** Every vCPU's task is switched out at each tick of its own: they are not in step. */
function switched({ vcpus, durationNs }: { readonly vcpus: number; readonly durationNs: number }): Schedule {
  const bursts: (Burst & { readonly startNs: number })[] = [];
  for (let vcpu = 0; vcpu < vcpus; vcpu++)
    for (let startNs = Math.floor((vcpu * TICK_NS) / vcpus); startNs < durationNs; startNs += TICK_NS)
      bursts.push({
        task: vcpu,
        vcpu,
        startNs,
        runNs: Math.min(TICK_NS - GAP_NS, Math.ceil(durationNs - startNs)),
        gapNs: 0,
      });
  bursts.sort((a, b) => a.startNs - b.startNs);
  let endNs = 0;
  return scheduleOf({
    tasks: Array.from({ length: vcpus }, (_, i) => `task-${i}`),
    bursts: bursts.map(({ startNs, ...burst }) => {
      const gapNs = startNs - endNs;
      endNs = startNs + burst.runNs;
      return { ...burst, gapNs };
    }),
    vcpus,
    assumptions: ["Each vCPU's task runs 3.9 ms of every 4 ms, as one that shares its CPU with little else."],
  });
}

/** A record of the model's has 64 bytes; an empty buffer's LIMIT is at its half (perf's wake-up). */
const RECORD_BYTES = 64;
/** So far beyond the first LIMIT, and never shorter than this. */
const PAST_LIMIT = 1.2;
const SHORTEST_PAST_LIMIT_NS = 50_000_000;

const pastLimitNs = ({ bufferBytes, samplesPerSecond }: SessionOptions): number =>
  Math.max(
    SHORTEST_PAST_LIMIT_NS,
    Math.ceil((PAST_LIMIT * bufferBytes * 1e9) / 2 / RECORD_BYTES / samplesPerSecond),
  );

const LENGTHS: readonly (readonly [string, string, (of: SessionOptions) => number])[] = [
  ["5ms", "5 ms", () => 5_000_000],
  ["50ms", "50 ms", () => 50_000_000],
  ["2s", "2 s", () => 2_000_000_000],
  ["past-limit", "as long as it takes to get past the guest's own LIMIT", pastLimitNs],
];

const session = (kind: "system" | "task", [name, length, durationNs]: (typeof LENGTHS)[number]): Session => ({
  name: `${kind}-${name}`,
  summary:
    kind === "system"
      ? `perf record -a for ${length}: the buffers stay on`
      : `perf record of a task on each vCPU for ${length}, switched out every 4 ms`,
  durationNs,
  schedule: (of) =>
    kind === "system"
      ? perCpu({ vcpus: of.vcpus, durationNs: durationNs(of) }, ["Every vCPU is busy all the time."])
      : switched({ vcpus: of.vcpus, durationNs: durationNs(of) }),
});

export const SESSIONS: readonly Session[] = (["system", "task"] as const).flatMap((kind) =>
  LENGTHS.map((length) => session(kind, length)),
);
