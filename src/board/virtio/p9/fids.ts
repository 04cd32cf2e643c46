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

/** A fid: where it points to, and what is open of it. */
export interface Fid {
  path: Path;
  /** An open file; undefined if not open, or a directory, or a file that restoring did not find again. */
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
  readonly mode: OpenMode | null;
  readonly names: readonly string[] | null;
}[];

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
  add(fid: number, path: Path): Result<Fid> {
    if (this.#fids.has(fid)) return new Failure("EBADF");
    if (this.#fids.size >= MOST_FIDS) return new Failure("ENFILE");
    const made: Fid = { path, handle: undefined, mode: undefined, names: undefined };
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

  clear(): void {
    for (const fid of [...this.#fids.keys()]) this.drop(fid);
  }

  /** After a rename: fids that pointed to the file, or to something below it, still do. */
  moved(from: Path, to: Path): void {
    for (const fid of this.#fids.values())
      if (from.every((name, i) => fid.path[i] === name)) fid.path = [...to, ...fid.path.slice(from.length)];
  }

  save(): FidsState {
    return [...this.#fids].map(([fid, { path, mode, names }]) => ({
      fid,
      path,
      mode: mode ?? null,
      names: names ?? null,
    }));
  }

  /** Opens files again, by path: one that has gone gives EBADF when it is used. */
  restore(state: FidsState): void {
    this.clear();
    for (const { fid, path, mode, names } of state) {
      const made = this.add(fid, path);
      if (made instanceof Failure) continue;
      made.names = names ?? undefined;
      if (mode === null) continue;
      made.mode = mode;
      const handle = this.#fileSystem.open(path, { ...mode, truncate: false, exclusive: false });
      made.handle = handle instanceof Failure ? undefined : handle;
    }
  }
}
