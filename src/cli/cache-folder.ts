/** Where things are kept that may be thrown away, and the version of the source that they belong to. */
import { createHash } from "node:crypto";
import {
  accessSync,
  constants,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
} from "node:fs";
import { homedir, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { UserError } from "../common/errors.ts";
import { fileError } from "./files.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
/** src/ in a checkout, and dist/ in an installed package. */
const CODE = fileURLToPath(new URL("../", import.meta.url));
/** Tests, source maps and declarations: nothing that runs. */
const ASIDE = /\.((test|testing)\.ts|map|d\.ts)$/;

/** A hash over all that runs, and over package.json. */
export function sourceVersion(): string {
  const hash = createHash("sha256").update(readFileSync(join(ROOT, "package.json")));
  const files = readdirSync(CODE, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !ASIDE.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
  for (const file of files) {
    const content = readFileSync(file);
    hash.update(`${file.slice(ROOT.length)}\0${content.length}\0`).update(content);
  }
  return hash.digest("hex").slice(0, 32);
}

type Env = Readonly<Record<string, string | undefined>>;

/**
 * The user's folder for what may be thrown away, whether it is there or not: under XDG_CACHE_HOME, or ~/.cache.
 * @throws UserError where the user has no home
 */
export function lastingCacheFolder(env: Env): string {
  const given = env["XDG_CACHE_HOME"];
  if (given) return join(given, "spevisor");
  try {
    return join(homedir(), ".cache", "spevisor");
  } catch {
    // No HOME, and nobody of this number in the system's list of users.
    throw new UserError("there is no home folder", "Set XDG_CACHE_HOME to a folder that can be written to");
  }
}

/** Why nothing can be kept in a folder, which need not be there yet; undefined where something can, or is. */
function whyUnusable(folder: string): string | undefined {
  // Guests that somebody has put there are of use to those who can only read them.
  if (existsSync(join(folder, "guests"))) return undefined;
  let there = folder;
  while (!existsSync(there) && dirname(there) !== there) there = dirname(there);
  try {
    if (!statSync(there).isDirectory()) return `${folder}: ${there} is not a directory`;
    accessSync(there, constants.W_OK | constants.X_OK);
    return undefined;
  } catch (error) {
    return (fileError(folder, error) as Error).message;
  }
}

/** What stands in for folders that cannot be used, until this process ends. */
const substitutes = new Map<string, string>();

function substituteFor(folder: string, why: string): string {
  const known = substitutes.get(folder);
  if (known !== undefined) return known;
  let temporary: string;
  try {
    temporary = mkdtempSync(join(tmpdir(), "spevisor-"));
  } catch (error) {
    throw new UserError(
      `there is no place for files: ${why}; ${(fileError(tmpdir(), error) as Error).message}`,
      "Set XDG_CACHE_HOME to a folder that can be written to",
    );
  }
  process.on("exit", () => rmSync(temporary, { recursive: true, force: true }));
  process.stderr.write(
    `spevisor: nothing is kept for the next time (${why}); XDG_CACHE_HOME names another folder\n`,
  );
  substitutes.set(folder, temporary);
  return temporary;
}

/**
 * A folder for what may be thrown away: the user's own, or, where that cannot be written to, a temporary one for as long as
 * this process lives, with a line on standard error.
 */
export function cacheFolder(env: Env): string {
  let folder: string;
  try {
    folder = lastingCacheFolder(env);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return substituteFor("", error.what);
  }
  const why = whyUnusable(folder);
  return why === undefined ? folder : substituteFor(folder, why);
}
