/** `spevisor thread --guest linux`: the thread's commands, and other scenarios, in a guest that is real. */
import { availableParallelism } from "node:os";
import { withBaselines } from "../../lab/linux/baseline.ts";
import { type Cell, cellsOf, policyNameOf } from "../../lab/linux/cells.ts";
import type { LinuxMatrix } from "../../lab/linux/matrix.ts";
import type { LinuxScenario } from "../../lab/linux/scenario.ts";
import { LINUX_SCENARIOS } from "../../lab/linux/scenarios/index.ts";
import { THREAD } from "../../lab/linux/scenarios/thread.ts";
import { checkRun, writeReport } from "../../lab/report/report-file.ts";
import { REPORT_SCHEMA } from "../../lab/report/run.ts";
import { cacheFolder, sourceVersion } from "../cache-folder.ts";
import { beginFile, type PendingFile } from "../files.ts";
import { hostFacts } from "../host-facts.ts";
import { ALL, choosePolicies, chooseProfiles } from "../job.ts";
import { knownName } from "../options.ts";
import { type Outputs, STDOUT } from "../output.ts";
import { startProgress } from "../progress.ts";
import { defaultGuest } from "../run/default-guest.ts";
import { VERSION } from "../version.ts";
import { lookOf, type World } from "../world.ts";
import { runGuestCells } from "./pool.ts";
import { renderMatrix } from "./tables.ts";

export interface LinuxThreadOptions {
  /** Empty: the thread's own. */
  readonly scenarioNames: readonly string[];
  readonly policyNames: readonly string[];
  readonly profileNames: readonly string[];
  readonly seed: number;
  /** How many threads; undefined: as many as there are cores. */
  readonly jobs: number | undefined;
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

/** Runs a matrix in guests; fetches the guest first where it is not there. */
async function runMatrix(
  options: LinuxThreadOptions,
  world: World,
): Promise<{ matrix: LinuxMatrix; instructions: number }> {
  const lab = await world.loadLab();
  const scenarios = chooseScenarios(options.scenarioNames);
  // Names and files are looked at here: a worker would find a mistake late.
  await choosePolicies(lab, options.policyNames);
  const policies = options.policyNames.flatMap((name) =>
    name === ALL ? lab.listPolicies().map((policy) => policy.name) : [name],
  );
  const profiles = chooseProfiles(lab, options.profileNames);
  const cells = cellsOf({ scenarios, policies: [...new Set(policies)], profiles });
  const guest = await defaultGuest("bookworm", "cloud", world);
  const progress = startProgress("starting", world);
  try {
    const results = await runGuestCells(cells, {
      guest: { image: guest.image, initrd: guest.initrd, files: guest.manifest.files },
      cacheDir: cacheFolder(world.env),
      build: sourceVersion(),
      seed: options.seed,
      jobs: options.jobs ?? availableParallelism(),
      onProgress: progress.onProgress,
    });
    const ran = results.flatMap(({ outcome }) => (outcome.kind === "ran" ? [outcome] : []));
    return {
      matrix: {
        runs: withBaselines(ran.map(({ run }) => run)).map(checkRun),
        failures: results.flatMap(({ cell, outcome }) =>
          outcome.kind === "failed" ? [failureOf(cell, outcome.why)] : [],
        ),
        scenarios,
      },
      instructions: ran.reduce((sum, each) => sum + each.instructions, 0),
    };
  } finally {
    progress.stop();
  }
}

/** Runs a matrix and writes what was asked for: files first, then the terminal. */
export async function runLinuxThread(
  options: LinuxThreadOptions,
  outputs: Outputs,
  world: World,
): Promise<void> {
  const startedNs = world.nowNs();
  const files: PendingFile[] = [];
  const begun = (path: string | undefined): PendingFile | undefined => {
    if (path === undefined || path === STDOUT) return undefined;
    const file = beginFile(path);
    files.push(file);
    return file;
  };
  try {
    const json = begun(outputs.json);
    const { matrix, instructions } = await runMatrix(options, world);
    const tookNs = world.nowNs() - startedNs;
    const machine = {
      startNs: 0,
      runNs: tookNs,
      instructions,
      mips: Math.round((instructions / tookNs) * 1e4) / 10,
      snapshot: "restored" as const,
    };
    const report = (): string =>
      writeReport({
        schema: REPORT_SCHEMA,
        version: VERSION,
        host: hostFacts(tookNs, machine),
        runs: [...matrix.runs],
      });
    json?.write(report());
    for (const file of files) file.commit();
    world.stdout.write(
      outputs.json === STDOUT ? report() : renderMatrix(matrix, lookOf(world.stdout, world.env)),
    );
    for (const { path } of files) world.stderr.write(`written: ${path}\n`);
  } finally {
    for (const file of files) file.discard();
  }
}
