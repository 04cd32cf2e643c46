/** The guests that tests boot: those that were fetched before, and in CI those that can be fetched. */
import { cacheFolder } from "../../src/cli/cache-folder.ts";
import type { Kernel, Suite } from "../../src/guest/debian/recipe.ts";
import { guestFiles, guestName, type StoredGuest } from "../../src/guest/node/guests.ts";
import { spevisor } from "./cli.ts";

const inCi = (process.env["CI"] ?? "") !== "";

/**
 * A guest, or undefined and a printed line that says what to do. Nothing is downloaded unless the environment has CI.
 * @param tests what is skipped without it
 */
export async function guestFor(
  tests: string,
  suite: Suite = "bookworm",
  kernel: Kernel = "cloud",
): Promise<StoredGuest | undefined> {
  const stored = (): Promise<StoredGuest | undefined> => guestFiles(suite, cacheFolder(process.env), kernel);
  const options = ["--suite", suite, "--kernel", kernel];
  const there = await stored();
  if (there !== undefined) return there;
  if (!inCi) {
    const command = `npx spevisor guest fetch ${options.join(" ")}`;
    console.log(`${tests}: skipped, needs the guest ${guestName(suite, kernel)}: ${command}`);
    return undefined;
  }
  const { code, err } = await spevisor(["guest", "fetch", ...options]);
  if (code !== 0)
    console.log(`${tests}: skipped, the guest ${guestName(suite, kernel)} cannot be fetched: ${err}`);
  return stored();
}
