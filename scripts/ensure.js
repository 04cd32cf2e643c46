// Installs what is missing, so that `npm start` and `npm test` work as the first commands typed in a fresh clone.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));

/** Runs `npm ci` once where node_modules is absent or was made from another lock file. */
export function ensureInstalled() {
  const wanted = readFileSync(`${root}package-lock.json`, "utf8");
  const marker = `${root}node_modules/.package-lock.json`;
  if (existsSync(marker)) {
    const have = JSON.parse(readFileSync(marker, "utf8")).packages;
    const want = JSON.parse(wanted).packages;
    const stale = Object.keys(want).filter(
      (path) => path !== "" && want[path].optional !== true && have[path]?.version !== want[path].version,
    );
    if (stale.length === 0) return;
  }
  process.stderr.write("spevisor: installing its packages (once; npm ci) ...\n");
  const done = spawnSync("npm", ["ci", "--no-audit", "--no-fund"], {
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
