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

const KINDS = ["system", "task"] as const;
type Kind = (typeof KINDS)[number];

/** How long a session named so is: "50ms", "2s", "past-limit". @returns undefined for what is no length */
function lengthNamed(name: string): Session["durationNs"] | undefined {
  if (name === "past-limit") return pastLimitNs;
  const match = /^([1-9][0-9]{0,4})(ms|s)$/.exec(name);
  if (match === null) return undefined;
  const ns = Number(match[1]) * (match[2] === "s" ? 1e9 : 1e6);
  return () => ns;
}

const summaryOf = (kind: Kind, length: string): string => {
  const time =
    length === "past-limit" ? "past the guest's own LIMIT" : `for ${length.replace(/m?s$/, " $&")}`;
  return kind === "system"
    ? `perf record -a ${time}: the buffers stay on`
    : `perf record of a task on each vCPU ${time}, switched out every 4 ms`;
};

/** The session of a name: system-TIME or task-TIME with any time in ms or s, or past-limit. */
export function sessionNamed(name: string): Session | undefined {
  const kind = KINDS.find((each) => name.startsWith(`${each}-`));
  if (kind === undefined) return undefined;
  const length = name.slice(kind.length + 1);
  const durationNs = lengthNamed(length);
  if (durationNs === undefined) return undefined;
  return {
    name,
    summary: summaryOf(kind, length),
    durationNs,
    schedule: (of) =>
      kind === "system"
        ? perCpu({ vcpus: of.vcpus, durationNs: durationNs(of) }, ["Every vCPU is busy all the time."])
        : switched({ vcpus: of.vcpus, durationNs: durationNs(of) }),
  };
}

/** Lengths that the bar asks for. */
export const LENGTHS = ["5ms", "50ms", "2s", "past-limit"] as const;

export const SESSIONS: readonly string[] = KINDS.flatMap((kind) =>
  LENGTHS.map((length) => `${kind}-${length}`),
);
