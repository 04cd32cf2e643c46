/** Git LFS leaves a small text in a file's place until the file is fetched. */
import { UserError } from "./errors.ts";

/** What such a text begins with (git-lfs, docs/spec.md). */
const BEGINNING = "version https://git-lfs.github.com/spec/";

/** Bytes of a file's start that `refuseLfsPointer` needs to see. */
export const LFS_POINTER_BYTES = BEGINNING.length;

/**
 * @param start the file's first bytes, LFS_POINTER_BYTES or more
 * @throws UserError if they are a pointer's
 */
export function refuseLfsPointer(name: string, start: Uint8Array): void {
  if (new TextDecoder("latin1").decode(start.subarray(0, LFS_POINTER_BYTES)) === BEGINNING)
    throw new UserError(
      `${name}: it is a Git LFS pointer, and not the file that it stands for`,
      "Fetch the file: git lfs pull",
    );
}
