/**
 * Rows from earlier runs, by content: a row is found again only under the same source of spevisor and the same task. Whatever
 * goes wrong here costs time and no answer.
 */
import { hash } from "node:crypto";
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { cacheFolder } from "../cache-folder.ts";

/** How many versions of the source keep their rows: enough to go back and forth between two branches. */
const VERSIONS_KEPT = 3;

/** Where rows are kept. */
export const rowFolder = (env: Readonly<Record<string, string | undefined>>): string =>
  join(cacheFolder(env), "cells");

/** A row, and how long its cell took of one core. */
export interface KeptRow {
  readonly text: string;
  readonly tookMs: number;
}

/** Before a row's text there is a line: its checksum, and how long it took. */
const CHECKSUM_CHARS = 32;
const checksumOf = (text: string): string => hash("sha256", text).slice(0, CHECKSUM_CHARS);

/**
 * Rows of one version of the source, in a folder of their own: a file for each, read and written without waiting, since a hundred
 * microseconds a row are less than an asynchronous read takes, and a sweep has a hundred thousand.
 */
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

  /** The row of a task, by the task's key; undefined where there is none or it is damaged. */
  get(key: string): KeptRow | undefined {
    try {
      const kept = readFileSync(this.#pathOf(key), "utf8");
      const end = kept.indexOf("\n");
      const text = kept.slice(end + 1);
      if (!kept.startsWith(checksumOf(text))) return undefined;
      return { text, tookMs: Number(kept.slice(CHECKSUM_CHARS, end)) };
    } catch {
      return undefined;
    }
  }

  /** Keeps a row, whole or not at all. */
  put(key: string, { text, tookMs }: KeptRow): void {
    try {
      const path = this.#pathOf(key);
      const temporary = `${path}.${process.pid}.tmp`;
      const content = `${checksumOf(text)} ${Math.round(tookMs)}\n${text}`;
      try {
        writeFileSync(temporary, content);
      } catch {
        mkdirSync(dirname(path), { recursive: true });
        writeFileSync(temporary, content);
      }
      renameSync(temporary, path);
    } catch (error) {
      this.#cannotKeep(error);
    }
  }

  #pathOf(key: string): string {
    return join(this.#folder, key.slice(0, 2), key.slice(2));
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
