/** Where guests and packages are kept: a file or a folder is there whole, or not at all. */

import { randomUUID } from "node:crypto";
import { rmSync } from "node:fs";
import { mkdir, open, readdir, readFile, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { getSystemErrorMap } from "node:util";
import { UserError } from "../../common/errors.ts";
import { CACHE_SETTING } from "../debian/hints.ts";

/** Writes a file's bytes and waits until they are on the disk; a test has one that fails. */
export type WriteFile = (path: string, bytes: Uint8Array) => Promise<void>;

export const writeDurably: WriteFile = async (path, bytes) => {
  const file = await open(path, "w");
  try {
    await file.writeFile(bytes);
    await file.sync();
  } finally {
    await file.close();
  }
};

/** A system call's error on a path as a UserError; anything else as it was. */
function storeError(path: string, error: unknown): unknown {
  if (!(error instanceof Error) || !("errno" in error)) return error;
  const [name, meaning] = getSystemErrorMap().get(Number(error.errno)) ?? [];
  if (name === undefined) return error;
  const remedy = name === "ENOSPC" ? "Make room (a guest takes 150 MB)" : "Make it writable";
  return new UserError(
    `${path}: cannot be written (${meaning})`,
    `${remedy}, or name another folder with ${CACHE_SETTING}`,
  );
}

/**
 * A name beside `path` for what is not whole yet, another one at each call: threads of one process write the same file at once, and
 * so do processes. It says whose it is, so that what is left by a process that was killed can be told.
 */
export const temporaryName = (path: string): string =>
  join(dirname(path), `.${basename(path)}.${randomUUID().slice(0, 8)}.${process.pid}.tmp`);
const TEMPORARY = /^\..+\.(\d+)\.tmp$/;

/** Whether a name is of something that a process is writing, or was killed at. */
export const isUnfinished = (name: string): boolean => TEMPORARY.test(name);

/** What is not whole yet; removed also when the process is made to exit, by Ctrl-C for example. */
const unfinished = new Set<string>();
let cleansAtExit = false;

async function whole(
  path: string,
  make: (temporary: string) => Promise<void>,
  replace: (temporary: string) => Promise<void>,
): Promise<void> {
  const temporary = temporaryName(path);
  if (!cleansAtExit) {
    cleansAtExit = true;
    process.on("exit", () => {
      for (const left of unfinished) rmSync(left, { recursive: true, force: true });
    });
  }
  unfinished.add(temporary);
  try {
    await mkdir(dirname(path), { recursive: true });
    await make(temporary);
    await replace(temporary);
  } catch (error) {
    throw storeError(path, error);
  } finally {
    await rm(temporary, { recursive: true, force: true });
    unfinished.delete(temporary);
  }
}

/** Writes one file. */
export const storeFile = (path: string, bytes: Uint8Array, write: WriteFile): Promise<void> =>
  whole(
    path,
    (temporary) => write(temporary, bytes),
    (temporary) => rename(temporary, path),
  );

/** Writes a folder of files in the place of what was there before. */
export const storeFolder = (
  path: string,
  files: Readonly<Record<string, Uint8Array>>,
  write: WriteFile,
): Promise<void> =>
  whole(
    path,
    async (temporary) => {
      await mkdir(temporary);
      for (const [name, bytes] of Object.entries(files)) await write(join(temporary, name), bytes);
    },
    async (temporary) => {
      await rm(path, { recursive: true, force: true });
      await rename(temporary, path);
    },
  );

/** Removes what processes left behind that were killed. */
export async function removeAbandoned(folder: string): Promise<void> {
  for (const name of await namesIn(folder)) {
    const pid = Number(TEMPORARY.exec(name)?.[1] ?? Number.NaN);
    if (pid > 0 && !isAlive(pid)) await rm(join(folder, name), { recursive: true, force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}

/** Names in a folder, sorted; none where there is no such folder. */
export const namesIn = async (folder: string): Promise<readonly string[]> =>
  (await readdir(folder).catch(() => [])).sort();

/** A file's content, or undefined where it cannot be read. */
export const readIfThere = (path: string): Promise<Buffer | undefined> =>
  readFile(path).catch(() => undefined);
