/** Files of the user's: read whole, or refused in the same words whatever they are for. */
import { readFileSync } from "node:fs";
import { UserError } from "../../common/errors.ts";
import { refuseLfsPointer } from "../../common/lfs.ts";

export const IS_DIRECTORY = "it is a directory";
export const IS_EMPTY = "it is empty";

const WHY: Readonly<Record<string, string>> = {
  EACCES: "you may not read it",
  EPERM: "you may not read it",
  EISDIR: IS_DIRECTORY,
  ENOTDIR: "part of its path is not a directory",
  ELOOP: "its symbolic links go in a circle",
  ENAMETOOLONG: "its name is too long",
};

/** Why the system did not let us have a file or a directory, for after its name and a colon. */
export function whyUnreadable(error: unknown, kind: "file" | "directory" = "file"): string {
  const code = error instanceof Error && "code" in error ? String(error.code) : String(error);
  return code === "ENOENT" ? `there is no such ${kind}` : (WHY[code] ?? `it cannot be read (${code})`);
}

/**
 * A file that may be empty.
 * @param name what to call it: "--initrd RAMDISK"
 * @throws UserError if it is missing, a directory, unreadable, or a Git LFS pointer
 */
export function readAny(path: string, name: string, remedy = ""): Buffer {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    throw new UserError(`${name}: ${whyUnreadable(error)}`, remedy);
  }
  refuseLfsPointer(name, bytes);
  return bytes;
}

/**
 * A file that nothing is to be made of where it is empty.
 * @param name what to call it: "--kernel Image"
 * @throws UserError as `readAny` does, and if it is empty
 */
export function readWhole(path: string, name: string, remedy = ""): Buffer {
  const bytes = readAny(path, name, remedy);
  if (bytes.length === 0) throw new UserError(`${name}: ${IS_EMPTY}`, remedy);
  return bytes;
}
