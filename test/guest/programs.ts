/** Static arm64 programs for the guest, and a tar archive that brings them there. */
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { packTar } from "modern-tar";
import { has } from "../oracles.ts";

export const CROSS_COMPILER = "aarch64-linux-gnu-gcc";
const here = fileURLToPath(new URL("./", import.meta.url));

export const hasCrossCompiler = has(CROSS_COMPILER);
/** A compiler for this computer. */
export const hasCompiler = has("cc");

/** A product and a sum are two roundings unless the program says fma, and the rounding mode may change. */
const FLAGS = ["-O1", "-ffp-contract=off", "-frounding-math", "-Wall", "-Wextra", "-Werror"];

/** Builds checks.c for the guest, with the atomics of Armv8.0 (LDXR and STXR) or of Armv8.1 (LSE). */
export function buildChecks(output: string, atomics: "exclusives" | "lse"): string {
  const cpu = atomics === "lse" ? ["-march=armv8.1-a"] : ["-march=armv8-a", "-mno-outline-atomics"];
  execFileSync(CROSS_COMPILER, [
    ...FLAGS,
    ...cpu,
    "-static",
    "-pthread",
    "-o",
    output,
    `${here}checks.c`,
    "-lm",
  ]);
  return output;
}

/** Builds clocks.c for the guest. */
export function buildClocks(output: string): string {
  const flags = [...FLAGS, "-march=armv8.1-a", "-static", "-pthread"];
  execFileSync(CROSS_COMPILER, [...flags, "-o", output, `${here}clocks.c`]);
  return output;
}

/** The same floating point program for this computer. */
export function buildFloatHere(output: string): string {
  execFileSync("cc", [...FLAGS, "-o", output, `${here}float.c`, "-lm"]);
  return output;
}

/** And for the guest. */
export function buildFloat(output: string): string {
  execFileSync(CROSS_COMPILER, [...FLAGS, "-static", "-o", output, `${here}float.c`, "-lm"]);
  return output;
}

/** profiled.c; see there. */
export function buildProfiled(output: string): string {
  const flags = [...FLAGS, "-march=armv8.1-a", "-static", "-pthread"];
  execFileSync(CROSS_COMPILER, [...flags, "-o", output, `${here}profiled.c`]);
  return output;
}

/** worker.c; see there. */
export function buildWorker(output: string): string {
  const flags = [...FLAGS, "-march=armv8.1-a", "-static", "-pthread"];
  execFileSync(CROSS_COMPILER, [...flags, "-o", output, `${here}worker.c`]);
  return output;
}

/** share.c; see there. */
export function buildShare(output: string): string {
  const cpu = ["-march=armv8-a", "-mno-outline-atomics"];
  execFileSync(CROSS_COMPILER, [...FLAGS, ...cpu, "-static", "-o", output, `${here}share.c`]);
  return output;
}

/** loop.S; see there. */
export function buildLoop(output: string): string {
  execFileSync(CROSS_COMPILER, [
    "-static",
    "-nostdlib",
    "-Wl,--build-id=none",
    "-o",
    output,
    `${here}loop.S`,
  ]);
  return output;
}

/** A tar archive of executable files, for `tar x` in the guest. */
export async function archive(output: string, files: Readonly<Record<string, string>>): Promise<string> {
  const entries = Object.entries(files).map(([name, path]) => {
    const body = readFileSync(path);
    return { header: { name, size: body.length, mode: 0o755, type: "file" as const }, body };
  });
  writeFileSync(output, await packTar(entries));
  return output;
}

/** exact.c; see there. */
export function buildExact(output: string): string {
  execFileSync(CROSS_COMPILER, [...FLAGS, "-march=armv8.1-a", "-static", "-o", output, `${here}exact.c`]);
  return output;
}
