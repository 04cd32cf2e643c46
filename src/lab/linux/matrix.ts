/** A matrix of runs, and the cases that it is shown by. */
import { agreementOf } from "../agreement.ts";
import type { Agreement, LinuxRun, ModelRun } from "../report/run.ts";
import { isBareMetal } from "./baseline.ts";
import { type LinuxScenario, withoutBpfEvents, withoutBpfName } from "./scenario.ts";

/** A cell that has no record: its machine or its command came to no good end. */
export interface Failure {
  readonly scenario: string;
  readonly machine: string;
  /** Null: bare metal. */
  readonly profile: string | null;
  readonly why: string;
}

export interface LinuxMatrix {
  /** With their baselines (baseline.ts). */
  readonly runs: readonly LinuxRun[];
  readonly failures: readonly Failure[];
  readonly scenarios: readonly LinuxScenario[];
  /** Runs of the model that stand beside those of the same scenario, policy and profile. */
  readonly models: readonly ModelRun[];
  /** What runs in the machines: Debian's release, kernel and perf. */
  readonly guest: string;
}

/** The model's run that stands beside a run. */
export const modelBeside = ({ models }: Pick<LinuxMatrix, "models">, run: LinuxRun): ModelRun | undefined =>
  models.find(
    ({ scenario, policy, profile }) =>
      scenario === run.scenario && policy === run.policy && profile === run.profile,
  );

/** Each run beside the model's replay of its schedule. */
export const agreementsOf = (matrix: LinuxMatrix): readonly Agreement[] =>
  matrix.runs.flatMap((run) => {
    const model = modelBeside(matrix, run);
    return model === undefined ? [] : [agreementOf(run, model)];
  });

/** One command on one cost profile: bare metal, the VM, the policies. */
export interface LinuxCase {
  readonly title: string;
  readonly scenario: string;
  readonly profile: string;
  readonly command: string;
  readonly runs: readonly LinuxRun[];
  readonly failures: readonly Failure[];
  readonly of: LinuxScenario | undefined;
}

const commandOf = (of: LinuxScenario | undefined, scenario: string): string =>
  of === undefined ? "" : scenario === of.name ? of.command : withoutBpfEvents(of.command);

/** The cases of a matrix, in the order of its scenarios. */
export function linuxCasesOf({ runs, failures, scenarios }: LinuxMatrix): LinuxCase[] {
  const all = [
    ...runs.map(({ scenario, profile, policy }) => ({ scenario, profile, isVm: policy !== "none" })),
    ...failures.map(({ scenario, profile }) => ({
      scenario,
      profile: profile ?? "none",
      isVm: profile !== null,
    })),
  ].filter(({ isVm }) => isVm);
  const keys = new Map(
    all.map(({ scenario, profile }) => [`${scenario}\n${profile}`, { scenario, profile }]),
  );
  const indexOf = (scenario: string): number =>
    scenarios.findIndex(({ name }) => scenario === name || scenario === withoutBpfName(name));
  const inOrder = [...keys.values()].sort((a, b) => indexOf(a.scenario) - indexOf(b.scenario));
  return inOrder.map(({ scenario, profile }) => {
    const of = scenarios[indexOf(scenario)];
    return {
      title: `${scenario} on costs ${profile}`,
      scenario,
      profile,
      command: commandOf(of, scenario),
      runs: runs.filter((run) => run.scenario === scenario && (run.profile === profile || isBareMetal(run))),
      failures: failures.filter(
        (each) => each.scenario === scenario && (each.profile ?? profile) === profile,
      ),
      of,
    };
  });
}
