/** Seeds that follow from the commit: with a fixed one alone, tests would never see another random case. */
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const HEX_DIGITS = 7;
/** Without git, or outside of a checkout. */
const WITHOUT_COMMIT = 1_000_003;

/** The hash of HEAD; undefined where there is none. */
function headHash(): string | undefined {
  try {
    return execFileSync("git", ["rev-parse", "HEAD"], {
      cwd: ROOT,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    }).trim();
  } catch {
    return undefined;
  }
}

/** A commit's seed, below 2^28: another one for about every commit. @param hash as `git rev-parse` prints it; undefined: a fixed seed */
export function seedOfHash(hash: string | undefined): number {
  const digits = hash?.slice(0, HEX_DIGITS) ?? "";
  return /^[0-9a-f]{7}$/.test(digits) ? Number.parseInt(digits, 16) : WITHOUT_COMMIT;
}

export const commitSeed = (): number => seedOfHash(headHash());
