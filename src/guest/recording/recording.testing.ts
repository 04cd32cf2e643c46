/** Recordings written by hand, for tests: the calls that the reader would make. */

import type { ReadReport } from "../../perf/reader.ts";
import { BEFORE_RECORDING, NO_CPU } from "../../perf/recording-sink.ts";
import { buildSchedule, type RecordedRuns, type RecordedSchedule, type ScheduleOptions } from "./build.ts";
import { RunCollector } from "./collect.ts";

const REPORT: ReadReport = {
  name: "by hand",
  info: {},
  pipe: false,
  littleEndian: true,
  switchesFromExec: false,
  switchEventIds: 0,
  records: new Map(),
  lostRecords: 0,
  lostSamples: 0,
  damagedRecords: 0,
  unknownRecords: 0,
  lateRecords: 0,
  unreadBytes: 0,
  warnings: [],
};

/**
 * A system-wide recording: `cpu.to(time, cpu, task, next)` switches a CPU from one tid to the next, with both records
 * 10 ns apart. Tids are pids; 0 is idle.
 */
export class SystemWide {
  readonly sink = new RunCollector();

  named(tid: number, comm: string, timeNs = BEFORE_RECORDING): this {
    this.sink.comm(timeNs, 0, tid, tid, comm, false);
    return this;
  }

  exec(timeNs: number, tid: number, comm: string): this {
    this.sink.comm(timeNs, 0, tid, tid, comm, true);
    return this;
  }

  fork(timeNs: number, parent: number, child: number): this {
    this.sink.fork(timeNs, 0, child, child, parent, parent);
    return this;
  }

  /** As perf makes it up for what was there before. */
  forkedBefore(parent: number, child: number): this {
    this.sink.fork(BEFORE_RECORDING, 0, child, child, parent, parent);
    return this;
  }

  exit(timeNs: number, tid: number): this {
    this.sink.exit(timeNs, 0, tid, tid);
    return this;
  }

  out(timeNs: number, cpu: number, from: number, to: number, preempted = false): this {
    this.sink.cpuOut(timeNs, cpu, from, from, preempted, to, to);
    return this;
  }

  in(timeNs: number, cpu: number, to: number, from: number): this {
    this.sink.cpuIn(timeNs, cpu, to, to, from, from);
    return this;
  }

  to(timeNs: number, cpu: number, from: number, to: number, preempted = false): this {
    return this.out(timeNs, cpu, from, to, preempted).in(timeNs + 10, cpu, to, from);
  }

  runs(): RecordedRuns {
    return { report: REPORT, collected: this.sink.finish() };
  }

  schedule(options: ScheduleOptions): RecordedSchedule {
    return scheduleOf(this.runs(), options);
  }
}

/** A recording of single tasks, without CPU numbers unless `cpu` is given. */
export class PerTask {
  readonly sink = new RunCollector();

  exec(timeNs: number, tid: number, comm: string): this {
    this.sink.comm(BEFORE_RECORDING, NO_CPU, tid, tid, "perf-exec", false);
    this.sink.comm(timeNs, NO_CPU, tid, tid, comm, true);
    return this;
  }

  named(tid: number, comm: string, timeNs = BEFORE_RECORDING): this {
    this.sink.comm(timeNs, NO_CPU, tid, tid, comm, false);
    return this;
  }

  fork(timeNs: number, parent: number, child: number): this {
    this.sink.fork(timeNs, NO_CPU, child, child, parent, parent);
    return this;
  }

  exit(timeNs: number, tid: number): this {
    this.sink.exit(timeNs, NO_CPU, tid, tid);
    return this;
  }

  in(timeNs: number, tid: number, cpu = NO_CPU): this {
    this.sink.taskIn(timeNs, cpu, tid, tid);
    return this;
  }

  out(timeNs: number, tid: number, preempted = false, cpu = NO_CPU): this {
    this.sink.taskOut(timeNs, cpu, tid, tid, preempted);
    return this;
  }

  runs(): RecordedRuns {
    return { report: REPORT, collected: this.sink.finish() };
  }

  schedule(options: ScheduleOptions = {}): RecordedSchedule {
    return scheduleOf(this.runs(), options);
  }
}

function scheduleOf(runs: RecordedRuns, options: ScheduleOptions): RecordedSchedule {
  const built = buildSchedule(runs, options);
  if (built.kind !== "schedule") throw new Error(built.message);
  return built;
}

/** The segments as rows, for comparison. */
export function rows({ schedule }: RecordedSchedule) {
  const { segments, tasks } = schedule;
  return Array.from({ length: segments.count }, (_, i) => ({
    tid: tasks[segments.task[i] as number]?.tid,
    vcpu: segments.vcpu[i],
    from: segments.startNs[i],
    to: segments.endNs[i],
    flags: segments.flags[i],
    wait: segments.wait[i],
    waitNs: segments.waitNs[i],
    waker: segments.waker[i],
    wakerOffsetNs: segments.wakerOffsetNs[i],
    previous: segments.previousOfTask[i],
  }));
}
