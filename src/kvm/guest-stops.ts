/** How long host work stops a vCPU's guest at a time: what it waits for anyway (WFI, a turn that is over) is not part of it. */
import type { Timeline } from "../common/timeline.ts";
import type { Statistics } from "./statistics.ts";

export interface GuestStopsState {
  readonly stoppedAtNs: number;
  readonly idleNs: number;
}

export class GuestStops {
  readonly #timeline: Timeline;
  readonly #statistics: Statistics;
  /** When the vCPU last stopped executing the guest, and how long it has had nothing to do since. */
  #stoppedAtNs = 0;
  #idleNs = 0;

  constructor(timeline: Timeline, statistics: Statistics) {
    this.#timeline = timeline;
    this.#statistics = statistics;
  }

  /** The guest has been left. */
  stopped(): void {
    this.#stoppedAtNs = this.#timeline.nowNs;
    this.#idleNs = 0;
  }

  /** For `ns` nobody worked. */
  idled(ns: number): void {
    this.#idleNs += ns;
  }

  /**
   * The guest goes on.
   * @param isCold the stop began with an enable after profiling was over
   */
  resumed(isCold: boolean): void {
    const stopNs = this.#timeline.nowNs - this.#stoppedAtNs - this.#idleNs;
    const statistics = this.#statistics;
    if (isCold) statistics.longestStopColdNs = Math.max(statistics.longestStopColdNs, stopNs);
    else statistics.longestStopWarmNs = Math.max(statistics.longestStopWarmNs, stopNs);
    this.stopped();
  }

  save(): GuestStopsState {
    return { stoppedAtNs: this.#stoppedAtNs, idleNs: this.#idleNs };
  }

  restore({ stoppedAtNs, idleNs }: GuestStopsState): void {
    this.#stoppedAtNs = stoppedAtNs;
    this.#idleNs = idleNs;
  }
}
