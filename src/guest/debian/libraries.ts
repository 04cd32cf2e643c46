/**
 * The shared libraries that a program really needs, out of the packages that its own package depends on.
 *
 * Debian's rule (Policy 8.6) helps: what a package's files link to is in packages that it names in Depends. So each
 * package with unmet needs is asked for its direct dependencies, the likeliest first, and a package is only fetched
 * while something is missing. perf names perl and python, too; of these only what it links to comes along.
 */
import { UserError } from "../../common/errors.ts";
import { contentOf, type DebFiles } from "./deb.ts";
import { neededLibraries } from "./elf.ts";
import type { Dependency, Package } from "./packages.ts";

/** Fetches and unpacks a package; asked for the same one twice it may answer from memory. */
export interface Unpacked {
  readonly about: Package;
  readonly files: DebFiles;
}
export type Unpack = (wanted: Dependency) => Promise<Unpacked | undefined>;

const LIBRARY_FOLDER = /^(?:usr\/)?lib\/(?:aarch64-linux-gnu\/)?([^/]+\.so(?:\.[^/]+)?)$/;

/** Libraries of a package by file name, symbolic links followed. */
function librariesOf(files: DebFiles): ReadonlyMap<string, Uint8Array> {
  const found = new Map<string, Uint8Array>();
  for (const path of files.keys()) {
    const name = LIBRARY_FOLDER.exec(path)?.[1];
    const content = name === undefined ? undefined : contentOf(files, path);
    if (name !== undefined && content !== undefined) found.set(name, content);
  }
  return found;
}

/** What a library's package is called by rule (Policy 8.1): libdw.so.1 is in libdw1. Not all keep to it. */
const likelyPackage = (soname: string): string =>
  soname
    .toLowerCase()
    .replaceAll("_", "-")
    .replace(/^(.*)\.so(?:\.(.*))?$/, (_, stem: string, version: string | undefined) =>
      version === undefined ? stem : /\d$/.test(stem) ? `${stem}-${version}` : `${stem}${version}`,
    );

/** Packages that hold no library, however long one searches. */
const NEVER = /^(perl|python3|debconf|dpkg|tzdata|media-types|readline-common)\b/;

/** A package's dependencies, the one most likely to have a library that is missing first. */
function byLikelihood(depends: readonly Dependency[], missing: ReadonlySet<string>): readonly Dependency[] {
  const likely = [...missing].map(likelyPackage);
  const score = ({ name }: Dependency): number =>
    likely.some((guess) => name === guess || name === `${guess}t64`)
      ? 0
      : likely.some((guess) => name.startsWith(guess.replace(/[\d.-]*$/, "")))
        ? 1
        : 2;
  return depends
    .filter(({ name }) => !NEVER.test(name))
    .map((dependency) => ({ dependency, score: score(dependency) }))
    .sort((a, b) => a.score - b.score)
    .map(({ dependency }) => dependency);
}

/**
 * Libraries for a program by the name that the loader looks for, with all that they need in turn.
 * @param program its package and its content
 * @throws UserError naming a library that no dependency has
 */
export async function librariesFor(
  program: { readonly about: Package; readonly content: Uint8Array },
  unpack: Unpack,
): Promise<ReadonlyMap<string, Uint8Array>> {
  const found = new Map<string, Uint8Array>();
  /** Which package wants what: a library is asked for once, in the name of the first who needs it. */
  const queue: { readonly about: Package; readonly needs: readonly string[] }[] = [
    { about: program.about, needs: neededLibraries(program.content) },
  ];
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    const { about, needs } = next;
    const missing = new Set(needs.filter((name) => !found.has(name)));
    const take = ({ about: owner, files }: Unpacked): void => {
      for (const [name, content] of librariesOf(files)) {
        if (!missing.delete(name)) continue;
        found.set(name, content);
        queue.push({ about: owner, needs: neededLibraries(content) });
      }
    };
    const own = missing.size > 0 && about !== program.about ? await unpack(exactly(about)) : undefined;
    if (own !== undefined) take(own);
    const left = new Set(about.depends);
    while (missing.size > 0 && left.size > 0) {
      const [candidate] = byLikelihood([...left], missing);
      if (candidate === undefined) break;
      left.delete(candidate);
      const unpacked = await unpack(candidate);
      if (unpacked !== undefined) take(unpacked);
    }
    const [lost] = missing;
    if (lost !== undefined)
      throw new UserError(
        `${about.name} ${about.version}: needs ${lost}, which none of its dependencies has`,
        "Choose another --suite; this one's package breaks Debian's own rule",
      );
  }
  return found;
}

const exactly = ({ name, version }: Package): Dependency => ({ name, exactVersion: version });
