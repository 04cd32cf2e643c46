/** Which mirror to take packages from where the user names none. */
import { readFileSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { mirrorOf } from "../debian/apt-sources.ts";

const DEFAULT_MIRROR = "http://deb.debian.org/debian";

/**
 * The first Debian mirror in apt's sources, or deb.debian.org.
 * @param folder apt's configuration
 */
export async function machineMirror(folder = "/etc/apt"): Promise<string> {
  const parts = join(folder, "sources.list.d");
  const names = (await readdir(parts).catch(() => []))
    .sort()
    .filter((name) => /\.(list|sources)$/.test(name));
  const files = [join(folder, "sources.list"), ...names.map((name) => join(parts, name))].flatMap((name) => {
    try {
      return [{ name, text: readFileSync(name, "utf8") }];
    } catch {
      // What cannot be read is no source of ours; apt itself would complain.
      return [];
    }
  });
  return mirrorOf(files) ?? DEFAULT_MIRROR;
}
