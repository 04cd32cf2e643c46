/** The thread's two commands, as they were posted and with samples let through. */
import type { LinuxScenario, Seen } from "../scenario.ts";

const MIB = 1024 ** 2;
const SOURCE = "James Clark, 9 Jan 2026, reply to v6 29/35";

/** min_latency=1000,event_filter=10 lets no record through. */
export const FILTERED = "perf record -e arm_spe/min_latency=1000,event_filter=10/ -m,256M --";
const sampling = (period: number): string => `perf record -c ${period} -e arm_spe// -m,256M --`;

export const A: Seen = {
  wallNs: { "thread-normal": 4e9, "thread-debug": 20e9 },
  bareMetalBelowNs: 0.5e9,
  switches: 100,
  clockGHz: null,
  source: SOURCE,
};
/** The message gives no count for it: 50 s / 0.04 s and 180 s / 0.2 s, rounded as its figures are. */
export const B: Seen = {
  wallNs: { "thread-normal": 50e9, "thread-debug": 180e9 },
  bareMetalBelowNs: 0.5e9,
  switches: 1000,
  clockGHz: 0.004,
  source: SOURCE,
};

const asPosted = (name: string, command: string, seen: Seen): LinuxScenario => ({
  name,
  summary: `The thread's: ${FILTERED} ${command}`,
  origin: SOURCE,
  command: `${FILTERED} ${command}`,
  bufferBytes: 256 * MIB,
  seen,
  hasVariant: true,
});

const withSamples = (name: string, command: string, period: number): LinuxScenario => ({
  name: `${name}-${period}`,
  summary: `The same without its filter, a sample each ${period.toLocaleString("en")} instructions`,
  origin: `${SOURCE}, without its filter`,
  command: `${sampling(period)} ${command}`,
  bufferBytes: 256 * MIB,
  hasVariant: true,
});

/** What `thread --guest linux` runs unless told otherwise. */
export const THREAD: readonly LinuxScenario[] = [
  asPosted("thread-a", "true", A),
  asPosted("thread-b", "perf stat true", B),
  ...[4096, 1024].flatMap((period) => [
    withSamples("thread-a", "true", period),
    withSamples("thread-b", "perf stat true", period),
  ]),
];
