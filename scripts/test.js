// `npm test`: says how long all of it takes, and runs it; with arguments, the tests that they name.
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const args = process.argv.slice(2);
if (!args.some((arg) => !arg.startsWith("-")))
  console.log(
    "All tests: about half an hour on two cores with every oracle installed and guests fetched, a quarter without.\n" +
      "For the inner loop: npm run test:fast (a minute), or npm test -- src/kvm (one folder).",
  );
const run = fileURLToPath(new URL("run.js", import.meta.url));
process.exit(spawnSync(process.execPath, [run, "vitest", "run", ...args], { stdio: "inherit" }).status ?? 1);
