/** `spevisor worker` as commander knows it. */
import { availableParallelism } from "node:os";
import { type Command, Option } from "commander";
import { duration, MOST_JOBS, nonEmpty, positiveSize, whole } from "../options.ts";
import type { World } from "../world.ts";

interface Flags {
  readonly queue: string;
  readonly jobs?: number;
  readonly inputs?: string;
  readonly cacheSize: number;
  readonly allowPolicies?: true;
  readonly metrics?: string;
  readonly takeover: number;
}

const NS_PER_MS = 1e6;

/** Adds `worker` to the command line. */
export function addWorker(program: Command, world: World): void {
  program
    .command("worker")
    .description("compute cells of sweeps from a queue, on as many machines as there are")
    .requiredOption(
      "--queue <url>",
      "the Redis or Valkey that has the queue: redis://HOST, rediss://HOST for TLS",
      nonEmpty,
    )
    .option("--jobs <n>", "cells at a time (default: one for each core)", whole("--jobs", 1, MOST_JOBS))
    .option(
      "--inputs <where>",
      "where the sweep's --inputs are: a folder that all machines share, or s3://BUCKET/PREFIX",
      nonEmpty,
    )
    .addOption(
      new Option("--cache-size <size>", "what input files may take on this machine's disk")
        .argParser(positiveSize("--cache-size"))
        .default(2 * 1024 ** 3, "2G"),
    )
    .option(
      "--allow-policies",
      "run policies that sweeps bring from files: code of whoever can write to the queue",
    )
    .option("--metrics <port>", "serve /metrics for Prometheus on PORT or HOST:PORT", nonEmpty)
    .addOption(
      new Option("--takeover <time>", "after how long a cell is taken over whose worker is gone")
        .argParser(duration("--takeover"))
        .default(30_000 * NS_PER_MS, "30s"),
    )
    .addHelpText(
      "after",
      `
Log lines are JSON, on standard output. SIGTERM lets the cells that run come to their end. The password may be in the URL or
in REDISCLI_AUTH; a bucket's credentials are in AWS_ACCESS_KEY_ID and so on. Neither is ever printed. docs/sweep.md has a compose file, a systemd unit and what to do when something fails.

Examples:
  $ spevisor worker --queue redis://queue.example:6379
  $ spevisor worker --queue rediss://queue.example --jobs 8 --metrics 9464`,
    )
    .action(async (flags: Flags) => {
      // Other commands start sooner without what comes with this one.
      const { runWorker } = await import("./worker.ts");
      await runWorker(
        {
          url: flags.queue,
          jobs: flags.jobs ?? availableParallelism(),
          inputs: flags.inputs,
          cacheBytes: flags.cacheSize,
          allowPolicies: flags.allowPolicies === true,
          metrics: flags.metrics,
          takeoverMs: flags.takeover / NS_PER_MS,
        },
        world,
      );
    });
}
