/** A sweep's cell of the model: one run at one set of costs, in the worse of the two readings of the waits. */

import { UserError } from "../../common/errors.ts";
import type { RecordedRuns } from "../../guest/recording/build.ts";
import { buildSchedule } from "../../guest/recording/build.ts";
import { COST_NAMES, type CostName, type CostTable } from "../../host/costs.ts";
import type { Backing } from "../../host/mm.ts";
import type { PinPolicy } from "../../kvm/spe/policy.ts";
import { Baseline, readingsOf } from "../measure.ts";
import { checkBuffer, predictionSetting, USUAL_PREDICTION } from "../predict.ts";
import type { ModelRun } from "../report/run.ts";
import { hypervisorNs } from "../report/run.ts";
import { SCENARIOS } from "../scenarios.ts";
import { trial } from "../trial.ts";
import type { PredictCell, ThreadCell } from "./cell.ts";

/** What a run comes to, in columns. */
export interface ModelRow {
  readonly slowdown: number;
  readonly guestWallNs: number;
  readonly bareMetalWallNs: number;
  readonly hypervisorNs: number;
  readonly setupNs: number;
  readonly bufferEnables: number;
  readonly pagesPinned: number;
  readonly pinnedPeakBytes: number;
  readonly unreclaimablePeakBytes: number;
  readonly pinnedByteSeconds: number;
  readonly longestStopColdNs: number;
  readonly longestStopWarmNs: number;
  readonly blackouts: number;
  readonly blackoutNs: number;
  readonly selected: number;
  readonly written: number;
  readonly lostInBlackout: number;
  readonly lostWhileFull: number;
  readonly truncated: number;
  /** Of what was selected; bare metal's own losses are in it. */
  readonly lostShare: number;
  /** What bare metal loses of the same. */
  readonly bareMetalLostShare: number;
}

const share = (part: number, of: number): number => (of === 0 ? 0 : part / of);

/** A run in columns. */
function modelRow(run: ModelRun): ModelRow {
  const { samples, blackouts, longestStopNs, baseline } = run;
  return {
    slowdown: run.slowdown,
    guestWallNs: run.guestWallNs,
    bareMetalWallNs: run.bareMetalWallNs,
    hypervisorNs: hypervisorNs(run),
    setupNs: run.setupNs,
    bufferEnables: run.bufferEnables,
    pagesPinned: run.pagesPinned,
    pinnedPeakBytes: run.pinnedPeakBytes,
    unreclaimablePeakBytes: run.unreclaimablePeakBytes,
    pinnedByteSeconds: run.pinnedByteSeconds,
    longestStopColdNs: longestStopNs.cold,
    longestStopWarmNs: longestStopNs.warm,
    blackouts: blackouts.count,
    blackoutNs: blackouts.totalNs,
    selected: samples.selected,
    written: samples.written,
    lostInBlackout: samples.lostInBlackout,
    lostWhileFull: samples.lostWhileFull,
    truncated: samples.truncated,
    lostShare: share(samples.lostInBlackout + samples.lostWhileFull + samples.truncated, samples.selected),
    bareMetalLostShare: share(baseline.lostWhileFull, baseline.selected),
  };
}

/** A table with some costs multiplied, in whole ns. */
function multiplied(costs: CostTable, factors: Readonly<Record<string, number>>): CostTable {
  const table: Record<CostName, number> = { ...costs };
  for (const name of COST_NAMES) table[name] = Math.round(table[name] * (factors[name] ?? 1));
  return table;
}

/**
 * The bare metal of a built-in scenario's cell, which other policies' cells may share.
 * @throws UserError where the buffer cannot be one, or the scenario is not there
 */
export function threadBaseline({ scenario: wanted, bufferBytes, seed, period }: ThreadCell): Baseline {
  checkBuffer(bufferBytes);
  const scenario = SCENARIOS.find(({ name }) => name === wanted);
  if (scenario === undefined) throw new UserError(`scenario "${wanted}" does not exist`);
  const setting = scenario.setting(bufferBytes, seed);
  return new Baseline(period === null ? setting : { ...setting, event: { ...setting.event, period } });
}

/**
 * The bare metal of a recording's cell.
 * @throws UserError where the buffer cannot be one, or nobody says what is to be profiled
 */
export function predictBaseline(cell: PredictCell, runs: RecordedRuns): Baseline {
  const built = buildSchedule(runs, {
    target: cell.comm === null ? undefined : { kind: "comm", comm: cell.comm },
    vcpus: cell.vcpus ?? undefined,
  });
  if (built.kind === "choose-target")
    throw new UserError(`${cell.recording.name}: ${built.message}`, "Name one with comms: [NAME]");
  const setting = predictionSetting(built, {
    ...USUAL_PREDICTION,
    bufferBytes: cell.bufferBytes,
    backing: cell.backing as Backing,
    period: cell.period,
    seed: cell.seed,
  });
  return new Baseline(setting);
}

/** Runs a cell beside its bare metal. @param table its profile's costs */
export function runModelCell(
  cell: ThreadCell | PredictCell,
  policy: PinPolicy,
  baseline: Baseline,
  table: CostTable,
): ModelRow {
  const costs = multiplied(table, cell.costs);
  const { setting } = baseline;
  return readingsOf(setting)
    .map((waits) =>
      modelRow(
        trial({ setting, policy, costs, profile: cell.profile, waits, bareMetal: baseline.of(costs, waits) }),
      ),
    )
    .reduce((a, b) => (b.slowdown > a.slowdown ? b : a));
}
