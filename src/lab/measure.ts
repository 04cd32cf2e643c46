/**
 * Measuring one policy in one setting: the replay's two readings of unseen waits, bare metal for each, and both ends
 * of the cost ranges.
 */

import type { Waits } from "../guest/replay.ts";
import { WAIT } from "../guest/schedule.ts";
import type { CostTable } from "../host/costs.ts";
import {
  COST_NAMES,
  type CostName,
  type CostProfile,
  costTable,
  GUEST_COSTS,
  type HostCostName,
} from "../host/costs.ts";
import type { PinPolicy } from "../kvm/spe/policy.ts";
import type { Tracer } from "../kvm/trace.ts";
import { type BareMetalOutcome, runBareMetal, runVm, type Setting } from "./experiment.ts";
import { SpanListener } from "./listener.ts";
import { modelRecordOf } from "./record.ts";
import type { RunDetail } from "./report/detail.ts";
import { checkRun } from "./report/report-file.ts";
import type { Model, ModelRun, TimePart } from "./report/run.ts";
import { speedTone } from "./report/verdicts.ts";

export interface MeasureOptions {
  readonly warnings?: readonly string[];
  readonly reference?: Model["reference"];
  readonly enablesWithoutDirectRule?: number | null;
  /** The same setting with no switch taken as direct, to be run as well where that is open. */
  readonly withoutDirectSwitches?: Baseline;
  /** Runs the ends of the cost ranges however long the schedule is. */
  readonly ranges?: boolean;
  readonly trace?: Tracer;
  /** What charts need is collected, too. Default: yes. */
  readonly charts?: boolean;
  /** Of this measurement, from 0 to 1. */
  readonly onProgress?: (fraction: number) => void;
}

/** Above this, the ends of the cost ranges are run only where asked for: a prediction stays a matter of a second. */
const MOST_SEGMENTS_FOR_RANGES = 4_000;

/** What a record says where they were not run. */
const RANGES_LEFT_OUT =
  "The ends of the cost ranges were not run, since the recording is long (--ranges runs them).";

/** Bare metal of a setting, run once for each reading of the waits and each price of the guest's own work. */
export class Baseline {
  readonly setting: Setting;
  readonly #known = new Map<string, BareMetalOutcome>();

  constructor(setting: Setting) {
    this.setting = setting;
  }

  of(costs: CostTable, waits: Waits): BareMetalOutcome {
    const own = Object.keys(GUEST_COSTS).map((name) => costs[name as CostName]);
    const key = `${waits} ${own.join(" ")}`;
    const known = this.#known.get(key) ?? runBareMetal(this.setting, costs, waits);
    this.#known.set(key, known);
    return known;
  }
}

/** How the waits can be read under a policy: in two ways where the schedule does not know the cause of one. */
export function readingsOf(setting: Setting, policy?: PinPolicy): readonly Waits[] {
  if (policy !== undefined && setting.recordedUnder === policy.name) return ["kept"];
  return setting.schedule.segments.wait.includes(WAIT.other) ? ["kept", "absorbing"] : ["kept"];
}

interface Reading {
  readonly waits: Waits;
  readonly run: ModelRun;
  readonly charts: Omit<RunDetail, "run">;
}

/** Runs a policy in a setting at a profile's costs and gives its record, checked. */
export function measure(
  setting: Setting,
  policy: PinPolicy,
  profile: CostProfile,
  baseline: Baseline,
  options: MeasureOptions = {},
): RunDetail {
  const costs = costTable(profile);
  const readings = readingsOf(setting, policy);
  const done: Reading[] = readings.map((waits, i) => {
    const listener = new SpanListener();
    const bareMetal = baseline.of(costs, waits);
    const { onProgress } = options;
    const outcome = runVm(setting, policy, costs, waits, {
      ...(options.charts === false ? {} : { attach: (machine) => listener.attach(machine) }),
      ...(i > 0 || options.trace === undefined ? {} : { trace: options.trace }),
      ...(onProgress === undefined
        ? {}
        : { onProgress: (fraction) => onProgress((i + fraction) / readings.length) }),
    });
    const charts = { spans: listener.spans(), pinnedOverTime: listener.pinnedOverTime() };
    const run = modelRecordOf(outcome, {
      setting,
      policy: policy.name,
      profile: profile.name,
      bareMetal,
      warnings: options.warnings,
      reference: options.reference,
      enablesWithoutDirectRule: options.enablesWithoutDirectRule,
    });
    outcome.machine.destroy();
    return { waits, run, charts };
  });
  const worse = done.reduce((a, b) => (b.run.slowdown > a.run.slowdown ? b : a));
  const [kept, absorbing] = done;
  const withRanges = options.ranges === true || setting.schedule.segments.count <= MOST_SEGMENTS_FOR_RANGES;
  const ranged: ModelRun = {
    ...worse.run,
    assumptions: withRanges ? worse.run.assumptions : [...worse.run.assumptions, RANGES_LEFT_OUT],
    model: {
      ...worse.run.model,
      slowdownRange:
        kept === undefined || absorbing === undefined
          ? null
          : { kept: kept.run.slowdown, absorbing: absorbing.run.slowdown },
      withoutDirectSwitches:
        options.withoutDirectSwitches === undefined
          ? null
          : worstOf(options.withoutDirectSwitches, policy, costs),
      ...(withRanges ? atBothEnds(setting, policy, profile, baseline, worse) : {}),
    },
  };
  return { run: checkRun(ranged), ...worse.charts };
}

/** A policy in a setting, in the worse of its readings. */
function worstOf(
  baseline: Baseline,
  policy: PinPolicy,
  costs: CostTable,
): NonNullable<Model["withoutDirectSwitches"]> {
  const { setting } = baseline;
  return readingsOf(setting, policy)
    .map((waits) => {
      const { machine, replay } = runVm(setting, policy, costs, waits);
      const { bufferEnables } = machine.spe.statistics;
      machine.destroy();
      const guestWallNs = replay.lastTargetEndNs;
      return { slowdown: guestWallNs / baseline.of(costs, waits).wallNs, guestWallNs, bufferEnables };
    })
    .reduce((a, b) => (b.slowdown > a.slowdown ? b : a));
}

/** The slowdown with every cost at either end of its range, and the single costs that change the verdict. */
function atBothEnds(
  setting: Setting,
  policy: PinPolicy,
  profile: CostProfile,
  baseline: Baseline,
  { waits, run }: Reading,
): Pick<Model, "atLowCosts" | "atHighCosts" | "flips"> {
  // Kept waits never end sooner than absorbing ones, so at higher costs they may be the worse reading after all.
  const readings: readonly Waits[] = waits === "kept" ? ["kept"] : [waits, "kept"];
  const slowdownAt = (costs: CostTable, end: "low" | "high"): number =>
    Math.max(
      ...(end === "low" ? [waits] : readings).map((reading) => {
        const outcome = runVm(setting, policy, costs, reading);
        return outcome.replay.lastTargetEndNs / baseline.of(costs, reading).wallNs;
      }),
    );
  const low = slowdownAt(costTable(profile, "low"), "low");
  const high = slowdownAt(costTable(profile, "high"), "high");
  const tone = speedTone(run.slowdown);
  const flips: string[] = [];
  for (const [end, slowdown] of [
    ["low", low],
    ["high", high],
  ] as const) {
    if (speedTone(slowdown) === tone) continue;
    for (const name of COST_NAMES) {
      if (flips.includes(name)) continue;
      const most = run.slowdown + mostEffect(run, profile, end, name) / run.bareMetalWallNs;
      if (speedTone(most) === tone) continue;
      if (speedTone(slowdownAt(costTable(profile, end, name), end)) !== tone) flips.push(name);
    }
  }
  return { atLowCosts: { slowdown: low }, atHighCosts: { slowdown: high }, flips };
}

/** On which kind of time each cost is charged. */
const CHARGED_AS: Readonly<Record<HostCostName, TimePart>> = {
  pinPage: "pinNs",
  unpinPage: "unpinNs",
  pinCall: "pinNs",
  faultInPage: "stage2Ns",
  faultInHuge: "stage2Ns",
  swapInPage: "stage2Ns",
  migratePage: "pinNs",
  splitHuge: "stage2Ns",
  collapseHuge: "stage2Ns",
  hostPageWork: "stage2Ns",
  walkDescriptor: "walkNs",
  walkTable: "walkNs",
  stage2Leaf: "stage2Ns",
  stage2Check: "stage2Ns",
  stage2Unmap: "stage2Ns",
  tlbi: "stage2Ns",
  stage2FaultHandling: "stage2Ns",
  exit: "exitNs",
  userExit: "exitNs",
  setrlimit: "exitNs",
  maintenanceIrq: "irqNs",
  injectIrq: "irqNs",
  copyPage: "stage2Ns",
  armTimer: "irqNs",
  timerIrq: "irqNs",
  // No part of a vCPU's time: it delays what makes an exit needless.
  workerWake: "exitNs",
};

/** The most that one cost at the end of its range can change a run's time, so that most need not be tried. */
function mostEffect(run: ModelRun, profile: CostProfile, end: "low" | "high", name: CostName): number {
  const cost = profile.costs[name];
  const atEnd = end === "low" ? cost.lowNs : cost.highNs;
  if (name in GUEST_COSTS) return 0;
  // As if all of that kind of time were this cost's; one that is free now may matter when it is not.
  if (cost.ns === 0) return atEnd === 0 ? 0 : Number.POSITIVE_INFINITY;
  return run[CHARGED_AS[name as HostCostName]] * (atEnd / cost.ns - 1);
}
