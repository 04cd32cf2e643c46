/**
 * From switch records to runs. Records may be missing: ring buffers overflow, a file is cut, and some kernels leave
 * out the switches of some tasks. Each way to mend that is counted (`Repairs`) and none invents a switch-in of a
 * target: a run without a record of its own is only taken where both neighbours name it.
 */

import { stableOrder } from "../../perf/order.ts";
import { BEFORE_RECORDING, type RecordingSink } from "../../perf/recording-sink.ts";
import { GrowingRuns, NONE, type RecordedTask, RUN, type Runs } from "./runs.ts";
import { type LiveTask, TaskTable } from "./tasks.ts";

/** How often the records did not fit together, and what was done. */
export interface Repairs {
  /** A switch-in while another task still ran: that one ends there. Or a run that ends nowhere, before a loss. */
  missingOut: number;
  /** A switch-out without a switch-in, of the task that the CPU's last record had announced: it started there. */
  missingIn: number;
  /** A switch-out of a task that cannot have run where it says: left out. */
  strayOut: number;
  /** A run without any record of its own, that the records before and after it name. */
  inferredRuns: number;
  /** Switch records of the other kind (per task, CPU-wide) than the first one: left out. */
  otherKind: number;
}

/** The result of reading a recording, whatever is asked of it then. */
export interface CollectedRuns {
  readonly runs: Runs;
  readonly tasks: readonly RecordedTask[];
  /** CPU-wide records (perf record -a or -C) or those of single tasks; undefined without any switch. */
  readonly kind: "cpu" | "task" | undefined;
  readonly hasCpuNumbers: boolean;
  readonly startNs: number;
  readonly endNs: number;
  readonly switchesIn: number;
  readonly switchesOut: number;
  readonly preemptedOut: number;
  readonly repairs: Readonly<Repairs>;
}

interface CpuState {
  run: number;
  /** The last switch-out: when, and who it said comes next; undefined before the first record. */
  outNs: number;
  nextPid: number;
  nextTid: number | undefined;
  lastRun: number;
}

export class RunCollector implements RecordingSink {
  readonly #runs = new GrowingRuns();
  readonly #tasks = new TaskTable();
  readonly #cpus = new Map<number, CpuState>();
  readonly #repairs: Repairs = { missingOut: 0, missingIn: 0, strayOut: 0, inferredRuns: 0, otherKind: 0 };
  /** When LOST records were written. */
  readonly #lostNs: number[] = [];
  #kind: "cpu" | "task" | undefined;
  #hasCpuNumbers = true;
  #startNs = Number.POSITIVE_INFINITY;
  #endNs = BEFORE_RECORDING;
  #switchesIn = 0;
  #switchesOut = 0;
  #preemptedOut = 0;

  taskIn(timeNs: number, cpu: number, pid: number, tid: number): void {
    if (!this.#accept("task", timeNs, cpu)) return;
    this.#switchesIn++;
    if (tid <= 0) return;
    const task = this.#tasks.of(pid, tid);
    if (this.#tasks.get(task).currentRun !== NONE) {
      this.#repairs.missingOut++;
      this.#close(this.#tasks.get(task), timeNs, 0);
    }
    this.#open(task, cpu, timeNs, 0, NONE);
  }

  taskOut(timeNs: number, cpu: number, pid: number, tid: number, preempted: boolean): void {
    if (!this.#accept("task", timeNs, cpu)) return;
    this.#countOut(preempted);
    if (tid <= 0) return;
    const index = this.#tasks.of(pid, tid);
    const task = this.#tasks.get(index);
    if (task.currentRun === NONE && !this.#openFirst(index, cpu)) {
      // After its exit a task has no event any more and no record is expected; before, one is missing.
      if (!task.exited) this.#repairs.strayOut++;
      return;
    }
    this.#close(task, timeNs, preempted ? RUN.preempted : 0);
  }

  cpuIn(
    timeNs: number,
    cpu: number,
    pid: number,
    tid: number,
    previousPid: number,
    previousTid: number,
  ): void {
    if (!this.#accept("cpu", timeNs, cpu)) return;
    this.#switchesIn++;
    const state = this.#cpu(cpu);
    this.#endLeftover(state, timeNs, tid);
    const announced = state.nextTid;
    if (announced !== undefined && announced > 0 && announced !== tid) {
      if (previousTid === announced) {
        this.#repairs.inferredRuns++;
        const task = this.#tasks.of(state.nextPid, announced);
        const noGap = state.lastRun === NONE ? 0 : RUN.noGap;
        state.lastRun = this.#open(task, cpu, state.outNs, RUN.inferred | noGap, state.lastRun);
        this.#close(this.#tasks.get(task), timeNs, 0);
      } else {
        this.#repairs.strayOut++;
        state.lastRun = NONE;
      }
    }
    state.nextTid = 0;
    if (tid <= 0) {
      state.lastRun = NONE;
      return;
    }
    const direct = previousTid !== 0;
    const before = direct && this.#isTask(state.lastRun, previousPid, previousTid) ? state.lastRun : NONE;
    state.run = this.#open(this.#tasks.of(pid, tid), cpu, timeNs, direct ? RUN.noGap : 0, before);
    state.lastRun = NONE;
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
    if (!this.#accept("cpu", timeNs, cpu)) return;
    this.#countOut(preempted);
    const state = this.#cpu(cpu);
    const run = this.#runThatEnds(state, cpu, timeNs, pid, tid);
    if (run !== NONE)
      this.#close(this.#tasks.get(this.#runs.task[run] as number), timeNs, preempted ? RUN.preempted : 0);
    state.run = NONE;
    state.lastRun = run;
    state.outNs = timeNs;
    state.nextPid = nextPid;
    state.nextTid = nextTid;
  }

  comm(timeNs: number, _cpu: number, pid: number, tid: number, comm: string, exec: boolean): void {
    this.#clock(timeNs);
    if (timeNs === BEFORE_RECORDING && this.#tasks.knows(tid)) {
      // perf made this up while the recording already ran; what the kernel said is newer.
      const known = this.#tasks.get(this.#tasks.of(pid, tid));
      if (known.comm !== "" && known.comm !== comm && !known.inherited) return;
    }
    const { task, commandStarts } = this.#tasks.named(pid, tid, comm, exec, timeNs);
    if (commandStarts && task.currentRun !== NONE) this.#splitAtExec(task, timeNs);
  }

  fork(timeNs: number, _cpu: number, pid: number, tid: number, parentPid: number, parentTid: number): void {
    this.#clock(timeNs);
    if (timeNs !== BEFORE_RECORDING) {
      this.#tasks.of(parentPid, parentTid);
      this.#tasks.forked(pid, tid, parentTid, timeNs);
    } else this.#tasks.wasForked(pid, tid, parentTid);
  }

  exit(timeNs: number, _cpu: number, pid: number, tid: number): void {
    this.#clock(timeNs);
    const index = this.#tasks.of(pid, tid);
    const task = this.#tasks.get(index);
    task.exited = true;
    // A per-task event goes with its task's context at exit: there is no switch-out any more.
    if (this.#kind !== "cpu" && (task.currentRun !== NONE || this.#openFirst(index, NONE)))
      this.#close(task, timeNs, RUN.exited);
  }

  lost(timeNs: number): void {
    this.#clock(timeNs);
    if (timeNs !== BEFORE_RECORDING) this.#lostNs.push(timeNs);
  }

  /** Ends what still runs and gives all runs in order of their start. */
  finish(): CollectedRuns {
    for (const [index, task] of this.#tasks.all.entries()) {
      if (this.#kind === "cpu" && task.commandIfPerTask) task.command = undefined;
      const neverSwitched = this.#kind !== "cpu" && !task.exited && task.currentRun === NONE;
      if (neverSwitched && task.command !== undefined) this.#openFirst(index, NONE);
      if (task.currentRun !== NONE) this.#closeAtEnd(task);
    }
    const { runs, place } = inOrder(this.#runs);
    for (const task of this.#tasks.all)
      if (task.forkRun !== NONE) task.forkRun = place[task.forkRun] as number;
    return {
      runs,
      tasks: this.#tasks.all,
      kind: this.#kind,
      hasCpuNumbers: this.#kind !== undefined && this.#hasCpuNumbers,
      startNs: Number.isFinite(this.#startNs) ? this.#startNs : 0,
      endNs: Number.isFinite(this.#endNs) ? this.#endNs : 0,
      switchesIn: this.#switchesIn,
      switchesOut: this.#switchesOut,
      preemptedOut: this.#preemptedOut,
      repairs: this.#repairs,
    };
  }

  /**
   * A run that no record ends. Where records were lost since it began, its end is taken to be among them (LOST is
   * written when there is room again); else the task still ran when the recording ended.
   */
  #closeAtEnd(task: LiveTask): void {
    const startNs = this.#runs.startNs[task.currentRun] as number;
    const lostNs = this.#lostNs.find((atNs) => atNs >= startNs);
    if (lostNs !== undefined) this.#repairs.missingOut++;
    this.#close(task, lostNs ?? this.#endNs, lostNs === undefined ? RUN.openEnd : 0);
  }

  #accept(kind: "cpu" | "task", timeNs: number, cpu: number): boolean {
    this.#clock(timeNs);
    this.#kind ??= kind;
    if (this.#kind !== kind || timeNs === BEFORE_RECORDING) {
      this.#repairs.otherKind++;
      return false;
    }
    if (cpu < 0) this.#hasCpuNumbers = false;
    return true;
  }

  #countOut(preempted: boolean): void {
    this.#switchesOut++;
    if (preempted) this.#preemptedOut++;
  }

  #clock(timeNs: number): void {
    if (timeNs === BEFORE_RECORDING) return;
    if (timeNs < this.#startNs) this.#startNs = timeNs;
    if (timeNs > this.#endNs) this.#endNs = timeNs;
  }

  #cpu(cpu: number): CpuState {
    let state = this.#cpus.get(cpu);
    if (state === undefined) {
      state = { run: NONE, outNs: 0, nextPid: 0, nextTid: undefined, lastRun: NONE };
      this.#cpus.set(cpu, state);
    }
    return state;
  }

  #open(task: number, cpu: number, startNs: number, flags: number, before: number): number {
    const live = this.#tasks.get(task);
    if (live.currentRun !== NONE) {
      // It cannot run twice, so it has left the CPU where it was. Whether a switch-out is missing there shows at that
      // CPU's next record: perf stops recording one CPU after the other, and the last ones may have none.
      this.#close(live, startNs, 0);
    }
    live.currentRun = this.#runs.open(cpu, task, startNs, flags | (live.exited ? RUN.afterExit : 0), before);
    return live.currentRun;
  }

  #close(task: LiveTask, endNs: number, flags: number): void {
    const run = task.currentRun;
    const startNs = this.#runs.startNs[run] as number;
    const alreadyGone = ((this.#runs.flags[run] as number) & RUN.afterExit) !== 0;
    this.#runs.endNs[run] = Math.max(startNs, endNs);
    this.#runs.flags[run] =
      (this.#runs.flags[run] as number) | flags | (task.exited && !alreadyGone ? RUN.exited : 0);
    task.currentRun = NONE;
    task.lastEndNs = Math.max(startNs, endNs);
  }

  /** The CPU's current run when another task comes in: its switch-out is missing. */
  #endLeftover(state: CpuState, timeNs: number, tidComing: number): void {
    if (state.run === NONE) return;
    this.#repairs.missingOut++;
    const task = this.#tasks.get(this.#runs.task[state.run] as number);
    if (task.currentRun === state.run) {
      this.#close(task, timeNs, 0);
      state.lastRun = task.tid === tidComing ? NONE : state.run;
    }
    state.run = NONE;
  }

  /** Which run a CPU-wide switch-out ends; opens one where its switch-in is not there but certain. */
  #runThatEnds(state: CpuState, cpu: number, timeNs: number, pid: number, tid: number): number {
    if (state.run !== NONE) {
      const task = this.#tasks.get(this.#runs.task[state.run] as number);
      const isCurrent = task.currentRun === state.run;
      // -1: a task that is already unhashed. Another tid: two records are missing in between.
      if (!isCurrent || (tid !== task.tid && tid !== -1)) this.#repairs.missingOut++;
      return isCurrent ? state.run : NONE;
    }
    if (tid <= 0) return NONE;
    const index = this.#tasks.of(pid, tid);
    if (state.nextTid === undefined) return this.#openAtStart(index, cpu, Math.min(this.#startNs, timeNs));
    if (state.nextTid === tid) {
      this.#repairs.missingIn++;
      const noGap = state.lastRun === NONE ? 0 : RUN.noGap;
      return this.#open(index, cpu, state.outNs, noGap, state.lastRun);
    }
    this.#repairs.strayOut++;
    return NONE;
  }

  /** The first record of a CPU is a switch-out: the task ran there since the recording began, or since its fork. */
  #openAtStart(index: number, cpu: number, fromNs: number): number {
    const task = this.#tasks.get(index);
    return this.#open(index, cpu, Math.max(fromNs, task.lastEndNs, task.forkNs), RUN.openStart, NONE);
  }

  /**
   * The first record of a per-task event is a switch-out or the exit: its task ran since execve (perf record
   * -- COMMAND enables the event there) or, if it was there before, since the recording began.
   */
  #openFirst(index: number, cpu: number): boolean {
    const task = this.#tasks.get(index);
    if (task.lastEndNs !== Number.NEGATIVE_INFINITY) return false;
    if (task.command !== undefined) {
      this.#open(index, cpu, task.command.fromNs, RUN.execStart, NONE);
      return true;
    }
    if (task.parent !== NONE || task.exited) return false;
    this.#open(index, cpu, this.#startNs, RUN.openStart, NONE);
    return true;
  }

  /** perf's child becomes the command in the middle of a run: what comes before belongs to perf. */
  #splitAtExec(task: LiveTask, timeNs: number): void {
    const run = task.currentRun;
    const cpu = this.#runs.cpu[run] as number;
    const index = this.#runs.task[run] as number;
    this.#close(task, timeNs, RUN.preempted);
    const command = this.#open(index, cpu, timeNs, RUN.execStart | RUN.noGap, NONE);
    const state = this.#cpus.get(cpu);
    if (state?.run === run) state.run = command;
  }

  #isTask(run: number, pid: number, tid: number): boolean {
    if (run === NONE) return false;
    const task = this.#tasks.get(this.#runs.task[run] as number);
    return task.tid === tid || (tid === -1 && pid === -1 && task.exited);
  }
}

/** The runs by start, equal starts as they came, and the place that each got; references between them follow. */
function inOrder(runs: GrowingRuns): { runs: Runs; place: Int32Array } {
  const { count } = runs;
  const order = stableOrder(runs.startNs, count);
  const place = new Int32Array(count);
  for (let i = 0; i < count; i++) place[order[i] as number] = i;
  const out = {
    count,
    cpu: new Int32Array(count),
    task: new Uint32Array(count),
    startNs: new Float64Array(count),
    endNs: new Float64Array(count),
    flags: new Uint8Array(count),
    before: new Int32Array(count),
  };
  for (let i = 0; i < count; i++) {
    const from = order[i] as number;
    const before = runs.before[from] as number;
    out.cpu[i] = runs.cpu[from] as number;
    out.task[i] = runs.task[from] as number;
    out.startNs[i] = runs.startNs[from] as number;
    out.endNs[i] = runs.endNs[from] as number;
    out.flags[i] = runs.flags[from] as number;
    out.before[i] = before === NONE ? NONE : (place[before] as number);
  }
  return { runs: out, place };
}
