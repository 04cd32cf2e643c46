/** Host pressure without an end, from a seed: events of some kinds at random pages, so many a second. */
import { randomStream } from "../common/random.ts";
import type { PressureEvent, PressureKind } from "./pressure.ts";

export interface PressureRate {
  readonly kinds: readonly PressureKind[];
  /** Events in a second of the guest's time, on average. */
  readonly perSecond: number;
}

/** Pages that an event is about, at most: a batch of vmscan's (SWAP_CLUSTER_MAX). */
const MOST_PAGES = 32;
const NS_PER_SECOND = 1e9;

/** @param pages of guest memory, of which the events take some */
export function* randomPressure(
  { kinds, perSecond }: PressureRate,
  pages: number,
  seed: number,
): Generator<PressureEvent, void, undefined> {
  const random = randomStream(seed);
  for (let atNs = 0; ; ) {
    // Even odds on both sides of the mean.
    atNs += Math.max(1, Math.round(2 * random.fraction() * (NS_PER_SECOND / perSecond)));
    const first = random.integer(0, pages - 1);
    yield {
      atNs,
      kind: kinds[random.integer(0, kinds.length - 1)] as PressureKind,
      first,
      pages: Math.min(random.integer(1, MOST_PAGES), pages - first),
    };
  }
}
