/**
 * Direct switches between clones: perf swaps the two contexts and does not touch the PMU
 * (perf_event_context_sched_out in kernel/events/core.c), so the buffer stays enabled.
 */
import { stableOrder } from "../../perf/order.ts";
import { NONE, RUN, type Runs } from "./runs.ts";

/** Without CPU-wide records, a switch-in this soon after a clone's switch-out is taken as direct. */
export const DIRECT_WITHIN_NS = 5_000;

/**
 * For CPU-wide recordings: the run that each run took over from by a direct switch, or NONE. Exact: the records name
 * the task before and the task after.
 *
 * @param family of each task, or NONE (`ChosenTasks`)
 */
export function directByCpu(runs: Runs, family: Int32Array): Int32Array {
  const from = new Int32Array(runs.count).fill(NONE);
  for (let i = 0; i < runs.count; i++) {
    const before = runs.before[i] as number;
    const own = family[runs.task[i] as number] as number;
    if (before !== NONE && own !== NONE && family[runs.task[before] as number] === own) from[i] = before;
  }
  return from;
}

/** No machine has more CPUs that switch at once; a damaged clock could otherwise make this quadratic. */
const MOST_OUTS = 1024;

/** Whether a run ended with a switch-out record: not at its task's exit, nor at the recording's end. */
const switchedOut = (flags: number): boolean => (flags & (RUN.exited | RUN.openEnd)) === 0;
/** Whether a run began with a switch-in record. */
const switchedIn = (flags: number): boolean => (flags & (RUN.execStart | RUN.openStart)) === 0;

/**
 * For per-task recordings: the latest switch-out of another task of the family, at most DIRECT_WITHIN_NS before, on
 * the same CPU where CPU numbers are there, that no earlier switch-in has taken: a CPU goes on to one task only.
 */
export function directByTime(runs: Runs, family: Int32Array, hasCpuNumbers: boolean): Int32Array {
  const from = new Int32Array(runs.count).fill(NONE);
  const ends: number[] = [];
  const byEnd = stableOrder(runs.endNs, runs.count);
  let next = 0;
  for (let i = 0; i < runs.count; i++) {
    const startNs = runs.startNs[i] as number;
    for (; next < byEnd.length && (runs.endNs[byEnd[next] as number] as number) <= startNs; next++) {
      const ended = byEnd[next] as number;
      if (switchedOut(runs.flags[ended] as number)) ends.push(ended);
      if (ends.length > MOST_OUTS) ends.shift();
    }
    // Those too long ago are at the front: nobody can take them any more.
    while (ends.length > 0 && startNs - (runs.endNs[ends[0] as number] as number) > DIRECT_WITHIN_NS)
      ends.shift();
    const task = runs.task[i] as number;
    const own = family[task] as number;
    // A task that comes back had not handed its CPU to anybody yet.
    const ownOut = ends.findLastIndex((ended) => runs.task[ended] === task);
    if (ownOut !== -1) ends.splice(ownOut, 1);
    if (own === NONE || !switchedIn(runs.flags[i] as number)) continue;
    const taken = ends.findLastIndex((ended) => {
      const sameCpu = !hasCpuNumbers || runs.cpu[ended] === runs.cpu[i];
      return ended < i && sameCpu && family[runs.task[ended] as number] === own;
    });
    if (taken === -1) continue;
    from[i] = ends[taken] as number;
    ends.splice(taken, 1);
  }
  return from;
}
