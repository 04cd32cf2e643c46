/** Question 1: whether the thread's two commands, on its two kernels, come out of switches and pins alone. */
import { formatNs } from "../../common/sizes.ts";
import { DEFAULT_EVENT, type SpeEvent } from "../../guest/spe-event.ts";
import type { CostEnd } from "../../host/costs.ts";
import { pinOnEnable } from "../../kvm/spe/policies/pin-on-enable.ts";
import { formatCount, formatFactor, listed } from "../report/words.ts";
import { settingOf } from "../scenarios.ts";
import { type Burst, scheduleOf } from "../schedules.ts";
import { trial } from "../trial.ts";
import { type Answer, type Chart, question, type Series } from "./question.ts";

type Command = "A" | "B";

interface Cell {
  readonly profile: string;
  readonly end: CostEnd;
  readonly command: Command;
  readonly switches: number;
  readonly [key: string]: string | number;
}
interface Row {
  readonly enables: number;
  readonly wallNs: number;
  readonly bareMetalNs: number;
  readonly pinAndUnpinNs: number;
  readonly [key: string]: number;
}

/** A figure of the message: as it is written, and what it may be before rounding. */
interface Seen {
  readonly ns: number;
  readonly lowNs: number;
  readonly highNs: number;
}
const seen = (seconds: number, low: number, high: number): Seen => ({
  ns: seconds * 1e9,
  lowNs: low * 1e9,
  highNs: high * 1e9,
});

/** One significant digit each; "3min" to half a minute. */
const HOSTS = [
  { profile: "thread-normal", A: seen(4, 3.5, 4.5), B: seen(50, 45, 55) },
  { profile: "thread-debug", A: seen(20, 15, 25), B: seen(180, 150, 210) },
] as const;
type HostRow = (typeof HOSTS)[number];
const ENDS = ["low", "value", "high"] as const;
const SWITCHES_A = 100;
/** The message gives no count for B: 900 and 1,250 are what its times imply. */
const SWITCHES_B = [900, 1_000, 1_250, 1_400] as const;
/** Where each command's runs and waits come from is told in lab/scenarios.ts. */
const BARE_METAL_NS = 450e6;
const RUN_NS = { A: 50_733, B: 50_000 } as const;
const BUFFER_BYTES = 256 * 1024 ** 2;
const SEED = 1;
/** The message's filter: it lets no record through. */
const FILTERED: SpeEvent = { ...DEFAULT_EVENT, minLatency: 1000, eventFilter: 10 };
/** Switches that a second of delay causes by itself (ticks, kworkers): a sweep, since nobody counted them. */
const INDUCED_PER_S = [1, 2, 4] as const;

function bursts(command: Command, switches: number): Burst[] {
  const runNs = RUN_NS[command];
  const gapNs = Math.floor((BARE_METAL_NS - switches * runNs) / (switches - 1));
  return Array.from({ length: switches }, () => ({ task: 0, runNs, gapNs }));
}

/** Counts of switches between two bounds, both included. */
interface Range {
  readonly from: number;
  readonly to: number;
}
const intersection = (a: Range, b: Range): Range => ({
  from: Math.max(a.from, b.from),
  to: Math.min(a.to, b.to),
});
const isEmpty = ({ from, to }: Range): boolean => from > to;
const told = (range: Range): string =>
  isEmpty(range) ? "none" : `${formatCount(range.from)} to ${formatCount(range.to)}`;

type RowOf = (profile: string, end: CostEnd, switches: number) => Row;

const rowOf =
  (rows: readonly { readonly cell: Cell; readonly row: Row }[]): RowOf =>
  (profile, end, switches) => {
    const found = rows.find(
      ({ cell }) => cell.profile === profile && cell.end === end && cell.switches === switches,
    );
    if (found === undefined) throw new Error(`no row for ${profile}, ${end}, ${switches}`);
    return found.row;
  };

const perSwitchNs = (row: Row): number => (row.wallNs - row.bareMetalNs) / row.enables;
const seconds = (row: Row): string => formatNs(row.wallNs);

const tableOf = (of: RowOf): Answer["table"] => ({
  columns: ["host", "command", "switches", "seen", "low costs", "model", "high costs"],
  rows: HOSTS.flatMap((host) =>
    [SWITCHES_A, ...SWITCHES_B].map((switches) => [
      host.profile,
      switches === SWITCHES_A ? "perf record -- true" : "perf record -- perf stat true",
      formatCount(switches),
      formatNs(switches === SWITCHES_A ? host.A.ns : host.B.ns),
      ...ENDS.map((end) => seconds(of(host.profile, end, switches))),
    ]),
  ),
});

const chartOf = (of: RowOf): Chart => ({
  title: "Second command by number of switches",
  kind: "line",
  x: { name: "switches", scale: "linear" },
  y: { name: "time / seen", scale: "linear" },
  series: HOSTS.flatMap((host) =>
    ENDS.map(
      (end): Series => ({
        name: `${host.profile}, ${end === "value" ? "value" : `${end} costs`}`,
        points: SWITCHES_B.map((n) => [n, of(host.profile, end, n).wallNs / host.B.ns]),
      }),
    ),
  ),
});

export const q01 = question<Cell, Row>({
  number: 1,
  title: "Do the thread's figures follow from switches and pins?",
  asked:
    "perf record took 4 s for `true` and 50 s for `perf stat true` in a guest; 20 s and 3 min on a debug kernel. Are " +
    "these the context switches times one pin and unpin, and if so, how many switches has the second command?",
  origin:
    'James Clark, 9 January 2026, reply to v6 29/35: "each pin/unpin taking about 0.2s", 100 switches in the first ' +
    "command, no count for the second. Divided, its times give 900 switches on one kernel and 1,250 on the other.",
  leavesOut: [
    "The first command is what the profiles' costs were taken from, so that it comes out is no test; the second one is.",
    "The message tells neither clock, nor guest kernel, nor how the switches are spread; in the model they are even.",
    "How rounded the figures are is a guess: one significant digit.",
  ],
  decidedBy: "pinPage",
  cells: () => [
    ...HOSTS.flatMap(({ profile }) =>
      ENDS.flatMap((end): Cell[] => [
        { profile, end, command: "A", switches: SWITCHES_A },
        ...SWITCHES_B.map((switches): Cell => ({ profile, end, command: "B", switches })),
      ]),
    ),
    ...HOSTS.map(
      ({ profile }): Cell => ({
        profile: `${profile}-whole`,
        end: "value",
        command: "A",
        switches: SWITCHES_A,
      }),
    ),
  ],
  run({ profile, end, command, switches }, costTables) {
    const schedule = scheduleOf({ tasks: ["true"], bursts: bursts(command, switches), assumptions: [] });
    const run = trial({
      setting: settingOf(`thread-${command}`, schedule, FILTERED, BUFFER_BYTES, SEED),
      policy: pinOnEnable,
      costs: costTables.of(profile, end),
      profile,
    });
    return {
      enables: run.bufferEnables,
      wallNs: run.guestWallNs,
      bareMetalNs: run.bareMetalWallNs,
      pinAndUnpinNs: run.pinNs + run.unpinNs,
    };
  },
  answer(rows) {
    const of = rowOf(rows);
    const a = (host: HostRow, end: CostEnd = "value"): Row => of(host.profile, end, SWITCHES_A);
    /** Counts for which B takes as long as the message says, one switch costing what it costs between two ends. */
    const allowed = (host: HostRow, least: CostEnd, most: CostEnd): Range => ({
      from: Math.ceil((host.B.lowNs - BARE_METAL_NS) / perSwitchNs(a(host, most))),
      to: Math.floor((host.B.highNs - BARE_METAL_NS) / perSwitchNs(a(host, least))),
    });
    const [normal, debug] = HOSTS;
    const atValues = intersection(allowed(normal, "value", "value"), allowed(debug, "value", "value"));
    const inRanges = intersection(allowed(normal, "low", "high"), allowed(debug, "low", "high"));
    // Both have a range: the message's figures by rounding, the model's by its costs.
    const fitsA = HOSTS.every(
      (host) => a(host, "low").wallNs <= host.A.highNs && a(host, "high").wallNs >= host.A.lowNs,
    );
    const linear = Math.max(
      ...HOSTS.flatMap((host) =>
        SWITCHES_B.map((switches) =>
          Math.abs(perSwitchNs(of(host.profile, "value", switches)) / perSwitchNs(a(host)) - 1),
        ),
      ),
    );
    // A is F + 100 c and B is F + n c: what F is, for the n that the normal kernel's times allow at the least.
    const fixedNs = (host: HostRow, n: number): number =>
      host.A.ns - (SWITCHES_A * (host.B.ns - host.A.ns)) / (n - SWITCHES_A);
    const withoutFixed = (host: HostRow): number =>
      SWITCHES_A + (SWITCHES_A * (host.B.ns - host.A.ns)) / host.A.ns;
    const least = Math.ceil(Math.max(...HOSTS.map(withoutFixed)));
    const pinThen = (host: HostRow): number => (host.A.ns - fixedNs(host, least)) / SWITCHES_A;
    // n switches of its own and r for each second that it takes: n_seen = n + r T, whatever the kernel.
    const implied = (host: HostRow): number => (host.B.ns - BARE_METAL_NS) / perSwitchNs(a(host));
    const own = (host: HostRow, perS: number): number => implied(host) - (perS * host.B.ns) / 1e9;
    const gap = (perS: number): number => own(normal, perS) / own(debug, perS);
    const inducedWorse = INDUCED_PER_S.every((perS) => gap(perS) > gap(0) || own(debug, perS) <= 0);
    const whole = HOSTS.map(({ profile }) => of(`${profile}-whole`, "value", SWITCHES_A));
    return {
      headline:
        `One pin and unpin per switch gives ${listed(HOSTS.map((host) => seconds(a(host))))} for the first command, ` +
        `${fitsA ? "within rounding of what" : "not what"} the thread saw (${listed(HOSTS.map(({ A }) => formatNs(A.ns)))}); its second ` +
        (isEmpty(inRanges)
          ? "command fits no number of switches on both kernels, even at the ends of all ranges."
          : `command fits on both kernels with ${told(inRanges)} switches, ` +
            (isEmpty(atValues)
              ? "with nothing to assume but that the figures were rounded."
              : `even with the figures as they are (${told(atValues)}).`)),
      sentences: [
        `With a switch at ${listed(HOSTS.map((host) => formatNs(perSwitchNs(a(host)))))} exactly, the normal kernel allows ${told(allowed(normal, "value", "value"))} switches and the debug kernel ${told(allowed(debug, "value", "value"))}; at the ends of rounding and of all costs, ${told(allowed(normal, "low", "high"))} and ${told(allowed(debug, "low", "high"))}.`,
        `A fixed cost of each run is no better explanation: it takes ${formatCount(least)} switches for it to be negative on neither kernel, and then it is ${formatNs(Math.max(...HOSTS.map((host) => fixedNs(host, least))))} on one kernel and nothing on the other, and a pin and unpin on the debug kernel takes ${formatNs(pinThen(debug))}, outside of "about 0.2s" (${pinThen(debug) < 0.15e9 ? "it needs less than" : "it allows"} 0.15 s). This is arithmetic on the message's figures.`,
        `Switches that the delay causes itself ${inducedWorse ? "make it worse" : "would help"}: the debug kernel takes longer, so it would have more of them, but its time implies fewer (${formatCount(implied(debug))} against ${formatCount(implied(normal))}).`,
        `A switch costs the same in each command within ${(linear * 100).toPrecision(2)} %, and ${formatFactor((100 * a(normal).pinAndUnpinNs) / (a(normal).wallNs - a(normal).bareMetalNs))} % of what it adds are pins and unpins.`,
        `An enable pins half of the buffer here. With the 0.04 and 0.2 s read as the whole buffer's (0.61 and 3.05 µs a page) the first command takes ${listed(whole.map(seconds))}: that reading needs a KVM that pins all 65,536 pages at each enable.`,
      ],
      table: tableOf(of),
      charts: [chartOf(of)],
    };
  },
});
