/**
 * When a policy hears of invalidations. MMU notifiers come at any moment, from inside of KVM's own GUP too (a page
 * migrates, a write breaks sharing), and nobody may pin there: the mmap lock may be held. So KVM deals with them at
 * once, but a policy is told when the work that is going on is over. Its handlers never nest.
 */
export class PolicyEvents {
  #working = 0;
  readonly #waiting: (() => void)[] = [];

  /** KVM or a policy starts to work on something; `leave` ends it. */
  enter(): void {
    this.#working += 1;
  }

  leave(): void {
    this.#working -= 1;
    while (this.#working === 0) {
      const next = this.#waiting.shift();
      if (next === undefined) return;
      this.#run(next);
    }
  }

  /** Calls a handler now, or when the work that is going on is over. */
  tell(handler: () => void): void {
    this.#waiting.push(handler);
    this.enter();
    this.leave();
  }

  #run(handler: () => void): void {
    this.#working += 1;
    handler();
    this.#working -= 1;
  }
}
