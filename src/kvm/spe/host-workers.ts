/**
 * The host's workers: one for each vCPU, on the CPUs that the host has beside the vCPUs' own (an unbound workqueue). What they do
 * is on timelines of their own. mmap_lock and mmu_lock they take as everybody does.
 */
import { Timeline, type TimelineState } from "../../common/timeline.ts";
import type { SpeOwner } from "./owner.ts";

/** Work that is queued. */
interface Queued {
  readonly tag: string;
  readonly atNs: number;
}

interface Worker {
  readonly timeline: Timeline;
  readonly queue: Queued[];
}

export interface HostWorkersState {
  readonly workers: readonly {
    readonly vcpu: number;
    readonly timeline: TimelineState;
    readonly queue: readonly (readonly [tag: string, atNs: number])[];
  }[];
  readonly cpusFreeAtNs: readonly number[];
}

export class HostWorkers {
  /** By vCPU. */
  readonly #workers = new Map<number, Worker>();
  /** When each CPU that is not a vCPU's is free; empty where everybody finds one. */
  readonly #cpusFreeAtNs: number[];
  readonly #wakeNs: number;
  readonly #hasSpare: boolean;
  /** Told of every stretch of every worker. */
  onCharge: Timeline["onCharge"];

  /**
   * @param wakeNs from queueing work to a worker running it
   * @param spareCpus how many CPUs the host has beside the vCPUs'; Infinity: as many as there are workers
   */
  constructor(wakeNs: number, spareCpus: number) {
    this.#wakeNs = wakeNs;
    this.#hasSpare = spareCpus > 0;
    this.#cpusFreeAtNs = Number.isFinite(spareCpus) ? new Array<number>(spareCpus).fill(0) : [];
  }

  /** What each has done, for the record. */
  get timelines(): readonly Timeline[] {
    return [...this.#workers.values()].map(({ timeline }) => timeline);
  }

  /** When the last of them is done with what it has begun. */
  get doneAtNs(): number {
    return Math.max(0, ...this.timelines.map(({ nowNs }) => nowNs));
  }

  /** Queues work for a vCPU's worker at an instant; what is queued already is there once (queue_work). */
  queue(vcpu: number, tag: string, atNs: number): void {
    const { queue } = this.#of(vcpu);
    if (queue.every((queued) => queued.tag !== tag)) queue.push({ tag, atNs });
  }

  /** When a vCPU's worker begins with what it has to do next: awake, done with what came before, on a CPU. Infinity: nothing. */
  nextNs(vcpu: number): number {
    const worker = this.#workers.get(vcpu);
    const next = worker?.queue[0];
    if (worker === undefined || next === undefined) return Number.POSITIVE_INFINITY;
    const cpuFreeNs = this.#cpusFreeAtNs.length === 0 ? 0 : Math.min(...this.#cpusFreeAtNs);
    // One that is busy already needs no waking.
    return Math.max(next.atNs + this.#wakeNs, worker.timeline.nowNs, cpuFreeNs);
  }

  /**
   * Does what a vCPU's worker has begun by an instant. Without a CPU to spare it takes the vCPU's own, since there is none that it
   * would not take from somebody.
   */
  runDue(owner: SpeOwner, nowNs: number, work: (tag: string, timeline: Timeline) => void): void {
    for (let startNs = this.nextNs(owner.index); startNs <= nowNs; startNs = this.nextNs(owner.index)) {
      const { timeline, queue } = this.#of(owner.index);
      const next = queue.shift();
      if (next === undefined) return;
      const cpu = this.#cpusFreeAtNs.indexOf(Math.min(...this.#cpusFreeAtNs));
      timeline.skipTo("idle", startNs);
      work(next.tag, timeline);
      if (cpu >= 0) this.#cpusFreeAtNs[cpu] = timeline.nowNs;
      if (!this.#hasSpare) owner.preempt(startNs, timeline.nowNs - startNs);
    }
  }

  save(): HostWorkersState {
    return {
      workers: [...this.#workers].map(([vcpu, { timeline, queue }]) => ({
        vcpu,
        timeline: timeline.save(),
        queue: queue.map(({ tag, atNs }) => [tag, atNs] as const),
      })),
      cpusFreeAtNs: [...this.#cpusFreeAtNs],
    };
  }

  restore({ workers, cpusFreeAtNs }: HostWorkersState): void {
    for (const saved of workers) {
      const { timeline, queue } = this.#of(saved.vcpu);
      timeline.restore(saved.timeline);
      queue.push(...saved.queue.map(([tag, atNs]) => ({ tag, atNs })));
    }
    cpusFreeAtNs.forEach((atNs, cpu) => {
      this.#cpusFreeAtNs[cpu] = atNs;
    });
  }

  #of(vcpu: number): Worker {
    let worker = this.#workers.get(vcpu);
    if (worker === undefined) {
      const timeline = new Timeline(`worker ${vcpu}`);
      timeline.onCharge = (...stretch) => this.onCharge?.(...stretch);
      worker = { timeline, queue: [] };
      this.#workers.set(vcpu, worker);
    }
    return worker;
  }
}
