/** Question 6: how KVM may find out that a kept pin is stale, what that costs, and what slips through. */

import { formatBytes, formatNs } from "../../common/sizes.ts";
import type { GuestAction } from "../../guest/scripted-core.ts";
import { DEFAULT_EVENT } from "../../guest/spe-event.ts";
import type { CostTable } from "../../host/costs.ts";
import { PageSet } from "../../kvm/guest-pages.ts";
import { hold } from "../../kvm/spe/hold.ts";
import { untilChanged } from "../../kvm/spe/policies/until-changed.ts";
import { DONE, type PinPolicy, type PolicyContext, type SpeBuffer } from "../../kvm/spe/policy.ts";
import { formatCount, formatFactor, formatShare, listed } from "../report/words.ts";
import { settingOf } from "../scenarios.ts";
import { toggling } from "../schedules.ts";
import { DISABLE, enable, remap, runScripted, sample, TABLE_POOL_PAGES } from "../scripted.ts";
import { trial } from "../trial.ts";
import { type Chart, question, type Series } from "./question.ts";

type Check = "walk" | "tables" | "nothing";

interface Cell {
  readonly what: "cost" | "stale";
  readonly check: Check;
  /** 0 where the guest reuses its VAs: that buffer has STALE_PAGES. */
  readonly bufferBytes: number;
  readonly [key: string]: string | number;
}
interface Row {
  /** For each enable. */
  readonly walkNs: number;
  readonly exitNs: number;
  readonly tables: number;
  /** For each time the VAs were reused. */
  readonly faults: number;
  readonly lost: number;
  readonly selected: number;
  /** The costs of one edit that a write-protected table lets through, and of one trapped TLBI. */
  readonly editNs: number;
  readonly tlbiNs: number;
  readonly [key: string]: number;
}

const CHECKS: readonly Check[] = ["walk", "tables", "nothing"];
const BUFFERS = [1, 4, 16, 64, 256, 1024].map((mib) => mib * 1024 ** 2);
const PROFILE = "thread-normal";
const SEED = 1;
const TOGGLES = 20;
const STALE_PAGES = 64;
const REUSES = 8;
const PERIOD = 256;
/** Long enough to fill most of the buffer. */
const RUN_NS = 350_000;
/** Entries of one table page, and how much of the buffer one maps. */
const TABLE_ENTRIES = 512;

/** What a vCPU holds, and the tables that a check of tables compares with. */
interface Held {
  readonly buffer: SpeBuffer;
  readonly tables: PageSet;
}

/** One page in each 2 MiB: enough to reach every table, and hardly any of their descriptors. */
function tablesOf(buffer: SpeBuffer, ctx: PolicyContext): PageSet | undefined {
  let tables = PageSet.empty;
  for (let page = buffer.firstPage; page < buffer.firstPage + buffer.pages; page += TABLE_ENTRIES) {
    const pointer = BigInt(page) << 12n;
    const walk = ctx.walk({ pointer, limit: pointer + 4096n, firstPage: page, pages: 1 });
    if (walk.kind !== "walked") return undefined;
    tables = tables.plus(walk.tables);
  }
  return tables;
}

/** Keeps its pins, and pins anew where the check says that something changed. */
function keeping(check: Exclude<Check, "walk">): PinPolicy {
  return {
    name: `keep-checking-${check}`,
    summary: "Keeps the pins of a buffer that lies in the one before it.",
    origin: "A variant for this question.",
    tradeOff: "Stale pins where the check does not see a change.",
    trapsBuffer: true,
    create() {
      const held = new Map<number, Held>();
      return {
        onBufferEnabled(buffer, ctx) {
          const last = held.get(ctx.vcpu);
          if (
            last !== undefined &&
            last.buffer.firstPage <= buffer.firstPage &&
            buffer.limit <= last.buffer.limit
          ) {
            if (check === "nothing") return DONE;
            const tables = tablesOf(buffer, ctx);
            if (tables?.minus(last.tables).isEmpty === true) return DONE;
          }
          held.delete(ctx.vcpu);
          ctx.unpin(ctx.pinned);
          const walk = ctx.walk(buffer);
          if (walk.kind !== "walked") return walk;
          const outcome = hold(walk, ctx);
          if (outcome.kind !== "done") return outcome;
          held.set(ctx.vcpu, { buffer, tables: walk.tables });
          return DONE;
        },
        onInvalidated: (_first, _pages, _event, ctx) => void held.delete(ctx.vcpu),
      };
    },
  };
}

const policyOf = (check: Check): PinPolicy => (check === "walk" ? untilChanged : keeping(check));

/** The guest frees its buffer again and again and maps other pages at the same VAs. */
function reusing(): GuestAction[] {
  const first = TABLE_POOL_PAGES;
  const session = [
    ...sample(PERIOD, true),
    ...enable(first, STALE_PAGES),
    { kind: "run", ns: RUN_NS },
    ...DISABLE,
  ];
  const actions: GuestAction[] = [...(session as GuestAction[])];
  for (let i = 1; i <= REUSES; i++)
    actions.push(...remap(first, first + i * STALE_PAGES, STALE_PAGES), ...(session as GuestAction[]));
  return actions;
}

/** One edit of a write-protected table page: the store's fault, unprotecting, reading the table again, protecting. */
const editNsOf = (costs: CostTable): number =>
  costs.exit +
  costs.stage2FaultHandling +
  2 * (costs.stage2Leaf + costs.tlbi) +
  costs.walkTable +
  TABLE_ENTRIES * costs.walkDescriptor;

const CHECK_NAME: Readonly<Record<Check, string>> = {
  walk: "walk at each enable",
  tables: "check tables only",
  nothing: "do nothing",
};

/** All that the cells came to. */
type Rows = readonly { readonly cell: Cell; readonly row: Row }[];

type CostOf = (check: Check, bufferBytes: number) => Row;

const costIn =
  (rows: Rows): CostOf =>
  (check, bufferBytes) => {
    const found = rows.find(
      ({ cell }) => cell.what === "cost" && cell.check === check && cell.bufferBytes === bufferBytes,
    );
    if (found === undefined) throw new Error(`no row for ${check}, ${bufferBytes}`);
    return found.row;
  };

const chartsOf = (costOf: CostOf, stale: Rows): Chart[] => [
  {
    title: "Cost of a check at each enable",
    kind: "line",
    x: { name: "buffer (MiB)", scale: "log" },
    y: { name: "µs", scale: "log" },
    series: [
      ...(["walk", "tables"] as const).map(
        (check): Series => ({
          name: CHECK_NAME[check],
          points: BUFFERS.map((bytes) => [bytes / 1024 ** 2, costOf(check, bytes).walkNs / 1e3]),
        }),
      ),
      {
        name: "the enable's exits",
        points: BUFFERS.map((bytes) => [bytes / 1024 ** 2, costOf("walk", bytes).exitNs / 1e3]),
      },
    ],
  },
  {
    title: "Faults let through when the addresses are reused",
    kind: "bar",
    x: { name: "check", scale: "categories" },
    y: { name: "stage-2 faults", scale: "linear" },
    series: [
      {
        name: "each reuse",
        points: stale.map(({ cell, row }) => [CHECK_NAME[cell.check], row.faults]),
      },
    ],
  },
];

export const q06 = question<Cell, Row>({
  number: 6,
  title: "Stale pins: how to find out that the guest changed its tables?",
  asked:
    "KVM keeps a buffer pinned while it is off. Meanwhile the guest may free it and map other pages at the same addresses. " +
    "What does it cost to notice, and what happens if nobody does?",
  origin:
    'Follows from James Clark\'s request of 9 January 2026 to pin and unpin only when "something actually changes": ' +
    "nobody said how KVM is to know.",
  leavesOut: [
    "Write protection and trapped TLBIs are counted, not simulated: events times costs. Edits of other mappings in the same table page fault, too, and have to be counted with those of the buffer.",
    "Trapping TLBIs stops every vCPU at each of its TLBIs (HCR_EL2.TTLB), also of programs that nobody profiles.",
    "The check of tables is one walk for each 2 MiB. One that keeps the upper levels from walk to walk costs about a third of that, and sees as little.",
    "Stage 2 does not map the new pages yet. Where it does, a stale pin loses nothing until the host drops the page.",
  ],
  decidedBy: "walkDescriptor",
  cells: () => [
    ...BUFFERS.flatMap((bufferBytes) =>
      CHECKS.map((check) => ({ what: "cost" as const, check, bufferBytes })),
    ),
    ...CHECKS.map((check) => ({ what: "stale" as const, check, bufferBytes: 0 })),
  ],
  run({ what, check, bufferBytes }, costTables) {
    const costs = costTables.of(PROFILE);
    const policy = policyOf(check);
    const counted = { editNs: editNsOf(costs), tlbiNs: costs.exit + costs.tlbi };
    if (what === "stale") {
      const machine = runScripted({
        policy,
        costs,
        actions: reusing(),
        ramPages: TABLE_POOL_PAGES + (REUSES + 1) * STALE_PAGES,
        mappedPages: TABLE_POOL_PAGES + STALE_PAGES,
      });
      const faults = machine.spe.statistics.recordStage2Faults / REUSES;
      let lost = 0;
      let selected = 0;
      for (const { truth, core } of machine.vcpus) {
        lost += truth.lostInBlackout + core.spu.counters.truncated;
        selected += core.spu.counters.selected + truth.lostInBlackout;
      }
      machine.destroy();
      return { walkNs: 0, exitNs: 0, tables: 0, faults, lost, selected, ...counted };
    }
    // No record passes the filter: the head stays, as in the thread's commands.
    const event = { ...DEFAULT_EVENT, minLatency: 1000, eventFilter: 10 };
    const schedule = toggling({ count: TOGGLES, runNs: 100_000, gapNs: 100_000 });
    const run = trial({ setting: settingOf("toggling", schedule, event, bufferBytes, SEED), policy, costs });
    // The first enable walks whatever the check; the others are what is asked about.
    const firstWalk = (run.excess?.firstPinNs ?? 0) - run.pinNs - run.stage2Ns;
    return {
      walkNs: Math.max(0, run.walkNs - Math.max(0, firstWalk)) / (TOGGLES - 1),
      exitNs: run.exitNs / TOGGLES,
      tables: run.tablePagesPinned,
      faults: 0,
      lost: 0,
      selected: 0,
      ...counted,
    };
  },
  answer(rows) {
    const costOf = costIn(rows);
    const stale = rows.filter(({ cell }) => cell.what === "stale");
    const leaky = stale.filter(({ row }) => row.faults > 0);
    const tight = stale.filter(({ row }) => row.faults === 0);
    const threads = 256 * 1024 ** 2;
    const walk = costOf("walk", threads);
    const below = BUFFERS.filter((bytes) => costOf("walk", bytes).walkNs <= costOf("walk", bytes).exitNs);
    const edits = walk.walkNs / walk.editNs;
    const tlbis = walk.walkNs / walk.tlbiNs;
    const names = (of: typeof stale) => listed(of.map(({ cell }) => `"${CHECK_NAME[cell.check]}"`));
    const cheap =
      below.length === 0
        ? "for no buffer of the sweep does it cost less than the enable's own exits"
        : `it costs less than the enable's own exits up to ${formatBytes(below.at(-1) as number)} of buffer`;
    return {
      headline:
        `Of the checks that can run at an enable, ${names(tight)} ${tight.length === 1 ? "lets" : "let"} nothing through; ${cheap}, ` +
        `and at 256 MiB it takes ${formatNs(walk.walkNs)}, ${formatFactor(walk.walkNs / walk.exitNs)} times the exits.`,
      sentences: [
        ...leaky.map(
          ({ cell, row }) =>
            `With "${CHECK_NAME[cell.check]}", a guest that maps other pages at its buffer's addresses gets ${formatCount(Math.round(row.faults))} stage-2 faults each time (one for each page that it comes to write, of ${STALE_PAGES}) and loses ${formatShare(row.lost, row.selected)} of its samples.`,
        ),
        `A check of the tables alone costs ${formatNs(costOf("tables", threads).walkNs)} at 256 MiB and sees nothing: new mappings stand in the same table pages.`,
        `Counted: write-protecting the pinned tables costs ${formatNs(walk.editNs)} for a table page that is edited between two enables. At 256 MiB it is cheaper than the walk below ${formatCount(Math.floor(edits))} such pages for each enable, of ${formatCount(walk.tables)} table pages in all.`,
        `Counted: trapping TLBIs costs ${formatNs(walk.tlbiNs)} for each; it is cheaper than the walk below ${formatCount(Math.floor(tlbis))} TLBIs of the whole guest between two enables.`,
      ],
      table: {
        columns: ["buffer", "exits", "walk", "tables only", "edits to equal a walk", "TLBIs to equal a walk"],
        rows: BUFFERS.map((bytes) => {
          const row = costOf("walk", bytes);
          return [
            formatBytes(bytes),
            formatNs(row.exitNs),
            formatNs(row.walkNs),
            formatNs(costOf("tables", bytes).walkNs),
            (row.walkNs / row.editNs).toFixed(1),
            (row.walkNs / row.tlbiNs).toFixed(1),
          ];
        }),
      },
      charts: chartsOf(costOf, stale),
    };
  },
});
