// The source in a few pieces: esbuild puts its modules together, which start in a third of the time that hundreds of
// modules take. A package has them in dist/ (build.js); a checkout keeps those of its command line for each state of the
// source. What is imported by a URL at run time (a policy of the user's, the questions) is no part of them.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from "node:fs";
import { join, relative, sep } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { mapStacks } from "../bin/stacks.js";

const root = fileURLToPath(new URL("..", import.meta.url));
const source = join(root, "src");
const cache = join(root, "node_modules/.cache/spevisor-bundle");
/** Bundles of how many states of the source are kept. */
const KEPT = 3;
/** Packages that stay apart in a checkout's bundle: large, and loaded by a few commands only, or finding files of their own. */
const APART = ["esbuild", "echarts", "piscina", "bullmq", "ioredis", "pino", "prom-client"];
/** What a CommonJS package in a bundle of modules asks for Node's own modules. */
const REQUIRE = `import { createRequire as requireFrom } from "node:module"; const require = requireFrom(import.meta.url);`;

/** Names, sizes and times of everything under src/, which packages are installed, and what else makes a bundle. */
function stateOf() {
  const hash = createHash("sha256").update(process.version);
  for (const name of ["package.json", "node_modules/.package-lock.json", "scripts/bundle.js"])
    hash.update(readFileSync(join(root, name)));
  const visit = (folder) => {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) visit(path);
      else {
        const { size, mtimeMs } = statSync(path);
        hash.update(`${path}\0${size}\0${mtimeMs}\0`);
      }
    }
  };
  visit(source);
  return hash.digest("hex").slice(0, 32);
}

/** Modules of a checkout's bundle go on believing that they are where their source is. */
export const inSource = (path) => JSON.stringify(pathToFileURL(path).href);

/**
 * Modules of a package believe that they are in dist/ where their source is in src/: what they find by relative paths is
 * beside dist/, or copied into it. All pieces lie in dist/ itself.
 */
export const inPackage = (path) => {
  const place = relative(source, path).replaceAll(sep, "/").replace(/\.ts$/, ".js");
  return `new URL(${JSON.stringify(`./${place}`)}, import.meta.url).href`;
};

/**
 * Bundles the source's modules.
 * @param entryPoints paths of source files by the names that their bundles get
 * @param outdir a folder for them
 * @param ownUrl what `import.meta.url` becomes in a source file: an expression
 * @param options more for esbuild
 */
export async function bundle(entryPoints, outdir, ownUrl, options) {
  const { build } = await import("esbuild");
  const ownUrls = {
    name: "own-urls",
    setup(plugins) {
      plugins.onLoad({ filter: /\.ts$/ }, ({ path }) => ({
        contents: readFileSync(path, "utf8").replaceAll("import.meta.url", ownUrl(path)),
        loader: "ts",
      }));
    },
  };
  await build({
    entryPoints,
    outdir,
    bundle: true,
    // What is imported late is a file of its own, or it would be loaded at once with all the packages that it needs.
    splitting: true,
    platform: "node",
    format: "esm",
    target: "node20",
    logLevel: "error",
    plugins: [ownUrls],
    ...options,
  });
}

async function make(entries, folder) {
  mkdirSync(cache, { recursive: true });
  const temporary = `${folder}.${process.pid}.tmp`;
  const paths = Object.fromEntries(Object.entries(entries).map(([name, path]) => [name, join(source, path)]));
  await bundle(paths, temporary, inSource, {
    external: APART,
    banner: { js: REQUIRE },
    outExtension: { ".js": ".mjs" },
    sourcemap: "external",
  });
  try {
    renameSync(temporary, folder);
  } catch (error) {
    // Somebody else was faster.
    rmSync(temporary, { recursive: true, force: true });
    if (!existsSync(folder)) throw error;
  }
  const old = readdirSync(cache)
    .map((name) => ({ path: join(cache, name), madeMs: statSync(join(cache, name)).mtimeMs }))
    .sort((a, b) => b.madeMs - a.madeMs)
    .slice(KEPT);
  for (const { path } of old) rmSync(path, { recursive: true, force: true });
}

/**
 * The module of a TypeScript file with all that it imports, for a checkout.
 * @param name which of the entries
 * @param entries paths from src/ of those that are bundled together, by name: always the same
 * @returns undefined where there is no place for a bundle
 */
export async function importBundled(name, entries) {
  let folder;
  try {
    folder = join(cache, stateOf());
    if (!existsSync(folder)) await make(entries, folder);
  } catch (error) {
    if (error?.code === undefined) throw error;
    return undefined;
  }
  mapStacks(pathToFileURL(join(folder, "/")));
  return import(pathToFileURL(join(folder, `${name}.mjs`)).href);
}
