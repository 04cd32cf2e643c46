/**
 * The profiling buffer management interrupt of a PE (PMBIRQ) on its way from the SPU's line to whoever takes it: a level that is
 * noticed after a latency, and taken once for as long as it stays high.
 */

/** What must survive in a snapshot: "never" is Infinity. */
export interface ManagementIrqState {
  readonly dueNs: number | "never";
  readonly taken: boolean;
}

export class ManagementIrq {
  readonly #spu: { readonly pmbirq: boolean };
  readonly #latencyNs: number;
  #dueNs = Number.POSITIVE_INFINITY;
  #taken = false;

  /**
   * @param spu whose line it is
   * @param latencyNs from the line's rise to the exception
   */
  constructor(spu: { readonly pmbirq: boolean }, latencyNs: number) {
    this.#spu = spu;
    this.#latencyNs = latencyNs;
  }

  /** The instant at which it will be taken; Infinity: none is on its way. */
  get dueNs(): number {
    this.lowerIfClear();
    return this.#dueNs;
  }

  /** Notices the level at an instant: to be called whenever the line may have risen. */
  notice(nowNs: number): void {
    if (this.#spu.pmbirq && !this.#taken && this.#dueNs === Number.POSITIVE_INFINITY)
      this.#dueNs = nowNs + this.#latencyNs;
  }

  /** It has been taken: not again before its level fell. */
  take(): void {
    this.#taken = true;
    this.#dueNs = Number.POSITIVE_INFINITY;
  }

  /** The line may have fallen: then what was on its way is gone. */
  lowerIfClear(): void {
    if (this.#spu.pmbirq) return;
    this.#taken = false;
    this.#dueNs = Number.POSITIVE_INFINITY;
  }

  save(): ManagementIrqState {
    return { dueNs: this.#dueNs === Number.POSITIVE_INFINITY ? "never" : this.#dueNs, taken: this.#taken };
  }

  restore({ dueNs, taken }: ManagementIrqState): void {
    this.#dueNs = dueNs === "never" ? Number.POSITIVE_INFINITY : dueNs;
    this.#taken = taken;
  }
}
