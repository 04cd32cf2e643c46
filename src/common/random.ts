/**
 * Seeded randomness. Two kinds are needed: a stream (hostPressure, property tests), and a pure function of a
 * position (a workload's op at instruction n is the same whoever asks, and in whatever order).
 */
import { unsafeUniformIntDistribution, xoroshiro128plus } from "pure-rand";

/** A seeded stream of draws. */
export interface RandomStream {
  /** A whole number in [low, high], both ends included. */
  integer(low: number, high: number): number;
  /** A number in [0, 1). */
  fraction(): number;
}

/**
 * A stream that gives the same draws for the same seed, on any machine. The seed is mixed first: the generator's own
 * first draws are alike for neighbouring seeds.
 */
export function randomStream(seed: number): RandomStream {
  const generator = xoroshiro128plus(randomBitsAt(seed, 0x9e3779b9));
  return {
    integer: (low, high) => unsafeUniformIntDistribution(low, high, generator),
    fraction: () => unsafeUniformIntDistribution(0, 0x3fffffff, generator) / 0x40000000,
  };
}

/**
 * 32 random bits as a pure function of a seed and a position below 2^53 (the finaliser of MurmurHash3 over both
 * halves of the position).
 */
export function randomBitsAt(seed: number, position: number): number {
  let h = seed | 0;
  h = Math.imul(h ^ (position | 0), 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h ^ Math.floor(position / 0x100000000), 0xc2b2ae35);
  h ^= h >>> 16;
  h = Math.imul(h, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
