/**
 * The command line: parses, runs, and turns what went wrong into a message and an exit code. 0: done. 1: a bug of
 * ours, a policy that misses the bar, or a model that disagrees with the machine. 2: the user's option or file. 124 and 125: a machine that ended badly. 130 and
 * 143: interrupted.
 */
import { constants } from "node:os";
import { CommanderError } from "commander";
import { UserError } from "../common/errors.ts";
import { BarMissed } from "./bar/command.ts";
import { discardPendingFiles } from "./files.ts";
import { IS_BUILT } from "./import-source.ts";
import { loadLab } from "./lab.ts";
import { ModelDisagrees } from "./output.ts";
import { buildProgram } from "./program.ts";
import { aboveProgress, stopProgress } from "./progress.ts";
import { runInWorker } from "./remote.ts";
import { MachineEnded } from "./run/command.ts";
import { refuseQemuNames } from "./run/qemu-names.ts";
import { lookOf, type World } from "./world.ts";

const EXIT = { done: 0, bug: 1, missed: 1, user: 2 } as const;

/** Where bugs go. */
const ISSUES = "the project's issue tracker";

/**
 * Carries out one command line.
 * @returns the exit code
 */
export async function main(argv: readonly string[], world: World): Promise<number> {
  const { colors } = lookOf(world.stderr, world.env);
  try {
    const program = buildProgram(world);
    if (argv.length === 0) {
      program.outputHelp();
      return EXIT.done;
    }
    if (argv[0] === "run") refuseQemuNames(argv.slice(1));
    await program.parseAsync([...argv], { from: "user" });
    return EXIT.done;
  } catch (error) {
    // Commander has already printed its message, or the help that was asked for.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.user;
    if (error instanceof UserError) {
      const remedy = error.remedy === "" ? "" : `${error.remedy}\n`;
      world.stderr.write(`${colors.red("spevisor:")} ${error.what}\n${remedy}`);
      return EXIT.user;
    }
    if (error instanceof BarMissed || error instanceof ModelDisagrees) return EXIT.missed;
    if (error instanceof MachineEnded) return error.exitCode;
    const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
    world.stderr.write(
      `${colors.red("spevisor: a bug of ours, sorry.")} Please report it to ${ISSUES}, with the command line and this:\n${stack}\n`,
    );
    return EXIT.bug;
  }
}

/** The module with spevisor's own questions. */
const QUESTIONS = new URL(IS_BUILT ? "../questions.js" : "../lab/questions/index.ts", import.meta.url);

/** Runs as a process: with its streams, its signals and its exit code. */
export async function runFromShell(argv: readonly string[], questions: URL = QUESTIONS): Promise<void> {
  for (const signal of ["SIGINT", "SIGTERM"] as const)
    process.on(signal, () => {
      stopProgress();
      discardPendingFiles();
      process.exit(128 + constants.signals[signal]);
    });
  for (const stream of [process.stdout, process.stderr])
    stream.on("error", (error: NodeJS.ErrnoException) => {
      // Whoever read us has read enough: `spevisor thread | head`.
      if (error.code !== "EPIPE") throw error;
      discardPendingFiles();
      process.exit(EXIT.done);
    });
  process.exitCode = await main(argv, {
    stdin: {
      fd: 0,
      get stream() {
        return process.stdin;
      },
    },
    stdout: process.stdout,
    stderr: aboveProgress(process.stderr),
    env: process.env,
    runJob: runInWorker,
    loadLab,
    questions,
    nowNs: () => Number(process.hrtime.bigint()),
  });
}
