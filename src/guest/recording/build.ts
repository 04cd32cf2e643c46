/** From the runs of a recording to the schedule that the driver model replays. */

import { counted, formatCount } from "../../common/counts.ts";
import { UserError } from "../../common/errors.ts";
import { formatNs } from "../../common/sizes.ts";
import type { ReadReport } from "../../perf/reader.ts";
import { NO_SEGMENT, type Schedule, type ScheduledTask, SEGMENT } from "../schedule.ts";
import type { CollectedRuns } from "./collect.ts";
import { DIRECT_WITHIN_NS, directByCpu, directByTime } from "./direct.ts";
import { NONE, type RecordedTask, RUN } from "./runs.ts";
import { type EnableCounts, type RecordingSummary, recordingWarnings } from "./summary.ts";
import { type ChosenTasks, chooseTasks, type Target, type TargetQuestion } from "./target.ts";
import { byCpu, byOverlap, type Placement } from "./vcpus.ts";
import { assignWaits, WAKER_WITHIN_NS } from "./waits.ts";

/** A recording that has been read: ask it for schedules of different targets without reading it again. */
export interface RecordedRuns {
  readonly report: ReadReport;
  readonly collected: CollectedRuns;
}

export interface ScheduleOptions {
  /** Undefined: the recorded command and its children. */
  readonly target?: Target | undefined;
  /** vCPUs for a recording without CPU numbers; undefined: as many as its tasks overlap. */
  readonly vcpus?: number | undefined;
  /** False: no switch is taken as direct, each switch-in of a target enables. */
  readonly directSwitches?: boolean | undefined;
}

export interface RecordedSchedule {
  readonly kind: "schedule";
  readonly schedule: Schedule;
  readonly recording: RecordingSummary;
}

/** Most vCPUs that `--vcpus` may ask for: KVM_MAX_VCPUS of arm64. */
const MAX_VCPUS = 512;

/** Runs that are in the schedule, and where each stands there. */
interface Window {
  readonly picked: Uint32Array;
  readonly fromNs: number;
  readonly toNs: number;
}

/** `column[i] = of(picked[i], i)`: what TypedArray.from does, several times as fast. */
function mapInto<T extends Float64Array | Uint32Array | Uint8Array>(
  picked: Uint32Array,
  column: T,
  of: (run: number, i: number) => number,
): T {
  for (let i = 0; i < picked.length; i++) column[i] = of(picked[i] as number, i);
  return column;
}

/**
 * A direct switch joins two runs that follow each other on one vCPU. Damaged time stamps can put another one between
 * them: then it is not direct, lest a buffer be enabled twice.
 */
function keepNeighbours(picked: Uint32Array, placement: Placement, directFrom: Int32Array): void {
  const last = new Int32Array(placement.vcpus).fill(NONE);
  for (let i = 0; i < picked.length; i++) {
    const run = picked[i] as number;
    const vcpu = placement.vcpu[i] as number;
    if (directFrom[run] !== last[vcpu]) directFrom[run] = NONE;
    last[vcpu] = run;
  }
}

class Builder {
  readonly #report: ReadReport;
  readonly #collected: CollectedRuns;
  readonly #chosen: ChosenTasks;
  readonly #vcpus: number | undefined;
  readonly #directSwitches: boolean;

  constructor(recorded: RecordedRuns, chosen: ChosenTasks, options: ScheduleOptions) {
    this.#report = recorded.report;
    this.#collected = recorded.collected;
    this.#chosen = chosen;
    this.#vcpus = options.vcpus;
    this.#directSwitches = options.directSwitches ?? true;
  }

  build(): RecordedSchedule {
    const { runs } = this.#collected;
    const window = this.#window();
    const { picked } = window;
    const directFrom = this.#directFrom();
    const placement: Placement = this.#collected.hasCpuNumbers
      ? byCpu(runs, picked)
      : byOverlap(runs, picked, directFrom, this.#vcpus, this.#report.info.cpusOnline || MAX_VCPUS);
    keepNeighbours(picked, placement, directFrom);
    const { tasks, taskOf } = this.#scheduledTasks(picked);
    const startNs = mapInto(picked, new Float64Array(picked.length), (run) =>
      Math.max(0, (runs.startNs[run] as number) - window.fromNs),
    );
    const endNs = mapInto(
      picked,
      new Float64Array(picked.length),
      (run) => Math.min(runs.endNs[run] as number, window.toNs) - window.fromNs,
    );
    const task = mapInto(
      picked,
      new Uint32Array(picked.length),
      (run) => taskOf[runs.task[run] as number] as number,
    );
    const flags = this.#flags(picked, directFrom);
    const waits = this.#waits(window, placement, task, tasks.length, startNs, endNs);
    const counts = this.#counts(picked, directFrom, placement.vcpus);
    const schedule: Schedule = {
      vcpus: placement.vcpus,
      tasks,
      segments: { count: picked.length, vcpu: placement.vcpu, task, startNs, endNs, flags, ...waits },
      durationNs: window.toNs - window.fromNs,
      assumptions: this.#assumptions(counts, placement.vcpus),
      ...(this.#chosen.perCpu ? { perCpu: true } : {}),
    };
    return { kind: "schedule", schedule, recording: this.#summary(schedule, counts, window) };
  }

  #isTarget(run: number): boolean {
    const { runs, tasks } = this.#collected;
    const task = runs.task[run] as number;
    if (this.#chosen.family[task] === NONE) return false;
    const { command } = tasks[task] as RecordedTask;
    return this.#chosen.perCpu || command === undefined || (runs.startNs[run] as number) >= command.fromNs;
  }

  /** From the first target switch-in to the last target switch-out, and every run that lies in it or reaches in. */
  #window(): Window {
    const { runs } = this.#collected;
    let fromNs = Number.POSITIVE_INFINITY;
    let toNs = Number.NEGATIVE_INFINITY;
    for (let run = 0; run < runs.count; run++) {
      if (!this.#isTarget(run)) continue;
      fromNs = Math.min(fromNs, runs.startNs[run] as number);
      toNs = Math.max(toNs, runs.endNs[run] as number);
    }
    if (fromNs > toNs)
      throw new UserError(
        `${this.#report.name}: nothing of what is profiled (${this.#chosen.description}) runs in it`,
      );
    const isIn = (run: number): boolean =>
      this.#isTarget(run) || ((runs.endNs[run] as number) > fromNs && (runs.startNs[run] as number) < toNs);
    let count = 0;
    for (let run = 0; run < runs.count; run++) if (isIn(run)) count++;
    const picked = new Uint32Array(count);
    count = 0;
    for (let run = 0; run < runs.count; run++) if (isIn(run)) picked[count++] = run;
    return { picked, fromNs, toNs };
  }

  #directFrom(): Int32Array {
    const { runs, kind, hasCpuNumbers } = this.#collected;
    const { family, perCpu } = this.#chosen;
    if (perCpu || !this.#directSwitches) return new Int32Array(runs.count).fill(NONE);
    const from = kind === "cpu" ? directByCpu(runs, family) : directByTime(runs, family, hasCpuNumbers);
    for (let run = 0; run < runs.count; run++)
      if (from[run] !== NONE && !(this.#isTarget(run) && this.#isTarget(from[run] as number)))
        from[run] = NONE;
    return from;
  }

  #scheduledTasks(picked: Uint32Array): { tasks: ScheduledTask[]; taskOf: Int32Array } {
    const { runs, tasks: recorded } = this.#collected;
    const taskOf = new Int32Array(recorded.length).fill(NONE);
    const tasks: ScheduledTask[] = [];
    for (const run of picked) {
      const index = runs.task[run] as number;
      if (taskOf[index] !== NONE) continue;
      taskOf[index] = tasks.length;
      const { pid, tid, comm, command } = recorded[index] as RecordedTask;
      tasks.push({ pid, tid, comm: command?.comm ?? comm, target: this.#chosen.family[index] !== NONE });
    }
    return { tasks, taskOf };
  }

  #flags(picked: Uint32Array, directFrom: Int32Array): Uint8Array {
    const { runs } = this.#collected;
    const handsOn = new Set<number>();
    for (const run of picked) if (directFrom[run] !== NONE) handsOn.add(directFrom[run] as number);
    return mapInto(picked, new Uint8Array(picked.length), (run) => {
      const preempted = ((runs.flags[run] as number) & RUN.preempted) === 0 ? 0 : SEGMENT.preempted;
      if (!this.#isTarget(run)) return preempted;
      if (this.#chosen.perCpu) return preempted | SEGMENT.target;
      const enables = directFrom[run] === NONE ? SEGMENT.enables : 0;
      const disables = handsOn.has(run) ? 0 : SEGMENT.disables;
      return preempted | SEGMENT.target | enables | disables;
    });
  }

  #waits(
    window: Window,
    placement: Placement,
    task: Uint32Array,
    tasks: number,
    startNs: Float64Array,
    endNs: Float64Array,
  ) {
    const { runs, tasks: recorded, kind } = this.#collected;
    const { picked } = window;
    const segmentOf = new Int32Array(runs.count).fill(NO_SEGMENT);
    for (let i = 0; i < picked.length; i++) segmentOf[picked[i] as number] = i;
    const lastOnVcpu = new Float64Array(placement.vcpus).fill(Number.NEGATIVE_INFINITY);
    // Per-task records name no predecessor: no gap means that the vCPU's last segment ended within the direct rule.
    const close = mapInto(picked, new Uint8Array(picked.length), (_, i) => {
      const vcpu = placement.vcpu[i] as number;
      const isClose = (startNs[i] as number) - (lastOnVcpu[vcpu] as number) <= DIRECT_WITHIN_NS;
      lastOnVcpu[vcpu] = Math.max(lastOnVcpu[vcpu] as number, endNs[i] as number);
      return isClose ? 1 : 0;
    });
    return assignWaits({
      count: picked.length,
      vcpus: placement.vcpus,
      tasks,
      vcpu: placement.vcpu,
      task,
      startNs,
      endNs,
      isTarget: (i) => this.#isTarget(picked[i] as number),
      noGap: (i) =>
        kind === "cpu" ? ((runs.flags[picked[i] as number] as number) & RUN.noGap) !== 0 : close[i] === 1,
      preempted: (i) => ((runs.flags[picked[i] as number] as number) & RUN.preempted) !== 0,
      forkedBy: (i) => {
        const { forkRun, forkNs } = recorded[runs.task[picked[i] as number] as number] as RecordedTask;
        if (forkRun === NONE || segmentOf[forkRun] === NO_SEGMENT || !this.#isTarget(forkRun))
          return undefined;
        return { segment: segmentOf[forkRun] as number, atNs: forkNs - window.fromNs };
      },
    });
  }

  #counts(picked: Uint32Array, directFrom: Int32Array, vcpus: number): EnableCounts {
    const { runs } = this.#collected;
    let starts = 0;
    let direct = 0;
    let atExec = 0;
    let atStart = 0;
    let inferred = 0;
    let exitChange = 0;
    for (const run of picked) {
      if (!this.#isTarget(run)) continue;
      starts++;
      const flags = runs.flags[run] as number;
      const from = directFrom[run] as number;
      if ((flags & RUN.execStart) !== 0) atExec++;
      if ((flags & RUN.openStart) !== 0) atStart++;
      if ((flags & RUN.inferred) !== 0) inferred++;
      if (from !== NONE) direct++;
      const fromExited = from !== NONE && ((runs.flags[from] as number) & (RUN.exited | RUN.afterExit)) !== 0;
      const isGone = (flags & RUN.afterExit) !== 0;
      if (fromExited && !isGone) exitChange++;
      else if (from === NONE && isGone) exitChange--;
    }
    if (this.#chosen.perCpu)
      return {
        enables: vcpus,
        enablesWithoutDirectRule: vcpus,
        directSwitches: 0,
        enablesAtExec: 0,
        enablesAtStart: vcpus,
        enablesInferred: 0,
        enablesIfExitDropsContext: vcpus,
      };
    return {
      enables: starts - direct,
      enablesWithoutDirectRule: starts,
      directSwitches: direct,
      enablesAtExec: atExec,
      enablesAtStart: atStart,
      enablesInferred: inferred,
      enablesIfExitDropsContext: starts - direct + exitChange,
    };
  }

  #assumptions(counts: EnableCounts, vcpus: number): string[] {
    const { kind, hasCpuNumbers, preemptedOut } = this.#collected;
    const said = [
      `profiled: ${this.#chosen.description}`,
      `who woke a task is not recorded: taken to be the target task that ran at that moment or ended less than ${formatNs(WAKER_WITHIN_NS)} before, else something outside`,
    ];
    if (this.#chosen.perCpu)
      said.push("per-CPU profiling: each vCPU enables its buffer once and disables it once");
    if (kind !== "cpu")
      said.push("recorded per task: what else ran on the machine is not known and takes no time here");
    if (!this.#chosen.perCpu && !this.#directSwitches)
      said.push(
        `no switch is taken as direct: ${counted(counts.enables, "start")} of target tasks, each with an enable`,
      );
    else if (!this.#chosen.perCpu && kind !== "cpu")
      said.push(
        `a switch-in within ${formatNs(DIRECT_WITHIN_NS)} of another target task's switch-out${hasCpuNumbers ? " on its CPU" : ""} is taken as a direct switch, each switch-out once: ${counted(counts.enables, "enable")} with this rule, ${formatCount(counts.enablesWithoutDirectRule)} without${hasCpuNumbers ? "" : ". Recorded with perf record --sample-cpu, it is taken on one CPU only"}`,
      );
    if (!hasCpuNumbers)
      said.push(
        this.#vcpus === undefined
          ? `no CPU numbers recorded: ${counted(vcpus, "vCPU")}, as many as its tasks overlap`
          : `no CPU numbers recorded: ${counted(vcpus, "vCPU")} as asked for`,
      );
    if (preemptedOut === 0)
      said.push(
        "no switch-out is marked as a preemption (Linux marks them since 4.17): every task is taken to have blocked",
      );
    return said;
  }

  #summary(schedule: Schedule, counts: EnableCounts, window: Window): RecordingSummary {
    const { runs, kind, hasCpuNumbers, startNs, endNs, switchesIn, switchesOut, repairs } = this.#collected;
    const { info, name, lostRecords, records } = this.#report;
    let targetRunNs = 0;
    let longestGapNs = 0;
    let lastEndNs = window.fromNs;
    for (const run of window.picked) {
      longestGapNs = Math.max(longestGapNs, (runs.startNs[run] as number) - lastEndNs);
      lastEndNs = Math.max(lastEndNs, runs.endNs[run] as number);
      if (this.#isTarget(run)) targetRunNs += (runs.endNs[run] as number) - (runs.startNs[run] as number);
    }
    return {
      ...counts,
      name,
      commandLine: info.commandLine?.join(" "),
      arch: info.arch,
      osRelease: info.osRelease,
      perfVersion: info.perfVersion,
      systemWide: kind === "cpu",
      hasCpuNumbers,
      directSwitchesGuessed: this.#directSwitches && !this.#chosen.perCpu && !hasCpuNumbers,
      target: this.#chosen.description,
      tasks: schedule.tasks.length,
      targetTasks: schedule.tasks.filter((task) => task.target).length,
      vcpus: schedule.vcpus,
      cpusOnline: info.cpusOnline,
      switchesIn,
      switchesOut,
      recordedNs: endNs - startNs,
      wallNs: schedule.durationNs,
      targetRunNs,
      lostRecords,
      repairs,
      records,
      warnings: recordingWarnings(this.#report, this.#collected, longestGapNs),
    };
  }
}

/**
 * The schedule of a recording for one choice of what to profile.
 *
 * @returns a question with the busiest commands where the recording is system-wide and has no command of its own
 * @throws UserError if nothing in it is what was asked for, or an option does not fit the recording
 */
export function buildSchedule(
  recorded: RecordedRuns,
  options: ScheduleOptions = {},
): RecordedSchedule | TargetQuestion {
  const { report, collected } = recorded;
  const { target, vcpus } = options;
  if (vcpus !== undefined) {
    if (!Number.isInteger(vcpus) || vcpus < 1 || vcpus > MAX_VCPUS)
      throw new UserError(`--vcpus: ${vcpus} is not a whole number from 1 to ${MAX_VCPUS}`);
    if (collected.hasCpuNumbers)
      throw new UserError(
        `--vcpus: ${report.name} says which CPU each task ran on, and each of them becomes a vCPU`,
        "Leave --vcpus out; it is for recordings of single tasks, which have no CPU numbers.",
      );
  }
  const chosen = chooseTasks(report.name, collected, target);
  if ("kind" in chosen) return chosen;
  return new Builder(recorded, chosen, options).build();
}
