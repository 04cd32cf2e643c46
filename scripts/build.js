// `npm pack` makes dist/ with this: JavaScript in a few pieces with source maps, declarations of the documented API, and
// the files that are read beside them. A checkout runs without it.
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { ENTRIES } from "../bin/load.js";
import { ensureInstalled } from "./ensure.js";

ensureInstalled();
const { bundle, inPackage } = await import("./bundle.js");

const root = fileURLToPath(new URL("..", import.meta.url));
const source = join(root, "src");
const dist = join(root, "dist");

rmSync(dist, { recursive: true, force: true });
const entryPoints = Object.entries(ENTRIES).map(([name, path]) => [name, join(source, path)]);
await bundle(Object.fromEntries(entryPoints), dist, inPackage, { packages: "external", sourcemap: "linked" });

/** What modules read at run time; the mirror of src/ that they believe to be in. */
const ASSET = /\.(css|js|sh)$/;
for (const entry of readdirSync(source, { recursive: true, withFileTypes: true })) {
  if (!entry.isFile() || !ASSET.test(entry.name)) continue;
  const from = join(entry.parentPath, entry.name);
  const to = join(dist, relative(source, from));
  mkdirSync(dirname(to), { recursive: true });
  copyFileSync(from, to);
}

// npm pack prints the package's name on standard output, and nothing else should be there.
const tsc = join(root, "node_modules/typescript/bin/tsc");
const { status } = spawnSync(process.execPath, [tsc, "-p", "tsconfig.package.json"], {
  cwd: root,
  stdio: ["ignore", 2, 2],
});
if (status !== 0) process.exit(1);

// Declarations of all modules have been written; the API's are those that its own lead to.
const types = join(dist, "types");
const reached = new Set();
const reach = (path) => {
  if (reached.has(path)) return;
  reached.add(path);
  const text = readFileSync(path, "utf8").replaceAll(/(["'])(\.\.?\/[^"']+)\.ts\1/g, (_, __, module) => {
    reach(join(dirname(path), `${module}.d.ts`));
    return `"${module}.js"`;
  });
  writeFileSync(path, text);
};
reach(join(types, "api/index.d.ts"));
for (const entry of readdirSync(types, { recursive: true, withFileTypes: true })) {
  const path = join(entry.parentPath, entry.name);
  if (entry.isFile() && !reached.has(path)) rmSync(path);
}
