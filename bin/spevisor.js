#!/usr/bin/env node
// Runs the command line from its TypeScript source: no build step, and in a fresh clone no install step either.
import { ensureInstalled } from "../scripts/ensure.js";

ensureInstalled();
const { importBundled } = await import("../scripts/bundle.js");
const { registerTypeScript } = await import("../scripts/register-typescript.js");
const bundled = await importBundled("src/cli/main.ts");
// What is imported later, such as a policy, registers it then (src/cli/import-source.ts).
if (bundled === undefined) registerTypeScript();
const { runFromShell } = bundled ?? (await import("../src/cli/main.ts"));
await runFromShell(process.argv.slice(2));
