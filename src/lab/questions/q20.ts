/** Question 20: what the traps alone cost. The policy trap-only pays them and does nothing else. */
import { formatNs } from "../../common/sizes.ts";
import { DEFAULT_EVENT } from "../../guest/spe-event.ts";
import type { Setting } from "../experiment.ts";
import { policyNamed } from "../policies.ts";
import { settingOf, THREAD_SCENARIOS } from "../scenarios.ts";
import { toggling } from "../schedules.ts";
import { trial } from "../trial.ts";
import { question, type Series } from "./question.ts";

interface Cell {
  readonly profile: string;
  /** One of the thread's commands, or a task that is switched this often. */
  readonly workload: string | number;
  readonly [key: string]: string | number;
}
interface Row {
  readonly toggles: number;
  readonly exits: number;
  readonly exitNs: number;
  readonly wallNs: number;
  readonly bareMetalNs: number;
  /** What the guest's driver itself adds to the schedule, on bare metal. */
  readonly driverNs: number;
  readonly [key: string]: number;
}

const PROFILES = ["thread-normal", "thread-debug"] as const;
const COMMANDS = ["thread-a", "thread-b"] as const;
const RATES_PER_S = [100, 300, 1_000, 3_000, 10_000, 30_000, 100_000] as const;
const BUFFER_BYTES = 256 * 1024 ** 2;
const SEED = 1;
/** Long enough for the rarest switches, short enough for the most frequent. */
const SWEEP_NS = 200e6;
/** A switch between two processes without SPE. Assumed: 1 to 5 us are usual. */
const SWITCH_NS = 2_000;
/** What two runs of one command differ by anyway: assumed. */
const INVISIBLE = 0.01;

/** A task that has half of its CPU, in slices. */
function sliced(ratePerS: number): Setting {
  const halfNs = Math.round(1e9 / ratePerS / 2);
  const count = Math.round((SWEEP_NS * ratePerS) / 1e9);
  const schedule = toggling({ count, runNs: halfNs, gapNs: halfNs });
  return settingOf("sliced", schedule, DEFAULT_EVENT, BUFFER_BYTES, SEED);
}

function settingFor(workload: Cell["workload"]): Setting {
  if (typeof workload === "number") return sliced(workload);
  const scenario = THREAD_SCENARIOS.find(({ name }) => name === workload);
  if (scenario === undefined) throw new Error(`no scenario ${workload}`);
  return scenario.setting(BUFFER_BYTES, SEED);
}

const percent = (share: number): string => `${Number((share * 100).toPrecision(2))} %`;
const added = (row: Row): number => row.wallNs / row.bareMetalNs - 1;

export const q20 = question<Cell, Row>({
  number: 20,
  title: "The floor: what do the traps alone cost?",
  asked:
    "A perfect pin cache still pays about five traps for each time the buffer is turned on and off. What share of a " +
    "context switch is that, and can it be seen next to the thread's half second?",
  origin:
    "Follows from the series: v6 traps the buffer registers, v7 no longer does. Nobody gave a figure for the traps alone.",
  leavesOut: [
    "An exit's indirect cost: caches and branch predictors that the hypervisor's code pushes out.",
    "Nested virtualization, where one trap becomes many.",
  ],
  decidedBy: "exit",
  cells: () =>
    PROFILES.flatMap((profile) => [...COMMANDS, ...RATES_PER_S].map((workload) => ({ profile, workload }))),
  run({ profile, workload }, costTables) {
    const setting = settingFor(workload);
    const run = trial({ setting, policy: policyNamed("trap-only"), costs: costTables.of(profile), profile });
    return {
      toggles: run.bufferEnables,
      exits: Object.values(run.exitReasons).reduce((sum, count) => sum + count, 0),
      exitNs: run.exitNs,
      wallNs: run.guestWallNs,
      bareMetalNs: run.bareMetalWallNs,
      driverNs: run.bareMetalWallNs - setting.schedule.durationNs,
    };
  },
  answer(rows) {
    const of = (profile: string, workload: Cell["workload"]): Row => {
      const found = rows.find(({ cell }) => cell.profile === profile && cell.workload === workload);
      if (found === undefined) throw new Error(`no row for ${profile}, ${workload}`);
      return found.row;
    };
    const a = of("thread-normal", "thread-a");
    const trapsNs = a.exitNs / a.toggles;
    const switchNs = SWITCH_NS + a.driverNs / a.toggles;
    const share = (row: Row): number => {
      const traps = row.exitNs / row.toggles;
      return traps / (traps + SWITCH_NS + row.driverNs / row.toggles);
    };
    const visible = (row: Row) => (added(row) < INVISIBLE ? "cannot be seen" : "can be seen");
    const turn = (profile: string): string => {
      const row = of(profile, RATES_PER_S[0]);
      const ratePerS = Number(((INVISIBLE * 1e9 * row.toggles) / row.exitNs).toPrecision(2));
      return `at ${ratePerS.toLocaleString("en")} switches a second on ${profile}`;
    };
    const b = of("thread-normal", "thread-b");
    const bDebug = of("thread-debug", "thread-b");
    return {
      headline:
        `${a.exits / a.toggles} exits add ${formatNs(trapsNs)} to a switch of ${formatNs(switchNs)}: ` +
        `the thread's first command takes ${percent(added(a))} longer, which ${visible(a)}.`,
      sentences: [
        `Traps are ${percent(share(a))} of such a switch, of which ${formatNs(SWITCH_NS)} are the switch without SPE (assumed) and ${formatNs(a.driverNs / a.toggles)} the guest's own driver.`,
        `The second command takes ${percent(added(b))} longer on thread-normal and ${percent(added(bDebug))} on thread-debug, which ${visible(bDebug)} there.`,
        `Traps add ${percent(INVISIBLE)} ${PROFILES.map(turn).join(", and ")}.`,
      ],
      table: {
        columns: ["host", "workload", "switches", "exits", "exits per switch", "traps", "longer by"],
        rows: rows.map(({ cell, row }) => [
          cell.profile,
          typeof cell.workload === "number"
            ? `${cell.workload.toLocaleString("en")} switches a second`
            : cell.workload,
          row.toggles.toLocaleString("en"),
          row.exits.toLocaleString("en"),
          String(Number((row.exits / row.toggles).toPrecision(3))),
          formatNs(row.exitNs),
          percent(added(row)),
        ]),
      },
      charts: [
        {
          title: "Slowdown by traps alone",
          kind: "line",
          x: { name: "switches a second", scale: "log" },
          y: { name: "longer by (%)", scale: "log" },
          series: PROFILES.map(
            (profile): Series => ({
              name: profile,
              points: RATES_PER_S.map((rate) => [rate, added(of(profile, rate)) * 100]),
            }),
          ),
        },
      ],
    };
  },
});
