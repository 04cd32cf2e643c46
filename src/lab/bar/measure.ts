/** The runs that a verdict needs: the policy, and references where it must be compared, at a profile's values and at both ends. */
import { BrokenInvariant, UserError } from "../../common/errors.ts";
import type { Waits } from "../../guest/replay.ts";
import {
  COST_NAMES,
  type CostEnd,
  type CostName,
  type CostProfile,
  type CostTable,
  costTable,
  GUEST_COSTS,
} from "../../host/costs.ts";
import { fault } from "../../kvm/spe/policies/fault.ts";
import { window } from "../../kvm/spe/policies/window.ts";
import type { PinPolicy } from "../../kvm/spe/policy.ts";
import {
  type Allowed,
  allowedFor,
  type Finding,
  findingsOf,
  type Measured,
  measuredOf,
  mostPinnedBytes,
  type References,
} from "../bar.ts";
import type { Setting } from "../experiment.ts";
import { Baseline, readingsOf } from "../measure.ts";
import type { ModelRun } from "../report/run.ts";
import { trial } from "../trial.ts";
import { samplesPerSecond } from "./cell.ts";
import { coldCosts, coldSetting, coldStart } from "./cold-start.ts";
import type { Circumstances } from "./limits.ts";

/** Costs, and what of them a limit depends on. */
export interface Charged {
  readonly profile: Pick<CostProfile, "name" | "debugging">;
  readonly costs: CostTable;
  readonly atValues: boolean;
}

/** A setting at one set of costs, judged. */
export interface Judged {
  /** Both null: user space gave up, since the policy must lock more than the buffers and their tables. */
  readonly measured: Measured | null;
  readonly allowed: Allowed | null;
  readonly findings: readonly Finding[];
}

/** A setting at a profile's costs, with what their ranges do to the verdict. */
export interface Verdict {
  readonly scenario: string;
  readonly profile: string;
  /** At the values and at both ends of the ranges, or at one of the three. */
  readonly judged: Readonly<Partial<Record<CostEnd, Judged>>>;
  readonly flips: readonly Flip[];
}

/** An end of the cost ranges at which the verdict is not that at the values. */
export interface Flip {
  readonly end: "low" | "high";
  readonly met: boolean;
  /** Single costs that do it alone; none: it takes several. */
  readonly costs: readonly CostName[];
}

const isMet = ({ findings }: Judged): boolean => findings.length === 0;

/** Whether a verdict meets the bar at all costs that were run. */
export const meetsBar = ({ judged }: Verdict): boolean => Object.values(judged).every(isMet);

/** What a verdict's figures are shown from: the values, where those were run. */
export function shownOf({ judged }: Verdict): Judged {
  const shown = judged.value ?? judged.low ?? judged.high;
  if (shown === undefined) throw new BrokenInvariant("a verdict without costs");
  return shown;
}

/** A setting that policies are measured in: bare metal and references are run once for all of them. */
export class BarCase {
  readonly setting: Setting;
  readonly #readings: readonly Waits[];
  readonly #baseline: Baseline;
  readonly #references = new Map<string, readonly ModelRun[]>();

  /** @param readings of the waits; by default all that make a difference */
  constructor(setting: Setting, readings: readonly Waits[] = readingsOf(setting)) {
    // User space allows the buffers and their tables to be locked, and no more.
    this.setting = {
      ...setting,
      memlockMaxBytes: Math.min(setting.memlockMaxBytes, mostPinnedBytes(setting)),
    };
    this.#readings = readings;
    this.#baseline = new Baseline(this.setting);
  }

  /** Runs a policy in each reading of the waits at one set of costs. */
  judge(policy: PinPolicy, charged: Charged): Judged {
    try {
      const measured = measuredOf(this.#runs(policy, charged));
      const allowed = allowedFor(
        measured,
        this.#circumstances(charged),
        this.#referencesAt(charged),
        mostPinnedBytes(this.setting),
      );
      return { measured, allowed, findings: findingsOf(measured, allowed) };
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      return { measured: null, allowed: null, findings: [{ clause: "memlock", text: error.what }] };
    }
  }

  #circumstances({ profile: { debugging }, costs, atValues }: Charged): Circumstances {
    const { setting } = this;
    const { vcpus } = setting.schedule;
    return {
      samplesPerSecond: samplesPerSecond(setting),
      vcpus,
      workerWakeNs: costs.workerWake,
      debugging,
      hasSpareCpu: setting.hostCpus === undefined || setting.hostCpus > vcpus,
      atValues,
    };
  }

  #runs(policy: PinPolicy, { profile, costs }: Charged, setting = this.setting): readonly ModelRun[] {
    return this.#readings.map((waits) => {
      const bareMetal = this.#baseline.of(costs, waits);
      return trial({ setting, policy, costs, profile: profile.name, waits, bareMetal });
    });
  }

  #referencesAt(charged: Charged): References {
    const { setting } = this;
    const runs = (policy: PinPolicy, of = setting, { costs } = charged): readonly ModelRun[] => {
      const key = `${policy.name} ${of.stage2AtStart} ${JSON.stringify(costs)}`;
      const known = this.#references.get(key) ?? this.#runs(policy, { ...charged, costs }, of);
      this.#references.set(key, known);
      return known;
    };
    // Not those of trap-only, which never profiles: its guest's buffer is never full.
    const traps = () => runs(fault, coldSetting(setting));
    const runsNs = () =>
      traps().flatMap(({ vcpus }) => vcpus.map(({ guestRunNs }) => guestRunNs).filter(Boolean));
    const cold = () =>
      coldStart({
        samplesPerSecond: samplesPerSecond(setting),
        workerWakeNs: charged.costs.workerWake,
        runNs: Math.max(...runsNs()),
      });
    return {
      trapsSlowdown: () => measuredOf(traps()).slowdown,
      coldSlowdown: () =>
        measuredOf(
          runs(cold(), coldSetting(setting), { ...charged, costs: coldCosts(setting, charged.costs) }),
        ).slowdown,
      oneStopLostShare() {
        const lost = (runsNs().length * setting.irqLatencyNs * samplesPerSecond(setting)) / 1e9;
        return lost / Math.max(1, ...traps().map(({ samples }) => samples.selected));
      },
      faultLostShare: () => measuredOf(runs(fault)).lostShare,
      inlineSlowdown: () => measuredOf(runs(window)).slowdown,
    };
  }
}

/** What is charged of a profile at an end of its ranges. @param only moves this one cost alone */
export const chargedAt = (profile: CostProfile, end: CostEnd = "value", only?: CostName): Charged => ({
  profile,
  costs: costTable(profile, end, only),
  atValues: end === "value",
});

export interface VerdictOptions {
  /** Which costs are run. */
  readonly at: CostEnd | "all";
  /** Whether single costs are looked for that turn the verdict, where an end of all of them does. */
  readonly flips: boolean;
  /** Changes what is charged. */
  readonly adjust?: (costs: CostTable) => CostTable;
}

/** The verdict on a policy in a case at a profile's costs. */
export function verdictOf(
  of: BarCase,
  policy: PinPolicy,
  profile: CostProfile,
  { at, flips: wantsFlips, adjust = (costs) => costs }: VerdictOptions,
): Verdict {
  const judge = (end: CostEnd, only?: CostName): Judged => {
    const charged = chargedAt(profile, end, only);
    return of.judge(policy, { ...charged, costs: adjust(charged.costs) });
  };
  const { scenario } = of.setting;
  if (at !== "all") return { scenario, profile: profile.name, judged: { [at]: judge(at) }, flips: [] };
  const judged = { value: judge("value"), low: judge("low"), high: judge("high") };
  return { scenario, profile: profile.name, judged, flips: wantsFlips ? flipsOf(judged, judge) : [] };
}

function flipsOf(
  judged: Readonly<Record<CostEnd, Judged>>,
  judge: (end: CostEnd, only: CostName) => Judged,
): Flip[] {
  const flips: Flip[] = [];
  for (const end of ["low", "high"] as const) {
    const met = isMet(judged[end]);
    if (met === isMet(judged.value)) continue;
    const costs = COST_NAMES.filter((name) => !(name in GUEST_COSTS) && isMet(judge(end, name)) === met);
    flips.push({ end, met, costs });
  }
  return flips;
}
