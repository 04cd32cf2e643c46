/** Builds the payload, runs it in QEMU and reads back what PAR_EL1 said. */
import { execFile, spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { has } from "../oracles.ts";

const QEMU = "qemu-system-aarch64";
const CROSS_COMPILER = "aarch64-linux-gnu-gcc";
const here = fileURLToPath(new URL(".", import.meta.url));

/** What must be installed for the oracle, or undefined where all of it is. */
export function missingTools(): string | undefined {
  const missing = [
    [QEMU, "qemu-system-arm"],
    [CROSS_COMPILER, "gcc-aarch64-linux-gnu"],
  ].filter(([command]) => !has(command as string));
  return missing.length === 0 ? undefined : `apt-get install ${missing.map(([, name]) => name).join(" ")}`;
}

/** Builds the payload in `directory` and returns the path of its ELF file. */
export function buildPayload(directory: string): string {
  const elf = join(directory, "payload.elf");
  const flags = [
    ...["-march=armv8.2-a", "-O1", "-ffreestanding", "-nostdlib", "-static", "-mgeneral-regs-only"],
    ...["-mstrict-align", "-fno-pic", "-fno-stack-protector", "-Wall", "-Werror"],
    ...["-Wl,--build-id=none", "-Wl,--no-warn-rwx-segments", `-Wl,-T,${join(here, "payload.ld")}`],
  ];
  const done = spawnSync(CROSS_COMPILER, [
    ...flags,
    "-o",
    elf,
    join(here, "start.S"),
    join(here, "payload.c"),
  ]);
  if (done.status !== 0) throw new Error(`the payload does not build:\n${done.stderr}`);
  return elf;
}

/** Runs the payload over an input in `directory` and returns the words of its output. */
export async function runPayload(
  elf: string,
  cpu: string,
  input: readonly bigint[],
  directory: string,
): Promise<BigUint64Array> {
  const blob = join(directory, "input.bin");
  writeFileSync(blob, new Uint8Array(BigUint64Array.from(input).buffer));
  const machine = ["-M", "virt,virtualization=on,highmem=off", "-cpu", cpu, "-m", "256M"];
  const io = [
    "-display",
    "none",
    "-serial",
    "none",
    "-nic",
    "none",
    "-monitor",
    "none",
    "-semihosting-config",
    "enable=on,target=native",
  ];
  const load = ["-kernel", elf, "-device", `loader,file=${blob},addr=0x46000000,force-raw=on`];
  await new Promise<void>((resolve, reject) => {
    execFile(QEMU, [...machine, ...io, ...load], { cwd: directory, timeout: 60_000 }, (error, _, stderr) => {
      if (error === null) resolve();
      else reject(new Error(`QEMU stopped: ${error.message}\n${stderr}`));
    });
  });
  const output = readFileSync(join(directory, "par.bin"));
  return new BigUint64Array(output.buffer.slice(output.byteOffset, output.byteOffset + output.byteLength));
}
