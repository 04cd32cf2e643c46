/** What all parts of a random scenario draw from: a stream in words that read well, granules, and a range for buffers. */
import type { Vpn } from "../../common/address.ts";
import { type RandomStream, randomStream } from "../../common/random.ts";
import type { GuestPageBytes } from "../../guest/memory.ts";

/** Draws in words that read well. */
export class Draw {
  readonly #random: RandomStream;
  constructor(seed: number) {
    this.#random = randomStream(seed);
  }
  integer(low: number, high: number): number {
    return this.#random.integer(low, high);
  }
  /** True `percent` times in a hundred. */
  chance(percent: number): boolean {
    return this.#random.integer(0, 99) < percent;
  }
  one<T>(choices: readonly [T, ...T[]]): T {
    return choices[this.#random.integer(0, choices.length - 1)] as T;
  }
}

export interface Granule {
  readonly pageBytes: GuestPageBytes;
  /** 4 KiB pages in a granule. */
  readonly units: number;
  /** Input sizes with few levels and with many. */
  readonly vaBits: readonly [number, number];
  /** Pages that a last-level table maps. */
  readonly reach: number;
}

export const GRANULES = {
  4096: { pageBytes: 4096, units: 1, vaBits: [39, 48], reach: 512 },
  16384: { pageBytes: 16384, units: 4, vaBits: [36, 47], reach: 8192 },
  65536: { pageBytes: 65536, units: 16, vaBits: [42, 48], reach: 131072 },
} as const satisfies Record<GuestPageBytes, Granule>;

/** A range of VA space, in pages, that buffers lie in. */
export interface Window {
  readonly first: Vpn;
  readonly pages: number;
}
