/** What a run counts; lab/ turns it into the report. */

import type { ExitReason } from "./exit-reasons.ts";

export interface StatisticsState {
  readonly counts: Readonly<Record<string, number>>;
  readonly exitReasons: readonly (readonly [reason: ExitReason, count: number])[];
}

export class Statistics {
  bufferEnables = 0;
  bufferDisables = 0;
  pins = 0;
  unpins = 0;
  pagesPinned = 0;
  pagesUnpinned = 0;
  tablePagesPinned = 0;
  /** Records of the SPU that stage 2 did not let through. */
  recordStage2Faults = 0;
  /** Records that the SPU wrote to a bounce buffer and the guest's buffer had no place for. */
  recordsLostInCopy = 0;
  /** Calls of the policy's that would have broken an invariant: what it was asked for ended there. */
  refusedCalls = 0;
  /** Of the vCPU's own hypervisor time: the first pin (walk, pin, map), walks and pins after it. */
  firstPinNs = 0;
  rewalkNs = 0;
  longestStopColdNs = 0;
  longestStopWarmNs = 0;
  heldAfterOffNs = 0;
  pinnedByteNs = 0;
  readonly exitReasons = new Map<ExitReason, number>();

  /** Every count, for a snapshot. */
  save(): StatisticsState {
    const { exitReasons, ...others } = this;
    const counts = others as unknown as Readonly<Record<string, number>>;
    return { counts, exitReasons: [...exitReasons] };
  }

  restore({ counts, exitReasons }: StatisticsState): void {
    Object.assign(this, counts);
    for (const [reason, count] of exitReasons) this.exitReasons.set(reason, count);
  }

  exit(reason: ExitReason): void {
    this.exitReasons.set(reason, (this.exitReasons.get(reason) ?? 0) + 1);
  }
}
