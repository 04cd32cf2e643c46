/** Host work that is to have a vCPU's CPU: when it wants to begin, and for how long. What falls into idle time costs nothing. */
interface Preemption {
  readonly atNs: number;
  readonly ns: number;
}

export type PreemptionsState = readonly (readonly [atNs: number, ns: number])[];

export class Preemptions {
  /** In order of time. */
  #coming: Preemption[] = [];

  /** Work of `ns` wants the CPU from an instant on. */
  add(atNs: number, ns: number): void {
    if (ns === 0) return;
    this.#coming.push({ atNs, ns });
    this.#coming.sort((a, b) => a.atNs - b.atNs);
  }

  /** When the next one begins; Infinity: nothing wants the CPU. */
  get nextNs(): number {
    return this.#coming[0]?.atNs ?? Number.POSITIVE_INFINITY;
  }

  /** Takes all that is due by an instant. @returns for how long it has the CPU, in ns */
  take(nowNs: number): number {
    let ns = 0;
    while (this.nextNs <= nowNs) ns += this.#coming.shift()?.ns ?? 0;
    return ns;
  }

  /** The vCPU had nothing to do from one instant to another: what was due then is done, as far as that was long enough. */
  idled(fromNs: number, toNs: number): void {
    let freeNs = fromNs;
    this.#coming = this.#coming.flatMap(({ atNs, ns }) => {
      const startNs = Math.max(freeNs, atNs);
      if (startNs >= toNs) return [{ atNs, ns }];
      freeNs = Math.min(toNs, startNs + ns);
      const left = ns - (freeNs - startNs);
      return left === 0 ? [] : [{ atNs: freeNs, ns: left }];
    });
  }

  save(): PreemptionsState {
    return this.#coming.map(({ atNs, ns }) => [atNs, ns] as const);
  }

  restore(state: PreemptionsState): void {
    this.#coming = state.map(([atNs, ns]) => ({ atNs, ns }));
  }
}
