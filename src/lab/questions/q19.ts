/** Question 19: copying what was written out of a buffer of KVM's own, against keeping the guest's buffer pinned. */

import { PAGE_BYTES } from "../../common/address.ts";
import { formatBytes, formatNs } from "../../common/sizes.ts";
import { DEFAULT_EVENT } from "../../guest/spe-event.ts";
import { hold } from "../../kvm/spe/hold.ts";
import { bounceOf } from "../../kvm/spe/policies/bounce.ts";
import type { PinPolicy } from "../../kvm/spe/policy.ts";
import { hypervisorNs } from "../report/run.ts";
import { formatCount, formatShare } from "../report/words.ts";
import { settingOf } from "../scenarios.ts";
import { toggling } from "../schedules.ts";
import { trial } from "../trial.ts";
import { question, type Series } from "./question.ts";

type Name = "bounce-16" | "bounce-256" | "keep-all";

interface Cell {
  readonly policy: Name;
  readonly bufferBytes: number;
  /** Ops between samples; 0: a filter that lets nothing through, as in the thread's commands. */
  readonly period: number;
  readonly [key: string]: string | number;
}
interface Row {
  readonly hypervisorNs: number;
  readonly guestNs: number;
  readonly enables: number;
  readonly written: number;
  readonly lost: number;
  readonly selected: number;
  readonly heldBytes: number;
  readonly [key: string]: number;
}

const MIB = 1024 ** 2;
const POLICIES: readonly Name[] = ["bounce-16", "bounce-256", "keep-all"];
const BUFFERS = [4 * MIB, 256 * MIB] as const;
const PERIODS = [0, 65_536, 16_384, 4_096, 1_024, 512, 256] as const;
const PROFILE = "thread-normal";
const SEED = 1;
const TOGGLES = 60;
const RUN_NS = 2_000_000;
const GAP_NS = 1_000_000;
const RECORD_BYTES = 64;

/** The best that kept pins can do: a walk at each enable, and each page of the buffer pinned once. */
const keepAll: PinPolicy = {
  name: "keep-all",
  summary: "until-changed, but both halves of the buffer stay pinned.",
  origin: "A variant for this question.",
  tradeOff: "All of the AUX buffer is held for good.",
  trapsBuffer: true,
  create: () => ({
    onBufferEnabled(buffer, ctx) {
      const walk = ctx.walk(buffer);
      if (walk.kind !== "walked") return walk;
      return hold(walk, ctx);
    },
  }),
};

const policyOf = (name: Name): PinPolicy => {
  if (name === "bounce-16") return bounceOf({ pages: 16 });
  return name === "bounce-256" ? bounceOf({ pages: 256 }) : keepAll;
};

const timeShare = (row: Row): number => row.hypervisorNs / row.guestNs;
const lostShare = (row: Row): number => row.lost / Math.max(1, row.selected);
/** A percent of samples weighs as much as a percent of time. */
const evil = (row: Row): number => timeShare(row) + lostShare(row);

export const q19 = question<Cell, Row>({
  number: 19,
  title: "Bounce copy or pin cache?",
  asked:
    "KVM could let the SPU write to a buffer of its own and copy the records to the guest at each exit. With nothing recorded " +
    "that should cost nothing; at what rate of records does it lose against pins that are kept?",
  origin:
    'Discussed in November 2022 ("A new approach for SPE support") and dropped for the copy, the memory and blackouts; ' +
    "nobody measured it.",
  leavesOut: [
    "The guest makes no exit but those of SPE. Each other one empties the bounce buffer, at a little cost and with fewer blackouts.",
    "A copy leaves the records in the cache of the vCPU that copied, and pushes the guest's own data out.",
    "A percent of samples and a percent of time are weighed alike.",
    "Runs are short: the longer a session lasts, the less its first pins weigh, while the copy goes on. A longer run moves the turn to lower rates, above all for big buffers.",
  ],
  decidedBy: "copyPage",
  cells: () =>
    BUFFERS.flatMap((bufferBytes) =>
      PERIODS.flatMap((period) => POLICIES.map((policy) => ({ policy, bufferBytes, period }))),
    ),
  run({ policy, bufferBytes, period }, costTables) {
    const event =
      period === 0 ? { ...DEFAULT_EVENT, minLatency: 1000, eventFilter: 10 } : { ...DEFAULT_EVENT, period };
    const schedule = toggling({ count: TOGGLES, runNs: RUN_NS, gapNs: GAP_NS });
    const setting = settingOf("sliced", schedule, event, bufferBytes, SEED);
    const run = trial({ setting, policy: policyOf(policy), costs: costTables.of(PROFILE), profile: PROFILE });
    return {
      hypervisorNs: hypervisorNs(run),
      guestNs: run.guestRunNs,
      enables: run.bufferEnables,
      written: run.samples.written,
      // Each fault drops the record that met it.
      lost: run.samples.lostInBlackout + run.recordStage2Faults,
      selected: run.samples.selected,
      heldBytes: run.pinnedPeakBytes,
    };
  },
  answer(rows) {
    const of = (policy: Name, bufferBytes: number, period: number): Row => {
      const found = rows.find(
        ({ cell }) => cell.policy === policy && cell.bufferBytes === bufferBytes && cell.period === period,
      );
      if (found === undefined) throw new Error(`no row for ${policy}, ${bufferBytes}, ${period}`);
      return found.row;
    };
    const rate = (bufferBytes: number, period: number): number => {
      const row = of("keep-all", bufferBytes, period);
      return (row.written * RECORD_BYTES * 1e9) / row.guestNs;
    };
    const rateText = (bufferBytes: number, period: number): string =>
      period === 0 ? "none" : `${formatBytes(rate(bufferBytes, period))}/s`;
    /** From which rate on the copy is the greater evil, at every rate above it as well. */
    const turn = (policy: Name, bufferBytes: number): string => {
      const loses = (period: number): boolean =>
        evil(of(policy, bufferBytes, period)) > evil(of("keep-all", bufferBytes, period));
      const from = PERIODS.findIndex((_, i) => PERIODS.slice(i).every(loses));
      if (from === -1) return "at no rate of the sweep";
      return from === 0 ? "at every rate" : `from ${rateText(bufferBytes, PERIODS[from] as number)} on`;
    };
    const [small, big] = BUFFERS;
    const nothing = of("bounce-16", big, 0);
    const cached = of("keep-all", big, 0);
    const fastest = PERIODS.at(-1) as number;
    const perEnable = (row: Row): string => formatNs(row.hypervisorNs / row.enables);
    const share = (x: number): string => formatShare(x, 1);
    return {
      headline:
        `In a session of ${formatNs(TOGGLES * RUN_NS)}, against pins that are kept, a bounce buffer of ${formatBytes(256 * PAGE_BYTES)} loses ${turn("bounce-256", small)} with ${formatBytes(small)} of AUX buffer ` +
        `and ${turn("bounce-256", big)} with ${formatBytes(big)}; one of ${formatBytes(16 * PAGE_BYTES)}, ${turn("bounce-16", small)} and ${turn("bounce-16", big)}.`,
      sentences: [
        `With nothing recorded in ${formatBytes(big)}, a switch costs ${perEnable(nothing)} with a bounce buffer of ${formatBytes(16 * PAGE_BYTES)}, its exits and the one allocation, and ${perEnable(cached)} with kept pins, their first pin included (${formatCount(nothing.enables)} switches).`,
        `At ${rateText(big, fastest)} the copy takes ${share(timeShare(of("bounce-256", big, fastest)))} of the guest's time with the larger bounce buffer and loses ${share(lostShare(of("bounce-256", big, fastest)))} of the samples; the smaller one loses ${share(lostShare(of("bounce-16", big, fastest)))}.`,
        `Kept pins hold up to ${formatBytes(Math.max(...PERIODS.map((p) => of("keep-all", big, p).heldBytes)))} there, the bounce buffer ${formatBytes(of("bounce-256", big, fastest).heldBytes)}.`,
        "To lose means here: the share of time and the share of samples, added, are greater.",
      ],
      table: {
        columns: ["buffer", "records", ...POLICIES.flatMap((policy) => [`${policy}: time`, "samples lost"])],
        rows: BUFFERS.flatMap((bufferBytes) =>
          PERIODS.map((period) => [
            formatBytes(bufferBytes),
            rateText(bufferBytes, period),
            ...POLICIES.flatMap((policy) => {
              const row = of(policy, bufferBytes, period);
              return [share(timeShare(row)), share(lostShare(row))];
            }),
          ]),
        ),
      },
      charts: [
        {
          title: "Time and samples that a policy takes",
          kind: "line",
          x: { name: "records (MiB/s)", scale: "log" },
          y: { name: "time and samples (%)", scale: "log" },
          series: BUFFERS.flatMap((bufferBytes) =>
            POLICIES.map(
              (policy): Series => ({
                name: `${policy}, ${formatBytes(bufferBytes)}`,
                points: PERIODS.filter((period) => period > 0).map((period) => [
                  rate(bufferBytes, period) / MIB,
                  100 * evil(of(policy, bufferBytes, period)),
                ]),
              }),
            ),
          ),
        },
      ],
    };
  },
});
