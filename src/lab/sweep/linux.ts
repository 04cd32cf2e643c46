/** Slowdowns of runs of real code: against the VM whose SPE costs nothing, which is a cell of the same sweep. */
import type { LinuxCell } from "./cell.ts";
import type { Result } from "./row.ts";

const keyOf = ({ scenario, profile, seed }: LinuxCell): string => JSON.stringify([scenario, profile, seed]);

export class FreeSpeWalls {
  readonly #wallNs = new Map<string, number>();

  /** Takes note of a result, if it is of such a VM. */
  add({ cell, outcome }: Result): void {
    if (cell.kind !== "linux" || cell.policy !== "free-spe" || outcome.kind !== "row") return;
    const { guestWallNs } = outcome.row;
    if (typeof guestWallNs === "number") this.#wallNs.set(keyOf(cell), guestWallNs);
  }

  /** A result with its slowdown, which is null where it has nothing to be against; others are as they were. */
  complete(result: Result): Result {
    const { cell, outcome } = result;
    if (cell.kind !== "linux" || outcome.kind !== "row") return result;
    const free = this.#wallNs.get(keyOf(cell));
    const { guestWallNs } = outcome.row;
    const slowdown = free === undefined || typeof guestWallNs !== "number" ? null : guestWallNs / free;
    return { cell, outcome: { kind: "row", row: { slowdown, ...outcome.row } } };
  }
}
