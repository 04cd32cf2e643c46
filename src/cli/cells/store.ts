/**
 * Rows from earlier runs, by content: a row is found again only under the same source of spevisor and the same task. Whatever
 * goes wrong here costs time and no answer.
 */
import { mkdirSync, readdirSync, rmSync, statSync, utimesSync } from "node:fs";
import { join } from "node:path";
import cacache from "cacache";
import { cacheFolder } from "../cache-folder.ts";
import { type CellTask, keyOf } from "./task.ts";

/** How many versions of the source keep their rows: enough to go back and forth between two branches. */
const VERSIONS_KEPT = 3;

/** Where rows are kept. */
export const rowFolder = (env: Readonly<Record<string, string | undefined>>): string =>
  join(cacheFolder(env), "cells");

/** Rows of one version of the source, in a folder of their own. */
export class RowStore {
  readonly #folder: string;
  readonly #warn: (text: string) => void;
  #warned = false;

  /**
   * @param folder where the versions' folders are
   * @param warn is told once if rows cannot be kept
   */
  constructor(folder: string, version: string, warn: (text: string) => void) {
    this.#folder = join(folder, version);
    this.#warn = warn;
    try {
      mkdirSync(this.#folder, { recursive: true });
      const now = new Date();
      utimesSync(this.#folder, now, now);
      removeOldest(folder);
    } catch (error) {
      this.#cannotKeep(error);
    }
  }

  /** The row's JSON text, or undefined where there is none or it is damaged. */
  async get(task: CellTask): Promise<string | undefined> {
    try {
      // cacache compares the content with its hash.
      return (await cacache.get(this.#folder, keyOf(task))).data.toString("utf8");
    } catch {
      return undefined;
    }
  }

  async put(task: CellTask, text: string): Promise<void> {
    try {
      await cacache.put(this.#folder, keyOf(task), text);
    } catch (error) {
      this.#cannotKeep(error);
    }
  }

  #cannotKeep(error: unknown): void {
    if (this.#warned) return;
    this.#warned = true;
    const why = error instanceof Error ? error.message : String(error);
    this.#warn(`rows are not kept for the next time: ${why}`);
  }
}

/** Removes the versions that were not used for longest. */
function removeOldest(folder: string): void {
  const versions = readdirSync(folder)
    .map((name) => ({ path: join(folder, name), usedMs: statSync(join(folder, name)).mtimeMs }))
    .sort((a, b) => b.usedMs - a.usedMs);
  for (const { path } of versions.slice(VERSIONS_KEPT)) rmSync(path, { recursive: true, force: true });
}
