/** A perf.data in a file, or on standard input, for the reader. */
import { type FileHandle, open, stat } from "node:fs/promises";
import { UserError } from "../../common/errors.ts";
import { type ByteSource, streamSource } from "../../perf/byte-source.ts";
import { HOW_TO_RECORD } from "../../perf/header.ts";
import { IS_DIRECTORY, whyUnreadable } from "./read-file.ts";

/** A source that holds a file open until `close`. */
export interface OpenedSource {
  readonly source: ByteSource;
  close(): Promise<void>;
}

function fileSource(name: string, file: FileHandle, sizeBytes: number): ByteSource {
  return {
    name,
    sizeBytes,
    seekable: true,
    read: async (offset, lengthBytes) => {
      const buffer = new Uint8Array(Math.max(0, Math.min(lengthBytes, sizeBytes - offset)));
      let filled = 0;
      while (filled < buffer.length) {
        const { bytesRead } = await file.read(buffer, filled, buffer.length - filled, offset + filled);
        if (bytesRead === 0) break;
        filled += bytesRead;
      }
      return buffer.subarray(0, filled);
    },
  };
}

function cannotOpen(path: string, error: unknown): UserError {
  const isOthers = error instanceof Error && "code" in error && error.code === "EACCES";
  return new UserError(
    `${path}: ${whyUnreadable(error)}`,
    isOthers
      ? `perf record makes files that only their owner can read: sudo chmod a+r ${path}`
      : HOW_TO_RECORD,
  );
}

/**
 * Opens a recording: "-" for standard input (only what `perf record -o -` writes can be read there), else a file.
 *
 * @throws UserError if it cannot be opened, or is a directory (`perf record --threads` makes one)
 */
export async function openSource(path: string): Promise<OpenedSource> {
  if (path === "-")
    return { source: streamSource("standard input", process.stdin), close: () => Promise.resolve() };
  let status: Awaited<ReturnType<typeof stat>>;
  let file: FileHandle;
  try {
    status = await stat(path);
    if (status.isDirectory())
      throw new UserError(
        `${path}: ${IS_DIRECTORY}; perf.data directories (perf record --threads) are not supported`,
        HOW_TO_RECORD,
      );
    file = await open(path, "r");
  } catch (error) {
    throw error instanceof UserError ? error : cannotOpen(path, error);
  }
  const close = (): Promise<void> => file.close();
  if (status.isFile()) return { source: fileSource(path, file, status.size), close };
  return { source: streamSource(path, file.createReadStream({ autoClose: false })), close };
}
