/** `spevisor sweep` as commander knows it. */
import type { Command } from "commander";
import { UserError } from "../../common/errors.ts";
import { nonEmpty } from "../options.ts";
import type { World } from "../world.ts";
import { matrixFlags, type SweepFlags, sweepOfFlags, withEngine, withMatrix, withQueue } from "./flags.ts";

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
  const { out, jobs, cache, queue } = flags;
  const options = { out, dryRun: flags.dryRun === true, jobs, cache };
  if (queue === undefined || options.dryRun) return runSweep(prepared, options, world);
  const { runOnQueue } = await import("./on-queue.ts");
  return runOnQueue(prepared, options, { ...flags, queue }, world);
}

/** The URL of the queue that a command needs. @throws UserError where nobody has named one */
function queueOf({ queue }: { readonly queue?: string }, what: string): string {
  if (queue === undefined)
    throw new UserError(`${what} needs --queue`, "Name the queue that has the sweep: --queue redis://HOST");
  return queue;
}

/** Adds `sweep` to the command line. */
export function addSweep(program: Command, world: World): void {
  const command = withQueue(withEngine(withMatrix(program.command("sweep"))));
  command
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
  $ spevisor sweep --kind bar --policy adaptive --random --repetitions 1000
  $ spevisor sweep examples/buffers.yaml --queue redis://queue.example     with spevisor worker elsewhere
  $ spevisor sweep --attach 0123456789 --queue redis://queue.example`,
    )
    .action(async (file: string | undefined, flags: SweepFlags) => {
      const { attach, cancel } = flags;
      if (attach === undefined && cancel === undefined) return sweep(file, flags, world);
      const onQueue = await import("./on-queue.ts");
      if (cancel !== undefined) return onQueue.cancelSweep(cancel, queueOf(flags, "--cancel"), world);
      return onQueue.attach(attach!, { ...flags, queue: queueOf(flags, "--attach") }, world);
    });
  command
    .command("list")
    .description("list the sweeps that a queue knows")
    .option("--queue <url>", "the queue", nonEmpty)
    .action(async (_: unknown, self: Command) => {
      // The option is sweep's own as well, and whoever comes first has it.
      const queue = queueOf(self.optsWithGlobals<{ readonly queue?: string }>(), "sweep list");
      await (await import("./on-queue.ts")).showSweeps(queue, world);
    });
}
