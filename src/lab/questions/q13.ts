/** Question 13: what the host does to guest memory meanwhile, kept from the SPU by pins or obeyed. */
import { randomStream } from "../../common/random.ts";
import { formatNs } from "../../common/sizes.ts";
import { DEFAULT_EVENT } from "../../guest/spe-event.ts";
import { type PressureEvent, type PressureKind, randomPressure } from "../../host/pressure.ts";
import { DONE, type PinPolicy } from "../../kvm/spe/policy.ts";
import type { Machine } from "../../vmm/machine.ts";
import { policyNamed } from "../policies.ts";
import { counted, formatCount, formatShare, listed } from "../report/words.ts";
import { settingOf } from "../scenarios.ts";
import { scheduleOf } from "../schedules.ts";
import { trial } from "../trial.ts";
import { type Chart, question, type Series } from "./question.ts";

interface Cell {
  readonly kind: PressureKind;
  readonly perSecond: number;
  readonly policy: string;
  readonly [key: string]: string | number;
}
interface Row {
  readonly blackouts: number;
  readonly blackoutNs: number;
  readonly lost: number;
  readonly selected: number;
  /** The vCPU's time: what pins, walks and mappings take, and what faults with their exits and interrupts take. */
  readonly hypervisorNs: number;
  /** Pages that the events were about, and how many of them a pin kept from it. */
  readonly askedPages: number;
  readonly deniedPages: number;
  readonly [key: string]: number;
}

const PROFILE = "thread-normal";
/** Events a second: what a host does now and then, and what one does that is short of memory. */
const RATES: readonly (readonly [PressureKind, number, number])[] = [
  ["reclaim", 100, 3_000],
  ["migrate", 100, 3_000],
  ["compact", 100, 3_000],
  ["ksm", 100, 3_000],
  ["numa", 1, 20],
  ["thp-split", 10, 100],
  ["dontneed", 30, 1_000],
];
const OBEY = "map-on-enable";
const CACHED = "until-changed";
const POLICIES = [OBEY, "pin-on-enable", CACHED] as const;
const BUFFER_BYTES = 64 * 1024 ** 2;
/** Small, so that few events miss the buffer. */
const MEMORY_BYTES = 256 * 1024 ** 2;
const SEED = 1;
/** One session, then as long again without profiling, then a short one. */
const SESSION_NS = 200e6;
const LAST_NS = 1e6;

/** Maps the buffer at each enable and pins nothing: every notifier takes its pages away. */
const mapOnEnable: PinPolicy = {
  name: OBEY,
  summary: "Maps the buffer at an enable without pinning it.",
  origin: "Written for this question.",
  tradeOff:
    "The host may do what it likes, and each page that it takes is a blackout when a record gets there.",
  trapsBuffer: true,
  create: () => ({
    onBufferEnabled(buffer, ctx) {
      const walk = ctx.walk(buffer);
      if (walk.kind !== "walked") return walk;
      const mapped = ctx.map(walk.all);
      return mapped.kind === "done" ? DONE : mapped;
    },
  }),
};

const policyOf = (name: string): PinPolicy => (name === OBEY ? mapOnEnable : policyNamed(name));

/** Hands events on, and counts afterwards which of their pages were pinned: a pin outlives all of these events. */
class Census {
  machine: Machine | undefined;
  askedPages = 0;
  deniedPages = 0;

  *watch(events: Iterator<PressureEvent>): Generator<PressureEvent, never> {
    for (;;) {
      const event = events.next().value as PressureEvent;
      yield event;
      const { mm, vm } = this.machine as Machine;
      const base = vm.memslots.all[0]?.hostPage ?? 0;
      for (let page = base + event.first; page < base + event.first + event.pages; page++) {
        this.askedPages += 1;
        if (mm.isPinned(page)) this.deniedPages += 1;
      }
    }
  }
}

type RowOf = (kind: PressureKind, perSecond: number, policy: string) => Row;

const rowOf =
  (rows: readonly { readonly cell: Cell; readonly row: Row }[]): RowOf =>
  (kind, perSecond, policy) => {
    const found = rows.find(
      ({ cell }) => cell.kind === kind && cell.perSecond === perSecond && cell.policy === policy,
    );
    if (found === undefined) throw new Error(`no row for ${kind}, ${perSecond}, ${policy}`);
    return found.row;
  };

const chartOf = (of: RowOf): Chart => ({
  title: "Blackouts in a session, at the higher rate",
  kind: "bar",
  x: { name: "event", scale: "categories" },
  y: { name: "blackouts", scale: "linear" },
  series: [OBEY, CACHED].map(
    (policy): Series => ({
      name: policy === OBEY ? "obeyed" : "kept",
      points: RATES.map(([kind, , rate]) => [kind, of(kind, rate, policy).blackouts]),
    }),
  ),
});

export const q13 = question<Cell, Row>({
  number: 13,
  title: "Host pressure: what do pins keep away, and from whom?",
  asked:
    "The host reclaims, moves, merges and scans guest memory. If KVM keeps pinned buffer pages mapped through such " +
    "events it avoids blackouts; if it obeys them it loses samples. How many, by event, and how much reclaim do pins deny?",
  origin:
    "Follows from v6 30/35 and 31/35 (Alexandru Elisei, 14 November 2025), which hand the MMU notifier's event type to KVM. No figures.",
  leavesOut: [
    "MADV_DONTNEED on memory that the guest uses is somebody's mistake: a balloon takes only what the guest has given.",
    "Events hit pages at random; a real host prefers pages that are idle, such as a buffer that is off.",
    "What the host does instead when a pin denies it memory, in the worst case the OOM killer.",
    "Contention: in the model host and vCPU wait for each other's locks, but not for caches or memory.",
  ],
  decidedBy: "pinPage",
  cells: () =>
    RATES.flatMap(([kind, ...rates]) =>
      rates.flatMap((perSecond) => POLICIES.map((policy) => ({ kind, perSecond, policy }))),
    ),
  run({ kind, perSecond, policy }, costTables) {
    const census = new Census();
    const schedule = scheduleOf({
      tasks: ["task"],
      bursts: [
        { task: 0, runNs: SESSION_NS, gapNs: 0 },
        { task: 0, runNs: LAST_NS, gapNs: SESSION_NS },
      ],
      assumptions: [],
    });
    const run = trial({
      setting: {
        ...settingOf("pressure", schedule, DEFAULT_EVENT, BUFFER_BYTES, SEED),
        memoryBytes: MEMORY_BYTES,
        backing: kind === "thp-split" ? "thp" : "base",
        pressure: (pages) => census.watch(randomPressure({ [kind]: perSecond }, pages, randomStream(SEED))),
      },
      policy: policyOf(policy),
      costs: costTables.of(PROFILE),
      profile: PROFILE,
      attach: (machine) => {
        census.machine = machine;
      },
    });
    return {
      blackouts: run.blackouts.count,
      blackoutNs: run.blackouts.totalNs,
      lost: run.samples.lostInBlackout,
      selected: run.samples.selected,
      hypervisorNs: run.walkNs + run.pinNs + run.unpinNs + run.stage2Ns + run.exitNs + run.irqNs,
      askedPages: census.askedPages,
      deniedPages: census.deniedPages,
    };
  },
  answer(rows) {
    const of = rowOf(rows);
    const [obey, v6, cached] = POLICIES;
    const hard = RATES.map(([kind, , rate]) => ({
      kind,
      rate,
      obeyed: of(kind, rate, obey),
      kept: of(kind, rate, cached),
    }));
    const worst = hard.reduce((a, b) => (b.obeyed.blackouts > a.obeyed.blackouts ? b : a));
    const passes = hard.filter(({ kept }) => kept.blackouts > 0).map(({ kind }) => kind);
    const dearer = hard.filter(({ kept, obeyed }) => kept.hypervisorNs > obeyed.hypervisorNs);
    const [, reclaimRate] = RATES[0] as (typeof RATES)[number];
    const hardReclaim = hard[0] as (typeof hard)[number];
    const denied = (row: Row): string => formatShare(row.deniedPages, row.askedPages);
    return {
      headline:
        `Pins that are kept through the host's events let ${passes.length === 0 ? "no event" : `only ${listed(passes)}`} cause blackouts; ` +
        `obeyed, ${formatCount(worst.rate)} ${worst.kind} events a second cost ${counted(worst.obeyed.blackouts, "blackout")} and ` +
        `${formatShare(worst.obeyed.lost, worst.obeyed.selected)} of the samples. Pinning takes more of the vCPU's time than obeying in ${dearer.length} of ${hard.length} kinds.`,
      sentences: [
        `Reclaim finds ${denied(of("reclaim", hardReclaim.rate, cached))} of the pages it asks for pinned by a cache, ${denied(of("reclaim", hardReclaim.rate, v6))} under v6, which gives them back while profiling is off; the share hardly depends on the rate (${denied(of("reclaim", reclaimRate, cached))} at ${formatCount(reclaimRate)} a second).`,
        dearer.length === hard.length
          ? "Obeying is cheaper for every kind of event, even at its higher rate."
          : `Obeying is the dearer choice for ${listed(hard.filter((one) => !dearer.includes(one)).map(({ kind }) => kind))}: what was taken has to be brought back while the vCPU waits.`,
        "MADV_DONTNEED comes with the type CLEAR, as reclaim and migration do, and takes a pinned page all the same: the type alone does not tell KVM what may be kept.",
        `A page is a blackout once, when a record gets there. In ${formatNs(SESSION_NS)} the SPU writes a part of the buffer only; what the host took from the rest goes unnoticed.`,
      ],
      table: {
        columns: [
          "event",
          "a second",
          "blackouts if obeyed",
          "samples lost",
          "blackouts if kept",
          "vCPU time if obeyed",
          "if kept",
          "denied by v6",
          "denied by a cache",
        ],
        rows: RATES.flatMap(([kind, ...rates]) =>
          rates.map((rate) => {
            const obeyed = of(kind, rate, obey);
            const kept = of(kind, rate, cached);
            return [
              kind,
              formatCount(rate),
              formatCount(obeyed.blackouts),
              formatShare(obeyed.lost, obeyed.selected),
              formatCount(kept.blackouts),
              formatNs(obeyed.hypervisorNs),
              formatNs(kept.hypervisorNs),
              // A split succeeds on pinned pages, too.
              kind === "thp-split" ? "-" : denied(of(kind, rate, v6)),
              kind === "thp-split" ? "-" : denied(kept),
            ];
          }),
        ),
      },
      charts: [chartOf(of)],
    };
  },
});
