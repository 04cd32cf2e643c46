/** Question 4: by which rule a policy that keeps its pins should know a buffer again. */
import { formatBytes } from "../../common/sizes.ts";
import { DEFAULT_EVENT } from "../../guest/spe-event.ts";
import type { Setting } from "../experiment.ts";
import { THRESHOLDS } from "../report/verdicts.ts";
import { formatCount, formatFactor, formatShare, listed } from "../report/words.ts";
import { settingOf, THREAD_SCENARIOS } from "../scenarios.ts";
import { toggling } from "../schedules.ts";
import { trial } from "../trial.ts";
import { matchRule, RULES, type RuleName } from "./q04-rules.ts";
import { question, type Series } from "./question.ts";

interface Cell {
  readonly workload: string;
  readonly rule: RuleName;
  readonly [key: string]: string;
}
interface Row {
  readonly enables: number;
  readonly hits: number;
  readonly pagesPinned: number;
  readonly peakBytes: number;
  readonly slowdown: number;
  readonly [key: string]: number;
}

const PROFILE = "thread-normal";
const MIB = 1024 ** 2;
const SEED = 1;
/** A task that writes some 160 MB/s while it runs: a small buffer is drained many times. */
const BUSY = { count: 200, runNs: 4_000_000, gapNs: 1_000_000 } as const;
const BUSY_PERIOD = 1_024;

function thread(name: string): Setting {
  const scenario = THREAD_SCENARIOS.find((found) => found.name === name);
  if (scenario === undefined) throw new Error(`no scenario ${name}`);
  return scenario.setting(256 * MIB, SEED);
}

function busy(bufferBytes: number, snapshot = false): Setting {
  const event = { ...DEFAULT_EVENT, period: BUSY_PERIOD };
  return { ...settingOf("busy", toggling(BUSY), event, bufferBytes, SEED), snapshot };
}

const WORKLOADS: Readonly<Record<string, { readonly records: boolean; setting(): Setting }>> = {
  "A as posted, 256 MiB": { records: false, setting: () => thread("thread-a") },
  "A with samples, 256 MiB": { records: true, setting: () => thread("thread-a-sampling") },
  "busy, 64 MiB": { records: true, setting: () => busy(64 * MIB) },
  "busy, 16 MiB": { records: true, setting: () => busy(16 * MIB) },
  "busy, 4 MiB": { records: true, setting: () => busy(4 * MIB) },
  "busy, 1 MiB": { records: true, setting: () => busy(MIB) },
  "busy, 4 MiB, snapshot": { records: true, setting: () => busy(4 * MIB, true) },
};
/** Hit rates that differ by less are taken for equal; the fewer pages pinned decide. */
const AS_GOOD = 0.02;
const NAMES = Object.keys(WORKLOADS);

export const q04 = question<Cell, Row>({
  number: 4,
  title: "By which rule should KVM know a buffer again?",
  asked:
    "A policy that keeps its pins must decide at each enable whether they still cover the buffer: PMBPTR and LIMIT exactly " +
    "as before (exact), inside of what is held (containment), inside of all that was held (union), or inside of an area " +
    "guessed from half the buffer (area). How often does each rule hit once records move PMBPTR and perf's reader moves LIMIT?",
  origin:
    "exact: Alexandru Elisei, 27 July and 2 August 2022. James Clark asked on 9 January 2026 for pins that change only when " +
    "something actually changes; his filtered runs write no record, so that nothing moves.",
  leavesOut: [
    "A match on registers trusts that stage 1 has not changed since; walking again costs what until-changed pays.",
    "Two events that share a vCPU with buffers of their own: union would drop one for the other.",
    "perf's reader is a model: it empties the buffer 1 ms and 1 ns a byte after its wake-up.",
    "A guest with another watermark (aux_watermark) makes the area's guess wrong; here it is half the buffer.",
  ],
  decidedBy: "pinPage",
  cells: () => NAMES.flatMap((workload) => RULES.map((rule): Cell => ({ workload, rule }))),
  run({ workload, rule }, costTables) {
    const of = WORKLOADS[workload];
    if (of === undefined) throw new Error(`no workload ${workload}`);
    let enables = 0;
    let hits = 0;
    const policy = matchRule(rule, (hit) => {
      enables += 1;
      if (hit) hits += 1;
    });
    const run = trial({ setting: of.setting(), policy, costs: costTables.of(PROFILE), profile: PROFILE });
    return {
      enables,
      hits,
      pagesPinned: run.pagesPinned,
      peakBytes: run.pinnedPeakBytes,
      slowdown: run.slowdown,
    };
  },
  answer(rows) {
    const of = (workload: string, rule: RuleName): Row => {
      const found = rows.find(({ cell }) => cell.workload === workload && cell.rule === rule);
      if (found === undefined) throw new Error(`no row for ${workload}, ${rule}`);
      return found.row;
    };
    const share = ({ hits, enables }: Row): number => hits / enables;
    const moving = NAMES.filter((name) => WORKLOADS[name]?.records === true);
    const least = (rule: RuleName): number => Math.min(...moving.map((name) => share(of(name, rule))));
    const pages = (rule: RuleName): number =>
      moving.reduce((sum, name) => sum + of(name, rule).pagesPinned, 0);
    const most = Math.max(...RULES.map(least));
    const best = RULES.filter((rule) => least(rule) > most - AS_GOOD).reduce((a, b) =>
      pages(b) < pages(a) ? b : a,
    );
    const others = RULES.filter((rule) => rule !== best);
    const still = NAMES.filter((name) => !moving.includes(name))
      .map((name) => share(of(name, "exact")))
      .reduce((a, b) => Math.min(a, b), 1);
    // What the misses of the worst rule cost, where they cost most.
    const [dearest, dearRule] = moving
      .flatMap((name) => others.map((rule) => [name, rule] as const))
      .reduce((a, b) => (of(b[0], b[1]).slowdown > of(a[0], a[1]).slowdown ? b : a));
    const worstCase = of(dearest, dearRule).slowdown;
    const felt = worstCase >= THRESHOLDS.unnoticeableSlowdown;
    const withoutA = moving.filter((name) => name.startsWith("busy"));
    const busyWorst = (rule: RuleName): number =>
      Math.max(...withoutA.map((name) => of(name, rule).slowdown));
    const percent = (rule: RuleName): string => formatShare(least(rule), 1);
    const largest = Math.max(
      ...moving.map((name) => of(name, best).peakBytes / of(name, "containment").peakBytes),
    );
    return {
      headline:
        `Once records are written, ${best} hits in ${percent(best)} of the enables at least, ` +
        `${listed(others.map((rule) => `${rule} in ${percent(rule)}`))}; ` +
        `the misses ${felt ? `take up to ${formatFactor(worstCase)} times bare metal (${dearRule}; ${dearest}), where ${best} takes ${formatFactor(of(dearest, best).slowdown)}` : "cost so little that nobody notices"}.`,
      sentences: [
        `Where nothing is recorded, as in the thread, exact hits in ${formatShare(still, 1)}: the thread's own case is no test of a rule. Each record moves PMBPTR, so with records it hits in ${percent("exact")} at worst.`,
        `Containment misses when PMBPTR passes LIMIT: perf wakes its reader at half the buffer, KVM pins the other half and lets the first go, and at the next half the other way round. Over all cases with records the rules pin ${listed(RULES.map((rule) => `${formatCount(pages(rule))} pages (${rule})`))}.`,
        `${best} holds up to ${formatFactor(largest)} times as much as containment. area pins the second half before it is known to be needed, which at the first enable of A costs as much again: ${formatFactor(of("A with samples, 256 MiB", "area").slowdown)} times instead of ${formatFactor(of("A with samples, 256 MiB", "union").slowdown)} with union.`,
        `For a task that writes 160 MB/s and switches every 5 ms the rules come to at most ${listed(RULES.map((rule) => `${formatFactor(busyWorst(rule))} times (${rule})`))}.`,
      ],
      table: {
        columns: [
          "workload",
          "enables",
          ...RULES.map((rule) => `${rule}: hits, pages pinned, slowdown`),
          "held at most",
        ],
        rows: NAMES.map((name) => [
          name,
          formatCount(of(name, best).enables),
          ...RULES.map((rule) => {
            const row = of(name, rule);
            return `${formatShare(row.hits, row.enables)}, ${formatCount(row.pagesPinned)}, ${formatFactor(row.slowdown)}`;
          }),
          RULES.map((rule) => formatBytes(of(name, rule).peakBytes)).join(", "),
        ]),
      },
      charts: [
        {
          title: "Enables that need no work",
          kind: "bar",
          x: { name: "workload", scale: "categories" },
          y: { name: "hits (%)", scale: "linear" },
          series: RULES.map(
            (rule): Series => ({
              name: rule,
              points: NAMES.map((name) => [name, 100 * share(of(name, rule))]),
            }),
          ),
        },
      ],
    };
  },
});
