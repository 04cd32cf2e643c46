/** C programs in the guest and on qemu-aarch64: how long the same work takes. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const COMPILER = "aarch64-linux-gnu-gcc";
const QEMU = "qemu-aarch64";

/** What is run how often: some hundred million instructions each. */
const PROGRAMS = [
  { name: "sorting", what: "integers: qsort", times: 60 },
  { name: "matrices", what: "singles in vectors: products of matrices", times: 400 },
  { name: "sines", what: "doubles: sines and exponentials", times: 1_000_000 },
  { name: "voices", what: "saturating halfwords in vectors", times: 20_000 },
] as const;

export interface Compared {
  readonly what: string;
  readonly mips: number;
  readonly hereMs: number;
  readonly qemuMs: number;
}

/** The programs that are missing, as words; undefined if there are all. */
export function missingForPrograms(): string | undefined {
  const missing = [COMPILER, QEMU].filter((program) => spawnSync(program, ["--version"]).error !== undefined);
  return missing.length === 0 ? undefined : missing.join(", ");
}

/**
 * Runs each program here and on QEMU's user-mode emulation, which translates and has no MMU to emulate; their outputs must be
 * the same. Times are those of the work alone: of a run less one that does nothing.
 * @param run a command in the guest: its output, milliseconds in the machine, and instructions
 */
export function comparePrograms(
  run: (
    command: string,
    inputPath: string,
  ) => {
    readonly out: string;
    readonly ms: number;
    readonly instructions: number;
  },
): Compared[] {
  const folder = mkdtempSync(join(tmpdir(), "spevisor-programs-"));
  try {
    const program = join(folder, "programs");
    const source = fileURLToPath(new URL("programs.c", import.meta.url));
    const built = spawnSync(COMPILER, ["-O3", "-static", "-o", program, source, "-lm"], { encoding: "utf8" });
    if (built.status !== 0) throw new Error(`${COMPILER} cannot build ${source}: ${built.stderr}`);
    const onQemu = (name: string, times: number): { readonly out: string; readonly ms: number } => {
      const startedMs = performance.now();
      const { stdout } = spawnSync(QEMU, [program, name, String(times)], { encoding: "utf8" });
      return { out: stdout, ms: performance.now() - startedMs };
    };
    const here = (name: string, times: number) =>
      run(`cat >/tmp/programs && chmod +x /tmp/programs && /tmp/programs ${name} ${times}`, program);
    return PROGRAMS.map(({ name, what, times }) => {
      const idle = here(name, 0);
      const busy = here(name, times);
      const qemu = onQemu(name, times);
      if (busy.out !== qemu.out)
        throw new Error(`${name} gives ${busy.out.trim()} here and ${qemu.out.trim()} on QEMU`);
      const hereMs = busy.ms - idle.ms;
      return {
        what,
        mips: (busy.instructions - idle.instructions) / hereMs / 1000,
        hereMs,
        qemuMs: qemu.ms - onQemu(name, 0).ms,
      };
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
