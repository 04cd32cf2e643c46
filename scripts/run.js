// `node scripts/run.js TOOL ARGS...`: installs what is missing, then runs a tool of node_modules/.bin.
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { ensureInstalled } from "./ensure.js";

ensureInstalled();
const root = fileURLToPath(new URL("..", import.meta.url));
const [tool, ...args] = process.argv.slice(2);
if (tool === "vitest" && args.length === 1)
  console.log(
    "All tests: about twenty minutes on two cores with QEMU, perf, a cross compiler and Debian's guests, less without; npm run test:fast takes one.",
  );
const done = spawnSync(`${root}node_modules/.bin/${tool}`, args, {
  stdio: "inherit",
  shell: process.platform === "win32",
});
process.exit(done.status ?? 1);
