/**
 * The engine over a queue: cells are BullMQ jobs whose IDs are their keys, so that a cell is there once however many sweeps want it,
 * and rows are kept beside them, so that it is computed once. Nothing depends on this process: whoever submits the same cells
 * again finds what is done, and waits for the rest.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { Queue, QueueEvents } from "bullmq";
import type { Redis } from "ioredis";
import {
  type CellEngine,
  type CellOutcome,
  type CellTask,
  MOST_ATTEMPTS,
  type OnOutcome,
  WORKER_ENDED,
} from "../cells/task.ts";
import { jobKey, PREFIX, queueName, rowKey, WANTED_INPUTS } from "./names.ts";

/** A job's data. */
export type CellJobData = CellTask;

export interface QueueOptions {
  /** The version of the source whose workers may take the cells. */
  readonly build: string;
  /** From 1, the first, on; undefined: behind all that have one. */
  readonly priority?: number;
  /** Whether cells that have failed before are tried again. */
  readonly retryFailed: boolean;
  /**
   * Puts an input where workers find it, unless it is there; where one is known to be missing, whatever is there.
   * @returns false where this process does not have it
   */
  readonly publish: (sha256: string, isMissing: boolean) => Promise<boolean>;
  /** Told every now and then how many cells are not there yet. */
  readonly onWaiting?: (cells: number) => void;
  /** Told once, where nobody is there who would compute. */
  readonly onNoWorker?: () => void;
}

/** Keys that go into one call; of rows more, since each call waits for its answer. */
const CHUNK = 200;
const ROWS = 1000;
/** Before the first second attempt; each later one waits twice as long. */
const BACKOFF_MS = 500;
/** How often what nobody has told is looked for, and how many of it at once. */
const CHECK_MS = 2_000;
const CHECKED = 5_000;

/** Jobs whose making leaves some 20 MB behind, which V8 alone would let grow to 200 MB. */
const COLLECT_AFTER = 10_000;

/** V8's own collector, which Node has no other way to. */
function collector(): () => void {
  setFlagsFromString("--expose-gc");
  return runInNewContext("gc") as () => void;
}

function* chunks<T>(all: readonly T[], size: number): Generator<readonly T[]> {
  for (let at = 0; at < all.length; at += size) yield all.slice(at, at + size);
}

/** What a job's failure means: workers say it as JSON, and of a worker that died BullMQ does. */
function outcomeOfFailure(reason: string): CellOutcome {
  try {
    return JSON.parse(reason) as CellOutcome;
  } catch {
    return { kind: "failed", message: WORKER_ENDED, stack: reason };
  }
}

/** BullMQ's side: the jobs, and what becomes of them. */
interface Jobs {
  readonly queue: Queue<CellJobData>;
  close(): Promise<void>;
}

/** @param onEnd told of each job that has come to an end, by its ID */
async function openJobs(redis: Redis, build: string, onEnd: (key: string) => void): Promise<Jobs> {
  const bull = await import("bullmq");
  const name = queueName(build);
  const queue = new bull.Queue<CellJobData>(name, {
    connection: redis,
    prefix: PREFIX,
    skipWaitingForReady: true,
  });
  // Blocking reads have a connection of their own.
  const blocking = redis.duplicate();
  const events: QueueEvents = new bull.QueueEvents(name, { connection: blocking, prefix: PREFIX });
  // The connection says itself when it is lost; it comes back.
  queue.on("error", () => undefined);
  blocking.on("error", () => undefined);
  events.on("error", () => undefined);
  events.on("completed", ({ jobId }) => onEnd(jobId));
  events.on("failed", ({ jobId }) => onEnd(jobId));
  await events.waitUntilReady();
  return {
    queue,
    close: async () => {
      // It waits for events for seconds: that is not waited for.
      blocking.disconnect();
      await events.close().catch(() => undefined);
      await queue.close().catch(() => undefined);
    },
  };
}

export class QueueEngine implements CellEngine {
  readonly #redis: Redis;
  readonly #options: QueueOptions;
  #jobs: Jobs | undefined;
  #pending = new Map<string, CellTask>();
  #onOutcome: OnOutcome = () => undefined;
  #finish: () => void = () => undefined;
  #fail: (error: unknown) => void = () => undefined;
  #settling: Promise<void> = Promise.resolve();
  readonly #told = new Set<string>();
  #workersUnknown = true;
  readonly #collectGarbage = collector();

  constructor(redis: Redis, options: QueueOptions) {
    this.#redis = redis;
    this.#options = options;
  }

  async run(tasks: ReadonlyMap<string, CellTask>, onOutcome: OnOutcome): Promise<void> {
    if (tasks.size === 0) return;
    this.#pending = new Map(tasks);
    this.#onOutcome = onOutcome;
    const finished = new Promise<void>((resolve, reject) => {
      this.#finish = resolve;
      this.#fail = reject;
    });
    // It is waited for below; until then a failure is not nobody's.
    finished.catch(() => undefined);
    await this.#collect([...this.#pending.keys()], false);
    if (this.#pending.size === 0) return;
    // What is all there needs no jobs, and BullMQ takes a while to load.
    const jobs = this.#jobs ?? (await openJobs(this.#redis, this.#options.build, (key) => this.#tell(key)));
    this.#jobs = jobs;
    await this.#publishInputs();
    if (this.#options.retryFailed) await this.#forgetFailures(jobs, [...this.#pending.keys()]);
    await this.#submit(jobs, [...this.#pending.keys()]);
    const timer = setInterval(() => this.#settle(() => this.#check(jobs)), CHECK_MS);
    try {
      if (this.#pending.size > 0) await finished;
    } finally {
      clearInterval(timer);
    }
  }

  async close(): Promise<void> {
    this.#pending.clear();
    await this.#settling;
    await this.#jobs?.close();
    this.#redis.disconnect();
  }

  /** One thing after the other; what goes wrong ends the run. */
  #settle(action: () => Promise<void>): void {
    this.#settling = this.#settling.then(action).catch((error: unknown) => this.#fail(error));
  }

  /** A job has come to an end: those of a moment are looked at together. */
  #tell(key: string): void {
    if (!this.#pending.has(key)) return;
    const first = this.#told.size === 0;
    this.#told.add(key);
    if (first)
      setImmediate(() =>
        this.#settle(async () => {
          const keys = [...this.#told];
          this.#told.clear();
          await this.#collect(keys, true);
        }),
      );
  }

  async #done(key: string, outcome: CellOutcome): Promise<void> {
    if (!this.#pending.delete(key)) return;
    await this.#onOutcome(key, outcome);
    if (this.#pending.size === 0) this.#finish();
  }

  /** Takes the rows that are there, and, where asked for, failures that are final. */
  async #collect(keys: readonly string[], withFailures: boolean): Promise<void> {
    const { build } = this.#options;
    for (const some of chunks(keys, ROWS)) {
      const rows = await this.#redis.mget(some.map((key) => rowKey(build, key)));
      const missing: string[] = [];
      for (const [i, key] of some.entries()) {
        const text = rows[i];
        if (text === null || text === undefined) missing.push(key);
        else await this.#done(key, { kind: "row", text, tookMs: 0 });
      }
      if (!withFailures || missing.length === 0) continue;
      const failures = await Promise.all(missing.map((key) => this.#failureOf(key)));
      for (const [i, key] of missing.entries()) {
        const reason = failures[i];
        if (reason !== undefined) await this.#done(key, outcomeOfFailure(reason));
      }
    }
  }

  /** Why a job has failed for good; undefined where it has not. */
  async #failureOf(key: string): Promise<string | undefined> {
    const failed = await this.#redis.zscore(`${PREFIX}:${queueName(this.#options.build)}:failed`, key);
    if (failed === null) return undefined;
    return (await this.#redis.hget(jobKey(this.#options.build, key), "failedReason")) ?? "";
  }

  async #forgetFailures({ queue }: Jobs, keys: readonly string[]): Promise<void> {
    for (const some of chunks(keys, CHUNK))
      await Promise.all(
        some.map(async (key) => {
          if ((await this.#failureOf(key)) !== undefined) await queue.remove(key);
        }),
      );
  }

  async #publishInputs(): Promise<void> {
    const wanted = new Set<string>();
    for (const { files } of this.#pending.values()) for (const { sha256 } of files) wanted.add(sha256);
    for (const sha256 of wanted) await this.#options.publish(sha256, false);
  }

  /** Makes jobs; one that is there already stays as it is. */
  async #submit({ queue }: Jobs, keys: readonly string[]): Promise<void> {
    const { priority } = this.#options;
    let submitted = 0;
    for (const some of chunks(keys, CHUNK)) {
      const jobs = some.flatMap((key) => {
        const task = this.#pending.get(key);
        return task === undefined
          ? []
          : [
              {
                name: task.kind,
                data: { kind: task.kind, input: task.input, files: task.files, label: task.label },
                opts: {
                  jobId: key,
                  attempts: MOST_ATTEMPTS,
                  backoff: { type: "exponential", delay: BACKOFF_MS },
                  removeOnComplete: true,
                  removeOnFail: false,
                  ...(priority === undefined ? {} : { priority }),
                },
              },
            ];
      });
      if (jobs.length > 0) await queue.addBulk(jobs);
      submitted += jobs.length;
      if (submitted >= COLLECT_AFTER) {
        submitted = 0;
        this.#collectGarbage();
      }
    }
  }

  /**
   * Finds what no event has told: a row that came while the connection was lost, a job that Redis has lost with its last second, an
   * input that a worker misses.
   */
  async #check(jobs: Jobs): Promise<void> {
    const { build, publish, onWaiting, onNoWorker } = this.#options;
    onWaiting?.(this.#pending.size);
    if (this.#workersUnknown) {
      this.#workersUnknown = false;
      if ((await jobs.queue.getWorkersCount()) === 0) onNoWorker?.();
    }
    // From the front of the queue: what is looked at goes to its end.
    const keys = [...this.#pending.keys()].slice(0, CHECKED);
    await this.#collect(keys, true);
    const left = keys.filter((key) => this.#pending.has(key));
    for (const some of chunks(left, CHUNK)) {
      const pipeline = this.#redis.pipeline();
      for (const key of some) pipeline.exists(jobKey(build, key));
      const there = (await pipeline.exec()) ?? [];
      await this.#submit(
        jobs,
        some.filter((_, i) => there[i]?.[1] === 0),
      );
    }
    for (const key of left) {
      const task = this.#pending.get(key)!;
      this.#pending.delete(key);
      this.#pending.set(key, task);
    }
    for (const sha256 of await this.#redis.smembers(WANTED_INPUTS))
      if (await publish(sha256, true)) await this.#redis.srem(WANTED_INPUTS, sha256);
  }
}

/** Takes a sweep's cells that nobody computes now out of the queue. @returns how many */
export async function removeWaiting(redis: Redis, build: string, keys: readonly string[]): Promise<number> {
  const { queue, close } = await openJobs(redis, build, () => undefined);
  let removed = 0;
  for (const some of chunks(keys, CHUNK)) {
    for (const job of await Promise.all(some.map((key) => queue.getJob(key)))) {
      if (job === undefined) continue;
      // One that a worker has stays: its row is of use.
      try {
        await job.remove();
        removed += 1;
      } catch {
        // It is locked.
      }
    }
  }
  await close();
  return removed;
}
