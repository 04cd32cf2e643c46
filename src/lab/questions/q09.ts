/** Question 9: how small a window of pinned pages ahead of PMBPTR may be. */
import { PAGE_BYTES } from "../../common/address.ts";
import { formatBytes, formatNs } from "../../common/sizes.ts";
import { DEFAULT_EVENT } from "../../guest/spe-event.ts";
import { windowOf } from "../../kvm/spe/policies/window.ts";
import { runBareMetal, type Setting } from "../experiment.ts";
import { hypervisorNs, type ModelRun } from "../report/run.ts";
import { formatCount, formatShare } from "../report/words.ts";
import { DEFAULT_CLOCK_GHZ, settingOf } from "../scenarios.ts";
import { toggling } from "../schedules.ts";
import { trial } from "../trial.ts";
import { question, type Series } from "./question.ts";

interface Cell {
  readonly bufferBytes: number;
  readonly period: number;
  /** How often the window moves on. */
  readonly everyNs: number;
  readonly [key: string]: number;
}
interface Row {
  /** The smallest window without a blackout, in pages. */
  readonly pages: number;
  /** Written while the guest ran, a ns. */
  readonly bytesPerNs: number;
  /** Taken from the vCPU with that window, of its wall time, and what of it are pins and unpins. */
  readonly hypervisorNs: number;
  readonly pinNs: number;
  readonly wallNs: number;
  /** Samples selected, and those lost in a window half as large. */
  readonly selected: number;
  readonly lostWithHalf: number;
  readonly [key: string]: number;
}

const MIB = 1024 ** 2;
/** Linux is woken at half of its buffer: 1 MiB for each interrupt, and 32 MiB. */
const BUFFERS = [2 * MIB, 64 * MIB] as const;
const PERIODS = [256, 1_024, 4_096] as const;
const EVERY_NS = [100_000, 300_000, 1_000_000, 3_000_000] as const;
const PROFILE = "thread-normal";
const SEED = 1;
const MOVES = 12;
/** What a profiler may take without being in the way: assumed, the usual figure for production profiling. */
const UNNOTICED = 0.01;

function settingFor({ bufferBytes, period, everyNs }: Cell): Setting {
  // Long enough for a few moves, and for four interrupts of the small buffer.
  const fourMibNs = (4 * MIB * period) / (64 * DEFAULT_CLOCK_GHZ);
  const runNs = Math.round(Math.max(MOVES * everyNs, fourMibNs));
  return settingOf(
    "one long run",
    toggling({ count: 1, runNs, gapNs: 0 }),
    { ...DEFAULT_EVENT, period },
    bufferBytes,
    SEED,
  );
}

const ratio = (row: Row): number => row.hypervisorNs / row.wallNs;

export const q09 = question<Cell, Row>({
  number: 9,
  title: "Sliding window: how few pages ahead are enough?",
  asked:
    "KVM could pin only k pages ahead of the write pointer and move on in time. What is the smallest k that loses nothing, " +
    "at about 1 MiB of records for each interrupt?",
  origin:
    "Follows from the thread (January 2026): limiting the buffer was refused, so limit what is pinned of it. 1 MiB an " +
    "interrupt is what Alexandru Elisei saw on a Neoverse N1 (v3 cover letter, October 2020: 541 MiB, 538 interrupts).",
  leavesOut: [
    "Rates come from a steady program. A burst above the average needs a window for the burst.",
    "Timers are exact. A host that delays its timers needs the records of that delay in the window as well.",
    "Records are of one size, 64 bytes.",
  ],
  decidedBy: "pinPage",
  cells: () =>
    BUFFERS.flatMap((bufferBytes) =>
      PERIODS.flatMap((period) => EVERY_NS.map((everyNs) => ({ bufferBytes, period, everyNs }))),
    ),
  run(cell, costTables) {
    const setting = settingFor(cell);
    const costs = costTables.of(PROFILE);
    const bareMetal = runBareMetal(setting, costs, "kept");
    const runs = new Map<number, ModelRun>();
    const withPages = (pages: number): ModelRun => {
      const known =
        runs.get(pages) ??
        trial({
          setting,
          policy: windowOf({ pages, everyNs: cell.everyNs }),
          costs,
          profile: PROFILE,
          bareMetal,
        });
      runs.set(pages, known);
      return known;
    };
    const complete = (pages: number): boolean => withPages(pages).blackouts.count === 0;
    // The half that Linux enables at once is always enough.
    let enough = cell.bufferBytes / PAGE_BYTES;
    let tooFew = 0;
    for (let pages = 1; pages < enough; pages *= 2) {
      if (complete(pages)) enough = pages;
      else tooFew = pages;
    }
    while (enough - tooFew > 1) {
      const middle = Math.floor((enough + tooFew) / 2);
      if (complete(middle)) enough = middle;
      else tooFew = middle;
    }
    const run = withPages(enough);
    return {
      pages: enough,
      bytesPerNs: (run.samples.written * 64) / run.guestRunNs,
      hypervisorNs: hypervisorNs(run),
      pinNs: run.pinNs + run.unpinNs,
      wallNs: run.guestWallNs,
      selected: run.samples.selected,
      lostWithHalf: withPages(Math.max(1, Math.floor(enough / 2))).samples.lostInBlackout,
    };
  },
  answer(rows) {
    const small = rows.filter(({ cell }) => cell.bufferBytes === BUFFERS[0]);
    const rateOf = ({ row }: { row: Row }): string => `${formatBytes(row.bytesPerNs * 1e9)}/s`;
    const unnoticed = small.filter(({ row }) => ratio(row) < UNNOTICED);
    const fastest = small.filter(({ cell }) => cell.period === PERIODS[0]);
    const least = fastest.reduce((a, b) => (b.row.pages < a.row.pages ? b : a));
    const cheapest = fastest.reduce((a, b) => (ratio(b.row) < ratio(a.row) ? b : a));
    const slowest = small.filter(({ cell }) => cell.period === PERIODS.at(-1));
    const leastSlow = slowest.reduce((a, b) => (b.row.pages < a.row.pages ? b : a));
    const margins = rows.map(({ cell, row }) => row.pages - (row.bytesPerNs * cell.everyNs) / PAGE_BYTES);
    const most = Math.ceil(Math.max(...margins));
    const pinShare = formatShare(cheapest.row.pinNs, cheapest.row.hypervisorNs);
    const unnoticedText =
      unnoticed.length === 0
        ? `no rate of the sweep is cheaper than ${formatShare(UNNOTICED, 1)} of the vCPU's time`
        : `it stays below ${formatShare(UNNOTICED, 1)} of the vCPU's time up to ${rateOf(
            unnoticed.reduce((a, b) => (b.row.bytesPerNs > a.row.bytesPerNs ? b : a)),
          )}`;
    return {
      headline:
        `With 1 MiB of records an interrupt, ${formatCount(leastSlow.row.pages)} to ${formatCount(least.row.pages)} pages ahead lose nothing ` +
        `if the window moves every ${formatNs(least.cell.everyNs)} (${rateOf(leastSlow)} to ${rateOf(least)}); as to what moving costs, ${unnoticedText}.`,
      sentences: [
        `k must hold what is written between two moves, and at most ${formatCount(most)} ${most === 1 ? "page" : "pages"} more: the interrupt and the move itself stop the guest or its records, so they need no room.`,
        `The window costs least, at ${rateOf(cheapest)}, with a move every ${formatNs(cheapest.cell.everyNs)} and ${formatCount(cheapest.row.pages)} pages: ${formatShare(cheapest.row.hypervisorNs, cheapest.row.wallNs)} of the time, ${pinShare} of it pins and unpins, since every page of the buffer passes through the window.`,
        `A window half as large, at that rate and a move every ${formatNs(least.cell.everyNs)}, loses ${formatShare(least.row.lostWithHalf, least.row.selected)} of the samples.`,
        "The size of the buffer does not matter until the window is as large as the half that Linux enables at once.",
      ],
      table: {
        columns: [
          "buffer",
          "records",
          "moves every",
          "written between",
          "smallest k",
          "costs",
          "half k loses",
        ],
        rows: rows.map(({ cell, row }) => [
          formatBytes(cell.bufferBytes),
          rateOf({ row }),
          formatNs(cell.everyNs),
          formatBytes(row.bytesPerNs * cell.everyNs),
          `${formatCount(row.pages)} pages`,
          formatShare(row.hypervisorNs, row.wallNs),
          formatShare(row.lostWithHalf, row.selected),
        ]),
      },
      charts: [
        {
          title: "Smallest window without a blackout",
          kind: "line",
          x: { name: "time between moves (ms)", scale: "log" },
          y: { name: "pages", scale: "log" },
          series: BUFFERS.flatMap((bufferBytes) =>
            PERIODS.map((period): Series => {
              const of = rows.filter((r) => r.cell.bufferBytes === bufferBytes && r.cell.period === period);
              const name = `${formatBytes(bufferBytes)}, every ${formatCount(period)} ops`;
              return { name, points: of.map(({ cell, row }) => [cell.everyNs / 1e6, row.pages]) };
            }),
          ),
        },
      ],
    };
  },
});
