/** Question 11: snapshot mode, in which Linux enables the two halves of the buffer in turn. */
import { formatBytes, formatNs } from "../../common/sizes.ts";
import { DEFAULT_EVENT } from "../../guest/spe-event.ts";
import { policyNamed } from "../policies.ts";
import { formatCount, formatFactor, formatShare, listed } from "../report/words.ts";
import { settingOf } from "../scenarios.ts";
import { toggling } from "../schedules.ts";
import { trial } from "../trial.ts";
import { question } from "./question.ts";

interface Cell {
  readonly policy: string;
  readonly snapshot: boolean;
  readonly [key: string]: string | boolean;
}
interface Row {
  readonly slowdown: number;
  readonly enables: number;
  readonly halves: number;
  readonly pins: number;
  readonly pagesPinned: number;
  readonly pinNs: number;
  readonly backgroundNs: number;
  readonly peakBytes: number;
  readonly lost: number;
  readonly selected: number;
  readonly [key: string]: number;
}

const POLICIES = [
  "pin-on-enable",
  "until-changed",
  "unpin-on-next",
  "grace",
  "first-fault",
  "window",
  "adaptive",
  "bounce",
] as const;
/** Small enough for the halves to be filled several times. */
const BUFFER_BYTES = 2 * 1024 ** 2;
const HALF_BYTES = BUFFER_BYTES / 2;
const SEED = 1;
const PROFILE = "thread-normal";
const RECORD_BYTES = 64;
/** A policy thrashes where it pins the buffer this many times over for each time that it is written. */
const THRASHES = 1.5;
const PAGE_BYTES = 4096;

/** A task in slices of 1 ms, for long enough to write the buffer about six times. */
const schedule = () => toggling({ count: 300, runNs: 1_000_000, gapNs: 200_000 });

export const q11 = question<Cell, Row>({
  number: 11,
  title: "Snapshot mode: which policies thrash between the halves?",
  asked:
    "In snapshot mode perf's buffer is overwritten for ever, and Linux gives the SPU one half after the other. A policy that " +
    "keeps what it pinned last finds the other half enabled next. Which policies pin the same pages again and again?",
  origin:
    "Follows from the driver (arm_spe_pmu_next_snapshot_off) and from the rules for keeping pins that were discussed in July 2022; nobody measured it.",
  leavesOut: [
    "Nobody takes a snapshot: reading one stops the event, as a switch does.",
    "Buffers here are small, so that halves change often; at 256 MiB a half is enough for seconds, and each change costs the more.",
  ],
  decidedBy: "pinPage",
  cells: () => POLICIES.flatMap((policy) => [false, true].map((snapshot) => ({ policy, snapshot }))),
  run({ policy, snapshot }, costTables) {
    const setting = {
      ...settingOf("snapshot", schedule(), { ...DEFAULT_EVENT, period: 2048 }, BUFFER_BYTES, SEED),
      snapshot,
    };
    const run = trial({ setting, policy: policyNamed(policy), costs: costTables.of(PROFILE) });
    return {
      slowdown: run.slowdown,
      enables: run.bufferEnables,
      halves: Math.floor((run.samples.written * RECORD_BYTES) / HALF_BYTES),
      pins: run.pins,
      pagesPinned: run.pagesPinned,
      pinNs: run.pinNs + run.unpinNs,
      backgroundNs: run.backgroundNs,
      peakBytes: run.pinnedPeakBytes,
      lost: run.samples.lostInBlackout,
      selected: run.samples.selected,
    };
  },
  answer(rows) {
    const snapshots = rows.filter(({ cell }) => cell.snapshot);
    const written = (row: Row): number => Math.max(1, (row.halves * HALF_BYTES) / PAGE_BYTES);
    const turns = (row: Row): number => row.pagesPinned / written(row);
    const plainOf = (policy: string): Row => {
      const found = rows.find(({ cell }) => cell.policy === policy && !cell.snapshot);
      if (found === undefined) throw new Error(`no plain row for ${policy}`);
      return found.row;
    };
    const thrashing = snapshots.filter(({ row }) => turns(row) > THRASHES);
    const names = thrashing.map(({ cell, row }) => `${cell.policy} (${formatFactor(turns(row))} times)`);
    const dear = snapshots.filter(({ row }) => row.slowdown >= 1.2).map(({ cell }) => cell.policy);
    const once = snapshots.filter(({ row }) => turns(row) <= THRASHES && row.pagesPinned > 0);
    const least = [...once].sort((a, b) => turns(a.row) - turns(b.row))[0];
    const worse = snapshots
      .filter(({ cell, row }) => row.slowdown > plainOf(cell.policy).slowdown * 1.02)
      .map(({ cell }) => cell.policy);
    return {
      headline:
        `${names.length === 0 ? "No policy pins" : `${listed(names)} pin${names.length === 1 ? "s" : ""}`} the buffer over and over while it is written once; ` +
        `${dear.length === 0 ? "none is slowed down by a fifth" : `${listed(dear)} ${dear.length === 1 ? "is" : "are"} slowed down by a fifth or more`}.`,
      sentences: [
        least === undefined
          ? "Every policy that pins does so."
          : `${least.cell.policy} pins ${formatCount(least.row.pagesPinned)} pages while ${formatCount(least.row.halves)} halves of ${formatCount(HALF_BYTES / PAGE_BYTES)} pages are written: ${formatFactor(turns(least.row))} times what is written.`,
        worse.length === 0
          ? "The halves themselves cost nobody anything beside plain mode, which turns over the same buffer at its wake-up points."
          : `Beside plain mode, snapshots cost ${listed(worse)} more.`,
        `Rules that compare with what was pinned last release a half when the other is enabled and pin it again one half later: until-changed pins ${formatFactor(turns(snapshots.find(({ cell }) => cell.policy === "until-changed")?.row ?? plainOf("until-changed")))} times what is written.`,
      ],
      table: {
        columns: [
          "policy",
          "mode",
          "slowdown",
          "pins",
          "pages pinned",
          "per page written",
          "pin and unpin",
          "worker",
          "held",
          "lost",
        ],
        rows: rows.map(({ cell, row }) => [
          cell.policy,
          cell.snapshot ? "snapshot" : "plain",
          formatFactor(row.slowdown),
          formatCount(row.pins),
          formatCount(row.pagesPinned),
          formatFactor(turns(row)),
          formatNs(row.pinNs),
          formatNs(row.backgroundNs),
          formatBytes(row.peakBytes),
          formatShare(row.lost, row.selected),
        ]),
      },
      charts: [
        {
          title: "Pages pinned for each page written, 2 MiB buffer",
          kind: "bar",
          x: { name: "policy", scale: "categories" },
          y: { name: "pages pinned for each page written", scale: "linear" },
          series: [false, true].map((snapshot) => ({
            name: snapshot ? "snapshot" : "plain",
            points: rows
              .filter(({ cell }) => cell.snapshot === snapshot)
              .map(({ cell, row }) => [cell.policy, turns(row)] as const),
          })),
        },
      ],
    };
  },
});
