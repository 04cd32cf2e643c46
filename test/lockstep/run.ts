/** Lockstep of a file. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { GdbClient } from "./gdb.ts";
import { lockstep, type Outcome } from "./lockstep.ts";

const CROSS_COMPILER = "aarch64-linux-gnu-gcc";
/** As in fuzz-a64: what this machine implements, and a little more. */
const CPU = "neoverse-n1";

/** Builds an assembly or C file; an ELF program is taken as it is. */
function programOf(file: string, directory: string): string {
  if (!/\.[sSc]$/.test(file)) return file;
  const program = join(directory, "program");
  const options = [
    "-march=armv8.2-a+crypto",
    "-O1",
    "-ffreestanding",
    "-nostdlib",
    "-static",
    "-Wl,--build-id=none",
  ];
  const done = spawnSync(CROSS_COMPILER, [...options, "-o", program, file], { encoding: "utf8" });
  if (done.status !== 0) throw new Error(`${file} does not build:\n${done.stderr}`);
  return program;
}

/** @param directory for what is made meanwhile */
export async function runLockstep(file: string, directory: string, limit: number): Promise<Outcome> {
  const program = programOf(file, directory);
  const gdb = await GdbClient.start(program, CPU, directory);
  try {
    return await lockstep(new Uint8Array(readFileSync(program)), gdb, limit);
  } finally {
    gdb.close();
  }
}
