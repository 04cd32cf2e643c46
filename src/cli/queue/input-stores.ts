/** What input files travel through: Redis, in chunks, a folder that all machines share, or a bucket (s3.ts); open-inputs.ts chooses. */
import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import type { Redis } from "ioredis";
import { fileError } from "../files.ts";
import { chunkKey, inputKey } from "./names.ts";

/** Files by the SHA-256 of their content. Nobody trusts what comes out: whoever gets a file checks it. */
export interface InputStore {
  has(sha256: string): Promise<boolean>;
  /** Takes a file, whatever was there. @throws UserError where it cannot */
  put(sha256: string, path: string): Promise<void>;
  /** Writes one to a file. @returns whether it is there @throws UserError where it cannot be had */
  get(sha256: string, to: string): Promise<boolean>;
}

/** A folder that all machines share. */
export class FolderInputs implements InputStore {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async has(sha256: string): Promise<boolean> {
    return existsSync(join(this.#folder, sha256));
  }

  async put(sha256: string, path: string): Promise<void> {
    const to = join(this.#folder, sha256);
    try {
      mkdirSync(this.#folder, { recursive: true });
      const temporary = `${to}.${process.pid}.tmp`;
      copyFileSync(path, temporary);
      renameSync(temporary, to);
    } catch (error) {
      throw fileError(to, error);
    }
  }

  async get(sha256: string, to: string): Promise<boolean> {
    const from = join(this.#folder, sha256);
    if (!existsSync(from)) return false;
    try {
      copyFileSync(from, to);
      return true;
    } catch (error) {
      throw fileError(to, error);
    }
  }
}

const CHUNK_BYTES = 1 << 20;

/** The queue's own store. */
export class RedisInputs implements InputStore {
  readonly #redis: Redis;

  constructor(redis: Redis) {
    this.#redis = redis;
  }

  async has(sha256: string): Promise<boolean> {
    return (await this.#redis.exists(inputKey(sha256))) === 1;
  }

  async put(sha256: string, path: string): Promise<void> {
    const fd = openSync(path, "r");
    try {
      const chunk = Buffer.alloc(CHUNK_BYTES);
      let chunks = 0;
      let bytes = 0;
      for (let read = readSync(fd, chunk); read > 0; read = readSync(fd, chunk)) {
        await this.#redis.set(chunkKey(sha256, chunks), Buffer.from(chunk.subarray(0, read)));
        chunks += 1;
        bytes += read;
      }
      await this.#redis.hset(inputKey(sha256), { chunks, bytes });
    } finally {
      closeSync(fd);
    }
  }

  async get(sha256: string, to: string): Promise<boolean> {
    const chunks = await this.#redis.hget(inputKey(sha256), "chunks");
    if (chunks === null) return false;
    let fd: number | undefined;
    try {
      fd = openSync(to, "w");
      for (let i = 0; i < Number(chunks); i++) {
        const chunk = await this.#redis.getBuffer(chunkKey(sha256, i));
        // What is missing shows in the checksum.
        if (chunk === null) continue;
        for (let written = 0; written < chunk.length; ) written += writeSync(fd, chunk, written);
      }
      return true;
    } catch (error) {
      throw fileError(to, error);
    } finally {
      if (fd !== undefined) closeSync(fd);
    }
  }
}
