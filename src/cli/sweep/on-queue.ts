/** Sweeps that workers elsewhere compute: started, gone on with, listed and cancelled. */
import type { Redis } from "ioredis";
import { UserError } from "../../common/errors.ts";
import { contextOf } from "../cells/context.ts";
import { keyOf } from "../cells/task.ts";
import { connect, printableUrl } from "../queue/connect.ts";
import { QueueEngine, removeWaiting } from "../queue/engine.ts";
import { openInputs } from "../queue/open-inputs.ts";
import { getSweep, idOf, listSweeps, putSweep, type SweepRecord } from "../queue/sweeps.ts";
import { renderList } from "../tables.ts";
import { VERSION } from "../version.ts";
import { lookOf, type World } from "../world.ts";
import { type Prepared, runSweep, type SweepOptions } from "./sweep.ts";
import { taskOf } from "./tasks.ts";

interface QueueFlags {
  readonly queue: string;
  readonly inputs?: string;
  readonly priority?: number;
}

/** Runs a sweep on a queue. @param retryFailed whether cells that have failed before are tried again */
async function runFor(
  record: SweepRecord,
  prepared: Prepared,
  options: SweepOptions,
  { queue, inputs, priority }: QueueFlags,
  retryFailed: boolean,
  world: World,
): Promise<void> {
  const { paths } = prepared;
  const note = (text: string): void => void world.stderr.write(`spevisor: ${text}\n`);
  const redis = await connect(queue, world.env, (why) =>
    note(why === null ? "Redis is back" : `Redis is away, and waited for: ${why}`),
  );
  const records = redis.duplicate();
  records.on("error", () => undefined);
  try {
    const store = await openInputs(inputs, redis, world.env);
    const content = { cells: prepared.cells, guest: prepared.guest, shown: prepared.shown };
    await putSweep(records, record, retryFailed ? content : undefined);
    note(
      `sweep ${record.id} on ${printableUrl(queue)}; workers of build ${record.build.slice(0, 8)} compute it`,
    );
    await runSweep(prepared, options, world, async () => {
      return new QueueEngine(redis, {
        build: record.build,
        retryFailed,
        ...(priority === undefined ? {} : { priority }),
        publish: async (sha256, isMissing) => {
          const path = paths.get(sha256);
          // Who attaches from elsewhere has no inputs: whoever started the sweep has put them there.
          if (path === undefined) return false;
          if (isMissing || !(await store.has(sha256))) await store.put(sha256, path);
          return true;
        },
        onNoWorker: () =>
          note(`no worker of this version is there yet: spevisor worker --queue ${printableUrl(queue)}`),
        onWaiting: (waiting) =>
          void putSweep(records, { ...record, done: record.cells - waiting }).catch(() => undefined),
      });
    });
    await putSweep(records, { ...record, done: record.cells, state: "done" });
  } finally {
    records.disconnect();
    redis.disconnect();
  }
}

/** Starts a sweep, or goes on with the same one: its cells tell which. */
export function runOnQueue(
  prepared: Prepared,
  options: SweepOptions,
  flags: QueueFlags,
  world: World,
): Promise<void> {
  const { build } = contextOf(world);
  const record: SweepRecord = {
    id: idOf(build, prepared.cells),
    name: prepared.name,
    version: VERSION,
    build,
    cells: prepared.cells.length,
    done: 0,
    state: "running",
    startedMs: Date.now(),
  };
  return runFor(record, prepared, options, flags, true, world);
}

async function withRedis<T>(url: string, world: World, action: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = await connect(url, world.env);
  try {
    return await action(redis);
  } finally {
    redis.disconnect();
  }
}

/** Goes on with a sweep that was started elsewhere. @throws UserError where it is of another version */
export async function attach(
  id: string,
  flags: QueueFlags & { readonly out?: string },
  world: World,
): Promise<void> {
  const { record, content } = await withRedis(flags.queue, world, (redis) => getSweep(redis, id));
  const { build } = contextOf(world);
  if (record.build !== build)
    throw new UserError(
      `sweep ${id} is of spevisor ${record.version}, build ${record.build.slice(0, 8)}`,
      `This is ${VERSION}, build ${build.slice(0, 8)}: attach from the source that it was started from`,
    );
  const { cells, guest, shown } = content;
  const prepared: Prepared = { name: record.name, cells, guest, shown, paths: new Map() };
  const options = { out: flags.out, dryRun: false, jobs: undefined, cache: true };
  await runFor({ ...record, state: "running" }, prepared, options, flags, false, world);
}

/** Takes a sweep's waiting cells out of the queue. */
export const cancelSweep = (id: string, url: string, world: World): Promise<void> =>
  withRedis(url, world, async (redis) => {
    const { record, content } = await getSweep(redis, id);
    const keys = content.cells.map((cell) => keyOf(taskOf(cell, content.guest)));
    await putSweep(redis, { ...record, state: "cancelled" });
    const removed = await removeWaiting(redis, record.build, keys);
    world.stdout.write(`sweep ${id}: ${removed} cells taken out of the queue; what is done stays\n`);
  });

/** Lists the sweeps that a queue knows. */
export const showSweeps = (url: string, world: World): Promise<void> =>
  withRedis(url, world, async (redis) => {
    const sweeps = await listSweeps(redis);
    const rows = sweeps.map(({ id, name, state, done, cells, version, build }) => [
      id,
      `${name}: ${state}, ${done} of ${cells} cells, spevisor ${version} (build ${build.slice(0, 8)})`,
    ]);
    world.stdout.write(
      rows.length === 0 ? "no sweeps\n" : `${renderList(rows, lookOf(world.stdout, world.env))}\n`,
    );
  });
