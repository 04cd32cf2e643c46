// Module hooks: TypeScript files become modules as they are loaded. esbuild only drops the types (no names are kept
// by wrappers, which would cost a microsecond for each closure that hot code makes). What it made of a file is kept by the
// file's content, so that esbuild itself is needed only after a change.
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const packages = new URL("../node_modules/", import.meta.url);
const cache = new URL(".cache/spevisor-typescript/", packages);
/** Other versions of esbuild may make other code. */
const { version } = JSON.parse(readFileSync(new URL("esbuild/package.json", packages), "utf8"));

function kept(file) {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
}

function keep(file, code) {
  try {
    mkdirSync(cache, { recursive: true });
    const temporary = new URL(`${file.href}.${process.pid}.${Math.random().toString(36).slice(2)}`);
    writeFileSync(temporary, code);
    renameSync(temporary, file);
  } catch {
    // A place that cannot be written to costs time, nothing else.
  }
}

export async function load(url, context, nextLoad) {
  if (!url.startsWith("file:") || !/\.[cm]?ts$/.test(new URL(url).pathname)) return nextLoad(url, context);
  const path = fileURLToPath(url);
  const text = readFileSync(path, "utf8");
  const key = createHash("sha256").update(`${version}\0${path}\0${text}`).digest("hex").slice(0, 32);
  const file = new URL(`${key}.js`, cache);
  let code = kept(file);
  if (code === undefined) {
    const { transform } = await import("esbuild");
    ({ code } = await transform(text, {
      loader: "ts",
      format: "esm",
      target: "node20",
      sourcemap: "inline",
      sourcefile: path,
    }));
    keep(file, code);
  }
  return { format: "module", source: code, shortCircuit: true };
}
