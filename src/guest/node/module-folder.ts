/** A kernel's modules in a folder of this computer: lib/modules/RELEASE, what it lies in, or a kernel's build folder. */
import { existsSync, readdirSync, readFileSync, realpathSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { UserError } from "../../common/errors.ts";
import type { ModuleFiles } from "../debian/modules.ts";

export interface ModuleFolder {
  /** As uname -r says it. */
  readonly release: string;
  readonly files: ModuleFiles;
}

const isFolder = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;

/** Written by a kernel's build: the release. */
const BUILT_RELEASE = "include/config/kernel.release";
/** Whether a folder is lib/modules/RELEASE. */
const isRelease = (folder: string): boolean =>
  ["kernel", "updates", "modules.dep", "modules.order", "modules.builtin"].some((name) =>
    existsSync(join(folder, name)),
  ) && !existsSync(join(folder, "Kbuild"));

const namesIn = (folder: string): readonly string[] => (isFolder(folder) ? readdirSync(folder).sort() : []);

/** Modules and lists below a folder. Links to folders are not followed: build and source lead out of it. */
function filesIn(folder: string): ModuleFiles {
  const paths = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.ko(\.(xz|zst|gz))?$|^modules\.builtin$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort();
  return { paths, read: (path) => new Uint8Array(readFileSync(join(folder, path))) };
}

/**
 * Finds a kernel's modules.
 * @param path lib/modules/RELEASE; a root folder, or INSTALL_MOD_PATH, that has one such; or a kernel's build folder
 * @throws UserError where there are none, or those of several kernels
 */
export function openModules(path: string): ModuleFolder {
  const refuse = (what: string, remedy: string): never => {
    throw new UserError(`--modules ${path}: ${what}`, remedy);
  };
  if (!existsSync(path)) return refuse("there is no such folder", "Give a kernel's lib/modules/RELEASE");
  if (!isFolder(path)) return refuse("it is not a folder", "Give a kernel's lib/modules/RELEASE");
  const folder = realpathSync(path);
  const of = (found: string, release = basename(found)): ModuleFolder => {
    const files = filesIn(found);
    const hasAny = files.paths.some((name) => name !== "modules.builtin");
    if (!hasAny && !files.paths.includes("modules.builtin"))
      return refuse("no module is in it", "Give a kernel's lib/modules/RELEASE");
    return { release, files };
  };
  try {
    if (existsSync(join(folder, BUILT_RELEASE)))
      return of(folder, readFileSync(join(folder, BUILT_RELEASE), "utf8").trim());
    if (isRelease(folder)) return of(folder);
    const found = ["", "lib/modules", "usr/lib/modules", "modules"]
      .flatMap((below) => namesIn(join(folder, below)).map((name) => join(folder, below, name)))
      .filter((candidate) => isFolder(candidate) && isRelease(candidate));
    // /lib is /usr/lib on most systems.
    const distinct = [...new Set(found.map((candidate) => realpathSync(candidate)))];
    const [only] = distinct;
    if (only === undefined)
      return refuse("no kernel's modules are in it", "Give a kernel's lib/modules/RELEASE");
    if (distinct.length > 1)
      return refuse(
        `it has modules of several kernels: ${distinct.map((one) => basename(one)).join(", ")}`,
        `Name one, such as ${only}`,
      );
    return of(only);
  } catch (error) {
    if (error instanceof UserError) throw error;
    const why = error instanceof Error && "code" in error ? String(error.code) : String(error);
    return refuse(`it cannot be read (${why})`, "Change its permissions");
  }
}
