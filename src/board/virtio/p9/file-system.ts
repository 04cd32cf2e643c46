/** What the 9P server serves: a tree of files, named by paths, with Linux's error numbers. */

/** Linux's error numbers (include/uapi/asm-generic/errno-base.h and errno.h): those that a server answers with. */
export const ERRNO = {
  EPERM: 1,
  ENOENT: 2,
  EIO: 5,
  EBADF: 9,
  ENOMEM: 12,
  EACCES: 13,
  EBUSY: 16,
  EEXIST: 17,
  EXDEV: 18,
  ENOTDIR: 20,
  EISDIR: 21,
  EINVAL: 22,
  ENFILE: 23,
  EMFILE: 24,
  ETXTBSY: 26,
  EFBIG: 27,
  ENOSPC: 28,
  EROFS: 30,
  EMLINK: 31,
  ENAMETOOLONG: 36,
  ENOTEMPTY: 39,
  ELOOP: 40,
  EPROTO: 71,
  EOPNOTSUPP: 95,
  EDQUOT: 122,
} as const;
export type ErrnoName = keyof typeof ERRNO;

/** Why something could not be done: a value, since a guest may ask for anything. */
export class Failure {
  readonly errno: number;

  constructor(name: ErrnoName) {
    this.errno = ERRNO[name];
  }
}

export type Result<T> = T | Failure;

/**
 * From the root down; the root has no names. A name is its bytes, a character for each, since Linux's need not be UTF-8:
 * "Ã¼" is "ü". It is neither empty, "." nor "..", and has no "/" or NUL in it.
 */
export type Path = readonly string[];

/** Type bits of a mode (include/uapi/linux/stat.h). */
export const MODE = { TYPE: 0o170000, DIRECTORY: 0o040000, REGULAR: 0o100000, SYMLINK: 0o120000 } as const;

export interface Attributes {
  /** Names the file itself, whatever its path: no two files of a tree have the same at a time. */
  readonly inode: bigint;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly links: bigint;
  readonly device: bigint;
  readonly sizeBytes: bigint;
  readonly blockBytes: bigint;
  /** Of 512 bytes each. */
  readonly blocks: bigint;
  readonly atimeNs: bigint;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
}

/** What to change of a file; what is not there stays. A time is nanoseconds since 1970, or the time it is. */
export interface Changes {
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly sizeBytes?: bigint;
  readonly atime?: bigint | "now";
  readonly mtime?: bigint | "now";
}

export interface OpenMode {
  readonly read: boolean;
  readonly write: boolean;
  readonly truncate: boolean;
  /** For `create`: there must be no file yet. */
  readonly exclusive: boolean;
}

export interface FileSystemSpace {
  readonly type: bigint;
  readonly blockBytes: bigint;
  readonly blocks: bigint;
  readonly freeBlocks: bigint;
  readonly availableBlocks: bigint;
  readonly files: bigint;
  readonly freeFiles: bigint;
}

/** An open regular file or directory, by number. */
export type Handle = number;

/**
 * A tree of files. Symbolic links are never followed, neither at the end of a path nor on the way. Nothing throws
 * for what a guest can ask for.
 */
export interface FileSystem {
  attributes(path: Path): Result<Attributes>;
  setAttributes(path: Path, changes: Changes): Result<void>;
  /** Names in a directory, without "." and "..". */
  list(path: Path): Result<readonly string[]>;
  /** The target's bytes, a character for each. */
  readLink(path: Path): Result<string>;
  /** Opens a regular file, or a directory, which cannot be written to. */
  open(path: Path, mode: OpenMode): Result<Handle>;
  /** Makes a regular file and opens it. */
  create(path: Path, mode: OpenMode, permissions: number): Result<Handle>;
  /** Opens what is open once more, in another way, whatever it is called by now. */
  reopen(handle: Handle, mode: OpenMode): Result<Handle>;
  close(handle: Handle): void;
  /** The file that is open, even if its path now names another or none. */
  attributesOf(handle: Handle): Result<Attributes>;
  /** Changes the file that is open, even if its path now names another or none; its size if it is open for writing. */
  setAttributesOf(handle: Handle, changes: Changes): Result<void>;
  /** Fewer bytes at the file's end, and none beyond. */
  read(handle: Handle, offset: number, bytes: number): Result<Uint8Array>;
  /** How many bytes were written. */
  write(handle: Handle, offset: number, data: Uint8Array): Result<number>;
  sync(handle: Handle): Result<void>;
  makeDirectory(path: Path, permissions: number): Result<void>;
  makeSymlink(path: Path, target: string): Result<void>;
  /** Another name for a file. */
  link(from: Path, to: Path): Result<void>;
  /** Replaces what is at `to`, as rename(2) does. */
  rename(from: Path, to: Path): Result<void>;
  removeFile(path: Path): Result<void>;
  removeDirectory(path: Path): Result<void>;
  space(): Result<FileSystemSpace>;
}
