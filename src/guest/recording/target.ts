/**
 * Which tasks are profiled. Each choice is what a perf command would do:
 *
 * - command: `perf record -e arm_spe// -- COMMAND`: the recorded command from its execve on, and what it forks.
 * - pid: `perf record -p PID`: the threads of that process, and what they fork from then on.
 * - comm: `perf record -p` of each task that has this name at some time; what they fork only if it has it too.
 * - per-cpu: `perf record -a`: everything, with one event for each CPU.
 *
 * A family is what stems from one attached task: its contexts are clones of each other, and only between clones does
 * a context switch leave the PMU alone (perf_event_context_sched_out in kernel/events/core.c). `perf record -p`
 * attaches to each thread on its own, so threads that were there before are families of their own.
 */
import { UserError } from "../../common/errors.ts";
import { formatNs } from "../../common/sizes.ts";
import type { CollectedRuns } from "./collect.ts";
import { NONE, type RecordedTask, type TaskName } from "./runs.ts";

export type Target =
  | { readonly kind: "command" }
  | { readonly kind: "comm"; readonly comm: string }
  | { readonly kind: "pid"; readonly pid: number }
  | { readonly kind: "per-cpu" };

/** The profiled tasks: for each task of the recording its family, or NONE where it is not profiled. */
export interface ChosenTasks {
  readonly family: Int32Array;
  readonly perCpu: boolean;
  /** For people: "make and its children". */
  readonly description: string;
}

/** A command of a system-wide recording, for the user to choose from. */
export interface BusyCommand {
  readonly comm: string;
  readonly tasks: number;
  readonly runNs: number;
  /** How often one of its tasks was switched in. */
  readonly switches: number;
}

/** The answer where the recording cannot say what to profile. */
export interface TargetQuestion {
  readonly kind: "choose-target";
  /** Why one must choose, and how. */
  readonly message: string;
  /** Busiest first. */
  readonly commands: readonly BusyCommand[];
}

/** Programs that only say how long to record. */
export const TIMERS: ReadonlySet<string> = new Set(["sleep", "usleep"]);

/** Programs that set something up and execute another one, and have no work of their own. */
const WRAPPERS: ReadonlySet<string> = new Set(
  "chrt doas env ionice nice nohup numactl prlimit setarch setsid stdbuf sudo taskset time timeout unshare".split(
    " ",
  ),
);

/** TASK_COMM_LEN without the NUL: what a kernel keeps of a name. */
const COMM_BYTES = 15;

/** Families: a task belongs to its parent's where that is profiled too, else it starts one. */
function families(
  tasks: readonly RecordedTask[],
  isTarget: (task: RecordedTask, parentIs: boolean) => boolean,
) {
  const family = new Int32Array(tasks.length).fill(NONE);
  // A parent is always in the list before its children.
  for (const [i, task] of tasks.entries()) {
    if (task.tid <= 0) continue;
    const parents = task.parent === NONE ? NONE : (family[task.parent] as number);
    if (isTarget(task, parents !== NONE)) family[i] = parents === NONE ? i : parents;
  }
  return family;
}

const NO_NAME: readonly TaskName[] = [{ comm: "", fromNs: Number.NEGATIVE_INFINITY, executed: false }];

/**
 * Run time and switches by the name that a task had then, busiest first, without idle. Before the first name of its
 * own it counts under that one, as `--comm` takes it.
 */
export function busiestCommands(collected: CollectedRuns): BusyCommand[] {
  const { runs, tasks } = collected;
  const byComm = new Map<string, { tasks: Set<number>; runNs: number; switches: number }>();
  for (let i = 0; i < runs.count; i++) {
    const index = runs.task[i] as number;
    const startNs = runs.startNs[i] as number;
    const endNs = runs.endNs[i] as number;
    const own = (tasks[index] as RecordedTask).names;
    const names = own.length === 0 ? NO_NAME : own;
    for (const [n, { comm, fromNs }] of names.entries()) {
      const nameFromNs = n === 0 ? Number.NEGATIVE_INFINITY : fromNs;
      const nameToNs = names[n + 1]?.fromNs ?? Number.POSITIVE_INFINITY;
      const isAtStart = nameFromNs <= startNs && startNs < nameToNs;
      const ranNs = Math.min(endNs, nameToNs) - Math.max(startNs, nameFromNs);
      if (!isAtStart && ranNs <= 0) continue;
      let entry = byComm.get(comm);
      if (entry === undefined) {
        entry = { tasks: new Set(), runNs: 0, switches: 0 };
        byComm.set(comm, entry);
      }
      entry.tasks.add(index);
      entry.runNs += ranNs;
      if (isAtStart) entry.switches++;
    }
  }
  return [...byComm]
    .map(([comm, entry]) => ({ comm, tasks: entry.tasks.size, runNs: entry.runNs, switches: entry.switches }))
    .sort((a, b) => b.runNs - a.runNs || (a.comm < b.comm ? -1 : 1));
}

/** "make (1.2 s), cc1 (0.9 s), ...": for messages. */
function named(commands: readonly BusyCommand[]): string {
  return commands
    .slice(0, 5)
    .map(({ comm, runNs }) => `${comm === "" ? "(no name)" : comm} (${formatNs(runNs)})`)
    .join(", ");
}

function hasRuns(collected: CollectedRuns, family: Int32Array): boolean {
  const { task, count } = collected.runs;
  for (let i = 0; i < count; i++) if (family[task[i] as number] !== NONE) return true;
  return false;
}

function question(collected: CollectedRuns, why: string): TargetQuestion {
  return {
    kind: "choose-target",
    message: `${why}\nChoose what to profile: --comm NAME, --pid PID, or --per-cpu for everything.`,
    commands: busiestCommands(collected),
  };
}

/**
 * The recorded command of a system-wide file, where there is no doubt: exactly one child of perf record became a
 * command while the recording ran, and it is not there only to pass the time (`perf record -a -- sleep 10`).
 */
function systemWideCommand(collected: CollectedRuns): ChosenTasks | TargetQuestion {
  const { tasks } = collected;
  const commands = tasks.filter((task) => task.command !== undefined);
  const [first] = commands;
  if (first?.command === undefined)
    return question(collected, "a system-wide recording, and no command of perf's own starts in it.");
  if (commands.length > 1)
    return question(
      collected,
      `a system-wide recording in which ${commands.length} perf commands start a program.`,
    );
  const { comm } = first.command;
  const family = families(tasks, (task, parentIs) => parentIs || task === first);
  if (passesTime(tasks.filter((_, i) => family[i] !== NONE)))
    return question(collected, `a system-wide recording whose command, ${comm}, only passes the time.`);
  if (!hasRuns(collected, family))
    return question(collected, `a system-wide recording whose command, ${comm}, never runs.`);
  return { family, perCpu: false, description: `${comm} and its children` };
}

/** Whether all that these tasks execute is a timer, and what starts one: `sleep 10`, `timeout 5 sleep 10`. */
function passesTime(tasks: readonly RecordedTask[]): boolean {
  const programs = tasks.flatMap(({ names }) => names.filter(({ executed }) => executed));
  return (
    programs.some(({ comm }) => TIMERS.has(comm)) &&
    programs.every(({ comm }) => TIMERS.has(comm) || WRAPPERS.has(comm))
  );
}

function recordedCommand(collected: CollectedRuns): ChosenTasks | TargetQuestion {
  if (collected.kind === "cpu") return systemWideCommand(collected);
  // Only profiled tasks are in a per-task recording.
  const family = families(collected.tasks, () => true);
  const command = collected.tasks.find((task) => task.command !== undefined)?.command;
  if (command !== undefined)
    return { family, perCpu: false, description: `${command.comm} and its children` };
  const names = busiestCommands(collected).flatMap(({ comm }) => (comm === "" ? [] : [comm]));
  const which =
    names.length === 0 ? "" : ` (${names.slice(0, 3).join(", ")}${names.length > 3 ? ", ..." : ""})`;
  return { family, perCpu: false, description: `the recorded tasks${which}` };
}

/** What a kernel makes of a longer name. */
function cutComm(name: string): string {
  const bytes = new TextEncoder().encode(name);
  return bytes.length <= COMM_BYTES ? name : new TextDecoder().decode(bytes.subarray(0, COMM_BYTES));
}

/**
 * @param target undefined: the recorded command and its children, or a question where a system-wide recording has none
 * @throws UserError if nothing in the recording is what was asked for, or per-cpu is asked of a recording without CPU
 *   numbers
 */
export function chooseTasks(
  name: string,
  collected: CollectedRuns,
  target: Target | undefined,
): ChosenTasks | TargetQuestion {
  switch (target?.kind) {
    case undefined:
    case "command":
      return recordedCommand(collected);
    case "comm": {
      const wanted = cutComm(target.comm);
      const family = families(
        collected.tasks,
        (task) => task.comm === wanted || task.names.some(({ comm }) => comm === wanted),
      );
      if (hasRuns(collected, family))
        return { family, perCpu: false, description: `the tasks named ${wanted}` };
      throw new UserError(
        `--comm ${target.comm}: no task of that name runs in ${name}`,
        `Those that run longest: ${named(busiestCommands(collected))}.`,
      );
    }
    case "pid": {
      const family = families(collected.tasks, (task, parentIs) => parentIs || task.pid === target.pid);
      if (hasRuns(collected, family))
        return { family, perCpu: false, description: `process ${target.pid} and its children` };
      throw new UserError(
        `--pid ${target.pid}: no task of that process runs in ${name}`,
        `Those that run longest: ${named(busiestCommands(collected))}.`,
      );
    }
    case "per-cpu":
      if (!collected.hasCpuNumbers)
        throw new UserError(
          `--per-cpu: ${name} does not say which CPU a task ran on (it was recorded per task)`,
          "Record the whole system: perf record --switch-events -e dummy -a -- COMMAND",
        );
      return {
        family: families(collected.tasks, () => true),
        perCpu: true,
        description: "everything, with one event for each CPU",
      };
  }
}
