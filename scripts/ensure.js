// Installs what is missing, so that `npm start` and `npm test` work as the first commands typed in a fresh clone.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));

/** What a lock file says is installed where: paths to versions. */
const packagesOf = (file) => JSON.parse(readFileSync(file, "utf8")).packages;

/** Runs `npm ci` once where node_modules is absent or was made from another lock file. */
export function ensureInstalled() {
  const lock = `${root}package-lock.json`;
  // A package that came from a registry has no lock file: npm has installed its dependencies beside it.
  if (!existsSync(lock)) return;
  const marker = `${root}node_modules/.package-lock.json`;
  if (existsSync(marker)) {
    const have = packagesOf(marker);
    const stale = Object.entries(packagesOf(lock)).filter(
      ([path, wanted]) => path !== "" && wanted.optional !== true && have[path]?.version !== wanted.version,
    );
    if (stale.length === 0) return;
  }
  process.stderr.write("spevisor: installing its packages (once; npm ci) ...\n");
  const done = spawnSync("npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"], {
    cwd: root,
    stdio: ["ignore", 2, 2],
    shell: process.platform === "win32",
  });
  if (done.status !== 0) {
    process.stderr.write(
      "spevisor: npm ci failed; see its messages above. Node 20 or newer and npm are needed.\n",
    );
    process.exit(2);
  }
}
