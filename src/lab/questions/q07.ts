/** Question 7: profiling of EL0 alone begins at an ERET that nobody traps, after stage 1 may have changed. */
import { formatNs } from "../../common/sizes.ts";
import type { GuestAction } from "../../guest/scripted-core.ts";
import { policyNamed } from "../policies.ts";
import { formatCount, formatShare, listed } from "../report/words.ts";
import { DISABLE, enable, remap, runScripted, sample, TABLE_POOL_PAGES } from "../scripted.ts";
import { question } from "./question.ts";

interface Cell {
  readonly policy: string;
  readonly period: number;
  /** When the guest maps other pages: before it enables the buffer, or between that and its ERET to EL0. */
  readonly edits: "before E=1" | "after E=1";
  readonly [key: string]: string | number;
}
interface Row {
  /** For each session. */
  readonly faults: number;
  readonly lost: number;
  readonly selected: number;
  readonly sessionNs: number;
  /** The cost of an exit, for what is counted. */
  readonly exitNs: number;
  readonly [key: string]: number;
}

const POLICIES = [
  "pin-on-enable",
  "until-changed",
  "grace",
  "unpin-on-next",
  "window",
  "adaptive",
  "first-fault",
  "fault",
  "bounce",
  "whole-guest",
  "prefault",
] as const;
const PERIODS = [256, 4_096] as const;
const PROFILE = "thread-normal";
const PAGES = 64;
const SESSIONS = 6;
/** Fills most of the buffer at a period of 256. */
const RUN_NS = 350_000;
/** Returns to EL0 of a busy program, a second: assumed; system calls, interrupts and faults. */
const ERETS_PER_S = 20_000;

function sessions({ period, edits }: Cell): GuestAction[] {
  const first = TABLE_POOL_PAGES;
  const actions: GuestAction[] = [];
  for (let i = 1; i <= SESSIONS; i++) {
    const edit = remap(first, first + i * PAGES, PAGES);
    actions.push(
      { kind: "el", el: 1 },
      ...(edits === "before E=1" ? edit : []),
      ...enable(first, PAGES),
      ...sample(period, false),
      ...(edits === "after E=1" ? edit : []),
      { kind: "el", el: 0 },
      { kind: "run", ns: (RUN_NS * period) / PERIODS[0] },
      { kind: "el", el: 1 },
      ...DISABLE,
    );
  }
  return actions;
}

const share = (row: Row): number => row.lost / Math.max(1, row.selected);

export const q07 = question<Cell, Row>({
  number: 7,
  title: "EL0-only profiling: which policies lose data when stage 1 changes after E=1?",
  asked:
    "A guest that profiles only EL0 may enable its buffer first and map it afterwards: sampling begins at the ERET, which KVM " +
    "does not see. Who loses samples, how many, and would trapping ERET be worth it?",
  origin:
    "The hole in option 3 of the discussion of July 2022 (pin when profiling becomes enabled); trapping ERET with FEAT_FGT " +
    "was judged horrible. Linux's driver does not do this.",
  leavesOut: [
    "Stage 2 does not map the new pages yet; a guest that has just written to them mapped them, and then nothing is lost until the host drops them.",
    `The cost of trapping ERET is counted: one exit for each of ${formatCount(ERETS_PER_S)} returns to EL0 a second (assumed), without a walk.`,
    "PMBSR_EL1.DL only drops the record that faulted. An SPU that loses what it had buffered loses more at each fault.",
  ],
  decidedBy: "exit",
  cells: () =>
    POLICIES.flatMap((policy) =>
      PERIODS.flatMap((period) =>
        (["before E=1", "after E=1"] as const).map((edits) => ({ policy, period, edits })),
      ),
    ),
  run(cell, costTables) {
    const costs = costTables.of(PROFILE);
    const machine = runScripted({
      policy: policyNamed(cell.policy),
      costs,
      actions: sessions(cell),
      ramPages: TABLE_POOL_PAGES + (SESSIONS + 1) * PAGES,
      mappedPages: TABLE_POOL_PAGES + PAGES,
    });
    let lost = machine.spe.statistics.recordsLostInCopy;
    let selected = 0;
    let elapsedNs = 0;
    for (const { truth, core, timeline } of machine.vcpus) {
      lost += truth.lostInBlackout + core.spu.counters.truncated;
      selected += core.spu.counters.selected + truth.lostInBlackout;
      elapsedNs += timeline.nowNs;
    }
    const faults = machine.spe.statistics.recordStage2Faults / SESSIONS;
    machine.destroy();
    return {
      faults,
      lost: lost / SESSIONS,
      selected: selected / SESSIONS,
      sessionNs: elapsedNs / SESSIONS,
      exitNs: costs.exit,
    };
  },
  answer(rows) {
    const of = (policy: string, period: number, edits: Cell["edits"]): Row => {
      const found = rows.find(
        ({ cell }) => cell.policy === policy && cell.period === period && cell.edits === edits,
      );
      if (found === undefined) throw new Error(`no row for ${policy}, ${period}, ${edits}`);
      return found.row;
    };
    const [fast, slow] = PERIODS;
    const after = (policy: string, period: number = fast): Row => of(policy, period, "after E=1");
    const complete = POLICIES.filter((policy) => PERIODS.every((period) => after(policy, period).lost === 0));
    const hole = POLICIES.filter(
      (policy) => after(policy).lost > 0 && of(policy, fast, "before E=1").lost === 0,
    );
    const anyway = POLICIES.filter((policy) => !complete.includes(policy) && !hole.includes(policy));
    const worst = hole.reduce<string | undefined>(
      (a, b) => (a === undefined || share(after(b)) > share(after(a)) ? b : a),
      undefined,
    );
    const trapShare = (after(POLICIES[0]).exitNs * ERETS_PER_S) / 1e9;
    const lostSlow = worst === undefined ? 0 : share(after(worst, slow));
    const worth =
      worst === undefined
        ? "there is nothing that trapping ERET would mend"
        : `trapping ERET would take ${formatShare(trapShare, 1)} of the time, ${trapShare > lostSlow ? "more" : "less"} than the ${formatShare(lostSlow, 1)} of samples it saves at a usual period of ${formatCount(slow)}`;
    return {
      headline: `${hole.length} of ${POLICIES.length} policies lose samples only because stage 1 changes after E=1, ${listed(complete)} lose none; ${worth}.`,
      sentences: [
        `The hole: ${listed(hole)}. Each page that was mapped after E=1 is a stage-2 fault${worst === undefined ? "" : `, ${formatCount(Math.round(after(worst).faults))} in a session of ${worst} with a sample every ${formatCount(fast)} ops, which loses ${formatShare(share(after(worst)), 1)} of its samples`}.`,
        anyway.length === 0
          ? "No policy loses as much when the guest edits its tables in time."
          : `${listed(anyway)} lose${anyway.length === 1 ? "s" : ""} samples in either order, for other reasons: they keep a pin unchecked, wait for faults, or fill a buffer of their own between two exits.`,
        `One exit for each ERET (${formatNs(after(POLICIES[0]).exitNs)}) would be paid by every guest that profiles EL0, whether it edits or not; Linux does not.`,
        "A fault is recovered as any other: the record that faulted and those of the blackout are gone, the page is mapped, profiling goes on.",
      ],
      table: {
        columns: [
          "policy",
          ...PERIODS.flatMap((period) => [
            `edits before, period ${formatCount(period)}`,
            `edits after, period ${formatCount(period)}`,
          ]),
          "faults a session",
        ],
        rows: POLICIES.map((policy) => [
          policy,
          ...PERIODS.flatMap((period) => [
            formatShare(share(of(policy, period, "before E=1")), 1),
            formatShare(share(after(policy, period)), 1),
          ]),
          String(Number(after(policy).faults.toPrecision(3))),
        ]),
      },
      charts: [
        {
          title: "Samples lost when stage 1 changes after E=1",
          kind: "bar",
          x: { name: "policy", scale: "categories" },
          y: { name: "lost (%)", scale: "linear" },
          series: PERIODS.map((period) => ({
            name: `every ${formatCount(period)} ops`,
            points: POLICIES.map((policy) => [policy, 100 * share(after(policy, period))]),
          })),
        },
      ],
    };
  },
});
