/** Question 5: how long an idle buffer should stay pinned. */
import { PAGE_BYTES } from "../../common/address.ts";
import { formatBytes, formatNs } from "../../common/sizes.ts";
import { DEFAULT_EVENT, type SpeEvent } from "../../guest/spe-event.ts";
import { adaptive } from "../../kvm/spe/policies/adaptive.ts";
import { graceOf } from "../../kvm/spe/policies/grace.ts";
import { formatPageSeconds } from "../report/frontier.ts";
import { THRESHOLDS } from "../report/verdicts.ts";
import { formatFactor, listed } from "../report/words.ts";
import { settingOf } from "../scenarios.ts";
import { toggling } from "../schedules.ts";
import { trial } from "../trial.ts";
import { type Answer, type Chart, question, type Series } from "./question.ts";

interface Cell {
  readonly profile: string;
  readonly bufferBytes: number;
  /** T of grace; 0: adaptive, which has its own. */
  readonly graceNs: number;
  readonly gapNs: number;
  readonly [key: string]: string | number;
}
interface Row {
  readonly wallNs: number;
  readonly bareMetalNs: number;
  /** What the first enable of all took. */
  readonly coldNs: number;
  readonly pinnedPageSeconds: number;
  readonly peakBytes: number;
  readonly releasedAfterNs: number | null;
  readonly [key: string]: number | null;
}

const MIB = 1024 ** 2;
const HOSTS = [
  { profile: "thread-normal", bufferBytes: 256 * MIB },
  { profile: "thread-debug", bufferBytes: 256 * MIB },
  { profile: "thread-normal", bufferBytes: 4 * MIB },
] as const;
type HostRow = (typeof HOSTS)[number];
const [NORMAL, DEBUG, SMALL] = HOSTS;
const GRACES_NS = [1e6, 3e6, 1e7, 3e7, 1e8, 3e8, 1e9, 3e9, 1e10] as const;
/** What grace and adaptive use where nobody says otherwise. */
const CHOSEN_NS = 1e8;
/** A task that sleeps a little longer than the timer is the worst case: a gap for each T. */
const GAPS_NS = GRACES_NS.map((graceNs) => graceNs * 1.1);
const RUN_NS = 1e6;
const TOGGLES = 10;
const SEED = 1;
/** A and B of the thread: 0.45 s over 100 and 1,000 switches. */
const THREAD_INTERVALS_NS = [4.5e6, 0.45e6] as const;
/** As in the thread: nothing is recorded, so that everything is about turning the buffer on and off. */
const FILTERED: SpeEvent = { ...DEFAULT_EVENT, minLatency: 1000, eventFilter: 10 };

const nameOf = ({ profile, bufferBytes }: HostRow): string => `${profile}, ${formatBytes(bufferBytes)}`;
/** The first enable left out: it has to be paid with any T. */
const slowdown = (row: Row): number => (row.wallNs - row.coldNs) / row.bareMetalNs;
const heldFor = ({ releasedAfterNs }: Row): string =>
  releasedAfterNs === null ? "more than 2 s" : formatNs(releasedAfterNs);

type RowOf = (host: HostRow, graceNs: number, gapNs: number) => Row;

const rowOf =
  (rows: readonly { readonly cell: Cell; readonly row: Row }[]): RowOf =>
  (host, graceNs, gapNs) => {
    const found = rows.find(
      ({ cell }) =>
        cell.profile === host.profile &&
        cell.bufferBytes === host.bufferBytes &&
        cell.graceNs === graceNs &&
        cell.gapNs === gapNs,
    );
    if (found === undefined) throw new Error(`no row for ${nameOf(host)}, ${graceNs}, ${gapNs}`);
    return found.row;
  };

/** The slowdown at the interval at which it is worst. */
const worstOf =
  (of: RowOf) =>
  (host: HostRow, graceNs: number): number =>
    Math.max(...GAPS_NS.map((gapNs) => slowdown(of(host, graceNs, gapNs))));

const tableRow = (of: RowOf, host: HostRow, graceNs: number): string[] => [
  nameOf(host),
  graceNs === 0 ? `adaptive (${formatNs(CHOSEN_NS)})` : formatNs(graceNs),
  formatFactor(worstOf(of)(host, graceNs)),
  formatNs(
    GAPS_NS.reduce((a, b) => (slowdown(of(host, graceNs, b)) > slowdown(of(host, graceNs, a)) ? b : a)),
  ),
  formatPageSeconds(Math.max(...GAPS_NS.map((gapNs) => of(host, graceNs, gapNs).pinnedPageSeconds))),
  heldFor(of(host, graceNs, GAPS_NS[0] as number)),
];

const tableOf = (of: RowOf): Answer["table"] => ({
  columns: [
    "host, buffer",
    "T",
    "slowdown at worst",
    "at intervals of",
    "page-seconds at most",
    "held after the end",
  ],
  rows: HOSTS.flatMap((host) =>
    (host === SMALL ? [0, ...GRACES_NS.filter((t) => t <= 1e8)] : [0, ...GRACES_NS]).map((graceNs) =>
      tableRow(of, host, graceNs),
    ),
  ),
});

const chartsOf = (of: RowOf): Chart[] => [
  {
    title: "Slowdown at the worst interval, by T",
    kind: "line",
    x: { name: "T (ms)", scale: "log" },
    y: { name: "times bare metal", scale: "log" },
    series: HOSTS.map(
      (host): Series => ({
        name: nameOf(host),
        points: GRACES_NS.map((graceNs) => [graceNs / 1e6, worstOf(of)(host, graceNs)]),
      }),
    ),
  },
  {
    title: `Slowdown by interval (${nameOf(NORMAL)})`,
    kind: "line",
    x: { name: "off between two switches (ms)", scale: "log" },
    y: { name: "times bare metal", scale: "log" },
    series: [1e6, 1e7, 1e8, 1e9].map(
      (graceNs): Series => ({
        name: `T = ${formatNs(graceNs)}`,
        points: GAPS_NS.map((gapNs) => [gapNs / 1e6, slowdown(of(NORMAL, graceNs, gapNs))]),
      }),
    ),
  },
];

/** What a toggle costs adaptive beyond its T (it starts again) more than just within it, at most. */
function restartOf(of: RowOf): number {
  const added = (host: HostRow, gapNs: number): number => {
    const row = of(host, 0, gapNs);
    return (row.wallNs - row.bareMetalNs) / TOGGLES;
  };
  const within = GAPS_NS.findLast((gapNs) => gapNs < CHOSEN_NS) as number;
  const beyond = GAPS_NS.find((gapNs) => gapNs > CHOSEN_NS) as number;
  return Math.max(
    0,
    ...HOSTS.map((host) => (added(host, beyond) - added(host, within)) * (TOGGLES / (TOGGLES - 1))),
  );
}

export const q05 = question<Cell, Row>({
  number: 5,
  title: "For how long should an idle buffer stay pinned?",
  asked:
    "Keep the pins when the guest turns its buffer off, and give them back when it stays off for T. From which T on is " +
    "that good enough, from which switch interval on does keeping not pay any more, and what is held when nobody " +
    "profiles any more? Is the 100 ms that this project's policies use a good choice?",
  origin:
    "Replies to James Clark's mail of 9 January 2026 (12 and 13 January) spoke of a timer or of ageing, without a figure. " +
    "The 100 ms are this project's own.",
  leavesOut: [
    "Real intervals have a distribution; here each run has one interval, the worst ones included on purpose.",
    "What held memory costs the host: it has no price here, so the threshold is the guest's slowdown alone.",
    "A T that follows the measured cost of a pin, or the intervals seen so far.",
  ],
  decidedBy: "pinPage",
  cells: () =>
    HOSTS.flatMap((host) =>
      [0, ...GRACES_NS].flatMap((graceNs) => GAPS_NS.map((gapNs): Cell => ({ ...host, graceNs, gapNs }))),
    ),
  run({ profile, bufferBytes, graceNs, gapNs }, costTables) {
    const run = trial({
      setting: settingOf(
        "idle",
        toggling({ count: TOGGLES, runNs: RUN_NS, gapNs }),
        FILTERED,
        bufferBytes,
        SEED,
      ),
      policy: graceNs === 0 ? adaptive : graceOf(graceNs),
      costs: costTables.of(profile),
      profile,
    });
    return {
      wallNs: run.guestWallNs,
      bareMetalNs: run.bareMetalWallNs,
      coldNs: run.longestStopNs.cold,
      pinnedPageSeconds: run.pinnedByteSeconds / PAGE_BYTES,
      peakBytes: run.pinnedPeakBytes,
      releasedAfterNs: run.model.releasedAfterNs,
    };
  },
  answer(rows) {
    const of = rowOf(rows);
    const worst = worstOf(of);
    const enough = (host: HostRow): number | undefined =>
      GRACES_NS.find((graceNs) => worst(host, graceNs) < THRESHOLDS.usableSlowdown);
    const enoughText = (host: HostRow): string => {
      const graceNs = enough(host);
      return graceNs === undefined ? `more than ${formatNs(GRACES_NS.at(-1) as number)}` : formatNs(graceNs);
    };
    const supported = HOSTS.filter((host) => worst(host, CHOSEN_NS) < THRESHOLDS.usableSlowdown);
    /** The shortest interval from which on even unpinning at once is not noticed. */
    const pointless = (host: HostRow): string => {
      const found = GAPS_NS.find(
        (gapNs) => slowdown(of(host, GRACES_NS[0], gapNs)) < THRESHOLDS.unnoticeableSlowdown,
      );
      return found === undefined ? `more than ${formatNs(GAPS_NS.at(-1) as number)}` : formatNs(found);
    };
    const pinNs = (host: HostRow): number => of(host, CHOSEN_NS, GAPS_NS[0] as number).coldNs;
    const adaptiveWorst = Math.max(...HOSTS.map((host) => worst(host, 0)));
    const adaptivePeak = Math.max(
      ...HOSTS.flatMap((host) => GAPS_NS.map((gapNs) => of(host, 0, gapNs).peakBytes)),
    );
    const restartNs = restartOf(of);
    const adaptiveNeedsNs = restartNs / (THRESHOLDS.unnoticeableSlowdown - 1);
    const adaptiveFine = adaptiveNeedsNs < CHOSEN_NS;
    const longest = Math.max(...HOSTS.map((host) => enough(host) ?? Number.POSITIVE_INFINITY));
    const after = of(NORMAL, CHOSEN_NS, GAPS_NS[0] as number);
    const ratio = (host: HostRow): string =>
      formatFactor((enough(host) ?? (GRACES_NS.at(-1) as number)) / pinNs(host));
    return {
      headline:
        `T must be a multiple of what a pin takes: ${listed(HOSTS.map((host) => `${enoughText(host)} (${nameOf(host)})`))} ` +
        `keep every switch interval below ${THRESHOLDS.usableSlowdown} times bare metal; ` +
        `${formatNs(CHOSEN_NS)} ${supported.length === HOSTS.length ? "is enough for whoever pins half the buffer at once" : supported.length === 0 ? "is too short for whoever pins half the buffer at once" : `is enough for ${listed(supported.map(nameOf))} only where half the buffer is pinned at once`}, ` +
        `and ${adaptiveFine ? "more than adaptive's small window needs" : "too short even for adaptive's small window"}.`,
      sentences: [
        `A task that always sleeps a little longer than T pays a whole pin each time, so the slowdown is at most 1 + pin / T: ${formatFactor(worst(NORMAL, CHOSEN_NS))} with a pin of ${formatNs(pinNs(NORMAL))} (${nameOf(NORMAL)}), ${formatFactor(worst(DEBUG, CHOSEN_NS))} with ${formatNs(pinNs(DEBUG))} (${nameOf(DEBUG)}), ${formatFactor(worst(SMALL, CHOSEN_NS))} with ${formatNs(pinNs(SMALL))} (${nameOf(SMALL)}). The T found are ${listed(HOSTS.map(ratio))} times the pin.`,
        `Keeping pays less and less with the interval: one of ${listed(HOSTS.map(pointless))} hides even a pin at every switch (below ${THRESHOLDS.unnoticeableSlowdown} times).`,
        `The thread's commands switch every ${listed(THREAD_INTERVALS_NS.map(formatNs))}: for them any T above ${formatNs(Math.max(...THREAD_INTERVALS_NS))} is as good as another.`,
        `After the session ${formatBytes(after.peakBytes)} of a 256 MiB buffer stay pinned for T, ${formatNs(CHOSEN_NS)} here; ${Number.isFinite(longest) ? `${formatNs(longest)}, which would do in all three cases, is ${formatPageSeconds((longest / 1e9) * (after.peakBytes / PAGE_BYTES))} page-seconds` : "no T of the sweep does in all three cases"}.`,
        `adaptive is at ${formatFactor(adaptiveWorst)} times at worst and holds ${formatBytes(adaptivePeak)} at most. Starting again after its ${formatNs(CHOSEN_NS)} costs it ${formatNs(restartNs)} at most, which by the same arithmetic asks for a T of ${formatNs(adaptiveNeedsNs)} (${THRESHOLDS.unnoticeableSlowdown} times): the data give ${adaptiveFine ? "no reason for a longer one" : "a reason for a longer one"}. grace should take ${enoughText(NORMAL)} on a normal kernel with 256 MiB, or better, a multiple of what its last pin took.`,
      ],
      table: tableOf(of),
      charts: chartsOf(of),
    };
  },
});
