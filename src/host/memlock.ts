/**
 * RLIMIT_MEMLOCK accounting as KVM's SPE does it (v6 33/35): a current amount and a high-water mark. What counts
 * against the limit, and what VmLck shows, is the mark; it falls only when the VM is gone.
 */

/** The limit that means none: RLIM_INFINITY. */
export const UNLIMITED = Number.POSITIVE_INFINITY;

export type MemlockResult =
  | { readonly kind: "locked" }
  /** The mark would pass the limit by this much. */
  | { readonly kind: "over"; readonly byBytes: number };

export interface MemlockState {
  readonly limitBytes: number;
  readonly currentBytes: number;
  readonly markBytes: number;
}

export class Memlock {
  limitBytes: number;
  #currentBytes = 0;
  #markBytes = 0;

  constructor(limitBytes: number) {
    this.limitBytes = limitBytes;
  }

  get currentBytes(): number {
    return this.#currentBytes;
  }

  /** The historical maximum: VmLck. */
  get markBytes(): number {
    return this.#markBytes;
  }

  /** Accounts `bytes` more, or says by how much that would pass the limit and changes nothing. */
  lock(bytes: number): MemlockResult {
    const wanted = this.#currentBytes + bytes;
    if (wanted > this.#markBytes && wanted > this.limitBytes)
      return { kind: "over", byBytes: wanted - this.limitBytes };
    this.#currentBytes = wanted;
    this.#markBytes = Math.max(this.#markBytes, wanted);
    return { kind: "locked" };
  }

  unlock(bytes: number): void {
    this.#currentBytes -= bytes;
  }

  save(): MemlockState {
    return { limitBytes: this.limitBytes, currentBytes: this.#currentBytes, markBytes: this.#markBytes };
  }

  restore({ limitBytes, currentBytes, markBytes }: MemlockState): void {
    this.limitBytes = limitBytes;
    this.#currentBytes = currentBytes;
    this.#markBytes = markBytes;
  }

  /** Whether `bytes` could be locked at all: what configuration is checked against (ENOMEM). */
  wouldFit(bytes: number): boolean {
    return bytes <= this.limitBytes;
  }
}
