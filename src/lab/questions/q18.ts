/** Question 18: profiling during migration. Runs are simulated, the migration around them is counted. */
import { PAGE_BYTES } from "../../common/address.ts";
import { formatBytes, formatNs } from "../../common/sizes.ts";
import { DEFAULT_EVENT } from "../../guest/spe-event.ts";
import { policyNamed } from "../policies.ts";
import { formatCount, formatFactor, formatShare } from "../report/words.ts";
import { settingOf } from "../scenarios.ts";
import { toggling } from "../schedules.ts";
import { trial } from "../trial.ts";
import { type BufferPart, type Migration, type Outcome, preCopy } from "./q18-precopy.ts";
import { question, type Series } from "./question.ts";

interface Cell {
  readonly bufferBytes: number;
  /** until-changed: what is written and held; fault: what the SPU meets where nothing is mapped. */
  readonly policy: string;
  readonly [key: string]: string | number;
}
interface Row {
  readonly wallNs: number;
  readonly writtenBytes: number;
  readonly pinnedBytes: number;
  readonly enables: number;
  readonly stage2Faults: number;
  readonly lost: number;
  readonly selected: number;
  readonly userExitNs: number;
  readonly faultNs: number;
  readonly [key: string]: number;
}

const PROFILE = "thread-normal";
const MIB = 1024 ** 2;
const SIZES = [4 * MIB, 64 * MIB, 256 * MIB] as const;
const POLICIES = ["until-changed", "fault"] as const;
const SEED = 1;
const SLICES = 100;
const RUN_NS = 2_000_000;
const GAP_NS = 500_000;
const RECORD_BYTES = 64;

/** All assumed, but QEMU's default downtime-limit of 300 ms. */
const LINKS = [
  ["10 Gb/s", 1.25e9],
  ["1 Gb/s", 1.25e8],
] as const;
const GUEST = {
  memoryBytes: 4 * 1024 ** 3,
  dirtyBytesPerSecond: 30e6,
  downtimeNs: 300e6,
  mostRounds: 30,
} as const;
/** Fetching one page from the source in post-copy: a round trip and the threads on both sides. */
const FETCH_NS = 150_000;
/** A vCPU's time that somebody would notice. */
const NOTICEABLE = 0.01;

type Way = "always dirty" | "exit at enable" | "stop profiling";
const WAYS: readonly Way[] = ["always dirty", "exit at enable", "stop profiling"];

function partOf(way: Way, row: Row, bufferBytes: number): BufferPart {
  const written = {
    writtenBytesPerSecond: (row.writtenBytes * 1e9) / row.wallNs,
    mostWrittenBytes: bufferBytes,
  };
  switch (way) {
    // What was written and is pinned no longer is dirty, too.
    case "always dirty":
      return { alwaysBytes: row.pinnedBytes, ...written };
    // User space learns at each exit how far PMBPTR_EL1 has moved, and marks that.
    case "exit at enable":
      return { alwaysBytes: 0, ...written };
    case "stop profiling":
      return { alwaysBytes: 0, writtenBytesPerSecond: 0, mostWrittenBytes: 0 };
  }
}

export const q18 = question<Cell, Row>({
  number: 18,
  title: "Dirty logging: how does a guest migrate while it profiles?",
  asked:
    "The SPU writes without faults, so dirty logging does not see it. Pinned pages can count as always dirty, profiling " +
    "can stop for the migration, or each enable can exit to user space. How much is resent, how long is the blackout, and " +
    "what does post-copy do when the buffer stays behind?",
  origin:
    "v4 and v5 (2021) stop the SPU; v7 (Alexandru Elisei, 3 September 2026) exits to user space; Oliver Upton names live migration and post-copy as causes of blackouts (August 2022).",
  leavesOut: [
    "Migration itself: simulated are a profiled task's writes, pins and faults; rounds, links and pages fetched are counted from them.",
    "Compression, zero pages, multifd, throttling of the guest (auto-converge).",
    "Write faults that dirty logging costs the CPUs.",
    "Hardware dirty state of the SPU's own writes (FEAT_HAFDBS, PMBIDR_EL1.F).",
    "v7's user space: what it does after the exit is taken here as marking what was written.",
  ],
  decidedBy: "userExit",
  cells: () => SIZES.flatMap((bufferBytes) => POLICIES.map((policy) => ({ bufferBytes, policy }))),
  run({ bufferBytes, policy }, costTables) {
    const costs = costTables.of(PROFILE);
    const run = trial({
      setting: settingOf(
        "migrated",
        toggling({ count: SLICES, runNs: RUN_NS, gapNs: GAP_NS }),
        DEFAULT_EVENT,
        bufferBytes,
        SEED,
      ),
      policy: policyNamed(policy),
      costs,
      profile: PROFILE,
    });
    return {
      // Bare metal's: a rate that the policy's own first pin does not dilute.
      wallNs: run.bareMetalWallNs,
      writtenBytes: run.samples.written * RECORD_BYTES,
      pinnedBytes: run.pinnedPeakBytes,
      enables: run.bufferEnables,
      stage2Faults: run.recordStage2Faults,
      lost: run.samples.lostInBlackout,
      selected: run.samples.selected,
      userExitNs: costs.exit + costs.userExit,
      faultNs: costs.exit + costs.stage2FaultHandling + costs.stage2Leaf + costs.userExit,
    };
  },
  answer(rows) {
    const of = (bufferBytes: number, policy: string): Row => {
      const found = rows.find(({ cell }) => cell.bufferBytes === bufferBytes && cell.policy === policy);
      if (found === undefined) throw new Error(`no row for ${bufferBytes}, ${policy}`);
      return found.row;
    };
    const [session, faulting] = POLICIES;
    const migrate = (bytesPerSecond: number, size: number, way: Way): Outcome => {
      const guest: Migration = { ...GUEST, bytesPerSecond };
      return preCopy(guest, partOf(way, of(size, session), size));
    };
    const largest = SIZES[SIZES.length - 1] as number;
    const row = of(largest, session);
    const [[fast, fastRate], [slow, slowRate]] = LINKS;
    const always = migrate(fastRate, largest, "always dirty");
    const alwaysSlow = migrate(slowRate, largest, "always dirty");
    const written = migrate(fastRate, largest, "exit at enable");
    const stop = migrate(fastRate, largest, "stop profiling");
    const exitNs = row.enables * row.userExitNs;
    const exits = exitNs / row.wallNs;
    const ends = (outcome: Outcome): string => (outcome.converged ? "ends" : "does not end");
    const pages = row.pinnedBytes / PAGE_BYTES;
    const fetchNs = pages * (FETCH_NS + row.faultNs);
    const left = of(largest, faulting);
    const faultsPerS = (left.stage2Faults * 1e9) / left.wallNs;
    const blackout = (way: Way, outcome: Outcome): string =>
      way === "stop profiling" ? formatNs(outcome.runningNs + outcome.stoppedNs) : "-";
    return {
      headline:
        `An exit to user space at each enable takes ${formatShare(exitNs, row.wallNs)} of the vCPU's time, which is ${exits < NOTICEABLE ? "cheap" : "dear"}, ` +
        `and resends ${formatBytes(written.bufferBytes)} of a ${formatBytes(largest)} buffer; pinned pages that are always dirty resend ${formatBytes(always.bufferBytes)} at ${fast}, and at ${slow} the migration ${ends(alwaysSlow)}.`,
      sentences: [
        `The SPU writes ${formatBytes((row.writtenBytes * 1e9) / row.wallNs)} a second, ${formatBytes(row.pinnedBytes)} are pinned. Always dirty, all of that is resent in each round and is in the last one, for which the guest stops: ${formatNs(always.stoppedNs)} instead of ${formatNs(written.stoppedNs)} at ${fast}, and no less than ${formatNs((row.pinnedBytes / slowRate) * 1e9)} at ${slow}, for each vCPU that profiles.`,
        "KVM that traps the buffer registers knows without an exit to user space how far PMBPTR_EL1 has moved; only where they do not trap, as in v7, is the exit needed for that.",
        `Stopping costs a blackout as long as the migration: ${formatNs(stop.runningNs + stop.stoppedNs)} at ${fast}, ${formatNs(migrate(slowRate, largest, "stop profiling").runningNs)} at ${slow}.`,
        `A pin of pages that post-copy left behind fetches ${formatCount(pages)} pages one by one: the first enable stops its vCPU for ${formatNs(fetchNs)} (counted, ${formatNs(FETCH_NS)} a page assumed), ${formatFactor(fetchNs / (row.wallNs / SLICES))} times a slice of the task with its wait.`,
        `Without pins the SPU meets ${formatCount(faultsPerS)} pages a second that are not there; each is a blackout and a fetch, ${formatFactor((faultsPerS * (FETCH_NS + row.faultNs)) / 1e9)} s of fetching for a second of profiling, and ${formatShare(left.lost, left.selected)} of the samples (simulated with local faults). Records that the reader has not taken are fetched, too, or lost with the source.`,
        `Assumed: ${formatBytes(GUEST.memoryBytes)} of guest memory, of which CPUs dirty ${formatCount(GUEST.dirtyBytesPerSecond / 1e6)} MB a second; one vCPU profiles. A stop of ${formatNs(GUEST.downtimeNs)} is allowed, QEMU's default.`,
      ],
      table: {
        columns: ["link", "buffer", "way", "rounds", "resent", "of the buffer", "guest stops", "blackout"],
        rows: LINKS.flatMap(([link, rate]) =>
          SIZES.flatMap((size) =>
            WAYS.map((way) => {
              const outcome = migrate(rate, size, way);
              return [
                link,
                formatBytes(size),
                way,
                outcome.converged ? String(outcome.rounds) : `${outcome.rounds}, given up`,
                formatBytes(outcome.resentBytes),
                formatBytes(outcome.bufferBytes),
                formatNs(outcome.stoppedNs),
                blackout(way, outcome),
              ];
            }),
          ),
        ),
      },
      charts: [
        {
          title: "How long the guest stops for the last round",
          kind: "line",
          x: { name: "buffer (MiB)", scale: "log" },
          y: { name: "stop (ms)", scale: "log" },
          series: LINKS.flatMap(([link, rate]) =>
            (["always dirty", "exit at enable"] as const).map(
              (way): Series => ({
                name: `${way}, ${link}`,
                points: SIZES.map((size) => [size / MIB, migrate(rate, size, way).stoppedNs / 1e6]),
              }),
            ),
          ),
        },
      ],
    };
  },
});
