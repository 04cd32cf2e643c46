/**
 * Puts a guest's tar archive into a directory of the host. The guest may be hostile: whatever its archive says, nothing
 * outside of the directory is made, changed or read. Names that lead out of it are refused; links on the way, older ones
 * too, are never followed; files take their names when they are whole, in place of what had them and not through it;
 * devices, set-ID bits and owners stay in the guest.
 */
import {
  accessSync,
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  ftruncateSync,
  futimesSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  type Stats,
  statSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeSync,
} from "node:fs";
import { dirname, resolve } from "node:path";
import { UserError } from "../../common/errors.ts";
import type { TarEntry, TarReceiver } from "../tar.ts";
import { nodeTime } from "./times.ts";

/** What is told of entries that could not be brought; the others are counted. */
const MOST_PROBLEMS = 5;
/** Errors that every further entry would meet as well. */
const HOPELESS: Readonly<Record<string, string>> = {
  ENOSPC: "no space left on the device",
  EDQUOT: "the disk quota is used up",
  EROFS: "the file system is read-only",
  EIO: "the device has an error",
};
const PERMISSIONS = 0o777;
const OWNER_ALL = 0o700;
const ZEROS = new Uint8Array(64 * 1024);

/** The host cannot take what comes. */
export class OutFailed extends Error {
  override readonly name = "OutFailed";
}

const codeOf = (error: unknown): string =>
  error instanceof Error && "code" in error ? String(error.code) : "";

/** A name of the guest's for people: its control characters might do something to their terminal. */
const shown = (name: string): string =>
  `"${Buffer.from(name, "latin1")
    .toString("utf8")
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
    .replace(/[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g, "?")
    .slice(0, 200)}"`;

const parentOf = (name: string): string => name.slice(0, Math.max(0, name.lastIndexOf("/")));

/** A place that a directory can be at, looked at before the guest runs and nothing is made yet. */
export function checkOut(path: string): void {
  const refuse = (why: string): never => {
    throw new UserError(
      `--out ${path}: ${why}`,
      "Name a directory that you may write to, or one that can be made",
    );
  };
  for (let at = resolve(path); ; at = dirname(at)) {
    let found: Stats | undefined;
    try {
      found = statSync(at, { throwIfNoEntry: false });
      if (found === undefined && lstatSync(at, { throwIfNoEntry: false }) !== undefined)
        refuse(`${at} is a link to nothing`);
      if (found === undefined) continue;
      if (!found.isDirectory()) refuse(at === resolve(path) ? "is no directory" : `${at} is no directory`);
      accessSync(at, constants.W_OK | constants.X_OK);
      return;
    } catch (error) {
      if (error instanceof UserError) throw error;
      const code = codeOf(error);
      // The file that is in the way is above.
      if (code === "ENOTDIR") continue;
      refuse(code === "EACCES" || code === "EPERM" ? "permission denied" : (HOPELESS[code] ?? code));
    }
  }
}

interface OpenFile {
  readonly fd: number;
  readonly entry: TarEntry;
  readonly path: string;
  readonly temporary: Buffer;
  writtenBytes: number;
}

export class OutDirectory implements TarReceiver {
  /** Bytes, a character for each, as all names here. */
  readonly #root: string;
  /** Directories that were found to be directories, and no links. */
  readonly #safe = new Set<string>([""]);
  /** Directories whose mode and time are set when all is in them. */
  readonly #directories = new Map<string, TarEntry>();
  #file: OpenFile | undefined;
  #temporaries = 0;
  readonly #problems: string[] = [];
  readonly #files: string[] = [];
  #otherProblems = 0;
  #bytes = 0;

  readonly #write: typeof writeSync;

  /**
   * @param write writes to a file; a test has one that fails
   * @throws OutFailed where it cannot be made
   */
  constructor(path: string, write = writeSync) {
    this.#write = write;
    try {
      mkdirSync(path, { recursive: true });
    } catch (error) {
      throw new OutFailed(`it cannot be made (${codeOf(error)})`);
    }
    this.#root = Buffer.from(resolve(path)).toString("latin1");
  }

  /** Regular files that have come, by their paths below the directory: bytes, a character for each. */
  get files(): readonly string[] {
    return this.#files;
  }

  /** Content that has come. */
  get bytes(): number {
    return this.#bytes;
  }

  /** What could not be brought, and why: a line for each, and one for the rest. */
  get problems(): readonly string[] {
    return this.#otherProblems === 0
      ? this.#problems
      : [...this.#problems, `and ${this.#otherProblems} more like these`];
  }

  #problem(name: string, why: string): void {
    if (this.#problems.length < MOST_PROBLEMS) this.#problems.push(`${shown(name)}: ${why}`);
    else this.#otherProblems += 1;
  }

  #place(name: string): Buffer {
    return Buffer.from(name === "" ? this.#root : `${this.#root}/${name}`, "latin1");
  }

  /** A name as a path below the root, or undefined where it is none. */
  #inside(name: string): string | undefined {
    const parts = name.split("/").filter((part) => part !== "" && part !== ".");
    return name.startsWith("/") || name.includes("\0") || parts.includes("..") ? undefined : parts.join("/");
  }

  /** Does something for an entry; what goes wrong with it alone is noted. */
  #attempt(name: string, action: () => void): boolean {
    try {
      action();
      return true;
    } catch (error) {
      const code = codeOf(error);
      if (code === "") throw error;
      const hopeless = HOPELESS[code];
      if (hopeless !== undefined) throw new OutFailed(hopeless);
      const why: Readonly<Record<string, string>> = {
        EISDIR: "a directory has its name",
        ENOTEMPTY: "a directory has its name",
        EEXIST: "a directory has its name",
        ENOTDIR: "what should be its directory is none",
        ENOENT: "its directory is not there",
        ENAMETOOLONG: "its name is too long",
        EACCES: "permission denied",
        EPERM: "not permitted here",
        EILSEQ: "no name here may be like that",
      };
      this.#problem(name, why[code] ?? code);
      return false;
    }
  }

  /** Whether a path is a directory, and all above it are, and none is a link. */
  #isSafe(path: string): boolean {
    if (this.#safe.has(path)) return true;
    if (!this.#isSafe(parentOf(path))) return false;
    if (lstatSync(this.#place(path), { throwIfNoEntry: false })?.isDirectory() !== true) return false;
    this.#safe.add(path);
    return true;
  }

  onEntry(entry: TarEntry): void {
    this.#file = undefined;
    const { name, kind } = entry;
    const path = this.#inside(name);
    if (path === undefined) {
      this.#problem(name, "a name that leads out of the directory");
      return;
    }
    // The directory itself stays as its owner has it.
    if (path === "") return;
    this.#attempt(name, () => {
      if (!this.#isSafe(parentOf(path))) this.#problem(name, "what should be its directory is none");
      else if (kind === "special") this.#problem(name, "a device, pipe or socket");
      else if (kind === "directory") this.#makeDirectory(path, entry);
      else if (kind === "file") this.#beginFile(path, entry);
      else this.#makeLink(path, entry);
    });
  }

  #makeDirectory(path: string, entry: TarEntry): void {
    const place = this.#place(path);
    const there = lstatSync(place, { throwIfNoEntry: false });
    if (there?.isDirectory() !== true) {
      if (there !== undefined) unlinkSync(place);
      mkdirSync(place, OWNER_ALL);
    } else if ((there.mode & OWNER_ALL) !== OWNER_ALL) chmodSync(place, OWNER_ALL);
    this.#safe.add(path);
    this.#directories.set(path, entry);
  }

  /** A name in the directory of a path that nothing has. */
  #temporary(path: string): Buffer {
    const directory = parentOf(path);
    for (;;) {
      const name = `.spevisor-${process.pid}-${this.#temporaries++}`;
      const place = this.#place(directory === "" ? name : `${directory}/${name}`);
      if (lstatSync(place, { throwIfNoEntry: false }) === undefined) return place;
    }
  }

  #beginFile(path: string, entry: TarEntry): void {
    const temporary = this.#temporary(path);
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
    this.#file = { fd: openSync(temporary, flags, 0o600), entry, path, temporary, writtenBytes: 0 };
  }

  onContent(bytes: Uint8Array): void {
    this.#bytes += bytes.length;
    const file = this.#file;
    if (file === undefined) return;
    const isWritten = this.#attempt(file.entry.name, () => {
      for (let done = 0; done < bytes.length; ) {
        const piece = bytes.subarray(done, done + ZEROS.length);
        // Zeros are left out: the file has a hole there.
        const isZero = Buffer.compare(piece, ZEROS.subarray(0, piece.length)) === 0;
        const count = isZero ? piece.length : this.#write(file.fd, piece, 0, piece.length, file.writtenBytes);
        file.writtenBytes += count;
        done += count;
      }
    });
    if (!isWritten) this.discard();
  }

  onEntryEnd(): void {
    const file = this.#file;
    if (file === undefined) return;
    const { fd, entry, path, temporary } = file;
    this.#attempt(entry.name, () => {
      ftruncateSync(fd, entry.sizeBytes);
      fchmodSync(fd, entry.mode & PERMISSIONS);
      const time = nodeTime(entry.mtimeNs);
      futimesSync(fd, time, time);
      renameSync(temporary, this.#place(path));
      this.#files.push(path);
    });
    this.discard();
  }

  /** Closes the file at hand, and removes what did not get its name. */
  discard(): void {
    const file = this.#file;
    if (file === undefined) return;
    this.#file = undefined;
    closeSync(file.fd);
    rmSync(file.temporary, { force: true });
  }

  #makeLink(path: string, entry: TarEntry): void {
    const { name, kind, target } = entry;
    const temporary = this.#temporary(path);
    if (kind === "symlink") {
      symlinkSync(Buffer.from(target, "latin1"), temporary);
      const time = nodeTime(entry.mtimeNs);
      lutimesSync(temporary, time, time);
    } else {
      const to = this.#inside(target);
      const isFile =
        to !== undefined &&
        this.#isSafe(parentOf(to)) &&
        lstatSync(this.#place(to), { throwIfNoEntry: false })?.isFile() === true;
      if (!isFile) {
        this.#problem(name, "a link to what is no file of the archive");
        return;
      }
      linkSync(this.#place(to), temporary);
    }
    try {
      renameSync(temporary, this.#place(path));
    } finally {
      // Where both are names of one file already, rename(2) does nothing.
      if (lstatSync(temporary, { throwIfNoEntry: false }) !== undefined) unlinkSync(temporary);
    }
  }

  /** All has come, or nothing more will: directories get their modes and times, and a file that is not whole goes. */
  finish(): void {
    this.discard();
    const deepestFirst = [...this.#directories].sort(([a], [b]) => b.length - a.length);
    for (const [path, { name, mode, mtimeNs }] of deepestFirst)
      this.#attempt(name, () => {
        const time = nodeTime(mtimeNs);
        utimesSync(this.#place(path), time, time);
        chmodSync(this.#place(path), mode & PERMISSIONS);
      });
  }
}
