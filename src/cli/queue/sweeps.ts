/** What a queue knows of sweeps: enough to list them, and to go on with one on another machine. */
import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGzip, gunzipSync } from "node:zlib";
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
/** Cells that are packed at once. */
const LINES = 1000;

/** A sweep's ID: the same cells in the same version are the same sweep. */
export function idOf(build: string, cells: readonly SweepCell[]): string {
  const hash = createHash("sha256").update(build);
  for (const cell of cells) hash.update(JSON.stringify(cell)).update("\n");
  return hash.digest("hex").slice(0, ID_CHARS);
}

/** A sweep's content, packed: a line for what is not a cell, and one for each cell, which are never all in one text. */
async function packed({ cells, ...rest }: SweepContent): Promise<Buffer> {
  const lines = function* (): Generator<string> {
    yield `${JSON.stringify(rest)}\n`;
    for (let at = 0; at < cells.length; at += LINES)
      yield `${cells
        .slice(at, at + LINES)
        .map((cell) => JSON.stringify(cell))
        .join("\n")}\n`;
  };
  const pieces: Buffer[] = [];
  await pipeline(Readable.from(lines()), createGzip(), async (source: AsyncIterable<Buffer>) => {
    for await (const piece of source) pieces.push(piece);
  });
  return Buffer.concat(pieces);
}

function unpacked(bytes: Buffer): SweepContent {
  const [rest = "", ...cells] = gunzipSync(bytes).toString("utf8").trimEnd().split("\n");
  const content = JSON.parse(rest) as Omit<SweepContent, "cells">;
  return { ...content, cells: cells.map((line) => JSON.parse(line) as SweepCell) };
}

export async function putSweep(redis: Redis, record: SweepRecord, content?: SweepContent): Promise<void> {
  if (content !== undefined) await redis.set(cellsKey(record.id), await packed(content));
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
  const bytes = await redis.getBuffer(cellsKey(id));
  if (record === undefined || bytes === null)
    throw new UserError(
      `the queue knows of no sweep ${id}`,
      "spevisor sweep list --queue URL has those that it knows",
    );
  return { record, content: unpacked(bytes) };
}
