// Module hooks: TypeScript files become modules as they are loaded. esbuild only drops the types (no names are kept
// by wrappers, which would cost a microsecond for each closure that hot code makes). A checkout keeps what it made of a file
// by the file's content, so that esbuild itself is needed only after a change.
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { isCheckout, urlOf } from "../load.js";

const cache = isCheckout
  ? new URL("../../node_modules/.cache/spevisor-typescript/", import.meta.url)
  : undefined;
const SOURCE = new URL("../../src/", import.meta.url);
/** Other versions of esbuild may make other code. */
const version = cache && createRequire(import.meta.url)("esbuild/package.json").version;

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

/** "spevisor" is this one, wherever the file lies that imports it. */
export function resolve(specifier, context, nextResolve) {
  if (specifier === "spevisor") return { url: urlOf("index"), shortCircuit: true };
  // A module of a checkout's own, in code that was bundled without it (src/cli/sweep/policy-code.ts).
  if (isCheckout && specifier.startsWith("spevisor:"))
    return { url: new URL(specifier.slice("spevisor:".length), SOURCE).href, shortCircuit: true };
  return nextResolve(specifier, context);
}

export async function load(url, context, nextLoad) {
  if (!url.startsWith("file:") || !/\.[cm]?ts$/.test(new URL(url).pathname)) return nextLoad(url, context);
  const path = fileURLToPath(url);
  const text = readFileSync(path, "utf8");
  const key = createHash("sha256").update(`${version}\0${path}\0${text}`).digest("hex").slice(0, 32);
  const file = cache && new URL(`${key}.js`, cache);
  let code = file && kept(file);
  if (code === undefined) {
    const { transform } = await import("esbuild");
    ({ code } = await transform(text, {
      loader: "ts",
      format: "esm",
      target: "node20",
      sourcemap: "inline",
      sourcefile: path,
    }));
    if (file) keep(file, code);
  }
  return { format: "module", source: code, shortCircuit: true };
}
