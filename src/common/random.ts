/**
 * Seeded randomness. Two kinds are needed: a stream (hostPressure, property tests), and a pure function of a
 * position (a workload's op at instruction n is the same whoever asks, and in whatever order).
 */
import { uniformInt } from "pure-rand/distribution/uniformInt";
import { xoroshiro128plus, xoroshiro128plusFromState } from "pure-rand/generator/xoroshiro128plus";

/** A seeded stream of draws. */
export interface RandomStream {
  /** A whole number in [low, high], both ends included. */
  integer(low: number, high: number): number;
  /** A number in [0, 1). */
  fraction(): number;
  /** Where it stands, for `restore`. */
  save(): readonly number[];
  restore(state: readonly number[]): void;
}

/**
 * A stream that gives the same draws for the same seed, on any machine. The seed is mixed first: the generator's own
 * first draws are alike for neighbouring seeds.
 */
export function randomStream(seed: number): RandomStream {
  let generator = xoroshiro128plus(randomBitsAt(seed, 0x9e3779b9));
  return {
    integer: (low, high) => uniformInt(generator, low, high),
    fraction: () => uniformInt(generator, 0, 0x3fffffff) / 0x40000000,
    save: () => [...generator.getState()],
    restore: (state) => {
      generator = xoroshiro128plusFromState(state);
    },
  };
}

/** The finaliser of MurmurHash3: every bit of the input changes every bit of the output half of the time. */
function mixed(bits: number): number {
  let h = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}

/**
 * 32 random bits as a pure function of a seed and a position below 2^53. The seed is mixed before it meets the
 * position, so that neighbouring seeds are not the same sequence in another order.
 */
export function randomBitsAt(seed: number, position: number): number {
  const high = mixed(mixed((seed ^ 0x9e3779b9) | 0) + Math.floor(position / 0x100000000));
  return mixed(high ^ (position | 0)) >>> 0;
}
