#!/usr/bin/env node
// The command line: from its TypeScript source in a checkout, and as it was built in an installed package.
import { readFileSync } from "node:fs";

const argv = process.argv.slice(2);
// Scripts ask for it at every start, and nothing has to be loaded to answer.
if (argv.length === 1 && (argv[0] === "--version" || argv[0] === "-V")) {
  const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
  process.stdout.write(`${version}\n`);
} else {
  const { load } = await import("./load.js");
  const { runFromShell } = await load("main");
  await runFromShell(argv);
}
