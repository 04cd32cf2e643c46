/** Question 15: a task that moves over many vCPUs, each with a buffer of its own. */
import { PAGE_BYTES } from "../../common/address.ts";
import { formatBytes, formatNs } from "../../common/sizes.ts";
import { DEFAULT_EVENT } from "../../guest/spe-event.ts";
import { graceOf } from "../../kvm/spe/policies/grace.ts";
import type { PinPolicy } from "../../kvm/spe/policy.ts";
import type { Machine } from "../../vmm/machine.ts";
import { policyNamed } from "../policies.ts";
import { THRESHOLDS } from "../report/verdicts.ts";
import { counted, formatCount, formatFactor, formatShare } from "../report/words.ts";
import { settingOf } from "../scenarios.ts";
import { toggling } from "../schedules.ts";
import { trial } from "../trial.ts";
import { question, type Series } from "./question.ts";

interface Cell {
  readonly policy: string;
  readonly vcpus: number;
  readonly [key: string]: string | number;
}
interface Row {
  readonly slowdown: number;
  readonly pins: number;
  readonly pinNs: number;
  readonly peakBytes: number;
  /** At the peak: pages that each vCPU's policy holds, added up, and how many different ones they are. */
  readonly heldPages: number;
  readonly distinctPages: number;
  readonly memlockBytes: number;
  readonly rlimitExits: number;
  readonly [key: string]: number;
}

const PROFILE = "thread-normal";
const VCPUS = [1, 2, 4, 8, 16] as const;
const BUFFER_BYTES = 64 * 1024 ** 2;
const SEED = 1;
const SWITCHES = 480;
const RUN_NS = 4_000_000;
const GAP_NS = 1_000_000;
/** Longer than a round over 4 vCPUs without pins (20 ms), shorter than one over 8. */
const GRACE_NS = 30_000_000;
const SHORT_GRACE = `grace of ${GRACE_NS / 1e6} ms`;
const POLICIES = ["pin-on-enable", "until-changed", SHORT_GRACE] as const;

const policyOf = (name: string): PinPolicy => (name === SHORT_GRACE ? graceOf(GRACE_NS) : policyNamed(name));

/** Looks at what the vCPUs hold whenever that is more than ever before. */
function watchPeak({ spe: vmSpe, vcpus }: Machine, onPeak: (held: number, distinct: number) => void): void {
  let peak = 0;
  vmSpe.onPinned = (pages) => {
    if (pages <= peak) return;
    peak = pages;
    const distinct = new Set<number>();
    for (const { spe } of vcpus)
      for (const { list, from, to } of spe.holdings.pins.set.runs)
        for (let i = from; i < to; i++) distinct.add(list.at(i));
    onPeak(pages, distinct.size);
  };
}

export const q15 = question<Cell, Row>({
  number: 15,
  title: "Many vCPUs: one cache of pins each, or one for the VM?",
  asked:
    "perf gives each CPU a buffer of its own, and a task that moves between vCPUs uses them in turn. Is a cache of pins " +
    "in each vCPU enough, would one for the whole VM that counts references be better, and what does that do to memlock?",
  origin:
    "Follows from the thread: perf's -m is per AUX mapping, so N vCPUs can mean N times 256 MiB. Nobody measured it.",
  leavesOut: [
    "Locks between vCPUs that look into one cache, which only a cache for the VM has.",
    "Guests that have several vCPUs use one buffer; Linux never does.",
    "Exits and interrupts that have to do with moving a task, on bare metal too.",
  ],
  decidedBy: "pinPage",
  cells: () => POLICIES.flatMap((policy) => VCPUS.map((vcpus) => ({ policy, vcpus }))),
  run({ policy, vcpus }, costTables) {
    const schedule = toggling({ count: SWITCHES, runNs: RUN_NS, gapNs: GAP_NS, vcpus });
    // Few samples: what pins cost does not depend on them.
    const event = { ...DEFAULT_EVENT, period: 2 ** 18 };
    let heldPages = 0;
    let distinctPages = 0;
    const run = trial({
      setting: settingOf("migrating", schedule, event, BUFFER_BYTES, SEED),
      policy: policyOf(policy),
      costs: costTables.of(PROFILE),
      profile: PROFILE,
      attach: (machine) =>
        watchPeak(machine, (held, distinct) => {
          heldPages = held;
          distinctPages = distinct;
        }),
    });
    return {
      slowdown: run.slowdown,
      pins: run.pins,
      pinNs: run.pinNs,
      peakBytes: run.pinnedPeakBytes,
      heldPages,
      distinctPages,
      memlockBytes: run.memlockPeakBytes,
      rlimitExits: run.exitReasons["KVM_EXIT_RLIMIT"] ?? 0,
    };
  },
  answer(rows) {
    const of = (policy: string, vcpus: number): Row => {
      const found = rows.find(({ cell }) => cell.policy === policy && cell.vcpus === vcpus);
      if (found === undefined) throw new Error(`no row for ${policy}, ${vcpus}`);
      return found.row;
    };
    const most = VCPUS[VCPUS.length - 1] as number;
    const [v6, own, timed] = POLICIES;
    const cache = of(own, most);
    const single = of(own, 1);
    const sharedPages = cache.heldPages - cache.distinctPages;
    const savedNs = (sharedPages / cache.heldPages) * cache.pinNs;
    const verdict = (row: Row): string =>
      `${formatFactor(row.slowdown)} times bare metal${row.slowdown < THRESHOLDS.usableSlowdown ? "" : ", not usable"}`;
    const thrashes = VCPUS.filter((vcpus) => of(timed, vcpus).pins > 2 * of(own, vcpus).pins);
    return {
      headline:
        `Over ${most} vCPUs a cache in each vCPU takes ${verdict(cache)}, v6 ${verdict(of(v6, most))}; one for the VM would ` +
        `${sharedPages === 0 ? "share nothing" : `share ${formatShare(sharedPages, cache.heldPages)} of the pages`}, ` +
        `and memlock grows ${formatFactor(cache.memlockBytes / single.memlockBytes)}-fold.`,
      sentences: [
        `At the peak the vCPUs hold ${formatCount(cache.heldPages)} pages, of which ${formatCount(cache.distinctPages)} are different: ` +
          `only upper stage-1 tables are in common, because each CPU's buffer is its own. Counting references would save ${formatNs(savedNs)} of pinning (counted from the pages).`,
        `memlock stands at ${formatBytes(cache.memlockBytes)}, ${formatBytes(single.memlockBytes)} with one vCPU, and never falls. ` +
          `${counted(cache.rlimitExits, "KVM_EXIT_RLIMIT")}: the limit must hold every vCPU's maximum buffer before the VM runs.`,
        "A cache for the VM that may hold only one buffer would have to be emptied at each move, which is what v6 does.",
        thrashes.length === 0
          ? `Giving pins back after ${formatNs(GRACE_NS)} costs no more pins.`
          : `Pins that are given back after ${formatNs(GRACE_NS)} are taken again on every move once a round over the vCPUs, pinning included, is longer than that: from ${thrashes[0]} vCPUs on.`,
      ],
      table: {
        columns: ["policy", "vCPUs", "slowdown", "pins", "pinning", "held", "in common", "memlock"],
        rows: rows.map(({ cell, row }) => [
          cell.policy,
          String(cell.vcpus),
          formatFactor(row.slowdown),
          formatCount(row.pins),
          formatNs(row.pinNs),
          formatBytes(row.heldPages * PAGE_BYTES),
          counted(row.heldPages - row.distinctPages, "page"),
          formatBytes(row.memlockBytes),
        ]),
      },
      charts: [
        {
          title: "Slowdown of a task that moves over N vCPUs",
          kind: "line",
          x: { name: "vCPUs", scale: "log" },
          y: { name: "times bare metal", scale: "log" },
          series: POLICIES.map(
            (policy): Series => ({
              name: policy,
              points: VCPUS.map((vcpus) => [vcpus, of(policy, vcpus).slowdown]),
            }),
          ),
        },
        {
          title: "What counts against memlock",
          kind: "line",
          x: { name: "vCPUs", scale: "log" },
          y: { name: "memlock (MiB)", scale: "log" },
          series: POLICIES.map(
            (policy): Series => ({
              name: policy,
              points: VCPUS.map((vcpus) => [vcpus, of(policy, vcpus).memlockBytes / 1024 ** 2]),
            }),
          ),
        },
      ],
    };
  },
});
