/** Which vCPU each run gets. */
import { NONE, type Runs } from "./runs.ts";

export interface Placement {
  readonly vcpus: number;
  /** For each picked run, in the order of `picked`. */
  readonly vcpu: Uint16Array;
}

/** One vCPU for each recorded CPU that ran anything, in the order of CPU numbers. */
export function byCpu(runs: Runs, picked: Uint32Array): Placement {
  const cpus = new Set<number>();
  for (const run of picked) cpus.add(runs.cpu[run] as number);
  const numbers = new Map([...cpus].sort((a, b) => a - b).map((cpu, i) => [cpu, i]));
  const vcpu = new Uint16Array(picked.length);
  for (let i = 0; i < picked.length; i++)
    vcpu[i] = numbers.get(runs.cpu[picked[i] as number] as number) as number;
  return { vcpus: numbers.size, vcpu };
}

interface Lane {
  freeAtNs: number;
  /** The run that takes over from this vCPU's last one by a direct switch: nobody else may come in between. */
  heir: number;
}

/**
 * Without CPU numbers: as many vCPUs as runs overlap, or exactly `fixed`. A run that takes over directly stays on the
 * vCPU; a task prefers its last one; else the lowest that is free. With fewer vCPUs than runs overlap, the run goes
 * where a vCPU is free first, and the replay makes it wait.
 *
 * @param most the machine's CPUs: runs that overlap more than that have lost their ends
 * @param directFrom as `directByTime` gives it; entries that cannot be kept on one vCPU are set to NONE
 */
export function byOverlap(
  runs: Runs,
  picked: Uint32Array,
  directFrom: Int32Array,
  fixed: number | undefined,
  most: number,
): Placement {
  const heirs = new Map<number, number>();
  for (const run of picked) {
    const from = directFrom[run] as number;
    if (from !== NONE) heirs.set(from, run);
  }
  const lanes: Lane[] = Array.from({ length: fixed ?? 0 }, () => ({
    freeAtNs: Number.NEGATIVE_INFINITY,
    heir: NONE,
  }));
  const laneOfRun = new Map<number, number>();
  const laneOfTask = new Map<number, number>();
  const vcpu = new Uint16Array(picked.length);
  for (const [i, run] of picked.entries()) {
    const startNs = runs.startNs[run] as number;
    const task = runs.task[run] as number;
    const chosen =
      inheritedLane(lanes, laneOfRun, directFrom, run) ??
      freeLane(lanes, startNs, laneOfTask.get(task)) ??
      (lanes.length < (fixed ?? most) ? addLane(lanes) : soonestLane(lanes, directFrom));
    const lane = lanes[chosen] as Lane;
    if (directFrom[run] !== NONE && lane.heir !== run) directFrom[run] = NONE;
    vcpu[i] = chosen;
    lane.freeAtNs = Math.max(lane.freeAtNs, startNs) + (runs.endNs[run] as number) - startNs;
    lane.heir = heirs.get(run) ?? NONE;
    if (lane.heir !== NONE) laneOfRun.set(run, chosen);
    laneOfTask.set(task, chosen);
    const from = directFrom[run] as number;
    if (from !== NONE) laneOfRun.delete(from);
  }
  return { vcpus: lanes.length, vcpu };
}

function inheritedLane(
  lanes: readonly Lane[],
  laneOfRun: ReadonlyMap<number, number>,
  directFrom: Int32Array,
  run: number,
): number | undefined {
  const lane = laneOfRun.get(directFrom[run] as number);
  return lane !== undefined && lanes[lane]?.heir === run ? lane : undefined;
}

function freeLane(
  lanes: readonly Lane[],
  startNs: number,
  preferred: number | undefined,
): number | undefined {
  const isFree = (lane: Lane | undefined): boolean =>
    lane !== undefined && lane.freeAtNs <= startNs && lane.heir === NONE;
  if (preferred !== undefined && isFree(lanes[preferred])) return preferred;
  const lowest = lanes.findIndex(isFree);
  return lowest === -1 ? undefined : lowest;
}

function addLane(lanes: Lane[]): number {
  lanes.push({ freeAtNs: Number.NEGATIVE_INFINITY, heir: NONE });
  return lanes.length - 1;
}

/** The vCPU that is free first; where every one has an heir, that one loses its direct switch. */
function soonestLane(lanes: readonly Lane[], directFrom: Int32Array): number {
  let best = 0;
  const rank = (lane: Lane): number => (lane.heir === NONE ? 0 : 1);
  for (const [i, lane] of lanes.entries()) {
    const bestLane = lanes[best] as Lane;
    if (rank(lane) < rank(bestLane) || (rank(lane) === rank(bestLane) && lane.freeAtNs < bestLane.freeAtNs))
      best = i;
  }
  const { heir } = lanes[best] as Lane;
  if (heir !== NONE) directFrom[heir] = NONE;
  return best;
}
