/** The runs that a verdict needs: the policy and trap-only, at a profile's values and at both ends of its ranges. */
import { UserError } from "../../common/errors.ts";
import {
  COST_NAMES,
  type CostEnd,
  type CostName,
  type CostProfile,
  type CostTable,
  costTable,
  GUEST_COSTS,
} from "../../host/costs.ts";
import { trapOnly } from "../../kvm/spe/policies/trap-only.ts";
import type { PinPolicy } from "../../kvm/spe/policy.ts";
import type { Machine } from "../../vmm/machine.ts";
import {
  type BarRuns,
  type Finding,
  findingsOf,
  type Measured,
  measuredOf,
  mostPinnedBytes,
  SteadyBlackouts,
  slowdownFindings,
} from "../bar.ts";
import type { Setting } from "../experiment.ts";
import { Baseline, readingsOf } from "../measure.ts";
import { trial } from "../trial.ts";

/** What is asked of a run: everything, or only that it is not slow. */
export type Asked = "all" | "slowdown";

/** A setting at one set of costs, judged. */
export interface Judged {
  /** Null: user space gave up, since the policy must lock more than the buffers and their tables. */
  readonly measured: Measured | null;
  readonly findings: readonly Finding[];
}

/** A setting at a profile's costs, with what their ranges do to the verdict. */
export interface Verdict {
  readonly scenario: string;
  readonly profile: string;
  readonly atValues: Judged;
  /** Null where they were not run. */
  readonly atEnds: Readonly<Record<"low" | "high", Judged>> | null;
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

/** Whether a verdict meets the bar at the values and, where they were run, at both ends. */
export const meetsBar = ({ atValues, atEnds }: Verdict): boolean =>
  [atValues, ...Object.values(atEnds ?? {})].every(isMet);

/** A setting that policies are measured in: bare metal and trap-only are run once for all of them. */
export class BarCase {
  readonly setting: Setting;
  readonly #baseline: Baseline;
  readonly #trapOnly = new Map<string, BarRuns["runs"]>();

  constructor(setting: Setting) {
    // User space allows the buffers and their tables to be locked, and no more.
    this.setting = {
      ...setting,
      memlockMaxBytes: Math.min(setting.memlockMaxBytes, mostPinnedBytes(setting)),
    };
    this.#baseline = new Baseline(this.setting);
  }

  /** Runs a policy in both readings of the waits at one set of costs. */
  judge(policy: PinPolicy, profile: string, costs: CostTable, asked: Asked = "all"): Judged {
    try {
      const of: BarRuns = {
        runs: this.#runs(policy, profile, costs),
        trapOnly: this.#runsOfTrapOnly(profile, costs),
        profile,
        mostPinnedBytes: mostPinnedBytes(this.setting),
      };
      const measured = measuredOf(of);
      return { measured, findings: asked === "all" ? findingsOf(of) : slowdownFindings(measured) };
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      return { measured: null, findings: [{ clause: "memlock", text: error.what }] };
    }
  }

  #runs(policy: PinPolicy, profile: string, costs: CostTable): BarRuns["runs"] {
    const { setting } = this;
    return readingsOf(setting).map((waits) => {
      const bareMetal = this.#baseline.of(costs, waits);
      const steady = new SteadyBlackouts();
      const attach = (machine: Machine) => steady.attach(machine);
      const run = trial({ setting, policy, costs, profile, waits, bareMetal, attach });
      return { run, steadyBlackouts: steady.count };
    });
  }

  #runsOfTrapOnly(profile: string, costs: CostTable): BarRuns["runs"] {
    const key = JSON.stringify(costs);
    const known = this.#trapOnly.get(key) ?? this.#runs(trapOnly, profile, costs);
    this.#trapOnly.set(key, known);
    return known;
  }
}

export interface VerdictOptions {
  /** Whether the ends of the cost ranges are run, too. */
  readonly ends: boolean;
  /** Default "all". */
  readonly asked?: Asked;
  /** Awaited before each set of costs: gives control back to whoever waits for it. */
  readonly breathe?: () => Promise<void>;
}

/** The verdict on a policy in a case at a profile's costs. */
export async function verdictOf(
  of: BarCase,
  policy: PinPolicy,
  profile: CostProfile,
  { ends, asked = "all", breathe }: VerdictOptions,
): Promise<Verdict> {
  const at = async (end: CostEnd, only?: CostName): Promise<Judged> => {
    await breathe?.();
    return of.judge(policy, profile.name, costTable(profile, end, only), asked);
  };
  const atValues = await at("value");
  const verdict = { scenario: of.setting.scenario, profile: profile.name, atValues };
  if (!ends) return { ...verdict, atEnds: null, flips: [] };
  const atEnds = { low: await at("low"), high: await at("high") };
  const flips: Flip[] = [];
  for (const end of ["low", "high"] as const) {
    const met = isMet(atEnds[end]);
    if (met === isMet(atValues)) continue;
    const costs: CostName[] = [];
    for (const name of COST_NAMES)
      if (!(name in GUEST_COSTS) && isMet(await at(end, name)) === met) costs.push(name);
    flips.push({ end, met, costs });
  }
  return { ...verdict, atEnds, flips };
}
