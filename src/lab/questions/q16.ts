/** Question 16: the most that a hostile guest can make the host pin and do. */
import { PAGE_BYTES } from "../../common/address.ts";
import { formatBytes, formatNs } from "../../common/sizes.ts";
import type { GuestAction } from "../../guest/scripted-core.ts";
import { policyNamed } from "../policies.ts";
import { formatShare, listed } from "../report/words.ts";
import { DISABLE, enable, remap, runScripted, sample, TABLE_POOL_PAGES } from "../scripted.ts";
import { question } from "./question.ts";

type Attack = "cycle" | "shrink" | "alias" | "edit";

interface Cell {
  readonly policy: string;
  readonly attack: Attack;
  readonly [key: string]: string;
}
interface Row {
  readonly peakPages: number;
  /** What the guest's own vCPU waited for, what others did for it, and how long it lasted. */
  readonly vcpuNs: number;
  readonly backgroundNs: number;
  readonly elapsedNs: number;
  /** How far the host worker was behind at the end. */
  readonly lateNs: number;
  readonly [key: string]: number;
}

const POLICIES = [
  "adaptive",
  "bounce",
  "fault",
  "first-fault",
  "grace",
  "pin-on-enable",
  "unpin-on-next",
  "until-changed",
  "window",
  "whole-guest",
  "prefault",
] as const;
const ATTACKS: readonly Attack[] = ["cycle", "shrink", "alias", "edit"];
const PROFILE = "thread-normal";
/** KVM_ARM_VCPU_SPE_MAX_BUFFER_SIZE: 4 MiB, the default that was defended on the list. */
const MAX_PAGES = 1_024;
/** The guest's memory that buffers may lie in: sixteen of them. */
const BUFFERS = 16;
const ENABLES = 240;
/** What the guest does between two register writes: hardly anything. */
const RUN_NS = 2_000;
const EDIT_PAGES = 16;
const FIRST = TABLE_POOL_PAGES;
const MAPPED_PAGES = FIRST + BUFFERS * MAX_PAGES;
const RAM_PAGES = MAPPED_PAGES + MAX_PAGES;
/** Every level's tables of a buffer that straddles one more than it must. */
const MAX_TABLES = Math.ceil(MAX_PAGES / 512) + 1 + 3;

const ATTACK: Readonly<
  Record<Attack, { readonly name: string; readonly enable: (i: number) => GuestAction[] }>
> = {
  cycle: {
    name: "another buffer at each enable",
    enable: (i) => enable(FIRST + (i % BUFFERS) * MAX_PAGES, MAX_PAGES),
  },
  shrink: {
    name: "a big buffer, then a page of it",
    enable: (i) => enable(FIRST + (Math.floor(i / 2) % BUFFERS) * MAX_PAGES, i % 2 === 0 ? MAX_PAGES : 1),
  },
  alias: {
    name: "the same pages at two addresses",
    enable: (i) => enable(FIRST + (i % 2) * MAX_PAGES, MAX_PAGES),
  },
  edit: {
    name: "a few other pages behind it at each enable",
    enable: (i) => [
      ...remap(FIRST, FIRST + ((i % (BUFFERS - 1)) + 1) * MAX_PAGES, EDIT_PAGES),
      ...enable(FIRST, MAX_PAGES),
    ],
  },
};

function script(attack: Attack): GuestAction[] {
  const actions: GuestAction[] = sample(256, true);
  // From now on the second buffer's addresses lead to the first one's pages.
  if (attack === "alias") actions.push(...remap(FIRST + MAX_PAGES, FIRST, MAX_PAGES));
  for (let i = 0; i < ENABLES; i++)
    actions.push(...ATTACK[attack].enable(i), { kind: "run", ns: RUN_NS }, ...DISABLE);
  return actions;
}

/** HZ=250. */
const TICK_NS = 4_000_000;
const MAX_BYTES = MAX_PAGES * PAGE_BYTES;

export const q16 = question<Cell, Row>({
  number: 16,
  title: "A hostile guest: how much can it make the host pin and do?",
  asked:
    "A guest may cycle its buffer over all of its memory, alias its pages and edit its tables, as fast as it can. How much " +
    "memory does each policy pin for it, and whose time does it take?",
  origin:
    "The objection to Will Deacon's proposal of 19 April 2022 to defer the pin to the enable: a guest may walk its pins over " +
    "all of memory. v6 answers with a maximum buffer size and KVM_EXIT_RLIMIT.",
  leavesOut: [
    "Locks: a vCPU that pins holds the host's mmap lock, shared, and so slows down the VMM's other threads.",
    "One vCPU. With more, both bounds hold for each, and each has a worker of its own.",
    "The worst of four scripts is no proof. That no guest pins more than its maximum is held by property tests over random guests.",
  ],
  decidedBy: "pinPage",
  cells: () => POLICIES.flatMap((policy) => ATTACKS.map((attack) => ({ policy, attack }))),
  run({ policy, attack }, costTables) {
    const machine = runScripted({
      policy: policyNamed(policy),
      costs: costTables.of(PROFILE),
      actions: script(attack),
      ramPages: RAM_PAGES,
      mappedPages: MAPPED_PAGES,
      options: { maxBufferBytes: MAX_BYTES },
    });
    const { spe, host } = machine;
    let vcpuNs = 0;
    let elapsedNs = 0;
    for (const { timeline } of machine.vcpus) {
      elapsedNs += timeline.nowNs;
      vcpuNs += timeline.hypervisorNs();
    }
    const row = {
      peakPages: spe.pinnedPeakBytes / PAGE_BYTES,
      vcpuNs,
      backgroundNs:
        spe.workers.timelines.reduce((sum, worker) => sum + worker.hypervisorNs(), 0) + host.hypervisorNs(),
      elapsedNs,
      lateNs: Math.max(0, spe.workers.doneAtNs - elapsedNs),
    };
    machine.destroy();
    return row;
  },
  answer(rows) {
    const of = (policy: string) => rows.filter(({ cell }) => cell.policy === policy);
    const peak = (policy: string): number => Math.max(...of(policy).map(({ row }) => row.peakPages));
    const worstBy = (policy: string, measure: (row: Row) => number) =>
      of(policy).reduce((a, b) => (measure(b.row) > measure(a.row) ? b : a));
    const enableNs = (row: Row): number => row.vcpuNs / ENABLES;
    const workerShare = (row: Row): number => row.backgroundNs / row.elapsedNs;
    const beyond = POLICIES.filter((policy) => peak(policy) > MAX_PAGES + MAX_TABLES);
    const within = POLICIES.filter((policy) => !beyond.includes(policy));
    const slowest = within
      .map((policy) => worstBy(policy, enableNs))
      .reduce((a, b) => (enableNs(b.row) > enableNs(a.row) ? b : a));
    const offloading = POLICIES.filter((policy) => of(policy).some(({ row }) => row.backgroundNs > 0));
    const busiest = POLICIES.map((policy) => worstBy(policy, workerShare)).reduce((a, b) =>
      workerShare(b.row) > workerShare(a.row) ? b : a,
    );
    const longest = enableNs(slowest.row);
    return {
      headline:
        `${within.length} of ${POLICIES.length} policies never pin more than the maximum buffer and its tables in ${ATTACKS.length} attacks, ` +
        `${listed(beyond)} hold all of it anyway; an enable costs a hostile guest up to ${formatNs(longest)} of its own vCPU ` +
        `(${slowest.cell.policy}), ${longest < TICK_NS ? "less" : "more"} than a timer tick.`,
      sentences: [
        `The most pinned among the ${within.length} is ${formatBytes(Math.max(...within.map(peak)) * PAGE_BYTES)}, with a maximum of ${formatBytes(MAX_BYTES)} and at most ${MAX_TABLES} table pages.`,
        `The worst for ${slowest.cell.policy} is ${ATTACK[slowest.cell.attack].name}: ${formatShare(slowest.row.vcpuNs, slowest.row.elapsedNs)} of the vCPU's time is the hypervisor's. The vCPU that attacks pays; the host charges it to the VM.`,
        offloading.length === 0
          ? "No policy lets the guest's enables cost anybody else's time."
          : `Only ${listed(offloading)} work${offloading.length === 1 ? "s" : ""} on the host's worker as well: ${formatShare(workerShare(busiest.row), 1)} of a CPU at most, with ${ATTACK[busiest.cell.attack].name}. It was ${formatNs(busiest.row.lateNs)} behind at the end.`,
      ],
      table: {
        columns: [
          "policy",
          "most pinned",
          "worst for the vCPU",
          "an enable",
          "of its time",
          "worker, of a CPU",
        ],
        rows: POLICIES.map((policy) => {
          const { cell, row } = worstBy(policy, enableNs);
          return [
            policy,
            formatBytes(peak(policy) * PAGE_BYTES),
            ATTACK[cell.attack].name,
            formatNs(enableNs(row)),
            formatShare(row.vcpuNs, row.elapsedNs),
            formatShare(workerShare(worstBy(policy, workerShare).row), 1),
          ];
        }),
      },
      charts: [
        {
          title: "What an enable costs the vCPU under each attack",
          kind: "bar",
          x: { name: "policy", scale: "categories" },
          y: { name: "µs", scale: "linear" },
          series: ATTACKS.map((attack) => ({
            name: ATTACK[attack].name,
            points: rows
              .filter(({ cell }) => cell.attack === attack)
              .map(({ cell, row }) => [cell.policy, enableNs(row) / 1e3] as const),
          })),
        },
      ],
    };
  },
});
