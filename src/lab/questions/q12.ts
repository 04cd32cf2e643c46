/** Question 12: guest granules, host page sizes, and pins that are taken by the folio. */

import { randomStream } from "../../common/random.ts";
import { formatNs } from "../../common/sizes.ts";
import type { GuestPageBytes } from "../../guest/memory.ts";
import type { CostTable } from "../../host/costs.ts";
import { HUGE_PAGES } from "../../host/frames.ts";
import type { Backing } from "../../host/mm.ts";
import { randomPressure } from "../../host/pressure.ts";
import type { PageSet } from "../../kvm/guest-pages.ts";
import { policyNamed } from "../policies.ts";
import { THRESHOLDS } from "../report/verdicts.ts";
import { formatCount, formatFactor } from "../report/words.ts";
import { THREAD_SCENARIOS } from "../scenarios.ts";
import { trial } from "../trial.ts";
import { question, type Series } from "./question.ts";

/**
 * What is charged once for many pages. "none": nothing, as measured. "runs": a pin for each stretch that is contiguous
 * in one folio, as GUP meets it. "folios": a pin for each 512 pages, whatever the guest's layout. "all": and the
 * check of stage 2, too.
 */
type Batch = "none" | "runs" | "folios" | "all";

interface Cell {
  readonly profile: string;
  readonly command: string;
  readonly pageBytes: number;
  readonly backing: Backing;
  readonly batch: Batch;
  /** Splits of huge pages a second. */
  readonly splits: number;
  readonly [key: string]: string | number;
}
interface Row {
  readonly slowdown: number;
  /** Of one enable: pages with their tables, stretches of them that are contiguous in a folio, and folios. */
  readonly pages: number;
  readonly runs: number;
  readonly folios: number;
  /** The vCPU's time for each enable. */
  readonly pinNs: number;
  readonly walkNs: number;
  readonly stage2Ns: number;
  readonly [key: string]: number;
}

const PROFILES = ["thread-normal", "thread-debug"] as const;
const COMMANDS = ["thread-a", "thread-b"] as const;
const GRANULES: readonly GuestPageBytes[] = [4096, 16_384, 65_536];
const BACKINGS = ["base", "thp", "hugetlb-2M"] as const;
const HUGETLB = ["hugetlb-2M"] as const;
const BUFFER_BYTES = 256 * 1024 ** 2;
const SEED = 1;
const SPLITS_PER_S = 100;

const batchesOf = (backing: Backing): readonly Batch[] =>
  backing === "hugetlb-2M" ? ["none", "runs", "folios", "all"] : ["none"];

/** How many pins a set of pages is: stretches within one folio, and different folios. */
function pinsOf(set: PageSet): { readonly runs: number; readonly folios: number } {
  const folios = new Set<number>();
  let runs = 0;
  for (const { list, from, to } of set.runs)
    for (let i = from; i < to; i++) {
      const page = list.at(i);
      const folio = Math.floor(page / HUGE_PAGES);
      folios.add(folio);
      if (i === from || list.at(i - 1) !== page - 1 || page % HUGE_PAGES === 0) runs += 1;
    }
  return { runs, folios: folios.size };
}

/** The table with pins (and checks) that take many pages at once. Whole ns: a page costs at least 1. */
function batched(costs: CostTable, batch: Batch, pages: number, runs: number): CostTable {
  if (batch === "none") return costs;
  const share = batch === "runs" ? runs / pages : 1 / HUGE_PAGES;
  const part = (ns: number): number => (ns === 0 ? 0 : Math.max(1, Math.round(ns * share)));
  return {
    ...costs,
    pinPage: part(costs.pinPage),
    unpinPage: part(costs.unpinPage),
    ...(batch === "all" ? { stage2Check: part(costs.stage2Check) } : {}),
  };
}

function runWith(cell: Cell, costs: CostTable) {
  const scenario = THREAD_SCENARIOS.find(({ name }) => name === cell.command);
  if (scenario === undefined) throw new Error(`no scenario ${cell.command}`);
  let counts = { pages: 0, runs: 0, folios: 0 };
  const run = trial({
    setting: {
      ...scenario.setting(BUFFER_BYTES, SEED),
      pageBytes: cell.pageBytes as GuestPageBytes,
      backing: cell.backing,
      ...(cell.splits === 0
        ? {}
        : { pressure: (pages) => randomPressure({ "thp-split": cell.splits }, pages, randomStream(SEED)) }),
    },
    policy: policyNamed("pin-on-enable"),
    costs,
    profile: cell.profile,
    attach: ({ spe, vcpus }) => {
      spe.onPinned = (pages) => {
        const held = vcpus[0]?.spe.holdings.pins.set;
        if (held !== undefined && pages > counts.pages) counts = { pages, ...pinsOf(held) };
      };
    },
  });
  return { run, counts };
}

const cellsOf = (profile: string, command: string): Cell[] => [
  ...(profile === "thread-normal" ? GRANULES : [4096]).flatMap((pageBytes) =>
    (profile === "thread-normal" ? BACKINGS : HUGETLB).flatMap((backing) =>
      batchesOf(backing).map((batch) => ({ profile, command, pageBytes, backing, batch, splits: 0 })),
    ),
  ),
  ...(profile === "thread-normal"
    ? [{ profile, command, pageBytes: 4096, backing: "thp", batch: "none", splits: SPLITS_PER_S } as const]
    : []),
];

export const q12 = question<Cell, Row>({
  number: 12,
  title: "Large pages: does batching make v6 usable?",
  asked:
    "The thread's cost is per 4 KiB page. If the guest has larger pages, or the host backs it by 2 MiB and pins by the " +
    "folio (65,536 operations become 128), is pinning at every enable fast enough?",
  origin:
    "Follows from v6 34/35 (hugetlb) and from the thread's figures; nobody has measured large pages or batched pins.",
  leavesOut: [
    "1 GiB backing: not modelled.",
    "Whether GUP pins by the folio for the same price as a page: assumed, a kernel that counts per page does not.",
    "Batched costs are rounded to whole ns, 1 at least.",
    "What larger pages do to the guest itself.",
  ],
  decidedBy: "stage2Check",
  cells: () => PROFILES.flatMap((profile) => COMMANDS.flatMap((command) => cellsOf(profile, command))),
  run(cell, costTables) {
    const costs = costTables.of(cell.profile);
    // How many stretches there are is known only when they have been pinned once.
    const layout = cell.batch === "runs" ? runWith(cell, costs).counts : { pages: 0, runs: 0 };
    const { run, counts } = runWith(cell, batched(costs, cell.batch, layout.pages, layout.runs));
    const each = (ns: number): number => Math.round(ns / run.bufferEnables);
    return {
      ...counts,
      slowdown: run.slowdown,
      pinNs: each(run.pinNs + run.unpinNs),
      walkNs: each(run.walkNs),
      stage2Ns: each(run.stage2Ns),
    };
  },
  answer(rows) {
    const of = (like: Partial<Cell>): Row => {
      const wanted = Object.entries({
        profile: "thread-normal",
        command: "thread-a",
        pageBytes: 4096,
        splits: 0,
        ...like,
      });
      const found = rows.find(({ cell }) => wanted.every(([name, value]) => cell[name] === value));
      if (found === undefined) throw new Error(`no row for ${JSON.stringify(like)}`);
      return found.row;
    };
    const times = (like: Partial<Cell>): string => formatFactor(of(like).slowdown);
    const usable = (like: Partial<Cell>): boolean => of(like).slowdown < THRESHOLDS.usableSlowdown;
    const ideal: Partial<Cell> = { backing: "hugetlb-2M", batch: "folios" };
    const all: Partial<Cell> = { backing: "hugetlb-2M", batch: "all" };
    const unbatched: Partial<Cell> = { backing: "hugetlb-2M", batch: "none" };
    const both = (like: Partial<Cell>): readonly boolean[] =>
      COMMANDS.map((command) => usable({ ...like, command }));
    const verdict = (like: Partial<Cell>): string => {
      const [a, b] = both(like);
      return a && b
        ? "makes v6 usable"
        : a
          ? "makes v6 usable for few switches only"
          : "does not make v6 usable";
    };
    const layout = of(ideal);
    const parts = (row: Row): string =>
      `${formatNs(row.pinNs)} of pins, ${formatNs(row.walkNs)} of walking, ${formatNs(row.stage2Ns)} at stage 2`;
    const runsRow: Partial<Cell> = { backing: "hugetlb-2M", batch: "runs" };
    const debug = { profile: "thread-debug" };
    return {
      headline:
        `Batching pins by the folio alone ${verdict(ideal)}: the thread's commands take ${times(ideal)} and ` +
        `${times({ ...ideal, command: "thread-b" })} times bare metal instead of ${times(unbatched)} and ${times({ ...unbatched, command: "thread-b" })}.`,
      sentences: [
        `Large pages without batching change nothing about pins. Larger granules make fewer tables and descriptors to walk: ${formatNs(of({ backing: "base", batch: "none" }).walkNs)} an enable with 4 KiB, ${formatNs(of({ backing: "base", batch: "none", pageBytes: 65_536 }).walkNs)} with 64 KiB.`,
        `What an enable still takes with batched pins: ${parts(of(ideal))}. With the checks batched as well it is ${times(all)} and ${times({ ...all, command: "thread-b" })}; on a debug kernel ${times({ ...all, ...debug })} and ${times({ ...all, ...debug, command: "thread-b" })}.`,
        `The ${formatCount(layout.pages)} pages of an enable lie in ${formatCount(layout.runs)} stretches over ${formatCount(layout.folios)} folios here, since a guest's allocator does not hand out 2 MiB at a time. By the stretch, as GUP meets them, it is ${times(runsRow)} and ${times({ ...runsRow, command: "thread-b" })}.`,
        `${SPLITS_PER_S} splits of huge pages a second meanwhile: ${times({ backing: "thp", splits: SPLITS_PER_S })} instead of ${times({ backing: "thp", batch: "none" })} for the first command; pinned pages stay mapped through a split.`,
        "Batches are an assumption about costs (pins and unpins of a page at 1/512, or at stretches/pages), not a mechanism that is modelled.",
      ],
      table: {
        columns: ["granule", "backing", "batched", "command A", "command B", "pins", "walk", "stage 2"],
        rows: rows
          .filter(({ cell }) => cell.profile === "thread-normal" && cell.command === "thread-a")
          .map(({ cell, row }) => [
            `${cell.pageBytes / 1024} KiB`,
            cell.splits === 0 ? cell.backing : `${cell.backing}, ${cell.splits} splits a second`,
            cell.batch,
            formatFactor(row.slowdown),
            times({ ...cell, command: "thread-b" }),
            formatNs(row.pinNs),
            formatNs(row.walkNs),
            formatNs(row.stage2Ns),
          ]),
      },
      charts: [
        {
          title: "v6 by what is batched (4 KiB granule, hugetlb-2M)",
          kind: "bar",
          x: { name: "batched", scale: "categories" },
          y: { name: "times bare metal", scale: "log" },
          series: PROFILES.flatMap((profile) =>
            COMMANDS.map(
              (command): Series => ({
                name: `${profile === "thread-debug" ? "debug" : "normal"}, ${command === "thread-a" ? "A" : "B"}`,
                points: batchesOf("hugetlb-2M").map((batch) => [
                  batch,
                  of({ profile, command, backing: "hugetlb-2M", batch }).slowdown,
                ]),
              }),
            ),
          ),
        },
      ],
    };
  },
});
