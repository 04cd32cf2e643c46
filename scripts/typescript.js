// Lets Node import TypeScript: no build step. `node scripts/typescript.js FILE.ts ARGS...` runs a file.
import { register } from "node:module";
import { resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { ensureInstalled } from "./ensure.js";

let registered = false;

/** Registers the hooks for this thread, once. It costs a thread of their own, and a message to it for each import. */
export function registerTypeScript() {
  if (registered) return;
  registered = true;
  process.setSourceMapsEnabled(true);
  register("./typescript-hooks.js", import.meta.url);
}

if (process.argv[1] !== undefined && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const [file, ...args] = process.argv.slice(2);
  ensureInstalled();
  registerTypeScript();
  process.argv.splice(1, process.argv.length - 1, file, ...args);
  await import(pathToFileURL(resolve(file)).href);
}
