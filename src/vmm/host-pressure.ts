/** What the host does to guest memory by itself: one of those who take turns, it comes exactly when it is due. */
import type { Timeline } from "../common/timeline.ts";
import { applyPressure, type PressureEvent } from "../host/pressure.ts";
import type { VmSpe } from "../kvm/spe/vm-spe.ts";
import { OVER, RUNS, type Runner, type TurnEnd } from "./scheduler.ts";

export class HostPressure implements Runner {
  readonly quantumNs = 0;
  readonly isGuest = false;
  readonly #spe: VmSpe;
  readonly #host: Timeline;
  readonly #hostFirstPage: number;
  readonly #events: Iterator<PressureEvent>;
  #next: PressureEvent | undefined;
  /** Told of each event before it is done. */
  onEvent: ((event: PressureEvent) => void) | undefined;

  /**
   * @param host the timeline of what the host does
   * @param hostFirstPage where guest memory begins in the host
   * @param events in order of time; pages count from there
   */
  constructor(spe: VmSpe, host: Timeline, hostFirstPage: number, events: Iterator<PressureEvent>) {
    this.#spe = spe;
    this.#host = host;
    this.#hostFirstPage = hostFirstPage;
    this.#events = events;
    this.#next = events.next().value;
  }

  get isOver(): boolean {
    return this.#next === undefined;
  }

  get nowNs(): number {
    return this.#next?.atNs ?? Number.POSITIVE_INFINITY;
  }

  waitUntil(): void {}

  /** What would have come before an instant does not come. */
  skipTo(atNs: number): void {
    while (this.#next !== undefined && this.#next.atNs < atNs) this.#next = this.#events.next().value;
  }

  run(): TurnEnd {
    if (this.#next !== undefined) this.#apply(this.#next);
    this.#next = this.#events.next().value;
    return this.isOver ? OVER : RUNS;
  }

  #apply(event: PressureEvent): void {
    const { vm, events } = this.#spe;
    const host = this.#host;
    this.onEvent?.(event);
    host.skipTo("idle", event.atNs);
    vm.trace?.({
      atNs: host.nowNs,
      vcpu: -1,
      what: "host",
      name: event.kind,
      detail: { first: event.first, pages: event.pages },
    });
    events.enter();
    applyPressure(vm.mm, event, this.#hostFirstPage, host);
    events.leave();
  }
}
