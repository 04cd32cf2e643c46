// `node scripts/typescript.js FILE.ts ARGS...` runs a file.
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { ensureInstalled } from "./ensure.js";
import { registerTypeScript } from "./register-typescript.js";

const [file, ...args] = process.argv.slice(2);
ensureInstalled();
registerTypeScript();
process.argv.splice(1, process.argv.length - 1, file, ...args);
await import(pathToFileURL(resolve(file)).href);
