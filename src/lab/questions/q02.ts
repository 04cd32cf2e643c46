/** Question 2: what a pin consists of, and what a heuristic has to avoid. Each part is made free in turn. */
import { formatNs } from "../../common/sizes.ts";
import type { CostName, CostTable } from "../../host/costs.ts";
import { policyNamed } from "../policies.ts";
import { formatFactor, formatShare, listed } from "../report/words.ts";
import { THREAD_SCENARIOS } from "../scenarios.ts";
import { trial } from "../trial.ts";
import { question } from "./question.ts";

interface Cell {
  readonly profile: string;
  /** One of PARTS, made free; or nothing. */
  readonly free: string;
  readonly [key: string]: string;
}
interface Row {
  readonly slowdown: number;
  readonly hypervisorNs: number;
  readonly enables: number;
  readonly pages: number;
  readonly [key: string]: number;
}

const PROFILES = ["thread-normal", "thread-debug"] as const;
const NOTHING = "nothing";
/** What an enable and its disable do, by the costs that they are charged as. */
const PARTS: Readonly<Record<string, readonly CostName[]>> = {
  "stage-1 walk": ["walkDescriptor", "walkTable"],
  "page pins": ["pinPage", "pinCall"],
  "stage-2 maps": ["stage2Leaf", "stage2Check"],
  unpins: ["unpinPage"],
  traps: ["exit"],
};
const BUFFER_BYTES = 256 * 1024 ** 2;
const SEED = 1;

function without(costs: CostTable, part: string): CostTable {
  const table = { ...costs };
  for (const name of PARTS[part] ?? []) table[name] = 0;
  return table;
}

export const q02 = question<Cell, Row>({
  number: 2,
  title: "What is a pin made of, and which part must be avoided?",
  asked:
    "A pin and unpin of 256 MiB is a walk of the guest's tables, GUP for each page, stage-2 mappings, accounting and the " +
    "way back. Which of these has a heuristic to avoid to win most, and is avoiding one enough?",
  origin:
    "James Clark, 9 January 2026, reply to v6 29/35, gives one figure for all of it (about 0.2 s on a debug kernel); nobody has split it.",
  leavesOut: [
    "Tracking and accounting are not apart: they are in the cost of a page's pin, as GUP and memlock do both at once.",
    "The thread gives one figure for pin and unpin together; that the pin is three quarters of it is assumed.",
    "That a debug kernel makes every part five times dearer is assumed; lockdep and kmemleak need not hit all alike.",
  ],
  decidedBy: "pinPage",
  cells: () =>
    PROFILES.flatMap((profile) => [NOTHING, ...Object.keys(PARTS)].map((free) => ({ profile, free }))),
  run({ profile, free }, costTables) {
    const setting = THREAD_SCENARIOS[0]?.setting(BUFFER_BYTES, SEED);
    if (setting === undefined) throw new Error("the thread has no scenario");
    const costs = without(costTables.of(profile), free);
    const run = trial({ setting, policy: policyNamed("pin-on-enable"), costs, profile });
    return {
      slowdown: run.slowdown,
      hypervisorNs:
        run.walkNs + run.pinNs + run.unpinNs + run.stage2Ns + run.exitNs + run.irqNs + run.lockWaitNs,
      enables: run.bufferEnables,
      pages: run.pagesPinned,
    };
  },
  answer(rows) {
    const of = (profile: string, free: string): Row => {
      const found = rows.find(({ cell }) => cell.profile === profile && cell.free === free);
      if (found === undefined) throw new Error(`no row for ${profile} without ${free}`);
      return found.row;
    };
    const savedNs = (profile: string, free: string): number =>
      of(profile, NOTHING).hypervisorNs - of(profile, free).hypervisorNs;
    const ranked = Object.keys(PARTS).sort(
      (a, b) => savedNs("thread-normal", b) - savedNs("thread-normal", a),
    );
    const [first = "", second = ""] = ranked;
    const all = of("thread-normal", NOTHING);
    const shareOf = (profile: string, part: string): string =>
      formatShare(savedNs(profile, part), of(profile, NOTHING).hypervisorNs);
    const leftAfter = of("thread-normal", first).slowdown;
    const usable = leftAfter < 1.2 ? "which is enough" : "which is not enough";
    const last = ranked.slice(2).map((part) => `${part} ${shareOf("thread-normal", part)}`);
    return {
      headline:
        `The ${first} are ${shareOf("thread-normal", first)} of what v6 adds to a switch, the ${second} ${shareOf("thread-normal", second)}: ` +
        `without the ${first} alone the thread's first command still takes ${formatFactor(leftAfter)} times bare metal, ${usable}.`,
      sentences: [
        `The rest: ${listed(last)}.`,
        `A page costs ${formatNs(all.hypervisorNs / all.pages)} in all on thread-normal, ${formatNs(of("thread-debug", NOTHING).hypervisorNs / of("thread-debug", NOTHING).pages)} on thread-debug.`,
        `Pins and unpins come together, so a heuristic that saves one saves the other: that leaves ${formatNs((all.hypervisorNs - savedNs("thread-normal", "page pins") - savedNs("thread-normal", "unpins")) / all.enables)} a switch, most of it checking that stage 2 still maps the pages, which need not be done for pages that stayed pinned either.`,
        `A heuristic that walks all of the buffer again keeps the walk's ${formatNs(savedNs("thread-normal", "stage-1 walk") / all.enables)} a switch.`,
      ],
      table: {
        columns: ["host", "made free", "slowdown", "a switch costs", "saved", "share"],
        rows: rows.map(({ cell, row }) => [
          cell.profile,
          cell.free,
          formatFactor(row.slowdown),
          formatNs(row.hypervisorNs / row.enables),
          cell.free === NOTHING ? "-" : formatNs(savedNs(cell.profile, cell.free) / row.enables),
          cell.free === NOTHING ? "-" : shareOf(cell.profile, cell.free),
        ]),
      },
      charts: [
        {
          title: "What each part takes of a switch under v6, 256 MiB",
          kind: "bar",
          x: { name: "part", scale: "categories" },
          y: { name: "ms a switch", scale: "log" },
          series: PROFILES.map((profile) => ({
            name: profile,
            points: ranked.map(
              (part) => [part, savedNs(profile, part) / of(profile, NOTHING).enables / 1e6] as const,
            ),
          })),
        },
      ],
    };
  },
});
