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

/**
 * After so long a process of QEMU's is given up that takes no time at all. What takes time the runner ends by itself: a case
 * after some tenths of a second of the processor's, all of them after a minute.
 */
const STUCK_MS = 1_800_000;

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

/** QEMU or the runner has not answered: it ended, or took too long. */
class OracleStopped extends Error {}

/**
 * What QEMU says of cases [first, end), by default all `count` of them.
 * @throws OracleStopped where it does not answer for all of them
 */
export function askQemu(
  runner: string,
  cases: Uint8Array,
  count: number,
  { cpu = "neoverse-n1", first = 0, end = count }: { cpu?: Cpu; first?: number; end?: number } = {},
): Promise<Uint8Array> {
  const bytes = (end - first) * OUTPUT.BYTES;
  return new Promise((resolve, reject) => {
    const child = execFile(
      QEMU,
      ["-cpu", cpu, runner],
      {
        encoding: "buffer",
        maxBuffer: bytes + 4096,
        timeout: STUCK_MS,
        killSignal: "SIGKILL",
      },
      (error, stdout, stderr) => {
        if (error !== null) reject(new OracleStopped(`${QEMU} stopped: ${error.message}\n${stderr}`));
        else if (stdout.length !== bytes)
          reject(new OracleStopped(`${QEMU} answered ${stdout.length} bytes for ${end - first} cases`));
        else resolve(new Uint8Array(stdout));
      },
    );
    child.stdin!.on("error", () => undefined);
    child.stdin!.write(new Uint8Array(Uint32Array.of(count, first, end).buffer));
    child.stdin!.end(cases.subarray(0, count * INPUT.BYTES));
  });
}

/**
 * As `askQemu`, but where that stops, the cases are asked in halves until those are found by which it does.
 * @returns the answers, zeros for cases that have none, and what QEMU said of these by index
 */
export async function askQemuInPieces(
  runner: string,
  cases: Uint8Array,
  count: number,
): Promise<{ readonly answers: Uint8Array; readonly stopped: ReadonlyMap<number, string> }> {
  const answers = new Uint8Array(count * OUTPUT.BYTES);
  const stopped = new Map<number, string>();
  const ask = async (first: number, end: number): Promise<void> => {
    try {
      answers.set(await askQemu(runner, cases, count, { first, end }), first * OUTPUT.BYTES);
    } catch (error) {
      if (!(error instanceof OracleStopped)) throw error;
      if (end - first === 1) {
        stopped.set(first, error.message);
        return;
      }
      const middle = (first + end) >>> 1;
      await ask(first, middle);
      await ask(middle, end);
    }
  };
  await ask(0, count);
  return { answers, stopped };
}
