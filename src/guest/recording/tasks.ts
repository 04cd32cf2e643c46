/** The tasks of a recording while it is read: who has which tid, name and parent. */
import { BEFORE_RECORDING } from "../../perf/recording-sink.ts";
import { NONE, type RecordedTask, type TaskName } from "./runs.ts";

/** prctl(PR_SET_NAME) of the child that perf record forks for its command (tools/perf/util/evlist.c). */
const PERF_CHILD = "perf-exec";

/** perf itself, and its child before there was that prctl. Debian's is called perf_5.10 and the like. */
const PERF = /^perf([-_.]|$)/;

/** A task that renames itself all the time (some show their progress so) is known by the first of its names. */
const MOST_NAMES = 32;

/** A task as it stands at the current point of the recording. */
export interface LiveTask extends RecordedTask {
  pid: number;
  comm: string;
  names: readonly TaskName[];
  forkRun: number;
  command: RecordedTask["command"];
  /** Whether `command` holds in a per-task recording only, in which nothing comes before the command's execve. */
  commandIfPerTask: boolean;
  /** The tid that perf says forked it before the recording, or NONE. */
  forkedBeforeBy: number;
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

  /** A task that was there before the recording, of which perf says who forked it. */
  wasForked(pid: number, tid: number, parentTid: number): void {
    this.get(this.of(pid, tid)).forkedBeforeBy = parentTid;
  }

  /** @returns the task, and whether this made perf's child the recorded command */
  named(
    pid: number,
    tid: number,
    comm: string,
    exec: boolean,
    atNs: number,
  ): { task: LiveTask; commandStarts: boolean } {
    const isFirst = this.all.length === 0;
    const task = this.get(this.of(pid, tid));
    const executed = exec || (task.comm === PERF_CHILD && comm !== PERF_CHILD);
    const commandStarts =
      executed &&
      atNs !== BEFORE_RECORDING &&
      this.#mayBecomeCommand(task) &&
      (isFirst || this.#isPerfs(task));
    if (commandStarts) {
      task.command = { comm, fromNs: atNs };
      task.commandIfPerTask = isFirst;
    }
    // Before its execve the command was perf, whatever it was called.
    if (task.inherited || commandStarts) task.names = [];
    task.inherited = false;
    task.comm = comm;
    const last = task.names.at(-1);
    const isNew = last?.comm !== comm || (executed && !last.executed);
    if (comm !== PERF_CHILD && task.names.length < MOST_NAMES && isNew)
      task.names = [...task.names, { comm, fromNs: atNs, executed }];
    return { task, commandStarts };
  }

  /**
   * perf forks its command before it opens its events, and lets it execute when they are on: who was forked during the
   * recording, or has executed something in it, is not the command.
   */
  #mayBecomeCommand(task: LiveTask): boolean {
    return (
      task.forkNs === Number.NEGATIVE_INFINITY &&
      task.pid === task.tid &&
      task.command === undefined &&
      !task.names.some(({ executed }) => executed)
    );
  }

  /** Whether a task that has executed nothing yet is a child of perf record's. */
  #isPerfs(task: LiveTask): boolean {
    if (task.comm === PERF_CHILD) return true;
    if (!PERF.test(task.comm)) return false;
    // The child of an old perf has perf's name. In a per-task recording it is the only one, and no parent is told.
    const parent = this.#byTid.get(task.forkedBeforeBy);
    return task.forkedBeforeBy === NONE || (parent !== undefined && this.get(parent).comm === task.comm);
  }

  #add(pid: number, tid: number, parent: number, comm: string, forkNs: number): number {
    const index = this.all.length;
    this.all.push({
      pid,
      tid,
      comm,
      names: comm === "" ? [] : [{ comm, fromNs: Number.NEGATIVE_INFINITY, executed: false }],
      parent,
      forkRun: NONE,
      forkNs,
      command: undefined,
      commandIfPerTask: false,
      forkedBeforeBy: NONE,
      inherited: true,
      exited: false,
      currentRun: NONE,
      lastEndNs: Number.NEGATIVE_INFINITY,
    });
    this.#byTid.set(tid, index);
    return index;
  }
}
