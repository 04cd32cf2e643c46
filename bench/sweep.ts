/** `npm run bench:sweep`: what a queue costs beside threads of one process, and what a large sweep takes; or one of them: known, memory, overhead. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { askTask } from "../src/cli/ask/cell.ts";
import { sourceVersion } from "../src/cli/cache-folder.ts";
import { LocalEngine } from "../src/cli/cells/local.ts";
import { RowStore } from "../src/cli/cells/store.ts";
import { byKey, type CellEngine, type CellTask, keyOf } from "../src/cli/cells/task.ts";
import { connect } from "../src/cli/queue/connect.ts";
import { QueueEngine } from "../src/cli/queue/engine.ts";
import { queueName, rowKey } from "../src/cli/queue/names.ts";
import { runSweepCell } from "../src/cli/sweep/cell.ts";
import { taskOf } from "../src/cli/sweep/tasks.ts";
import type { Json } from "../src/lab/questions/question.ts";
import { smallCells } from "../test/queue/cells.ts";
import { kill, type Running, SPEVISOR, start, stop } from "../test/queue/processes.ts";
import { hasRedis, TestRedis } from "../test/queue/redis.ts";
import { busy } from "./sweep-questions.ts";

if (!hasRedis("bench:sweep")) process.exit(2);
const folder = mkdtempSync(join(tmpdir(), "spevisor-bench-"));
const build = sourceVersion();
const CLI = ["../scripts/typescript.js", "sweep-cli.ts"].map((path) =>
  fileURLToPath(new URL(path, import.meta.url)),
);
const context = {
  questions: new URL("./sweep-questions.ts", import.meta.url).href,
  cacheDir: join(folder, "cache"),
  build,
  allowPolicies: false,
};

/** Rounds that take a second, by the fastest of some tries. */
function roundsPerSecond(): number {
  const rounds = 50_000_000;
  const tries = Array.from({ length: 5 }, () => {
    const startedMs = performance.now();
    busy(rounds);
    return performance.now() - startedMs;
  });
  return Math.round((rounds * 1000) / Math.min(...tries));
}
const perSecond = roundsPerSecond();

let made = 0;
/** Tasks that nobody has run. */
const tasksOf = (count: number, seconds: number): CellTask[] =>
  Array.from({ length: count }, () => askTask(1, { rounds: Math.round(seconds * perSecond), n: made++ }, {}));

/** Seconds of a run. */
async function timed(engine: CellEngine, tasks: readonly CellTask[]): Promise<number> {
  const startedMs = performance.now();
  await engine.run(byKey(tasks), () => undefined);
  return (performance.now() - startedMs) / 1000;
}

const local = (): CellEngine => new LocalEngine({ threads: 1, context, paths: new Map(), attempts: 1 });
const onQueue = async (redis: TestRedis): Promise<CellEngine> =>
  new QueueEngine(await connect(redis.url, {}), {
    build,
    retryFailed: false,
    publish: () => Promise.resolve(false),
  });
const worker = (redis: TestRedis): Running =>
  start(CLI, ["worker", "--queue", redis.url, "--jobs", "1"], folder);

/** Has threads and workers loaded, and code compiled. */
async function warmed(engine: CellEngine, workers: number): Promise<CellEngine> {
  await timed(engine, tasksOf(10 * workers, 0.1));
  return engine;
}

async function overhead(redis: TestRedis): Promise<void> {
  const threads = await warmed(local(), 1);
  const workers = [worker(redis)];
  const queue = await warmed(await onQueue(redis), 1);
  const ratios: number[] = [];
  // In turns, so that another load of the machine meets both.
  for (let i = 0; i < 5; i++) {
    const here = await timed(threads, tasksOf(40, 0.1));
    ratios.push((await timed(queue, tasksOf(40, 0.1))) / here);
  }
  const middle = ratios.sort((a, b) => a - b)[2]!;
  console.log(
    `cells of 100 ms on a queue: ${((middle - 1) * 100).toFixed(1)} % longer than on a thread (5 % allowed)`,
  );
  await threads.close();
  const one = await timed(queue, tasksOf(12, 1));
  workers.push(worker(redis));
  await warmed(queue, 4);
  const two = await timed(queue, tasksOf(12, 1));
  console.log(`cells of 1 s: two workers ${(one / two).toFixed(2)} times one (1.8 wanted)`);
  await queue.close();
  await Promise.all(workers.map(stop));
}

const memoryMb = (running: Running): number =>
  Number(/^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${running.child.pid}/status`, "utf8"))?.[1] ?? 0) /
  1024;

const THREAD = ["--kind", "thread", "--scenario", "thread-a", "--policy", "fault,adaptive", "--buffer", "1M"];

async function manyCells(redis: TestRedis): Promise<void> {
  const cells = 100_000;
  const startedMs = performance.now();
  const argv = [
    "sweep",
    ...THREAD,
    "--repetitions",
    String(cells / 2),
    "--seed",
    "1000000",
    "--queue",
    redis.url,
    "--out",
    "many",
  ];
  const coordinator = start(SPEVISOR, argv, folder);
  const waiting = () => redis.use((client) => client.llen(`spevisor:${queueName(build)}:wait`));
  while ((await waiting()) < cells) {
    if (coordinator.child.exitCode !== null) throw new Error((await coordinator.ended).err);
    await sleep(500);
  }
  const seconds = (performance.now() - startedMs) / 1000;
  // Long enough to look at what no event has told.
  await sleep(5000);
  const bytes = await redis.use((client) => client.info("memory"));
  console.log(
    `100,000 cells in the queue after ${seconds.toFixed(1)} s: coordinator ${memoryMb(coordinator).toFixed(0)} MB at most (300 MB allowed), Redis ${/used_memory_human:(\S+)/.exec(bytes)?.[1]}`,
  );
  await kill(coordinator);
}

async function allKnown(redis: TestRedis): Promise<void> {
  const cells = 10_000;
  const repetitions = cells / 2;
  const known = smallCells(1, repetitions).map((cell) => keyOf(taskOf(cell, undefined)));
  // A row such as these cells have, and no two alike.
  const cell = { ...smallCells(1, 1)[0] } as unknown as Json;
  const row = (await runSweepCell(cell, {}, context)) as Record<string, Json>;
  const rows = known.map((_, i) => JSON.stringify({ ...row, guestWallNs: Number(row["guestWallNs"]) + i }));
  const store = new RowStore(join(folder, "cache", "spevisor", "cells"), build, console.error);
  for (const [i, key] of known.entries()) store.put(key, { text: rows[i]!, tookMs: 1 });
  await redis.use(async (client) => {
    const pipeline = client.pipeline();
    for (const [i, key] of known.entries()) pipeline.set(rowKey(build, key), rows[i]!);
    await pipeline.exec();
  });
  const few = ["sweep", ...THREAD, "--repetitions", "1", "--out", "few"];
  // The first one of a checkout bundles its source.
  await seconds(few);
  const small = await seconds(few);
  for (const [where, more] of [
    ["on disk", []],
    ["in Redis", ["--queue", redis.url]],
  ] as const) {
    const argv = ["sweep", ...THREAD, "--repetitions", String(repetitions), "--out", "known", ...more];
    const tries = [await seconds(argv), await seconds(argv), await seconds(argv)];
    const all = Math.min(...tries);
    console.log(
      `10,000 cells that are known ${where}: ${all.toFixed(2)} s at best of ${tries.length}, ${(all - small).toFixed(2)} s more than two cells (1 s allowed)`,
    );
  }
}

async function seconds(argv: readonly string[]): Promise<number> {
  const startedMs = performance.now();
  const { code, err } = await start(SPEVISOR, argv, folder).ended;
  if (code !== 0) throw new Error(err);
  return (performance.now() - startedMs) / 1000;
}

const MEASURED: Readonly<Record<string, (redis: TestRedis) => Promise<void>>> = {
  known: allKnown,
  memory: manyCells,
  overhead,
};

try {
  for (const name of process.argv.length > 2 ? process.argv.slice(2) : Object.keys(MEASURED)) {
    const redis = await TestRedis.start();
    try {
      await MEASURED[name]?.(redis);
    } finally {
      await redis.stop();
    }
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
