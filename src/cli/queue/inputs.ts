/** Input files in Redis, in chunks, or in a folder that all machines share: by their content, which is checked on arrival. */
import { randomUUID } from "node:crypto";
import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import type { Redis } from "ioredis";
import { sha256Of } from "../cells/inputs.ts";
import type { InputFile } from "../cells/task.ts";
import { fileError } from "../files.ts";
import { chunkKey, inputKey } from "./names.ts";

const CHUNK_BYTES = 1 << 20;

/** Why a worker cannot get an input now; that is no fault of the cell's. */
export class InputMissing extends Error {
  override readonly name = "InputMissing";
}

/** Puts a file where workers find it, unless it is there. @param folder undefined: into Redis */
export async function publish(
  redis: Redis,
  sha256: string,
  path: string,
  folder: string | undefined,
): Promise<void> {
  if (folder !== undefined) {
    const to = join(folder, sha256);
    if (existsSync(to)) return;
    try {
      mkdirSync(folder, { recursive: true });
      const temporary = `${to}.${process.pid}.tmp`;
      copyFileSync(path, temporary);
      renameSync(temporary, to);
    } catch (error) {
      throw fileError(to, error);
    }
    return;
  }
  if ((await redis.exists(inputKey(sha256))) === 1) return;
  const fd = openSync(path, "r");
  try {
    const chunk = Buffer.alloc(CHUNK_BYTES);
    let chunks = 0;
    let bytes = 0;
    for (let read = readSync(fd, chunk); read > 0; read = readSync(fd, chunk)) {
      await redis.set(chunkKey(sha256, chunks), Buffer.from(chunk.subarray(0, read)));
      chunks += 1;
      bytes += read;
    }
    await redis.hset(inputKey(sha256), { chunks, bytes });
  } finally {
    closeSync(fd);
  }
}

/** A worker's inputs on its own disk: the ones used last, up to a size. */
export class InputCache {
  /** Paths of those that are here, by SHA-256. */
  readonly paths = new Map<string, string>();
  readonly #folder: string;
  readonly #mostBytes: number;
  readonly #shared: string | undefined;
  readonly #inUse = new Map<string, number>();
  readonly #coming = new Map<string, Promise<void>>();
  /** Whether those in use alone are too much. */
  #isOver = false;

  /** @param shared a folder that has inputs as well */
  constructor(folder: string, mostBytes: number, shared: string | undefined) {
    this.#folder = folder;
    this.#mostBytes = mostBytes;
    this.#shared = shared;
  }

  /** What all of them take on disk. */
  get bytes(): number {
    return this.#kept().reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  }

  /**
   * Has inputs here until `release`.
   * @throws InputMissing for one that is nowhere, was damaged on the way, or for which there is no room
   */
  async hold(redis: Redis, files: readonly InputFile[]): Promise<void> {
    for (const { sha256 } of files) this.#inUse.set(sha256, (this.#inUse.get(sha256) ?? 0) + 1);
    try {
      for (const file of files) {
        const { sha256 } = file;
        const coming = this.#coming.get(sha256) ?? this.#bring(redis, file);
        this.#coming.set(sha256, coming);
        try {
          await coming;
        } finally {
          this.#coming.delete(sha256);
        }
      }
    } catch (error) {
      this.release(files);
      throw error;
    }
  }

  release(files: readonly InputFile[]): void {
    for (const { sha256 } of files) {
      const uses = (this.#inUse.get(sha256) ?? 1) - 1;
      if (uses === 0) this.#inUse.delete(sha256);
      else this.#inUse.set(sha256, uses);
    }
    if (this.#isOver) this.#shrink();
  }

  async #bring(redis: Redis, { name, sha256 }: InputFile): Promise<void> {
    const path = join(this.#folder, sha256);
    if (this.paths.has(sha256) && existsSync(path)) {
      const now = new Date();
      utimesSync(path, now, now);
      return;
    }
    if (existsSync(path) && (await sha256Of(path)) === sha256) {
      this.paths.set(sha256, path);
      return;
    }
    const temporary = `${path}.${randomUUID()}.tmp`;
    try {
      mkdirSync(this.#folder, { recursive: true });
      const shared = this.#shared === undefined ? undefined : join(this.#shared, sha256);
      if (shared !== undefined && existsSync(shared)) copyFileSync(shared, temporary);
      else await fromRedis(redis, name, sha256, temporary);
      const is = await sha256Of(temporary);
      if (is !== sha256) {
        // Whoever has the file puts it there again.
        await redis.del(inputKey(sha256));
        throw new InputMissing(`${name} arrived damaged: its SHA-256 is ${is}, and ${sha256} was wanted`);
      }
      renameSync(temporary, path);
      this.paths.set(sha256, path);
    } catch (error) {
      rmSync(temporary, { force: true });
      if (error instanceof InputMissing) throw error;
      const own = fileError(path, error);
      throw new InputMissing(own instanceof Error ? own.message : String(own));
    }
    this.#shrink();
  }

  #kept(): { sha256: string; path: string; sizeBytes: number; usedMs: number }[] {
    if (!existsSync(this.#folder)) return [];
    return readdirSync(this.#folder).flatMap((sha256) => {
      const path = join(this.#folder, sha256);
      const status = statSync(path, { throwIfNoEntry: false });
      return status === undefined ? [] : [{ sha256, path, sizeBytes: status.size, usedMs: status.mtimeMs }];
    });
  }

  /** Removes those that were not used for longest, but for those in use. */
  #shrink(): void {
    const kept = this.#kept().sort((a, b) => a.usedMs - b.usedMs);
    let bytes = kept.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    for (const { sha256, path, sizeBytes } of kept) {
      if (bytes <= this.#mostBytes) break;
      if (this.#inUse.has(sha256)) continue;
      rmSync(path, { force: true });
      this.paths.delete(sha256);
      bytes -= sizeBytes;
    }
    this.#isOver = bytes > this.#mostBytes;
  }
}

async function fromRedis(redis: Redis, name: string, sha256: string, path: string): Promise<void> {
  const chunks = await redis.hget(inputKey(sha256), "chunks");
  if (chunks === null) throw new InputMissing(`${name} is not in the queue's store (${sha256})`);
  const fd = openSync(path, "w");
  try {
    for (let i = 0; i < Number(chunks); i++) {
      const chunk = await redis.getBuffer(chunkKey(sha256, i));
      // What is missing shows in the checksum.
      if (chunk === null) continue;
      for (let written = 0; written < chunk.length; ) written += writeSync(fd, chunk, written);
    }
  } finally {
    closeSync(fd);
  }
}
