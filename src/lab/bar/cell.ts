/** A cell of the bar: a scenario with everything that can be chosen about it, as plain data, and the setting that it is. */
import { UserError } from "../../common/errors.ts";
import { DEFAULT_EVENT } from "../../guest/spe-event.ts";
import type { CostFactors } from "../../host/costs.ts";
import type { Backing } from "../../host/mm.ts";
import type { Setting } from "../experiment.ts";
import { checkBuffer } from "../predict.ts";
import {
  DEFAULT_CLOCK_GHZ,
  DEFAULT_IPC,
  DEFAULT_IRQ_LATENCY_NS,
  SCENARIOS,
  settingOf,
} from "../scenarios.ts";
import { SESSIONS, sessionNamed } from "./sessions.ts";

/** Which costs of a profile are charged: at its values, at an end of their ranges, or one after the other. */
export const COSTS_AT = ["value", "low", "high", "all"] as const;

export interface BarCell {
  /** One of `spevisor scenarios`, or a session (sessions.ts). */
  readonly scenario: string;
  readonly bufferBytes: number;
  /** Operations between samples; null: the scenario's own. */
  readonly periodOps: number | null;
  /** Null: the scenario's own; a session has one. */
  readonly vcpus: number | null;
  readonly ipc: number;
  readonly irqLatencyNs: number;
  readonly backing: Backing;
  readonly at: (typeof COSTS_AT)[number];
  /** Factors on costs, at values and ends alike. */
  readonly costs: CostFactors;
  /** In the place of the profile's workerWake; null: that. */
  readonly workerWakeNs: number | null;
  /** All CPUs of the host; null: enough for everybody. */
  readonly hostCpus: number | null;
  readonly seed: number;
}

/** What a cell is where nobody says otherwise. */
export const USUAL_CELL: Omit<BarCell, "scenario"> = {
  bufferBytes: 256 * 1024 ** 2,
  periodOps: null,
  vcpus: null,
  ipc: DEFAULT_IPC,
  irqLatencyNs: DEFAULT_IRQ_LATENCY_NS,
  backing: "base",
  at: "all",
  costs: {},
  workerWakeNs: null,
  hostCpus: null,
  seed: 1,
};

/** Scenarios by name: those that are as they are, and the usual sessions. */
export const BAR_SCENARIOS: readonly string[] = [...SCENARIOS.map(({ name }) => name), ...SESSIONS];

/** PMSIRR_EL1.INTERVAL has bits 31:8 of a period; one that is shorter selects nothing. */
export const INTERVAL_OPS = 256;

/** Samples that a vCPU of a setting selects in a second of running. */
export const samplesPerSecond = ({
  clockGHz,
  ipc,
  event,
}: Pick<Setting, "clockGHz" | "ipc" | "event">): number =>
  (clockGHz * 1e9 * ipc) / Math.max(INTERVAL_OPS, event.period - (event.period % INTERVAL_OPS));

const sessionOptions = (cell: BarCell) => ({
  vcpus: cell.vcpus ?? 1,
  bufferBytes: cell.bufferBytes,
  samplesPerSecond: samplesPerSecond({
    clockGHz: DEFAULT_CLOCK_GHZ,
    ipc: cell.ipc,
    event: { ...DEFAULT_EVENT, period: cell.periodOps ?? DEFAULT_EVENT.period },
  }),
});

/** How many samples all vCPUs of a session's cell select, and how many seconds they run: what it takes to run it. */
export function effortOf(cell: BarCell): { readonly samples: number; readonly vcpuSeconds: number } {
  const options = sessionOptions(cell);
  const vcpuSeconds = (options.vcpus * (sessionNamed(cell.scenario)?.durationNs(options) ?? 0)) / 1e9;
  return { samples: vcpuSeconds * options.samplesPerSecond, vcpuSeconds };
}

function baseSetting(cell: BarCell): Setting {
  const { scenario: name, bufferBytes, seed } = cell;
  const session = sessionNamed(name);
  if (session !== undefined)
    return settingOf(name, session.schedule(sessionOptions(cell)), DEFAULT_EVENT, bufferBytes, seed);
  const scenario = SCENARIOS.find((each) => each.name === name);
  if (scenario === undefined) throw new UserError(`scenario "${name}" does not exist`);
  return scenario.setting(bufferBytes, seed);
}

/**
 * The setting of a cell.
 * @throws UserError where there is none: no such scenario, another number of vCPUs than it has, too few CPUs, no such buffer
 */
export function settingOfCell(cell: BarCell): Setting {
  checkBuffer(cell.bufferBytes);
  const base = baseSetting(cell);
  const { vcpus } = base.schedule;
  if (cell.vcpus !== null && cell.vcpus !== vcpus)
    throw new UserError(
      `scenario "${cell.scenario}" has ${vcpus} vCPUs, not ${cell.vcpus}`,
      `Leave --vcpus out, or take a session: ${SESSIONS.join(", ")}`,
    );
  if (cell.hostCpus !== null && cell.hostCpus < vcpus)
    throw new UserError(
      `--host-cpus: ${cell.hostCpus} CPUs are too few for ${vcpus} vCPUs`,
      "Give the host as many CPUs as vCPUs, or more",
    );
  return {
    ...base,
    event: cell.periodOps === null ? base.event : { ...base.event, period: cell.periodOps },
    ipc: cell.ipc,
    irqLatencyNs: cell.irqLatencyNs,
    backing: cell.backing,
    ...(cell.hostCpus === null ? {} : { hostCpus: cell.hostCpus }),
  };
}
