/** Files are written whole or not at all: beside their place under another name, then renamed over it. */
import { appendFileSync, closeSync, openSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { UserError } from "../common/errors.ts";
import { temporaryName } from "../guest/node/store.ts";
import { IS_DIRECTORY } from "../vmm/node/read-file.ts";

/** What a system call that failed to write means to whoever named the file; for reading see vmm/node/read-file.ts. */
const MEANING: Readonly<Record<string, string>> = {
  ENOENT: "no such file or directory",
  EACCES: "permission denied",
  EPERM: "permission denied",
  EISDIR: IS_DIRECTORY,
  ENOTDIR: "a part of the path is not a directory",
  ENOSPC: "no space left on the device",
  EROFS: "the file system is read-only",
  ENAMETOOLONG: "the name is too long",
};

/** A system call's error on a file of the user's as a UserError; anything else as it was. */
export function fileError(name: string, error: unknown): unknown {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  const meaning = MEANING[code];
  return meaning === undefined ? error : new UserError(`${name}: ${meaning}`);
}

/** A file that does not exist under its own name before `commit`. */
export interface PendingFile {
  readonly path: string;
  /** Where its content goes meanwhile. */
  readonly temporaryPath: string;
  write(content: string | Uint8Array): void;
  /** More of it, behind what there is. */
  append(content: string): void;
  /** Gives it its name. */
  commit(): void;
  /** Removes what was written, unless it was committed. */
  discard(): void;
}

const pending = new Set<PendingFile>();

/** Removes everything that was begun and not finished; for the way out on Ctrl-C. */
export function discardPendingFiles(): void {
  for (const file of pending) file.discard();
}

function guarded(path: string, action: () => void): void {
  try {
    action();
  } catch (error) {
    throw fileError(path, error);
  }
}

/** A device or a pipe, such as /dev/null or a shell's >(command): a file with its name would take its place. */
const inPlace = (path: string): PendingFile => ({
  path,
  temporaryPath: path,
  write: (content) => guarded(path, () => writeFileSync(path, content)),
  append: (content) => guarded(path, () => appendFileSync(path, content)),
  commit: () => undefined,
  discard: () => undefined,
});

/**
 * Begins a file, so that a place that cannot be written to is refused before the work and not after it.
 * @throws UserError naming the file and what is in the way
 */
export function beginFile(path: string): PendingFile {
  const temporaryPath = temporaryName(path);
  try {
    const there = statSync(path, { throwIfNoEntry: false });
    if (there?.isDirectory()) throw new UserError(`${path}: ${IS_DIRECTORY}`);
    if (there !== undefined && !there.isFile()) return inPlace(path);
    closeSync(openSync(temporaryPath, "w"));
  } catch (error) {
    throw fileError(path, error);
  }
  const file: PendingFile = {
    path,
    temporaryPath,
    write: (content) => guarded(path, () => writeFileSync(temporaryPath, content)),
    append: (content) => guarded(path, () => appendFileSync(temporaryPath, content)),
    commit: () =>
      guarded(path, () => {
        renameSync(temporaryPath, path);
        pending.delete(file);
      }),
    discard: () => {
      if (pending.delete(file)) rmSync(temporaryPath, { force: true });
    },
  };
  pending.add(file);
  return file;
}
