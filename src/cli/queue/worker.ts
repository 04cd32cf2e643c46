/** `spevisor worker`: takes cells from a queue and computes them with threads of this process. */
import { join } from "node:path";
import { DelayedError, type Job, UnrecoverableError, Worker } from "bullmq";
import type { Redis } from "ioredis";
import { type Logger, pino } from "pino";
import { UserError } from "../../common/errors.ts";
import { contextOf } from "../cells/context.ts";
import { type CellContext, type CellOutcome, keyOf, MOST_ATTEMPTS } from "../cells/task.ts";
import { CellThreads } from "../cells/threads.ts";
import { VERSION } from "../version.ts";
import type { World } from "../world.ts";
import { connect, printableUrl } from "./connect.ts";
import type { CellJobData } from "./engine.ts";
import { RedisInputs } from "./input-stores.ts";
import { InputCache, InputMissing } from "./inputs.ts";
import { WorkerMetrics } from "./metrics.ts";
import { PREFIX, queueName, rowKey, WANTED_INPUTS } from "./names.ts";
import { openInputs } from "./open-inputs.ts";
import { listSweeps } from "./sweeps.ts";

export interface WorkerOptions {
  readonly url: string;
  readonly jobs: number;
  /** Where inputs are, beside Redis: a folder that all machines share, or a bucket. */
  readonly inputs: string | undefined;
  readonly cacheBytes: number;
  /** Whether policies that come with a sweep are run. */
  readonly allowPolicies: boolean;
  readonly metrics: string | undefined;
  /** How long a cell of a worker that is gone waits until another one takes it. */
  readonly takeoverMs: number;
}

/** Cells that take less than this are fetched before a thread is free for them: what Redis takes to answer would show. */
const SHORT_MS = 500;
/** How often a worker looks whether somebody wants another version. */
const LOOK_MS = 10_000;
/** A cell whose input is not there comes back to the queue for so long. */
const INPUT_RETRY_MS = 1_000;

/** Refuses a queue that wants other versions only. */
async function checkVersion(redis: Redis, build: string): Promise<void> {
  const running = (await listSweeps(redis)).filter(({ state }) => state === "running");
  if (running.length === 0 || running.some((sweep) => sweep.build === build)) return;
  const [{ id, name, version, build: wanted }] = running as [(typeof running)[number]];
  throw new UserError(
    `the queue's sweeps are of another version: ${id} (${name}) wants spevisor ${version}, build ${wanted.slice(0, 8)}`,
    `This is ${VERSION}, build ${build.slice(0, 8)}: start a worker from the source that the sweep was started from`,
  );
}

class CellWorker {
  readonly #redis: Redis;
  readonly #build: string;
  readonly #threads: CellThreads;
  readonly #inputs: InputCache;
  readonly #metrics: WorkerMetrics;
  readonly #log: Logger;
  readonly #jobs: number;
  readonly worker: Worker<CellJobData>;

  constructor(
    redis: Redis,
    inputs: InputCache,
    options: Pick<WorkerOptions, "jobs" | "takeoverMs">,
    context: CellContext,
    metrics: WorkerMetrics,
    log: Logger,
  ) {
    this.#redis = redis;
    this.#build = context.build;
    this.#metrics = metrics;
    this.#log = log;
    this.#jobs = options.jobs;
    this.#inputs = inputs;
    this.#threads = new CellThreads({ threads: options.jobs, context, paths: inputs.paths });
    this.worker = new Worker<CellJobData>(queueName(context.build), (job, token) => this.#run(job, token), {
      connection: redis,
      prefix: PREFIX,
      concurrency: options.jobs,
      lockDuration: options.takeoverMs,
      stalledInterval: options.takeoverMs,
      // A cell that has taken so many workers along is given up at the next one.
      maxStalledCount: MOST_ATTEMPTS - 1,
    });
    this.worker.on("error", (error) => log.debug({ err: error }, "queue"));
    this.worker.on("stalled", (key) => log.warn({ cell: key }, "taking over a cell whose worker is gone"));
  }

  async close(): Promise<void> {
    // Cells that run come to their end first.
    await this.worker.close();
    await this.#threads.close();
  }

  async #run(job: Job<CellJobData>, token: string | undefined): Promise<void> {
    const task = job.data;
    const row = rowKey(this.#build, keyOf(task));
    if ((await this.#redis.exists(row)) === 1) return;
    try {
      await this.#inputs.hold(task.files);
    } catch (error) {
      if (!(error instanceof InputMissing)) throw error;
      // It is no fault of the cell's: another worker may have what this one cannot get.
      this.#log.error({ cell: task.label, why: error.message }, "an input is missing");
      if (error.wanted !== undefined) await this.#redis.sadd(WANTED_INPUTS, error.wanted);
      await job.moveToDelayed(Date.now() + INPUT_RETRY_MS, token);
      throw new DelayedError();
    }
    this.#metrics.began();
    let outcome: CellOutcome;
    try {
      outcome = await this.#threads.run(task);
    } finally {
      this.#inputs.release(task.files);
    }
    this.#metrics.ended(task.kind, outcome);
    switch (outcome.kind) {
      case "row":
        await this.#redis.set(row, outcome.text, "NX");
        // A long cell that waits here might run elsewhere.
        this.worker.concurrency = outcome.tookMs < SHORT_MS ? 2 * this.#jobs : this.#jobs;
        this.#log.info({ cell: task.label, tookMs: Math.round(outcome.tookMs) }, "done");
        return;
      case "user-error":
        this.#log.warn({ cell: task.label, why: outcome.what }, "cannot be run");
        throw new UnrecoverableError(JSON.stringify(outcome));
      case "failed":
        this.#log.error({ cell: task.label, attempt: job.attemptsMade + 1, why: outcome.stack }, "failed");
        throw new Error(JSON.stringify(outcome));
    }
  }
}

/** Works until it is told to stop: a first signal lets the cells that run come to their end, a second one does not. */
export async function runWorker(options: WorkerOptions, world: World): Promise<void> {
  const log = pino({ base: { worker: process.pid } }, { write: (line: string) => world.stdout.write(line) });
  const metrics = new WorkerMetrics(VERSION);
  let isAway = false;
  let giveUp: (() => void) | undefined;
  const redis = await connect(options.url, world.env, (why) => {
    isAway = why !== null;
    metrics.connected(!isAway);
    if (isAway) giveUp?.();
    if (why === null) log.info("Redis is back");
    else log.warn({ why }, "Redis is away; waiting for it");
  });
  const context = contextOf(world, options.allowPolicies);
  const { build } = context;
  try {
    await checkVersion(redis, build);
    const elsewhere =
      options.inputs === undefined ? [] : [await openInputs(options.inputs, redis, world.env)];
    const stores = [...elsewhere, new RedisInputs(redis)];
    const inputs = new InputCache(join(context.cacheDir, "inputs"), options.cacheBytes, stores);
    metrics.onInputBytes(() => inputs.bytes);
    if (options.metrics !== undefined) log.info({ port: await metrics.serve(options.metrics) }, "metrics");
    metrics.connected(true);
    const cells = new CellWorker(redis, inputs, options, context, metrics, log);
    await cells.worker.waitUntilReady();
    log.info(
      { queue: printableUrl(options.url), jobs: options.jobs, version: VERSION, build: build.slice(0, 8) },
      "ready",
    );
    const refused = new Set<string>();
    const look = setInterval(() => {
      listSweeps(redis).then(
        (sweeps) => {
          for (const { id, state, build: wanted, version } of sweeps)
            if (state === "running" && wanted !== build && !refused.has(id)) {
              refused.add(id);
              log.warn(
                { sweep: id, version, build: wanted.slice(0, 8) },
                "a sweep of another version: not computed here",
              );
            }
        },
        // It is said elsewhere that Redis is away.
        () => undefined,
      );
    }, LOOK_MS);
    await new Promise<void>((resolve) => {
      for (const signal of ["SIGINT", "SIGTERM"] as const) {
        // The command line's own handler ends at once.
        process.removeAllListeners(signal);
        process.on(signal, () => {
          log.info({ signal }, "stopping when the cells that run are done");
          process.once(signal, () => process.exit(1));
          resolve();
        });
      }
    });
    clearInterval(look);
    giveUp = () => {
      log.warn("Redis is away: what runs cannot be handed in, and another worker takes it over");
      process.exit(1);
    };
    if (isAway) giveUp();
    await cells.close();
    log.info("stopped");
  } finally {
    metrics.close();
    redis.disconnect();
  }
}
