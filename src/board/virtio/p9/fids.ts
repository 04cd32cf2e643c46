/** The files that a 9P client has in hand, by its numbers for them (fids). */
import {
  Failure,
  type FileSystem,
  type Handle,
  type OpenMode,
  type Path,
  type Result,
} from "./file-system.ts";

/** More than Linux keeps for a mount of ours; each is a path here, and an open one a file of the host. */
const MOST_FIDS = 65_536;

/** The inode of no file: of one that restoring did not find again. */
const LOST = -1n;

/** A fid: where it points to, and what is open of it. */
export interface Fid {
  path: Path;
  /** The file that was there when the fid came to it (`Attributes.inode`). */
  inode: bigint;
  /** The client has removed that name, or put another file there: the path is not this file's any more. */
  nameless: boolean;
  /** An open file or directory; undefined if not open, or if restoring did not find it again. */
  handle: Handle | undefined;
  /** How the file was opened. */
  mode: OpenMode | undefined;
  /** An open directory: its names, as they were when it was last read from the start. */
  names: readonly string[] | undefined;
}

/** Fids as plain data. */
export type FidsState = readonly {
  readonly fid: number;
  readonly path: Path;
  readonly nameless: boolean;
  readonly mode: OpenMode | null;
  readonly names: readonly string[] | null;
}[];

const isBelow = (path: Path, directory: Path): boolean => directory.every((name, i) => path[i] === name);

export class Fids {
  readonly #fileSystem: FileSystem;
  readonly #fids = new Map<number, Fid>();

  constructor(fileSystem: FileSystem) {
    this.#fileSystem = fileSystem;
  }

  get(fid: number): Result<Fid> {
    return this.#fids.get(fid) ?? new Failure("EBADF");
  }

  /** A new fid, or the failure why there cannot be one. */
  add(fid: number, { path, inode, nameless }: Pick<Fid, "path" | "inode" | "nameless">): Result<Fid> {
    if (this.#fids.has(fid)) return new Failure("EBADF");
    if (this.#fids.size >= MOST_FIDS) return new Failure("ENFILE");
    const made: Fid = { path, inode, nameless, handle: undefined, mode: undefined, names: undefined };
    this.#fids.set(fid, made);
    return made;
  }

  drop(fid: number): Result<void> {
    const gone = this.#fids.get(fid);
    if (gone === undefined) return new Failure("EBADF");
    this.#fids.delete(fid);
    if (gone.handle !== undefined) this.#fileSystem.close(gone.handle);
  }

  /** How many names the open directories have ready. */
  get names(): number {
    let sum = 0;
    for (const { names } of this.#fids.values()) sum += names?.length ?? 0;
    return sum;
  }

  /** A handle of a file that some fid has open, for writing if asked for. */
  opened(inode: bigint, write = false): Handle | undefined {
    for (const fid of this.#fids.values())
      if (fid.handle !== undefined && fid.inode === inode && (!write || fid.mode?.write === true))
        return fid.handle;
    return undefined;
  }

  clear(): void {
    for (const fid of [...this.#fids.keys()]) this.drop(fid);
  }

  /** After a file or an empty directory has lost a name: fids that came to it there have no path any more. */
  removed(path: Path): void {
    for (const fid of this.#fids.values())
      if (fid.path.length === path.length && isBelow(fid.path, path)) fid.nameless = true;
  }

  /** After a rename: fids that pointed to the file, or to something below it, still do; what it replaced has no name. */
  moved(from: Path, to: Path): void {
    this.removed(to);
    for (const fid of this.#fids.values())
      if (!fid.nameless && isBelow(fid.path, from)) fid.path = [...to, ...fid.path.slice(from.length)];
  }

  save(): FidsState {
    return [...this.#fids].map(([fid, { path, nameless, mode, names }]) => ({
      fid,
      path,
      nameless,
      mode: mode ?? null,
      names: names ?? null,
    }));
  }

  /** Opens files again, by path: one that has gone gives EBADF when it is used. */
  restore(state: FidsState): void {
    this.clear();
    for (const { fid, path, nameless, mode, names } of state) {
      const found = nameless ? new Failure("ENOENT") : this.#fileSystem.attributes(path);
      const inode = found instanceof Failure ? LOST : found.inode;
      const made = this.add(fid, { path, inode, nameless });
      if (made instanceof Failure) continue;
      made.names = names ?? undefined;
      if (mode === null) continue;
      made.mode = mode;
      if (nameless) continue;
      const handle = this.#fileSystem.open(path, { ...mode, truncate: false, exclusive: false });
      made.handle = handle instanceof Failure ? undefined : handle;
    }
  }
}
