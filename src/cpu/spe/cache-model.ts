/** Sets of ways, the one used last first: caches and TLBs, of which only what is present matters. */

/** [place, key + 1]. */
export type SetsState = readonly (readonly [place: number, key: number])[];

export class SetAssociative {
  readonly #ways: number;
  readonly #setMask: number;
  /** Keys plus 1, set by set, the one used last first; 0 is an empty way. */
  readonly #keys: Float64Array;

  /** @param sets a power of two */
  constructor(sets: number, ways: number) {
    this.#setMask = sets - 1;
    this.#ways = ways;
    this.#keys = new Float64Array(sets * ways);
  }

  /**
   * Looks a key up and makes it the one used last; the one used longest ago makes room.
   * @param key a natural number below 2^53 - 1
   * @param low its low 32 bits, by which its set is found: a remainder of a double would take longer than the rest
   * @returns whether it was there
   */
  touch(key: number, low: number): boolean {
    const keys = this.#keys;
    const wanted = key + 1;
    const first = (low & this.#setMask) * this.#ways;
    if (keys[first] === wanted) return true;
    const end = first + this.#ways - 1;
    let at = first + 1;
    while (at < end && keys[at] !== wanted) at++;
    const isThere = keys[at] === wanted;
    for (; at > first; at--) keys[at] = keys[at - 1] as number;
    keys[first] = wanted;
    return isThere;
  }

  save(): SetsState {
    const found: [number, number][] = [];
    this.#keys.forEach((key, place) => {
      if (key !== 0) found.push([place, key]);
    });
    return found;
  }

  restore(saved: SetsState): void {
    this.#keys.fill(0);
    for (const [place, key] of saved) this.#keys[place] = key;
  }
}
