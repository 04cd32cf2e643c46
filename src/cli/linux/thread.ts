/** `spevisor thread --guest linux`: the thread's commands, and other scenarios, in a guest that is real. */
import { availableParallelism } from "node:os";
import type { Patience } from "../../guest/node/download.ts";
import { withBaselines } from "../../lab/linux/baseline.ts";
import { type Cell, cellsOf, policyNameOf } from "../../lab/linux/cells.ts";
import type { LinuxMatrix } from "../../lab/linux/matrix.ts";
import type { LinuxScenario } from "../../lab/linux/scenario.ts";
import { LINUX_SCENARIOS } from "../../lab/linux/scenarios/index.ts";
import { THREAD } from "../../lab/linux/scenarios/thread.ts";
import { checkRun } from "../../lab/report/report-file.ts";
import { contextOf } from "../cells/context.ts";
import { ALL, choosePolicies, chooseProfiles } from "../job.ts";
import { knownName } from "../options.ts";
import type { LinuxResult } from "../output.ts";
import { startProgress } from "../progress.ts";
import { defaultGuest } from "../run/default-guest.ts";
import type { World } from "../world.ts";
import { LIMIT_NS } from "./cell.ts";
import { runGuestCells } from "./pool.ts";

export interface LinuxThreadOptions {
  /** Empty: the thread's own. */
  readonly scenarioNames: readonly string[];
  readonly policyNames: readonly string[];
  readonly profileNames: readonly string[];
  readonly seed: number;
  /** How many threads; undefined: as many as there are cores. */
  readonly jobs: number | undefined;
  /** How much of the guest's time a command may take, in ns; undefined: LIMIT_NS. */
  readonly limitNs: number | undefined;
  /** With the mirror, where the guest is to be fetched and the patience is not the usual. */
  readonly patience?: Patience;
}

/** What `--scenario` names. @throws UserError for a name that none has */
function chooseScenarios(given: readonly string[]): readonly LinuxScenario[] {
  if (given.length === 0) return THREAD;
  const known = LINUX_SCENARIOS.map(({ name }) => name);
  for (const name of given) if (name !== ALL) knownName("scenario", name, known);
  return LINUX_SCENARIOS.filter(({ name }) => given.includes(ALL) || given.includes(name));
}

const failureOf = ({ scenario, machine }: Cell, why: string): LinuxMatrix["failures"][number] => ({
  scenario,
  machine: machine.kind === "bare-metal" ? "bare metal" : policyNameOf(machine),
  profile: machine.kind === "bare-metal" ? null : machine.profile,
  why,
});

/** What there is to run. @throws UserError for names that nothing has */
async function cellsFor(options: LinuxThreadOptions, world: World): Promise<Cell[]> {
  const lab = await world.loadLab();
  // Names and files are looked at here: a worker would find a mistake late.
  await choosePolicies(lab, options.policyNames);
  const policies = options.policyNames.flatMap((name) =>
    name === ALL ? lab.listPolicies().map((policy) => policy.name) : [name],
  );
  const profiles = chooseProfiles(lab, options.profileNames);
  return cellsOf({
    scenarios: chooseScenarios(options.scenarioNames),
    policies: [...new Set(policies)],
    profiles,
  });
}

/**
 * Runs a matrix in guests; fetches the guest first where it is not there.
 * @throws UserError for names that nothing has, and where the guest cannot be fetched
 */
export async function runLinuxThread(options: LinuxThreadOptions, world: World): Promise<LinuxResult> {
  const cells = await cellsFor(options, world);
  const guest = await defaultGuest("bookworm", "cloud", world, options.patience);
  const startedNs = world.nowNs();
  const progress = startProgress("starting", world);
  try {
    const results = await runGuestCells(cells, {
      guest,
      context: contextOf(world),
      seed: options.seed,
      jobs: options.jobs ?? availableParallelism(),
      limitNs: options.limitNs ?? LIMIT_NS,
      onProgress: progress.onProgress,
    });
    const ran = results.flatMap(({ outcome }) => (outcome.kind === "ran" ? [outcome] : []));
    const instructions = ran.reduce((sum, each) => sum + each.instructions, 0);
    const runNs = world.nowNs() - startedNs;
    return {
      matrix: {
        runs: withBaselines(ran.map(({ run }) => run)).map((run) => checkRun(run)),
        failures: results.flatMap(({ cell, outcome }) =>
          outcome.kind === "failed" ? [failureOf(cell, outcome.why)] : [],
        ),
        scenarios: LINUX_SCENARIOS,
        models: ran.flatMap(({ model }) => model ?? []),
        guest: guest.description,
      },
      machine: {
        startNs: 0,
        runNs,
        instructions,
        mips: Math.round((instructions / runNs) * 1e4) / 10,
        snapshot: "restored",
      },
    };
  } finally {
    progress.stop();
  }
}
