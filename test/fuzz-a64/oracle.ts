/** qemu-aarch64 over a batch of cases. */
import { execFile, spawnSync } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { has } from "../oracles.ts";
import { INPUT, OUTPUT } from "./format.ts";

const QEMU = "qemu-aarch64";
const CROSS_COMPILER = "aarch64-linux-gnu-gcc";
/**
 * The Neoverse N1 is Armv8.2-A with LSE, CRC32, RDM, half precision and the cryptographic instructions, without pointer
 * authentication; the Cortex-A72 is Armv8.0-A with CRC32 and those.
 */
export type Cpu = "neoverse-n1" | "cortex-a72";
const here = fileURLToPath(new URL(".", import.meta.url));

/** What must be installed for the oracle, or undefined where all of it is. */
export function missingTools(): string | undefined {
  const missing = [
    [QEMU, "qemu-user"],
    [CROSS_COMPILER, "gcc-aarch64-linux-gnu libc6-dev-arm64-cross"],
  ].filter(([command]) => !has(command as string));
  return missing.length === 0 ? undefined : `apt-get install ${missing.map(([, name]) => name).join(" ")}`;
}

/** Builds runner.c in a directory and returns its path. */
export function buildRunner(directory: string): string {
  const runner = join(directory, "runner");
  const done = spawnSync(CROSS_COMPILER, [
    ...["-O2", "-static", "-Wall", "-Werror", "-o", runner, join(here, "runner.c")],
  ]);
  if (done.status !== 0) throw new Error(`runner.c does not build:\n${done.stderr}`);
  return runner;
}

/** What QEMU says of `count` cases. */
export function askQemu(
  runner: string,
  cases: Uint8Array,
  count: number,
  cpu: Cpu = "neoverse-n1",
): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const child = execFile(
      QEMU,
      ["-cpu", cpu, runner],
      { encoding: "buffer", maxBuffer: count * OUTPUT.BYTES + 4096, timeout: 120_000 },
      (error, stdout, stderr) => {
        if (error !== null) reject(new Error(`${QEMU} stopped: ${error.message}\n${stderr}`));
        else if (stdout.length !== count * OUTPUT.BYTES)
          reject(new Error(`${QEMU} answered ${stdout.length} bytes for ${count} cases`));
        else resolve(new Uint8Array(stdout));
      },
    );
    child.stdin!.on("error", () => undefined);
    child.stdin!.write(new Uint8Array(Uint32Array.of(count).buffer));
    child.stdin!.end(cases.subarray(0, count * INPUT.BYTES));
  });
}
