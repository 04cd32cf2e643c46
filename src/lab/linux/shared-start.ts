/**
 * Cells whose machines do the same until the guest first touches its profiling unit: one is run up to there, and all go on from
 * its state. Half of the thread's commands and more is perf's own start.
 */
import type { PinPolicy } from "../../kvm/spe/policy.ts";
import { type Cell, machineOf } from "./cells.ts";

/** So that there are enough groups for several threads. */
const MOST_CELLS = 16;

/** Whether a cell's machine can be stopped and saved there. */
const isShareable = ({ machine, of }: Cell): boolean =>
  // Bare metal has no other like it. Several vCPUs might take turns otherwise, and a host that takes pages away is not saved.
  machine.kind !== "bare-metal" && machineOf(of).cpus === 1 && (machineOf(of).host.pressure ?? null) === null;

/** Puts cells together that start alike, the largest groups first; one that starts alone is a group of its own. */
export function startingAlike(cells: readonly Cell[]): readonly (readonly Cell[])[] {
  const groups = new Map<string, Cell[][]>();
  cells.forEach((cell, i) => {
    const { scenario, machine } = cell;
    const key =
      isShareable(cell) && machine.kind !== "bare-metal" ? `${scenario}\n${machine.profile}` : String(i);
    const pieces = groups.get(key) ?? [[]];
    groups.set(key, pieces);
    if (pieces.at(-1)!.length === MOST_CELLS) pieces.push([]);
    pieces.at(-1)!.push(cell);
  });
  return [...groups.values()].flat().sort((a, b) => b.length - a.length);
}

/** Whether a policy does nothing, and is told of nothing, before the guest uses SPE; its memory is backed as any other's. */
export function startsLater(policy: PinPolicy): boolean {
  const { onVmStart, onVcpuLoad, onVcpuPut, onGuestExit } = policy.create();
  return (
    policy.backing === undefined &&
    [onVmStart, onVcpuLoad, onVcpuPut, onGuestExit].every((on) => on === undefined)
  );
}
