/** What a recording comes down to: runs (a task on a CPU, from when to when) and the tasks that made them. */

/** No run, no task: the value of a column where there is none. */
export const NONE = -1;

/** Bits of a run's flags. */
export const RUN = {
  /** Switched out while runnable. */
  preempted: 1,
  /** Its CPU went straight from another task to this one: no idle in between. */
  noGap: 2,
  /** Neither switched in nor out by a record of its own: known from those of its neighbours. */
  inferred: 4,
  /** It already ran when the recording began. */
  openStart: 8,
  /** It still ran when the recording ended. */
  openEnd: 16,
  /** It starts at the execve of the recorded command, not at a switch. */
  execStart: 32,
  /** Its task ended in it. */
  exited: 64,
  /** Its task had ended before it: the last steps of a dying task. */
  afterExit: 128,
} as const;

/** Columns of runs, in order of start once `RunCollector.finish` has returned them. */
export interface Runs {
  readonly count: number;
  /** NO_CPU where the recording does not say. */
  readonly cpu: Int32Array;
  /** Index into the tasks. */
  readonly task: Uint32Array;
  readonly startNs: Float64Array;
  readonly endNs: Float64Array;
  /** RUN bits. */
  readonly flags: Uint8Array;
  /** The run that its CPU came from directly, or NONE. */
  readonly before: Int32Array;
}

/** A name of a task's. */
export interface TaskName {
  readonly comm: string;
  /** Since when; -Infinity: since before the recording, or the fork. */
  readonly fromNs: number;
  /** It came with an execve: it is a program's, not one that prctl(PR_SET_NAME) set. */
  readonly executed: boolean;
}

/** One life of a task: a tid that is used again after an exit is another one. */
export interface RecordedTask {
  readonly pid: number;
  readonly tid: number;
  /** Its last name. */
  readonly comm: string;
  /** The first names of its own, in order; the one inherited at its fork where it never got one. */
  readonly names: readonly TaskName[];
  /** The task that forked it during the recording, or NONE. */
  readonly parent: number;
  /** Its parent's run at the fork, or NONE. */
  readonly forkRun: number;
  readonly forkNs: number;
  /** perf record forked it, and at this time it became the recorded command, under this name. */
  readonly command: { readonly comm: string; readonly fromNs: number } | undefined;
}

/** Columns that grow. */
export class GrowingRuns {
  count = 0;
  #capacity = 1024;
  cpu = new Int32Array(this.#capacity);
  task = new Uint32Array(this.#capacity);
  startNs = new Float64Array(this.#capacity);
  endNs = new Float64Array(this.#capacity);
  flags = new Uint8Array(this.#capacity);
  before = new Int32Array(this.#capacity);

  /** Adds a run that has not ended. @returns its index */
  open(cpu: number, task: number, startNs: number, flags: number, before: number): number {
    if (this.count === this.#capacity) this.#grow();
    const run = this.count++;
    this.cpu[run] = cpu;
    this.task[run] = task;
    this.startNs[run] = startNs;
    this.endNs[run] = Number.POSITIVE_INFINITY;
    this.flags[run] = flags;
    this.before[run] = before;
    return run;
  }

  #grow(): void {
    this.#capacity *= 2;
    const grown = <T extends { set(from: T): void }>(to: T, from: T): T => {
      to.set(from);
      return to;
    };
    this.cpu = grown(new Int32Array(this.#capacity), this.cpu);
    this.task = grown(new Uint32Array(this.#capacity), this.task);
    this.startNs = grown(new Float64Array(this.#capacity), this.startNs);
    this.endNs = grown(new Float64Array(this.#capacity), this.endNs);
    this.flags = grown(new Uint8Array(this.#capacity), this.flags);
    this.before = grown(new Int32Array(this.#capacity), this.before);
  }
}
