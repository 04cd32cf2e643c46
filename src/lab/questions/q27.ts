/** Question 27: the host moves guest pages, or the VM, while a window is held. */
import { PAGE_BYTES } from "../../common/address.ts";
import { randomStream } from "../../common/random.ts";
import { formatBytes, formatNs } from "../../common/sizes.ts";
import { randomPressure } from "../../host/pressure.ts";
import { policyNamed } from "../policies.ts";
import { formatCount, formatShare } from "../report/words.ts";
import { formatNear, type HostRow, MIB, runOnHost, settingOfSession } from "./hosts.ts";
import { preCopy } from "./q18-precopy.ts";
import { question } from "./question.ts";

interface Cell {
  readonly policy: string;
  /** Migrations of 16 pages in a second. */
  readonly perSecond: number;
  readonly [key: string]: string | number;
}

const PROFILE = "thread-normal";
const OURS = "adaptive";
const WHOLE = "until-changed";
const POLICIES = [OURS, "bounce-ahead", WHOLE, "fault"] as const;
const RATES = [0, 1_000, 10_000] as const;
const SEED = 1;
const RECORD_BYTES = 64;
const SESSION = {
  scenario: "system-300ms",
  bufferBytes: 64 * MIB,
  periodOps: 4_096,
  vcpus: 2,
  spareCpu: true,
};

/** Live migration as in question 18: assumed, but QEMU's default stop of 300 ms. */
const MIGRATION = {
  memoryBytes: 4 * 1024 ** 3,
  bytesPerSecond: 1.25e9,
  dirtyBytesPerSecond: 30e6,
  downtimeNs: 300e6,
  mostRounds: 30,
} as const;

export const q27 = question<Cell, HostRow>({
  number: 27,
  title: "Migration under a window: of its pages, and of the VM",
  asked:
    "The host moves guest pages (compaction, NUMA balancing) while a window is mapped and partly pinned, or the whole VM to another host. " +
    "What does the profile lose, what do the pins keep from moving, and what has to be sent again?",
  origin:
    "Oliver Upton (August 2022) names live migration and post-copy as causes of blackouts; FOLL_LONGTERM itself migrates pages out of movable zones.",
  leavesOut: [
    "FOLL_LONGTERM's own migration out of movable zones and CMA, which may take long or fail: that is the worker's time.",
    "Rounds of a live migration are counted, as in question 18; write protection at stage 2 and what the SPU meets there are not simulated.",
  ],
  decidedBy: "workerWake",
  cells: () => RATES.flatMap((perSecond) => POLICIES.map((policy) => ({ policy, perSecond }))),
  run({ policy, perSecond }, costTables) {
    const setting = settingOfSession(SESSION);
    const pressure = (pages: number) => randomPressure({ migrate: perSecond }, pages, randomStream(SEED));
    return runOnHost(
      perSecond === 0 ? setting : { ...setting, pressure },
      policyNamed(policy),
      costTables.of(PROFILE),
    );
  },
  answer(rows) {
    const of = (policy: string, perSecond: number): HostRow => {
      const found = rows.find(({ cell }) => cell.policy === policy && cell.perSecond === perSecond);
      if (found === undefined) throw new Error(`no row for ${policy}, ${perSecond}`);
      return found.row;
    };
    const most = RATES[RATES.length - 1]!;
    const ours = of(OURS, most);
    const share = (row: HostRow): string => formatShare(row.lost, row.selected);
    const resent = (policy: string) => {
      const row = of(policy, 0);
      return preCopy(MIGRATION, {
        alwaysBytes: row.peakBytes,
        writtenBytesPerSecond: (row.written * RECORD_BYTES * 1e9) / row.wallNs,
        mostWrittenBytes: SESSION.bufferBytes * SESSION.vcpus,
      });
    };
    const perPage = (row: HostRow): number => row.peakBytes / PAGE_BYTES;
    return {
      headline:
        `While the host moves ${formatCount(most * 16)} pages a second ${OURS} ${ours.blackouts === 0 ? "has no blackout" : `loses ${share(ours)} of the samples in ${formatCount(ours.blackouts)} blackouts`}, and fault loses ${share(of("fault", most))}; ` +
        `when the VM moves, the window is ${formatBytes(of(OURS, 0).peakBytes)} of always dirty memory, and all that is pinned under ${WHOLE} ${formatBytes(of(WHOLE, 0).peakBytes)}.`,
      sentences: [
        `Pins keep at most ${formatCount(perPage(of(OURS, most)))} pages where they are under ${OURS}, ${formatCount(perPage(of(WHOLE, most)))} under ${WHOLE}; bounce-ahead keeps none of the guest's, and takes ${formatNear(of("bounce-ahead", most).slowdown)} times bare metal where the pages move, ${OURS} ${formatNear(ours.slowdown)}.`,
        `A live migration at 10 Gb/s resends ${formatBytes(resent(OURS).bufferBytes)} of the buffers under ${OURS} and stops the guest for ${formatNs(resent(OURS).stoppedNs)} at its end; ${formatBytes(resent(WHOLE).bufferBytes)} and ${formatNs(resent(WHOLE).stoppedNs)} under ${WHOLE}.`,
        "What the SPU writes is known to KVM by the write pointer, at every tick and disable: it can go into the bitmap without a fault.",
      ],
      table: {
        columns: [
          "pages moved a second",
          "policy",
          "slowdown",
          "lost",
          "blackouts",
          "most pinned",
          "host CPU, of the vCPUs' time",
        ],
        rows: rows.map(({ cell, row }) => [
          formatCount(cell.perSecond * 16),
          cell.policy,
          formatNear(row.slowdown),
          share(row),
          row.blackouts.toLocaleString("en"),
          formatBytes(row.peakBytes),
          formatShare(row.hostCpuNs, row.vcpuNs),
        ]),
      },
      charts: [
        {
          title: "Blackouts while the host moves pages",
          kind: "bar",
          x: { name: "policy", scale: "categories" },
          y: { name: "blackouts", scale: "linear" },
          series: RATES.map((rate) => ({
            name: rate === 0 ? "none moved" : `${formatCount(rate * 16)} pages a second`,
            points: POLICIES.map((policy) => [policy, of(policy, rate).blackouts] as const),
          })),
        },
      ],
    };
  },
});
