/** For tests: a tree of files in memory. */
import {
  type Attributes,
  type Changes,
  Failure,
  type FileSystem,
  type FileSystemSpace,
  type Handle,
  MODE,
  type OpenMode,
  type Path,
  type Result,
} from "./file-system.ts";

interface File {
  readonly inode: bigint;
  mode: number;
  uid: number;
  gid: number;
  links: number;
  data: Uint8Array;
  readonly children: Map<string, File>;
  times: [atime: bigint, mtime: bigint, ctime: bigint];
}

export class MemoryFiles implements FileSystem {
  #inodes = 0n;
  #clockNs = 1_000_000_000n;
  readonly #root = this.#file(MODE.DIRECTORY | 0o755);
  readonly #open = new Map<Handle, { readonly file: File; readonly write: boolean }>();
  #handles = 0;

  get openHandles(): number {
    return this.#open.size;
  }

  #file(mode: number): File {
    const now = ++this.#clockNs;
    return {
      inode: ++this.#inodes,
      mode,
      uid: 0,
      gid: 0,
      links: 1,
      data: new Uint8Array(0),
      children: new Map(),
      times: [now, now, now],
    };
  }

  #find(path: Path): Result<File> {
    let at = this.#root;
    for (const name of path) {
      if ((at.mode & MODE.TYPE) === MODE.SYMLINK) return new Failure("ELOOP");
      if ((at.mode & MODE.TYPE) !== MODE.DIRECTORY) return new Failure("ENOTDIR");
      const child = at.children.get(name);
      if (child === undefined) return new Failure("ENOENT");
      at = child;
    }
    return at;
  }

  /** The directory that a new name goes to. */
  #parent(path: Path): Result<Map<string, File>> {
    const parent = this.#find(path.slice(0, -1));
    if (parent instanceof Failure) return parent;
    return (parent.mode & MODE.TYPE) === MODE.DIRECTORY ? parent.children : new Failure("ENOTDIR");
  }

  #put(path: Path, file: File): Result<void> {
    const parent = this.#parent(path);
    if (parent instanceof Failure) return parent;
    const name = path.at(-1) ?? "";
    if (parent.has(name)) return new Failure("EEXIST");
    parent.set(name, file);
  }

  #describe({ inode, mode, uid, gid, links, data, times }: File): Attributes {
    return {
      inode,
      mode,
      uid,
      gid,
      links: BigInt(links),
      device: 0n,
      sizeBytes: BigInt(data.length),
      blockBytes: 4096n,
      blocks: BigInt(Math.ceil(data.length / 512)),
      atimeNs: times[0],
      mtimeNs: times[1],
      ctimeNs: times[2],
    };
  }

  attributes(path: Path): Result<Attributes> {
    const file = this.#find(path);
    return file instanceof Failure ? file : this.#describe(file);
  }

  setAttributes(path: Path, changes: Changes): Result<void> {
    const file = this.#find(path);
    return file instanceof Failure ? file : this.#change(file, changes);
  }

  #change(file: File, { mode, uid, gid, sizeBytes, atime, mtime }: Changes): Result<void> {
    if (mode !== undefined) file.mode = (file.mode & MODE.TYPE) | mode;
    file.uid = uid ?? file.uid;
    file.gid = gid ?? file.gid;
    if (sizeBytes !== undefined) {
      const failed = this.#resize(file, sizeBytes);
      if (failed instanceof Failure) return failed;
    }
    const now = ++this.#clockNs;
    const pick = (time: bigint | "now" | undefined, old: bigint): bigint =>
      time === "now" ? now : (time ?? old);
    file.times = [pick(atime, file.times[0]), pick(mtime, file.times[1]), now];
  }

  #resize(file: File, sizeBytes: bigint): Result<void> {
    if (sizeBytes > 1_000_000n) return new Failure("EFBIG");
    const data = new Uint8Array(Number(sizeBytes));
    data.set(file.data.subarray(0, data.length));
    file.data = data;
  }

  list(path: Path): Result<readonly string[]> {
    const file = this.#find(path);
    return file instanceof Failure ? file : [...file.children.keys()];
  }

  readLink(path: Path): Result<string> {
    const file = this.#find(path);
    if (file instanceof Failure) return file;
    if ((file.mode & MODE.TYPE) !== MODE.SYMLINK) return new Failure("EINVAL");
    return String.fromCharCode(...file.data);
  }

  #keep(file: File, write: boolean): Handle {
    this.#open.set(++this.#handles, { file, write });
    return this.#handles;
  }

  open(path: Path, mode: OpenMode): Result<Handle> {
    const file = this.#find(path);
    return file instanceof Failure ? file : this.#openFile(file, mode);
  }

  #openFile(file: File, { write, truncate }: OpenMode): Result<Handle> {
    const type = file.mode & MODE.TYPE;
    if (type === MODE.SYMLINK) return new Failure("ELOOP");
    if (type === MODE.DIRECTORY && (write || truncate)) return new Failure("EISDIR");
    if (truncate) file.data = new Uint8Array(0);
    return this.#keep(file, write);
  }

  reopen(handle: Handle, mode: OpenMode): Result<Handle> {
    const file = this.#opened(handle);
    return file instanceof Failure ? file : this.#openFile(file, mode);
  }

  create(path: Path, mode: OpenMode, permissions: number): Result<Handle> {
    const existing = this.#find(path);
    if (!(existing instanceof Failure)) {
      if (mode.exclusive) return new Failure("EEXIST");
      const isDirectory = (existing.mode & MODE.TYPE) === MODE.DIRECTORY;
      return isDirectory ? new Failure("EISDIR") : this.#openFile(existing, mode);
    }
    const file = this.#file(MODE.REGULAR | permissions);
    const failed = this.#put(path, file);
    return failed instanceof Failure ? failed : this.#keep(file, mode.write);
  }

  close(handle: Handle): void {
    this.#open.delete(handle);
  }

  #opened(handle: Handle): Result<File> {
    return this.#open.get(handle)?.file ?? new Failure("EBADF");
  }

  attributesOf(handle: Handle): Result<Attributes> {
    const file = this.#opened(handle);
    return file instanceof Failure ? file : this.#describe(file);
  }

  setAttributesOf(handle: Handle, changes: Changes): Result<void> {
    const file = this.#opened(handle);
    if (file instanceof Failure) return file;
    const readOnly = this.#open.get(handle)?.write !== true;
    return changes.sizeBytes !== undefined && readOnly ? new Failure("EINVAL") : this.#change(file, changes);
  }

  read(handle: Handle, offset: number, bytes: number): Result<Uint8Array> {
    const file = this.#opened(handle);
    return file instanceof Failure ? file : file.data.slice(offset, offset + bytes);
  }

  write(handle: Handle, offset: number, data: Uint8Array): Result<number> {
    const file = this.#opened(handle);
    if (file instanceof Failure) return file;
    if (offset + data.length > file.data.length) {
      const failed = this.#resize(file, BigInt(offset + data.length));
      if (failed instanceof Failure) return failed;
    }
    file.data.set(data, offset);
    file.times[1] = ++this.#clockNs;
    return data.length;
  }

  sync(handle: Handle): Result<void> {
    const file = this.#opened(handle);
    return file instanceof Failure ? file : undefined;
  }

  makeDirectory(path: Path, permissions: number): Result<void> {
    return this.#put(path, this.#file(MODE.DIRECTORY | permissions));
  }

  makeSymlink(path: Path, target: string): Result<void> {
    const file = this.#file(MODE.SYMLINK | 0o777);
    file.data = Uint8Array.from(target, (byte) => byte.charCodeAt(0));
    return this.#put(path, file);
  }

  link(from: Path, to: Path): Result<void> {
    const file = this.#find(from);
    if (file instanceof Failure) return file;
    if ((file.mode & MODE.TYPE) === MODE.DIRECTORY) return new Failure("EPERM");
    const failed = this.#put(to, file);
    if (failed instanceof Failure) return failed;
    file.links++;
  }

  rename(from: Path, to: Path): Result<void> {
    const file = this.#find(from);
    if (file instanceof Failure) return file;
    if (from.every((name, i) => to[i] === name))
      return from.length === to.length ? undefined : new Failure("EINVAL");
    const source = this.#parent(from);
    if (source instanceof Failure) return source;
    const target = this.#parent(to);
    if (target instanceof Failure) return target;
    const name = to.at(-1) ?? "";
    const replaced = target.get(name);
    if (replaced === file) return;
    const isDirectory = (file.mode & MODE.TYPE) === MODE.DIRECTORY;
    if (replaced !== undefined && isDirectory !== ((replaced.mode & MODE.TYPE) === MODE.DIRECTORY))
      return new Failure(isDirectory ? "ENOTDIR" : "EISDIR");
    if (replaced !== undefined && replaced.children.size > 0) return new Failure("ENOTEMPTY");
    if (replaced !== undefined) replaced.links--;
    source.delete(from.at(-1) ?? "");
    target.set(name, file);
  }

  #remove(path: Path, directory: boolean): Result<void> {
    const file = this.#find(path);
    if (file instanceof Failure) return file;
    const isDirectory = (file.mode & MODE.TYPE) === MODE.DIRECTORY;
    if (isDirectory !== directory) return new Failure(directory ? "ENOTDIR" : "EISDIR");
    if (path.length === 0) return new Failure("EBUSY");
    if (file.children.size > 0) return new Failure("ENOTEMPTY");
    const parent = this.#parent(path);
    if (parent instanceof Failure) return parent;
    parent.delete(path.at(-1) ?? "");
    file.links--;
  }

  removeFile(path: Path): Result<void> {
    return this.#remove(path, false);
  }

  removeDirectory(path: Path): Result<void> {
    return this.#remove(path, true);
  }

  space(): Result<FileSystemSpace> {
    return {
      type: 0x0102_1997n,
      blockBytes: 4096n,
      blocks: 1000n,
      freeBlocks: 500n,
      availableBlocks: 400n,
      files: 100n,
      freeFiles: 50n,
    };
  }
}
