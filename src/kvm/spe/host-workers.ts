/**
 * The host's workers: one for each vCPU, on the CPUs that the host has beside the vCPUs' own (an unbound workqueue). What they do
 * is on timelines of their own. mmap_lock and mmu_lock they take as everybody does.
 */
import { Timeline, type TimelineState } from "../../common/timeline.ts";
import type { SpeOwner } from "./owner.ts";

export interface HostWorkersState {
  readonly workers: readonly (readonly [vcpu: number, timeline: TimelineState])[];
  readonly cpusFreeAtNs: readonly number[];
}

export class HostWorkers {
  /** By vCPU. */
  readonly #workers = new Map<number, Timeline>();
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
    return [...this.#workers.values()];
  }

  /** When the last of them is done with what it has been given. */
  get doneAtNs(): number {
    return Math.max(0, ...this.timelines.map(({ nowNs }) => nowNs));
  }

  /**
   * Has a vCPU's worker do something that is queued at an instant: when it is awake, done with what came before, and has a CPU. Without
   * a CPU to spare it takes the vCPU's own, since there is none that it would not take from somebody.
   */
  run(owner: SpeOwner, queuedAtNs: number, work: (timeline: Timeline) => void): void {
    const worker = this.#of(owner.index);
    // One that is busy already needs no waking.
    worker.skipTo("idle", queuedAtNs + this.#wakeNs);
    const cpu = this.#cpusFreeAtNs.indexOf(Math.min(...this.#cpusFreeAtNs));
    if (cpu >= 0) worker.skipTo("idle", this.#cpusFreeAtNs[cpu]!);
    const startNs = worker.nowNs;
    work(worker);
    if (cpu >= 0) this.#cpusFreeAtNs[cpu] = worker.nowNs;
    if (!this.#hasSpare) owner.preempt(startNs, worker.nowNs - startNs);
  }

  save(): HostWorkersState {
    return {
      workers: [...this.#workers].map(([vcpu, timeline]) => [vcpu, timeline.save()] as const),
      cpusFreeAtNs: [...this.#cpusFreeAtNs],
    };
  }

  restore({ workers, cpusFreeAtNs }: HostWorkersState): void {
    for (const [vcpu, timeline] of workers) this.#of(vcpu).restore(timeline);
    cpusFreeAtNs.forEach((atNs, cpu) => {
      this.#cpusFreeAtNs[cpu] = atNs;
    });
  }

  #of(vcpu: number): Timeline {
    let worker = this.#workers.get(vcpu);
    if (worker === undefined) {
      worker = new Timeline(`worker ${vcpu}`);
      worker.onCharge = (...stretch) => this.onCharge?.(...stretch);
      this.#workers.set(vcpu, worker);
    }
    return worker;
  }
}
