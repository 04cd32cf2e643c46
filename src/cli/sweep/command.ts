/** `spevisor sweep` as commander knows it. */
import type { Command } from "commander";
import { UserError } from "../../common/errors.ts";
import type { World } from "../world.ts";
import { matrixFlags, type SweepFlags, sweepOfFlags, withEngine, withMatrix } from "./flags.ts";

async function sweep(file: string | undefined, flags: SweepFlags, world: World): Promise<void> {
  if (file === undefined && flags.kind === undefined)
    throw new UserError(
      "sweep: which one?",
      "Name its file, or say what to run: spevisor sweep --kind thread --policy all --buffer 4M,256M",
    );
  // Other commands start sooner without what comes with this one.
  const { loadSweep, prepare, refuseBoth, runSweep, folderOf } = await import("./sweep.ts");
  const { readSweep } = await import("./file.ts");
  refuseBoth(file, [...(flags.kind === undefined ? [] : ["kind"]), ...matrixFlags(flags)]);
  const loaded =
    file === undefined
      ? { sweep: readSweep(JSON.stringify(sweepOfFlags(flags)), "options"), name: flags.kind as string }
      : loadSweep(file);
  const prepared = await prepare(loaded, folderOf(file), flags.only, world);
  const { out, dryRun, jobs, cache } = flags;
  await runSweep(prepared, { out, dryRun: dryRun === true, jobs, cache }, world);
}

/** Adds `sweep` to the command line. */
export function addSweep(program: Command, world: World): void {
  withEngine(withMatrix(program.command("sweep")))
    .description(
      "run a matrix of cells: recordings, scenarios, questions and fuzzers, under everything that lists name",
    )
    .argument("[file]", "what to run, as YAML or JSON (docs/sweep.md)")
    .addHelpText(
      "after",
      `
Results are kept by their content for as long as the source stays the same: an interrupted sweep goes on where it stopped.
They go to results.ndjson, results.csv and results.parquet, and to a page, index.html.

Examples:
  $ spevisor sweep examples/buffers.yaml --dry-run
  $ spevisor sweep examples/buffers.yaml --only policy=adaptive --out adaptive
  $ spevisor sweep --kind predict --recording 'recordings/*.data' --policy all --buffer 4M,64M
  $ spevisor sweep --kind bar --policy adaptive --random --repetitions 1000`,
    )
    .action((file: string | undefined, flags: SweepFlags) => sweep(file, flags, world));
}
