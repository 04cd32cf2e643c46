/** What a queue knows of sweeps: enough to list them, and to go on with one on another machine. */
import { createHash } from "node:crypto";
import { promisify } from "node:util";
import { gunzip, gzip } from "node:zlib";
import type { Redis } from "ioredis";
import * as z from "zod";
import { UserError } from "../../common/errors.ts";
import type { SweepCell } from "../../lab/sweep/cell.ts";
import type { GuestInputs } from "../linux/cell.ts";
import { cellsKey, SWEEPS } from "./names.ts";

const Sweep = z.object({
  id: z.string(),
  name: z.string(),
  /** The versions whose workers compute it: for people, and of the source. */
  version: z.string(),
  build: z.string(),
  cells: z.number(),
  done: z.number(),
  state: z.enum(["running", "done", "cancelled"]),
  /** Milliseconds since 1970. */
  startedMs: z.number(),
});
export type SweepRecord = z.infer<typeof Sweep>;

/** What a sweep is made of, so that whoever attaches has the same cells. */
export interface SweepContent {
  readonly cells: readonly SweepCell[];
  readonly guest: GuestInputs | undefined;
  /** Where its recordings were, by SHA-256, as commands have them. */
  readonly shown: Readonly<Record<string, string>>;
}

const ID_CHARS = 10;

/** A sweep's ID: the same cells in the same version are the same sweep. */
export const idOf = (build: string, cells: readonly SweepCell[]): string =>
  createHash("sha256").update(build).update(JSON.stringify(cells)).digest("hex").slice(0, ID_CHARS);

export async function putSweep(redis: Redis, record: SweepRecord, content?: SweepContent): Promise<void> {
  if (content !== undefined)
    await redis.set(cellsKey(record.id), await promisify(gzip)(JSON.stringify(content)));
  await redis.hset(SWEEPS, record.id, JSON.stringify(record));
}

/** All sweeps, the newest first. What another version has written and this one does not understand is left out. */
export async function listSweeps(redis: Redis): Promise<SweepRecord[]> {
  return Object.values(await redis.hgetall(SWEEPS))
    .flatMap((text) => {
      const parsed = Sweep.safeParse(JSON.parse(text));
      return parsed.success ? [parsed.data] : [];
    })
    .sort((a, b) => b.startedMs - a.startedMs);
}

/** A sweep by its ID. @throws UserError where there is none */
export async function getSweep(
  redis: Redis,
  id: string,
): Promise<{ record: SweepRecord; content: SweepContent }> {
  const record = (await listSweeps(redis)).find((each) => each.id === id);
  const packed = await redis.getBuffer(cellsKey(id));
  if (record === undefined || packed === null)
    throw new UserError(
      `the queue knows of no sweep ${id}`,
      "spevisor sweep list --queue URL has those that it knows",
    );
  return { record, content: JSON.parse((await promisify(gunzip)(packed)).toString("utf8")) as SweepContent };
}
