/** `npm run lockstep -- FILE`: a small program here and on qemu-aarch64 until a register differs. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command } from "commander";
import { missingTools } from "../fuzz-a64/oracle.ts";
import { runLockstep } from "./run.ts";
import { textOf } from "./text.ts";

const command = new Command("lockstep")
  .description(
    "Executes a small Linux program here and on qemu-aarch64, instruction by instruction, until a register differs or it makes a system call.",
  )
  .argument("<file>", "assembly or C with a _start (.s, .S, .c), or a static arm64 ELF program")
  .option("--limit <n>", "instructions at most", Number, 100_000)
  .addHelpText(
    "after",
    "\nIt starts with the registers and the stack that Linux gives a program. Exit codes: 0 all is the same, 1 something differs.",
  )
  .parse();
const missing = missingTools();
if (missing !== undefined) {
  console.error(`lockstep needs qemu-aarch64 and a cross compiler: ${missing}`);
  process.exit(2);
}
const directory = mkdtempSync(join(tmpdir(), "spevisor-lockstep-"));
try {
  const outcome = await runLockstep(command.args[0]!, directory, command.opts<{ limit: number }>().limit);
  console.log(textOf(outcome));
  process.exitCode = outcome.ending === "differs" ? 1 : 0;
} finally {
  rmSync(directory, { recursive: true, force: true });
}
