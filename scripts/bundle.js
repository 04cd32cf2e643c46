// The command line in one piece: esbuild puts its modules together once for each state of the source, which starts in a
// third of the time that hundreds of modules take. What is imported by a URL at run time (a policy of the user's, the
// questions) still goes through the hooks of register-typescript.js.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from "node:fs";
import { SourceMap } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const cache = join(root, "node_modules/.cache/spevisor-bundle");
/** Bundles of how many states of the source are kept. */
const KEPT = 3;

/** Names, sizes and times of everything under src/, and what else makes a bundle. */
function stateOf() {
  const hash = createHash("sha256").update(process.version);
  for (const name of ["package.json", "node_modules/esbuild/package.json", "scripts/bundle.js"])
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
  visit(join(root, "src"));
  return hash.digest("hex").slice(0, 32);
}

/** Modules go on believing that they are where their source is. */
const ownUrls = {
  name: "own-urls",
  setup(build) {
    build.onLoad({ filter: /\.ts$/ }, ({ path }) => {
      const text = readFileSync(path, "utf8");
      return {
        contents: text.replaceAll("import.meta.url", JSON.stringify(pathToFileURL(path).href)),
        loader: "ts",
      };
    });
  },
};

async function make(entry, folder) {
  const { build } = await import("esbuild");
  mkdirSync(cache, { recursive: true });
  const temporary = `${folder}.${process.pid}.tmp`;
  await build({
    entryPoints: { main: join(root, entry) },
    bundle: true,
    // What is imported late is a file of its own, or it would be loaded at once with all the packages that it needs.
    splitting: true,
    platform: "node",
    format: "esm",
    packages: "external",
    target: "node20",
    outdir: temporary,
    outExtension: { ".js": ".mjs" },
    sourcemap: "external",
    logLevel: "error",
    plugins: [ownUrls],
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

/** Stacks name the source, not the bundle. Maps are read when somebody looks at a stack. */
function mapStacks(folder) {
  const maps = new Map();
  const prefix = pathToFileURL(join(folder, "/")).href;
  const mapOf = (url) => {
    if (!maps.has(url))
      maps.set(url, new SourceMap(JSON.parse(readFileSync(`${fileURLToPath(url)}.map`, "utf8"))));
    return maps.get(url);
  };
  Error.prepareStackTrace = (error, sites) => {
    const lines = sites.map((site) => {
      const text = String(site);
      const url = site.getFileName();
      if (!url?.startsWith(prefix)) return text;
      try {
        const { originalSource, originalLine, originalColumn } = mapOf(url).findEntry(
          site.getLineNumber() - 1,
          site.getColumnNumber() - 1,
        );
        const source = join(dirname(fileURLToPath(url)), originalSource);
        return text.replace(/[^\s(]*\.mjs:\d+:\d+/, `${source}:${originalLine + 1}:${originalColumn + 1}`);
      } catch {
        return text;
      }
    });
    return [String(error), ...lines.map((line) => `    at ${line}`)].join("\n");
  };
}

/**
 * The module of a TypeScript file with all that it imports.
 * @param entry its path from the project's folder
 * @returns undefined where there is no place for a bundle
 */
export async function importBundled(entry) {
  let folder;
  try {
    folder = join(cache, stateOf());
    if (!existsSync(folder)) await make(entry, folder);
  } catch (error) {
    if (error?.code === undefined) throw error;
    return undefined;
  }
  mapStacks(folder);
  return import(pathToFileURL(join(folder, "main.mjs")).href);
}
