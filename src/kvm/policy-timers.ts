/** The host timers that a vCPU's policy has armed, by tag. */
interface Timer {
  readonly atNs: number;
  readonly tag: string;
}

export type PolicyTimersState = readonly (readonly [atNs: number, tag: string])[];

export class PolicyTimers {
  /** In order of time; of those at one instant, the one armed first goes first. */
  #timers: Timer[] = [];

  /** A tag has one timer: armed again it moves (mod_timer). */
  arm(atNs: number, tag: string): void {
    this.#timers = this.#timers.filter((timer) => timer.tag !== tag);
    this.#timers.push({ atNs, tag });
    this.#timers.sort((a, b) => a.atNs - b.atNs);
  }

  /** When the next one goes off; Infinity: none is armed. */
  get nextNs(): number {
    return this.#timers[0]?.atNs ?? Number.POSITIVE_INFINITY;
  }

  /** Takes the next one that is due by an instant, and returns its tag. */
  take(nowNs: number): string | undefined {
    return this.nextNs <= nowNs ? this.#timers.shift()?.tag : undefined;
  }

  save(): PolicyTimersState {
    return this.#timers.map(({ atNs, tag }) => [atNs, tag] as const);
  }

  restore(state: PolicyTimersState): void {
    this.#timers = state.map(([atNs, tag]) => ({ atNs, tag }));
  }
}
