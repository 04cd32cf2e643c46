/**
 * Which core has written to a line last, as far as their models have seen it: where another one has it, it comes from there. Lines
 * have one place each, and the last one takes it: what is forgotten comes from a cache or from memory.
 */
const PLACES = 1 << 14;

export type CoherenceState = readonly (readonly [place: number, key: number, core: number])[];

export class Coherence {
  readonly #keys = new Float64Array(PLACES);
  readonly #cores = new Uint8Array(PLACES);
  readonly #isShared: boolean;

  /** @param cores how many there are: one alone has all lines for itself */
  constructor(cores: number) {
    this.#isShared = cores > 1;
  }

  /**
   * A core accesses a line.
   * @param key of the line, and `low` the low bits of that
   * @returns whether another core has it modified
   */
  touch(core: number, key: number, low: number, write: boolean): boolean {
    if (!this.#isShared) return false;
    const place = low & (PLACES - 1);
    const isKnown = this.#keys[place] === key + 1;
    const isOthers = isKnown && this.#cores[place] !== core;
    if (write) {
      this.#keys[place] = key + 1;
      this.#cores[place] = core;
    } else if (isOthers) this.#keys[place] = 0;
    return isOthers;
  }

  save(): CoherenceState {
    const found: [number, number, number][] = [];
    this.#keys.forEach((key, place) => {
      if (key !== 0) found.push([place, key, this.#cores[place] as number]);
    });
    return found;
  }

  restore(saved: CoherenceState): void {
    this.#keys.fill(0);
    for (const [place, key, core] of saved) {
      this.#keys[place] = key;
      this.#cores[place] = core;
    }
  }
}
