/** A worker's input files: brought from where they are, checked on arrival, and kept up to a size. */
import { randomUUID } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { sha256Of } from "../cells/inputs.ts";
import type { InputFile } from "../cells/task.ts";
import { fileError } from "../files.ts";
import type { InputStore } from "./input-stores.ts";

/** Why a worker cannot get an input now; that is no fault of the cell's. */
export class InputMissing extends Error {
  override readonly name = "InputMissing";
  /** What somebody who has it should put where workers find it; undefined where that is not what is missing. */
  readonly wanted: string | undefined;

  constructor(message: string, wanted?: string) {
    super(message);
    this.wanted = wanted;
  }
}

/** A worker's inputs on its own disk: the ones used last, up to a size. */
export class InputCache {
  /** Paths of those that are here, by SHA-256. */
  readonly paths = new Map<string, string>();
  readonly #folder: string;
  readonly #mostBytes: number;
  readonly #stores: readonly InputStore[];
  readonly #inUse = new Map<string, number>();
  readonly #coming = new Map<string, Promise<void>>();
  /** Whether those in use alone are too much. */
  #isOver = false;

  /** @param stores where inputs may be, in the order in which they are asked */
  constructor(folder: string, mostBytes: number, stores: readonly InputStore[]) {
    this.#folder = folder;
    this.#mostBytes = mostBytes;
    this.#stores = stores;
  }

  /** What all of them take on disk. */
  get bytes(): number {
    return this.#kept().reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  }

  /**
   * Has inputs here until `release`.
   * @throws InputMissing for one that is nowhere, was damaged on the way, or for which there is no room
   */
  async hold(files: readonly InputFile[]): Promise<void> {
    for (const { sha256 } of files) this.#inUse.set(sha256, (this.#inUse.get(sha256) ?? 0) + 1);
    try {
      for (const file of files) {
        const { sha256 } = file;
        const coming = this.#coming.get(sha256) ?? this.#bring(file);
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

  async #bring({ name, sha256 }: InputFile): Promise<void> {
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
      await this.#fetch(name, sha256, temporary);
      const is = await sha256Of(temporary);
      if (is !== sha256)
        throw new InputMissing(
          `${name} arrived damaged: its SHA-256 is ${is}, and ${sha256} was wanted`,
          sha256,
        );
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

  async #fetch(name: string, sha256: string, to: string): Promise<void> {
    for (const store of this.#stores) if (await store.get(sha256, to)) return;
    throw new InputMissing(`${name} is not where inputs are (${sha256})`, sha256);
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
