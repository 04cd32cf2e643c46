/** Schedules written by hand, for scenarios and sweeps: every run is a target's and toggles the buffer. */
import { NO_SEGMENT, type Schedule, SEGMENT, type Segments, WAIT } from "../guest/schedule.ts";

/** One run of a task on a vCPU. */
export interface Burst {
  readonly task: number;
  readonly runNs: number;
  /** From the end of the burst before it on this list; the first one's is left out. */
  readonly gapNs: number;
  readonly vcpu?: number;
}

export interface HandWritten {
  /** Names of the tasks, by number. */
  readonly tasks: readonly string[];
  readonly bursts: readonly Burst[];
  readonly vcpus?: number;
  /** Profiled per CPU: the buffer is on from the first burst to the last, on every vCPU. */
  readonly perCpu?: boolean;
  readonly assumptions: readonly string[];
}

/** Bursts one after the other, each switched in and out with the buffer. */
export function scheduleOf({ tasks, bursts, vcpus = 1, perCpu = false, assumptions }: HandWritten): Schedule {
  const { length: count } = bursts;
  const segments: Segments = {
    count,
    vcpu: new Uint16Array(count),
    task: new Uint32Array(count),
    startNs: new Float64Array(count),
    endNs: new Float64Array(count),
    flags: new Uint8Array(count),
    wait: new Uint8Array(count).fill(WAIT.other),
    waitNs: new Float64Array(count),
    waker: new Int32Array(count).fill(NO_SEGMENT),
    wakerOffsetNs: new Float64Array(count),
    previousOfTask: new Int32Array(count).fill(NO_SEGMENT),
  };
  const toggles = perCpu ? 0 : SEGMENT.enables | SEGMENT.disables;
  const last = new Map<number, number>();
  let atNs = 0;
  for (const [i, { task, runNs, gapNs, vcpu }] of bursts.entries()) {
    if (i > 0) atNs += gapNs;
    const previous = last.get(task) ?? NO_SEGMENT;
    segments.vcpu[i] = vcpu ?? 0;
    segments.task[i] = task;
    segments.startNs[i] = atNs;
    segments.endNs[i] = atNs + runNs;
    segments.flags[i] = SEGMENT.target | toggles;
    segments.previousOfTask[i] = previous;
    segments.waitNs[i] = previous === NO_SEGMENT ? atNs : atNs - (segments.endNs[previous] as number);
    last.set(task, i);
    atNs += runNs;
  }
  return {
    vcpus,
    tasks: tasks.map((comm, i) => ({ pid: 100 + i, tid: 100 + i, comm, target: true })),
    segments,
    durationNs: atNs,
    assumptions,
    ...(perCpu ? { perCpu } : {}),
  };
}

/** One task that runs `count` times for `runNs` with `gapNs` in between; over several vCPUs it moves on each time. */
export const toggling = (
  options: {
    readonly count: number;
    readonly runNs: number;
    readonly gapNs: number;
    readonly vcpus?: number;
  },
  assumptions: readonly string[] = [],
): Schedule => {
  const { count, runNs, gapNs, vcpus = 1 } = options;
  return scheduleOf({
    tasks: ["task"],
    bursts: Array.from({ length: count }, (_, i) => ({ task: 0, runNs, gapNs, vcpu: i % vcpus })),
    vcpus,
    assumptions,
  });
};

/** `perf record -a`: a task on each vCPU that runs throughout, the buffers on all the time. */
export const perCpu = (
  options: { readonly vcpus: number; readonly durationNs: number },
  assumptions: readonly string[] = [],
): Schedule => {
  const { vcpus, durationNs } = options;
  return scheduleOf({
    tasks: Array.from({ length: vcpus }, (_, i) => `task-${i}`),
    bursts: Array.from({ length: vcpus }, (_, i) => ({
      task: i,
      runNs: durationNs,
      // All of them start at once.
      gapNs: -durationNs,
      vcpu: i,
    })),
    vcpus,
    perCpu: true,
    assumptions,
  });
};
