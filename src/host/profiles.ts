/**
 * The cost profiles. The thread gives one pair of figures only: what a pin and unpin of a 256 MiB session takes
 * (James Clark, 9 January 2026, reply to v6 29/35). Everything else has its own source or is assumed; ranges are
 * wide where we know little, and verdicts are computed at both ends.
 *
 * "0.2 s" and "4 s / 100" are per pin and unpin of one enable. perf's half-buffer wake-up puts the LIMIT of an empty
 * 256 MiB buffer at 128 MiB, so one enable concerns 32,768 pages: 6.1 and 1.22 us a page. Read as the whole buffer
 * (65,536 pages) it is half of that: the profiles whose names end in -whole.
 */
import { type Cost, type CostName, type CostProfile, checkedProfile, GUEST_COSTS } from "./costs.ts";

const HALF_BUFFER_PAGES = 32_768;
const WHOLE_BUFFER_PAGES = 65_536;
/** How much of the pair is the pin: assumed; a pin faults, checks and counts, an unpin only counts. */
const PIN_SHARE = 0.75;

const cost = (ns: number, lowNs: number, highNs: number, source: string): Cost => ({
  ns,
  lowNs,
  highNs,
  source,
});
const assumed = (ns: number, lowNs: number, highNs: number): Cost => cost(ns, lowNs, highNs, "assumed");

/** Costs of a host kernel without debugging options; the pair is set apart. */
const NORMAL: Omit<Record<CostName, Cost>, "pinPage" | "unpinPage"> = {
  pinCall: assumed(300, 100, 1_000),
  faultInPage: assumed(700, 400, 1_500),
  faultInHuge: assumed(80_000, 40_000, 200_000),
  swapInPage: assumed(60_000, 10_000, 200_000),
  migratePage: assumed(3_000, 1_500, 8_000),
  splitHuge: assumed(5_000, 2_000, 20_000),
  collapseHuge: assumed(150_000, 80_000, 400_000),
  hostPageWork: assumed(300, 100, 800),
  walkDescriptor: assumed(2, 1, 6),
  walkTable: assumed(150, 60, 400),
  stage2Leaf: assumed(150, 60, 400),
  stage2Check: assumed(20, 5, 60),
  stage2Unmap: assumed(60, 20, 200),
  tlbi: assumed(500, 200, 2_000),
  stage2FaultHandling: assumed(1_200, 600, 3_000),
  exit: assumed(700, 300, 2_000),
  userExit: assumed(3_000, 1_500, 8_000),
  setrlimit: assumed(1_500, 500, 5_000),
  maintenanceIrq: assumed(1_000, 400, 3_000),
  injectIrq: assumed(300, 100, 1_000),
  copyPage: assumed(250, 120, 600),
  armTimer: assumed(60, 20, 200),
  timerIrq: assumed(700, 300, 2_000),
  workerWake: assumed(10_000, 3_000, 100_000),
  sysreg: assumed(15, 5, 40),
  drain: assumed(100, 30, 400),
  driverStart: assumed(400, 200, 1_000),
  driverStop: assumed(600, 300, 1_500),
  driverIrq: assumed(1_500, 800, 4_000),
};

/** The pair, split into pin and unpin. `seconds` are for `pages` pages. */
function pair(seconds: number, low: number, high: number, pages: number, source: string) {
  const part = (total: number, share: number): number => Math.round((total * 1e9 * share) / pages);
  const split = (share: number, what: string): Cost =>
    cost(
      part(seconds, share),
      part(low, share),
      part(high, share),
      `${source}; ${what} taken as ${share * 100} % of the pair (assumed)`,
    );
  return { pinPage: split(PIN_SHARE, "the pin"), unpinPage: split(1 - PIN_SHARE, "the unpin") };
}

/** How much more every other host operation costs with lockdep, kmemleak and the like: as the pair does. */
const DEBUG_FACTOR = 5;

function withDebugging(costs: typeof NORMAL): typeof NORMAL {
  const scaled: Partial<Record<CostName, Cost>> = { ...costs };
  for (const [name, { ns, lowNs, highNs }] of Object.entries(costs) as [CostName, Cost][]) {
    if (name in GUEST_COSTS) continue;
    scaled[name] = cost(
      ns * DEBUG_FACTOR,
      lowNs * 2,
      highNs * 10,
      `assumed: the normal kernel's times ${DEBUG_FACTOR}, as the pair has it (2 to 10)`,
    );
  }
  return scaled as typeof NORMAL;
}

const CLARK = "James Clark, 9 Jan 2026, reply to v6 29/35";
// Figures with one significant digit: 4 s is 3.5 to 4.5 s for 100 switches, 0.2 s is 0.15 to 0.25 s.
const NORMAL_PAIR = [0.04, 0.035, 0.045] as const;
const DEBUG_PAIR = [0.2, 0.15, 0.25] as const;

function threadProfiles(pages: number, suffix: string, reading: string): CostProfile[] {
  return [
    checkedProfile({
      name: `thread-normal${suffix}`,
      about: `A normal host kernel as in the thread: 0.04 s for the pin and unpin of a 256 MiB session, ${reading}`,
      debugging: false,
      costs: { ...NORMAL, ...pair(...NORMAL_PAIR, pages, `${CLARK}: 4 s for 100 switches`) },
    }),
    checkedProfile({
      name: `thread-debug${suffix}`,
      about: `A host kernel with lockdep, kmemleak etc. as in the thread: 0.2 s for the same, ${reading}`,
      debugging: true,
      costs: {
        ...withDebugging(NORMAL),
        ...pair(...DEBUG_PAIR, pages, `${CLARK}: "each pin/unpin taking about 0.2s"`),
      },
    }),
  ];
}

/**
 * The same with what is public of GUP and of exits. The thread's pair says what a pin and an unpin of a session take in all; how much of
 * that is GUP it does not say, and gup_test contradicts that it is most.
 */
const GUP_TEST = "Linux commit a03db236: gup_test, longterm, over 8 GiB of base pages";
const publicProfile = checkedProfile({
  name: "gup-public",
  about:
    "A normal host kernel with public figures of GUP and of exits in the place of the thread's pair, and late workers in its range",
  debugging: false,
  costs: {
    ...NORMAL,
    pinPage: cost(62, 31, 124, `${GUP_TEST}: 62 ns a page; half to twice (assumed)`),
    unpinPage: cost(15, 8, 30, `${GUP_TEST}: 15 ns a page; half to twice (assumed)`),
    exit: cost(
      700,
      300,
      6_600,
      "assumed; high: the mean of SYS64 exits in public perf kvm stat on arm64, tracing included",
    ),
    workerWake: cost(
      10_000,
      3_000,
      10_000_000,
      "assumed; high: an unbound kworker that waits a scheduler's slice on a busy host",
    ),
  },
});

const NOTHING = cost(0, 0, 0, "by definition");
const freeCosts: Partial<Record<CostName, Cost>> = {};
for (const name of Object.keys({ ...NORMAL, pinPage: 0, unpinPage: 0 }) as CostName[])
  freeCosts[name] = name in GUEST_COSTS ? NORMAL[name as keyof typeof NORMAL] : NOTHING;

/** Every profile; the first two are the ones that `--profile all` means. */
export const PROFILES: readonly CostProfile[] = [
  ...threadProfiles(HALF_BUFFER_PAGES, "", "read as the 32,768 pages of one enable"),
  checkedProfile({
    name: "free",
    about: "Host work takes no time: what is left is the guest's own",
    debugging: false,
    costs: freeCosts as Record<CostName, Cost>,
  }),
  ...threadProfiles(WHOLE_BUFFER_PAGES, "-whole", "read as all 65,536 pages of the buffer"),
  publicProfile,
];

/** The profiles of the thread's two kernels. */
export const THREAD_PROFILES: readonly string[] = ["thread-normal", "thread-debug"];
