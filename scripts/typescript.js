// `node scripts/typescript.js FILE.ts ARGS...` runs a file.
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { registerTypeScript } from "../bin/typescript/register.js";
import { ensureInstalled } from "./ensure.js";

const [file, ...args] = process.argv.slice(2);
ensureInstalled();
registerTypeScript();
process.argv.splice(1, process.argv.length - 1, file, ...args);
await import(pathToFileURL(resolve(file)).href);
