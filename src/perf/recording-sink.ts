/** What a recording is told to: who was switched in and out, named, forked and ended, in time order. */
import { type QueuedRecord, TimeOrder } from "./order.ts";

/** The CPU of a record whose sample id has none (a per-task recording). */
export const NO_CPU = -1;
/** The time of what perf makes up for tasks that already ran: before everything recorded. */
export const BEFORE_RECORDING = Number.NEGATIVE_INFINITY;

/**
 * Gets the records, in time order as far as perf's rounds allow. Times are ns since the first recorded time, whole
 * numbers, or BEFORE_RECORDING. `pid` and `tid` are 0 for idle and -1 for a task that was already gone (kernel/
 * events/core.c, perf_event_pid_type).
 */
export interface RecordingSink {
  /** PERF_RECORD_SWITCH: a recorded task was switched in. What ran before it is not known. */
  taskIn(timeNs: number, cpu: number, pid: number, tid: number): void;
  /** PERF_RECORD_SWITCH with SWITCH_OUT; `preempted`: it was still runnable. */
  taskOut(timeNs: number, cpu: number, pid: number, tid: number, preempted: boolean): void;
  /** PERF_RECORD_SWITCH_CPU_WIDE: a CPU went from one task to another. */
  cpuIn(
    timeNs: number,
    cpu: number,
    pid: number,
    tid: number,
    previousPid: number,
    previousTid: number,
  ): void;
  /** PERF_RECORD_SWITCH_CPU_WIDE with SWITCH_OUT. */
  cpuOut(
    timeNs: number,
    cpu: number,
    pid: number,
    tid: number,
    preempted: boolean,
    nextPid: number,
    nextTid: number,
  ): void;
  /** PERF_RECORD_COMM: a task got a name; `exec`: by execve. */
  comm(timeNs: number, cpu: number, pid: number, tid: number, comm: string, exec: boolean): void;
  fork(timeNs: number, cpu: number, pid: number, tid: number, parentPid: number, parentTid: number): void;
  exit(timeNs: number, cpu: number, pid: number, tid: number): void;
  /** PERF_RECORD_LOST: `records` records did not fit into a ring buffer. */
  lost(timeNs: number, cpu: number, records: number): void;
}

const KIND = {
  taskIn: 0,
  taskOut: 1,
  taskPreempted: 2,
  cpuIn: 3,
  cpuOut: 4,
  cpuPreempted: 5,
  comm: 6,
  exec: 7,
  fork: 8,
  exit: 9,
  lost: 10,
} as const;

/** A sink that puts what it is told into time order before it tells another one. */
export class OrderedSink implements RecordingSink {
  readonly #order: TimeOrder;

  constructor(sink: RecordingSink) {
    this.#order = new TimeOrder((record) => tell(sink, record));
  }

  get lateRecords(): number {
    return this.#order.lateRecords;
  }

  finishRound(): void {
    this.#order.finishRound();
  }

  finish(): void {
    this.#order.finish();
  }

  taskIn(timeNs: number, cpu: number, pid: number, tid: number): void {
    this.#order.push(timeNs, KIND.taskIn, cpu, pid, tid, 0, 0);
  }

  taskOut(timeNs: number, cpu: number, pid: number, tid: number, preempted: boolean): void {
    this.#order.push(timeNs, preempted ? KIND.taskPreempted : KIND.taskOut, cpu, pid, tid, 0, 0);
  }

  cpuIn(
    timeNs: number,
    cpu: number,
    pid: number,
    tid: number,
    previousPid: number,
    previousTid: number,
  ): void {
    this.#order.push(timeNs, KIND.cpuIn, cpu, pid, tid, previousPid, previousTid);
  }

  cpuOut(
    timeNs: number,
    cpu: number,
    pid: number,
    tid: number,
    preempted: boolean,
    nextPid: number,
    nextTid: number,
  ): void {
    this.#order.push(timeNs, preempted ? KIND.cpuPreempted : KIND.cpuOut, cpu, pid, tid, nextPid, nextTid);
  }

  comm(timeNs: number, cpu: number, pid: number, tid: number, comm: string, exec: boolean): void {
    this.#order.push(timeNs, exec ? KIND.exec : KIND.comm, cpu, pid, tid, 0, 0, comm);
  }

  fork(timeNs: number, cpu: number, pid: number, tid: number, parentPid: number, parentTid: number): void {
    this.#order.push(timeNs, KIND.fork, cpu, pid, tid, parentPid, parentTid);
  }

  exit(timeNs: number, cpu: number, pid: number, tid: number): void {
    this.#order.push(timeNs, KIND.exit, cpu, pid, tid, 0, 0);
  }

  lost(timeNs: number, cpu: number, records: number): void {
    this.#order.push(timeNs, KIND.lost, cpu, -1, -1, Math.min(records, 0x7fffffff), 0);
  }
}

function tell(sink: RecordingSink, record: QueuedRecord): void {
  const { timeNs, cpu, pid, tid, a, b } = record;
  switch (record.kind) {
    case KIND.taskIn:
      sink.taskIn(timeNs, cpu, pid, tid);
      break;
    case KIND.taskOut:
      sink.taskOut(timeNs, cpu, pid, tid, false);
      break;
    case KIND.taskPreempted:
      sink.taskOut(timeNs, cpu, pid, tid, true);
      break;
    case KIND.cpuIn:
      sink.cpuIn(timeNs, cpu, pid, tid, a, b);
      break;
    case KIND.cpuOut:
      sink.cpuOut(timeNs, cpu, pid, tid, false, a, b);
      break;
    case KIND.cpuPreempted:
      sink.cpuOut(timeNs, cpu, pid, tid, true, a, b);
      break;
    case KIND.comm:
      sink.comm(timeNs, cpu, pid, tid, record.text, false);
      break;
    case KIND.exec:
      sink.comm(timeNs, cpu, pid, tid, record.text, true);
      break;
    case KIND.fork:
      sink.fork(timeNs, cpu, pid, tid, a, b);
      break;
    case KIND.exit:
      sink.exit(timeNs, cpu, pid, tid);
      break;
    default:
      sink.lost(timeNs, cpu, a);
  }
}
