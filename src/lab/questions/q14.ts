/** Question 14: how often pins meet RLIMIT_MEMLOCK, and whether unpinning gives any of it back. */
import { PAGE_BYTES } from "../../common/address.ts";
import { formatBytes, formatNs } from "../../common/sizes.ts";
import { DEFAULT_EVENT } from "../../guest/spe-event.ts";
import { DONE, type PinPolicy } from "../../kvm/spe/policy.ts";
import type { Machine } from "../../vmm/machine.ts";
import { policyNamed } from "../policies.ts";
import { counted, formatCount, formatShare } from "../report/words.ts";
import { settingOf } from "../scenarios.ts";
import { toggling } from "../schedules.ts";
import { trial } from "../trial.ts";
import { question, type Series } from "./question.ts";

interface Cell {
  readonly policy: string;
  readonly bufferBytes: number;
  /** What user space adds to the maximum buffer when it sets the limit. */
  readonly reserve: string;
  readonly [key: string]: string | number;
}
interface Row {
  readonly rlimitExits: number;
  /** What one KVM_EXIT_RLIMIT takes: exit, return to user space, setrlimit. Counted from the costs. */
  readonly perExitNs: number;
  readonly firstPinNs: number;
  readonly markBytes: number;
  readonly tablePages: number;
  /** The most that was pinned and the least after that, and by how much VmLck was lower then. */
  readonly peakBytes: number;
  readonly leastBytes: number;
  readonly markFellBytes: number;
  readonly enables: number;
  readonly [key: string]: number;
}

const PROFILE = "thread-normal";
const MIB = 1024 ** 2;
const SIZES = [1 * MIB, 4 * MIB, 16 * MIB, 64 * MIB] as const;
/** The buffer of the thread, for which the tables are counted. */
const THREAD_BYTES = 256 * MIB;
const KEEP_ALL = "keep-all";
const POLICIES = ["pin-on-enable", "until-changed", KEEP_ALL] as const;
const RESERVES = ["none", "for tables"] as const;
const SEED = 1;
const SLICES = 12;
/** Four times the records of the default: a buffer is filled sooner. */
const PERIOD = 1024;
const CLOCK_GHZ = 2.5;
const RECORD_BYTES = 64;
const ENTRIES = 512;
/** Tables above the last level, one more for a buffer that begins inside of a table, and the root. */
const UPPER_TABLES = 4;

/** Never lets anything go: in the end both halves of the buffer and all of their tables. */
const keepAll: PinPolicy = {
  name: KEEP_ALL,
  summary: "Pins what an enable adds and never unpins.",
  origin: "Written for this question.",
  tradeOff: "Each page is pinned once; all of the buffer stays pinned.",
  trapsBuffer: true,
  create: () => ({
    onBufferEnabled(buffer, ctx) {
      const walk = ctx.walk(buffer);
      if (walk.kind !== "walked") return walk;
      const pinned = ctx.pin(walk.all);
      if (pinned.kind !== "done") return pinned;
      const mapped = ctx.map(walk.all);
      if (mapped.kind !== "done") return mapped;
      ctx.report(walk);
      return DONE;
    },
  }),
};
const policyOf = (name: string): PinPolicy => (name === KEEP_ALL ? keepAll : policyNamed(name));

const tablesFor = (bytes: number): number => Math.ceil(bytes / PAGE_BYTES / ENTRIES) + UPPER_TABLES;

/** What is pinned, and VmLck beside it, from change to change. */
class Watch {
  peakBytes = 0;
  leastBytes = 0;
  markFellBytes = 0;

  attach({ spe, memlock }: Machine): void {
    let highestMark = 0;
    spe.onPinned = (pages) => {
      // After the last disable the VM ends, and everything with it.
      if (spe.statistics.bufferDisables >= SLICES) return;
      const bytes = pages * PAGE_BYTES;
      highestMark = Math.max(highestMark, memlock.markBytes);
      this.leastBytes = bytes > this.peakBytes ? bytes : Math.min(this.leastBytes, bytes);
      this.peakBytes = Math.max(this.peakBytes, bytes);
      this.markFellBytes = Math.max(this.markFellBytes, highestMark - memlock.markBytes);
    };
  }
}

export const q14 = question<Cell, Row>({
  number: 14,
  title: "Memlock: how often is the limit met, and does unpinning help?",
  asked:
    "Pinned pages count against RLIMIT_MEMLOCK. Where they would pass it, KVM returns to user space (KVM_EXIT_RLIMIT), " +
    "which raises the limit and tries again. How often is that, is a reserve for the stage-1 tables needed, and with v6's " +
    "high-water mark does unpinning free anything?",
  origin: "Follows from v6 32/35 and 33/35 (Alexandru Elisei, 14 November 2025). No figures.",
  leavesOut: [
    "A user space that may not raise its limit: the guest's enable is then tried in vain, or the VM ends.",
    "Other users of the same limit: VFIO, io_uring, mlock.",
    "A guest that enables the whole of a maximum buffer at once. perf's driver does not, with its default watermark.",
  ],
  decidedBy: "userExit",
  cells: () =>
    SIZES.flatMap((bufferBytes) =>
      POLICIES.flatMap((policy) =>
        RESERVES.filter((reserve) => reserve === "none" || policy === KEEP_ALL).map((reserve) => ({
          policy,
          bufferBytes,
          reserve,
        })),
      ),
    ),
  run({ policy, bufferBytes, reserve }, costTables) {
    // Enough records for three quarters of the buffer: its second half is enabled, too.
    const recordsNs = (bufferBytes * 0.75 * PERIOD) / RECORD_BYTES / CLOCK_GHZ;
    const watch = new Watch();
    const costs = costTables.of(PROFILE);
    const run = trial({
      setting: {
        ...settingOf(
          "memlock",
          toggling({ count: SLICES, runNs: Math.ceil(recordsNs / SLICES), gapNs: 10_000_000 }),
          { ...DEFAULT_EVENT, period: PERIOD },
          bufferBytes,
          SEED,
        ),
        memlockBytes: bufferBytes + (reserve === "none" ? 0 : tablesFor(bufferBytes) * PAGE_BYTES),
      },
      policy: policyOf(policy),
      costs,
      profile: PROFILE,
      attach: (machine) => watch.attach(machine),
    });
    return {
      rlimitExits: run.exitReasons["KVM_EXIT_RLIMIT"] ?? 0,
      perExitNs: costs.exit + costs.userExit + costs.setrlimit,
      firstPinNs: run.excess?.firstPinNs ?? 0,
      markBytes: run.memlockPeakBytes,
      tablePages: run.tablePagesPinned,
      peakBytes: watch.peakBytes,
      leastBytes: watch.leastBytes,
      markFellBytes: watch.markFellBytes,
      enables: run.bufferEnables,
    };
  },
  answer(rows) {
    const of = (policy: string, reserve = "none") =>
      rows.filter(({ cell }) => cell.policy === policy && cell.reserve === reserve).map(({ row }) => row);
    const exits = (some: readonly Row[]): number => some.reduce((sum, row) => sum + row.rlimitExits, 0);
    const [v6, , all] = POLICIES;
    const v6Rows = of(v6);
    const largest = v6Rows.at(-1) as Row;
    const kept = of(all);
    const keptLargest = kept.at(-1) as Row;
    const most = Math.max(...kept.map((row) => row.rlimitExits));
    const exitsNs = keptLargest.rlimitExits * keptLargest.perExitNs;
    const reserved = exits(of(all, "for tables"));
    const tables = tablesFor(THREAD_BYTES) * PAGE_BYTES;
    return {
      headline:
        `v6 ${exits(v6Rows) === 0 ? "never meets the limit" : `meets the limit ${counted(exits(v6Rows), "time")}`}, a cache of the whole buffer ` +
        `${counted(most, "time")} at most, for its tables, which takes ${formatNs(exitsNs)}, ${exitsNs < keptLargest.firstPinNs ? "less" : "more"} than its first pin; ` +
        `unpinning frees ${formatBytes(largest.peakBytes - largest.leastBytes)} of memory and ${largest.markFellBytes === 0 ? "nothing" : formatBytes(largest.markFellBytes)} of memlock.`,
      sentences: [
        `The limit must hold the maximum buffer before the VM runs, and perf enables half of it: v6 uses ${formatShare(largest.markBytes, SIZES[SIZES.length - 1] as number)} of it, tables included.`,
        `The mark stays where the largest pin left it, ${formatCount(largest.enables)} enables and disables later too. A cache that keeps the same pins costs no more of the limit: ${formatBytes(of("until-changed").at(-1)?.markBytes ?? 0)} for until-changed.`,
        reserved === 0
          ? `A reserve for the tables avoids every exit: a page for each ${ENTRIES} pages of the buffer and ${UPPER_TABLES} more, ${formatBytes(tables)} for ${formatBytes(THREAD_BYTES)} (counted).`
          : `A reserve for the tables leaves ${counted(reserved, "exit")}.`,
        `An exit takes ${formatNs(keptLargest.perExitNs)} with setrlimit (counted from the costs), and the enable is walked again.`,
      ],
      table: {
        columns: [
          "policy",
          "buffer",
          "reserve",
          "KVM_EXIT_RLIMIT",
          "VmLck",
          "pinned at most",
          "least after",
          "enables",
        ],
        rows: rows.map(({ cell, row }) => [
          cell.policy,
          formatBytes(cell.bufferBytes),
          cell.reserve,
          formatCount(row.rlimitExits),
          formatBytes(row.markBytes),
          formatBytes(row.peakBytes),
          formatBytes(row.leastBytes),
          formatCount(row.enables),
        ]),
      },
      charts: [
        {
          title: "What counts against memlock, by buffer",
          kind: "line",
          x: { name: "buffer (MiB)", scale: "log" },
          y: { name: "VmLck (MiB)", scale: "log" },
          series: POLICIES.map(
            (policy): Series => ({
              name: policy,
              points: of(policy).map((row, i) => [(SIZES[i] as number) / MIB, row.markBytes / MIB]),
            }),
          ),
        },
      ],
    };
  },
});
