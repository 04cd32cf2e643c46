#!/usr/bin/env node
// Runs the command line from its TypeScript source: no build step, and in a fresh clone no install step either.
import { ensureInstalled } from "../scripts/ensure.js";

ensureInstalled();
const { registerTypeScript } = await import("../scripts/typescript.js");
registerTypeScript();
const { runFromShell } = await import("../src/cli/main.ts");
await runFromShell(process.argv.slice(2));
