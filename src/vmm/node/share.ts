/**
 * A directory of the host as the file system of a 9P share. The guest stays inside of it: paths have no ".." and no
 * "/" in their names (the server sees to that), every directory on the way is looked at and must be one, and the last
 * name is never followed if it is a symbolic link. Whoever else can write to the directory could swap a directory for
 * a link between two of our calls: share what you trust other programs of this host with.
 */
import {
  type BigIntStats,
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  futimesSync,
  lchownSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
  realpathSync,
  renameSync,
  rmdirSync,
  statfsSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { sep } from "node:path";
import {
  type Attributes,
  type Changes,
  ERRNO,
  type ErrnoName,
  Failure,
  type FileSystem,
  type FileSystemSpace,
  type Handle,
  type OpenMode,
  type Path,
  type Result,
} from "../../board/virtio/p9/file-system.ts";
import { UserError } from "../../common/errors.ts";
import { whyUnreadable } from "./read-file.ts";
import { nodeTime } from "./times.ts";

export interface ShareOptions {
  /** The guest can change nothing. */
  readonly readOnly: boolean;
}

const codeOf = (error: unknown): string =>
  error instanceof Error && "code" in error ? String(error.code) : "EIO";

/** The host's error as Linux's, whatever number the host has for it. */
function failureOf(error: unknown): Failure {
  const code = codeOf(error);
  return new Failure(code in ERRNO ? (code as ErrnoName) : code === "ENOTSUP" ? "EOPNOTSUPP" : "EIO");
}

/** What a call to the host comes to. Only its own errors become failures: others are ours. */
function attempt<T>(call: () => T): Result<T> {
  try {
    return call();
  } catch (error) {
    if (error instanceof Error && "code" in error) return failureOf(error);
    throw error;
  }
}

/** Inode numbers go up from 1: their upper bits are free to tell file systems apart that are mounted below the share. */
const DEVICE_SHIFT = 44n;

/** @param device the number of the share's own file system */
const attributesFrom = (stats: BigIntStats, device: bigint): Attributes => ({
  inode: BigInt.asUintN(64, stats.ino ^ ((stats.dev ^ device) << DEVICE_SHIFT)),
  mode: Number(stats.mode),
  uid: Number(stats.uid),
  gid: Number(stats.gid),
  links: stats.nlink,
  device: stats.rdev,
  sizeBytes: stats.size,
  blockBytes: stats.blksize,
  blocks: stats.blocks,
  atimeNs: stats.atimeNs,
  mtimeNs: stats.mtimeNs,
  ctimeNs: stats.ctimeNs,
});

const accessFlags = ({ read, write }: OpenMode): number =>
  write ? (read ? constants.O_RDWR : constants.O_WRONLY) : constants.O_RDONLY;

/** A file that is no file after all, but a pipe, must not be waited for. */
const openFlags = (mode: OpenMode): number =>
  accessFlags(mode) | (mode.truncate ? constants.O_TRUNC : 0) | constants.O_NONBLOCK;

const isDirectory = ({ mode }: Attributes): boolean => (mode & constants.S_IFMT) === constants.S_IFDIR;

/** The host's directory at `path`, which must be one when the machine is made. */
export function openShare(path: string, options: ShareOptions): FileSystem {
  try {
    if (!statSync(path).isDirectory())
      throw new UserError(`${path}: it is not a directory`, "Share the directory that it is in");
    return new HostDirectory(realpathSync(path), options);
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(
      `${path}: ${whyUnreadable(error, "directory")}`,
      "Share a directory that exists and that you may read",
    );
  }
}

class HostDirectory implements FileSystem {
  /** Bytes, a character for each, as all names here. */
  readonly #root: string;
  readonly #device: bigint;
  readonly #readOnly: boolean;
  readonly #open = new Set<Handle>();

  constructor(root: string, { readOnly }: ShareOptions) {
    this.#root = root === sep ? "" : Buffer.from(root).toString("latin1");
    this.#device = statSync(root, { bigint: true }).dev;
    this.#readOnly = readOnly;
  }

  /** Where a path lies on the host, if all directories on the way are directories. */
  #locate(path: Path): Result<Buffer> {
    let at = this.#root;
    for (const [i, name] of path.entries()) {
      if (name === "" || name === "." || name === ".." || name.includes(sep) || name.includes("\0"))
        return new Failure("EINVAL");
      if (i > 0) {
        const directory = Buffer.from(at, "latin1");
        const found = attempt(() => lstatSync(directory));
        if (found instanceof Failure) return found;
        if (found.isSymbolicLink()) return new Failure("ELOOP");
        if (!found.isDirectory()) return new Failure("ENOTDIR");
      }
      at = `${at}${sep}${name}`;
    }
    return Buffer.from(at === "" ? sep : at, "latin1");
  }

  /** Calls the host with a path's place. */
  #at<T>(path: Path, call: (place: Buffer) => T): Result<T> {
    const place = this.#locate(path);
    return place instanceof Failure ? place : attempt(() => call(place));
  }

  /** The same, if the share may be written to. */
  #change<T>(path: Path, call: (place: Buffer) => T): Result<T> {
    return this.#readOnly ? new Failure("EROFS") : this.#at(path, call);
  }

  attributes(path: Path): Result<Attributes> {
    return this.#at(path, (place) => attributesFrom(lstatSync(place, { bigint: true }), this.#device));
  }

  setAttributes(path: Path, changes: Changes): Result<void> {
    const outcome = this.#change(path, (place): Failure | undefined => {
      const { mode, uid, gid, sizeBytes, atime, mtime } = changes;
      const old = lstatSync(place, { bigint: true });
      if (uid !== undefined || gid !== undefined)
        lchownSync(place, uid ?? Number(old.uid), gid ?? Number(old.gid));
      if (mode !== undefined) {
        // Linux has no mode of a link, and chmod would follow it.
        if (old.isSymbolicLink()) return new Failure("EOPNOTSUPP");
        chmodSync(place, mode);
      }
      if (sizeBytes !== undefined) {
        const failed = this.#truncateAt(place, old, sizeBytes);
        if (failed !== undefined) return failed;
      }
      if (atime !== undefined || mtime !== undefined) {
        lutimesSync(place, nodeTime(atime ?? old.atimeNs), nodeTime(mtime ?? old.mtimeNs));
      }
      return undefined;
    });
    return outcome instanceof Failure ? outcome : undefined;
  }

  #truncateAt(place: Buffer, found: BigIntStats, sizeBytes: bigint): Failure | undefined {
    if (found.isDirectory()) return new Failure("EISDIR");
    if (!found.isFile()) return new Failure("EINVAL");
    const handle = openSync(place, constants.O_WRONLY | constants.O_NOFOLLOW);
    try {
      const failed = this.#resize(handle, sizeBytes);
      return failed instanceof Failure ? failed : undefined;
    } finally {
      closeSync(handle);
    }
  }

  #resize(handle: number, sizeBytes: bigint): Result<void> {
    if (sizeBytes > BigInt(Number.MAX_SAFE_INTEGER)) return new Failure("EFBIG");
    return attempt(() => ftruncateSync(handle, Number(sizeBytes)));
  }

  list(path: Path): Result<readonly string[]> {
    // A link or a file would be ENOTDIR, but readdir follows a link.
    return this.#directory(path, (place) =>
      readdirSync(place, { encoding: "buffer" }).map((name) => name.toString("latin1")),
    );
  }

  #directory<T>(path: Path, call: (place: Buffer) => T): Result<T> {
    const found = this.attributes(path);
    if (found instanceof Failure) return found;
    if (!isDirectory(found)) return new Failure("ENOTDIR");
    return this.#at(path, call);
  }

  readLink(path: Path): Result<string> {
    return this.#at(path, (place) => readlinkSync(place, { encoding: "buffer" }).toString("latin1"));
  }

  open(path: Path, mode: OpenMode): Result<Handle> {
    if (this.#readOnly && (mode.write || mode.truncate)) return new Failure("EROFS");
    const opened = this.#at(path, (place): Result<Handle> => {
      const found = lstatSync(place);
      if (found.isSymbolicLink()) return new Failure("ELOOP");
      if (found.isDirectory() && (mode.write || mode.truncate)) return new Failure("EISDIR");
      // A device, a pipe or a socket of the host is none of the guest's.
      if (!found.isFile() && !found.isDirectory()) return new Failure("EACCES");
      return openSync(place, openFlags(mode) | constants.O_NOFOLLOW);
    });
    return this.#keep(opened);
  }

  reopen(handle: Handle, mode: OpenMode): Result<Handle> {
    if (this.#readOnly && (mode.write || mode.truncate)) return new Failure("EROFS");
    // A link to the file itself on Linux; elsewhere it is another number for the same handle, or nothing.
    const again = process.platform === "linux" ? "/proc/self/fd" : "/dev/fd";
    return this.#keep(this.#with(handle, () => openSync(`${again}/${handle}`, openFlags(mode))));
  }

  create(path: Path, mode: OpenMode, permissions: number): Result<Handle> {
    if (!mode.exclusive) {
      const existing = this.attributes(path);
      if (!(existing instanceof Failure))
        return isDirectory(existing) ? new Failure("EISDIR") : this.open(path, mode);
    }
    const flags = accessFlags(mode) | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
    const created = this.#change(path, (place) => {
      const handle = openSync(place, flags, permissions);
      // The guest's own umask has been taken off already: ours must not be.
      attempt(() => fchmodSync(handle, permissions));
      return handle;
    });
    return this.#keep(created);
  }

  #keep(opened: Result<Handle>): Result<Handle> {
    if (!(opened instanceof Failure)) this.#open.add(opened);
    return opened;
  }

  close(handle: Handle): void {
    if (this.#open.delete(handle)) attempt(() => closeSync(handle));
  }

  /** Calls the host with one of our handles: no other file of this program is ever touched. */
  #with<T>(handle: Handle, call: () => T): Result<T> {
    return this.#open.has(handle) ? attempt(call) : new Failure("EBADF");
  }

  attributesOf(handle: Handle): Result<Attributes> {
    return this.#with(handle, () => attributesFrom(fstatSync(handle, { bigint: true }), this.#device));
  }

  setAttributesOf(handle: Handle, { mode, uid, gid, sizeBytes, atime, mtime }: Changes): Result<void> {
    if (this.#readOnly) return new Failure("EROFS");
    const outcome = this.#with(handle, (): Failure | undefined => {
      const old = fstatSync(handle, { bigint: true });
      if (uid !== undefined || gid !== undefined)
        fchownSync(handle, uid ?? Number(old.uid), gid ?? Number(old.gid));
      if (mode !== undefined) fchmodSync(handle, mode);
      if (sizeBytes !== undefined) {
        const failed = this.#resize(handle, sizeBytes);
        if (failed instanceof Failure) return failed;
      }
      if (atime !== undefined || mtime !== undefined)
        futimesSync(handle, nodeTime(atime ?? old.atimeNs), nodeTime(mtime ?? old.mtimeNs));
      return undefined;
    });
    return outcome instanceof Failure ? outcome : undefined;
  }

  read(handle: Handle, offset: number, bytes: number): Result<Uint8Array> {
    return this.#with(handle, () => {
      const data = new Uint8Array(bytes);
      return data.subarray(0, readSync(handle, data, 0, bytes, offset));
    });
  }

  write(handle: Handle, offset: number, data: Uint8Array): Result<number> {
    return this.#with(handle, () => writeSync(handle, data, 0, data.length, offset));
  }

  sync(handle: Handle): Result<void> {
    return this.#with(handle, () => fsyncSync(handle));
  }

  makeDirectory(path: Path, permissions: number): Result<void> {
    return this.#change(path, (place) => {
      mkdirSync(place, { mode: permissions });
      chmodSync(place, permissions);
    });
  }

  makeSymlink(path: Path, target: string): Result<void> {
    if (target === "" || target.includes("\0")) return new Failure("EINVAL");
    return this.#change(path, (place) => symlinkSync(Buffer.from(target, "latin1"), place));
  }

  link(from: Path, to: Path): Result<void> {
    const source = this.#locate(from);
    if (source instanceof Failure) return source;
    return this.#change(to, (place): Failure | undefined => {
      // Elsewhere than on Linux link(2) follows a symbolic link, which may lead out of the directory.
      if (process.platform !== "linux" && lstatSync(source).isSymbolicLink()) return new Failure("EPERM");
      linkSync(source, place);
      return undefined;
    });
  }

  rename(from: Path, to: Path): Result<void> {
    const source = this.#locate(from);
    if (source instanceof Failure) return source;
    return this.#change(to, (place) => renameSync(source, place));
  }

  removeFile(path: Path): Result<void> {
    return this.#change(path, (place) => unlinkSync(place));
  }

  removeDirectory(path: Path): Result<void> {
    if (path.length === 0) return new Failure("EBUSY");
    return this.#change(path, (place) => rmdirSync(place));
  }

  space(): Result<FileSystemSpace> {
    return this.#at([], (place) => {
      const { type, bsize, blocks, bfree, bavail, files, ffree } = statfsSync(place, { bigint: true });
      return {
        type,
        blockBytes: bsize,
        blocks,
        freeBlocks: bfree,
        availableBlocks: bavail,
        files,
        freeFiles: ffree,
      };
    });
  }
}
