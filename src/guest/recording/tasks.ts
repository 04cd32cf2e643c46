/** The tasks of a recording while it is read: who has which tid, name and parent. */
import { NO_CPU } from "../../perf/recording-sink.ts";
import { NONE, type RecordedTask } from "./runs.ts";

/** prctl(PR_SET_NAME) of the child that perf record forks for its command (tools/perf/util/evlist.c). */
const PERF_CHILD = "perf-exec";

/** A task that renames itself all the time (some show their progress so) is known by the first of its names. */
const MOST_NAMES = 32;

/** A task as it stands at the current point of the recording. */
export interface LiveTask extends RecordedTask {
  pid: number;
  comm: string;
  names: readonly string[];
  forkRun: number;
  commandFromNs: number | undefined;
  /** Whether `names` holds only what it inherited. */
  inherited: boolean;
  exited: boolean;
  /** The run it is in, or NONE. */
  currentRun: number;
  /** When its last run ended; -Infinity before its first. */
  lastEndNs: number;
}

export class TaskTable {
  readonly all: LiveTask[] = [];
  readonly #byTid = new Map<number, number>();

  get(index: number): LiveTask {
    return this.all[index] as LiveTask;
  }

  /** The index of whoever has this tid now; a tid not heard of before is a task that was there all along. */
  of(pid: number, tid: number): number {
    return this.#byTid.get(tid) ?? this.#add(pid, tid, NONE, "", Number.NEGATIVE_INFINITY);
  }

  knows(tid: number): boolean {
    return this.#byTid.has(tid);
  }

  /** A task forked during the recording: a new life, whoever had its tid before. */
  forked(pid: number, tid: number, parentTid: number, atNs: number): void {
    const parent = this.#byTid.get(parentTid) ?? NONE;
    const live = parent === NONE ? undefined : this.get(parent);
    const task = this.#add(pid, tid, parent, live?.comm ?? "", atNs);
    this.get(task).forkRun = live?.currentRun ?? NONE;
  }

  /** @returns the task, and whether this made perf's child the recorded command */
  named(
    pid: number,
    tid: number,
    cpu: number,
    comm: string,
    exec: boolean,
    atNs: number,
  ): { task: LiveTask; commandStarts: boolean } {
    const known = this.knows(tid);
    const task = this.get(this.of(pid, tid));
    // A perf too old to rename its child shows it, in a per-task recording, first at its execve.
    const perfChild = task.comm === PERF_CHILD || (!known && cpu === NO_CPU);
    const commandStarts = exec && perfChild && task.commandFromNs === undefined && Number.isFinite(atNs);
    if (commandStarts) task.commandFromNs = atNs;
    if (task.inherited) task.names = [];
    task.inherited = false;
    task.comm = comm;
    if (comm !== PERF_CHILD && task.names.length < MOST_NAMES && !task.names.includes(comm))
      task.names = [...task.names, comm];
    return { task, commandStarts };
  }

  #add(pid: number, tid: number, parent: number, comm: string, forkNs: number): number {
    const index = this.all.length;
    this.all.push({
      pid,
      tid,
      comm,
      names: comm === "" ? [] : [comm],
      parent,
      forkRun: NONE,
      forkNs,
      commandFromNs: undefined,
      inherited: true,
      exited: false,
      currentRun: NONE,
      lastEndNs: Number.NEGATIVE_INFINITY,
    });
    this.#byTid.set(tid, index);
    return index;
  }
}
