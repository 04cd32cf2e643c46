/** Bare-metal programs for the hypervisor and for QEMU's virt machine, which must print the same on both. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe } from "vitest";
import { costTable } from "../../src/host/costs.ts";
import { PROFILES } from "../../src/host/profiles.ts";
import { fault } from "../../src/kvm/spe/policies/fault.ts";
import { readImage } from "../../src/vmm/image.ts";
import { DEFAULT_HOST } from "../../src/vmm/machine-config.ts";
import type { Ending } from "../../src/vmm/machine-loop.ts";
import { VirtualMachine, type VirtualMachineOptions } from "../../src/vmm/virtual-machine.ts";
import { has } from "../oracles.ts";

export const CROSS = "aarch64-linux-gnu";
const QEMU = "qemu-system-aarch64";
const here = fileURLToPath(new URL("./", import.meta.url));

/** The Debian package that is missing for building and comparing; undefined: none. */
export const missingPackage = (): string | undefined =>
  !has(`${CROSS}-gcc`) ? "gcc-aarch64-linux-gnu" : !has(QEMU) ? "qemu-system-arm" : undefined;

/** Builds the program in a C file, which has `run` and `taken`, and returns the path of its Image in a directory. */
function buildImage(source: string, directory: string, flags: readonly string[]): string {
  const elf = join(directory, "payload.elf");
  const image = join(directory, "payload.img");
  execFileSync(`${CROSS}-gcc`, [
    ...["-march=armv8.2-a", "-O1", "-ffreestanding", "-nostdlib", "-static", "-mgeneral-regs-only"],
    ...["-mstrict-align", "-fno-pic", "-fno-stack-protector", "-Wall", "-Werror", "-Wl,--build-id=none"],
    ...["-Wl,--no-warn-rwx-segments", `-Wl,-T,${join(here, "payload.ld")}`],
    ...[...flags, "-o", elf, join(here, "start.S"), source],
  ]);
  execFileSync(`${CROSS}-objcopy`, ["-O", "binary", elf, image]);
  return image;
}

/**
 * Tests of a program; skipped with a printed line where there is no compiler or no QEMU.
 * @param program which of the C files here
 * @param tests they ask for the path of its Image while they run
 * @param flags more for the compiler
 */
export function describePayload(
  name: string,
  program: string,
  tests: (image: () => string) => void,
  flags: readonly string[] = [],
): void {
  const missing = missingPackage();
  if (missing !== undefined) console.log(`${name}: skipped, needs: apt-get install ${missing}`);
  describe.skipIf(missing !== undefined)(name, () => {
    let directory: string;
    let image: string;
    beforeAll(() => {
      directory = mkdtempSync(join(tmpdir(), "spevisor-payload-"));
      image = buildImage(join(here, `${program}.c`), directory, flags);
    });
    afterAll(() => rmSync(directory, { recursive: true, force: true }));
    tests(() => image);
  });
}

/** What the program prints on a Cortex-A76 as QEMU has it. */
export function onQemu(image: string, cpus = 1): string {
  const machine = ["-M", "virt,gic-version=3", "-cpu", "cortex-a76", "-m", "256M", "-smp", String(cpus)];
  const io = ["-display", "none", "-serial", "stdio", "-monitor", "none", "-nic", "none"];
  const done = spawnSync(QEMU, [...machine, ...io, "-kernel", image], {
    encoding: "utf8",
    input: "",
    timeout: 60_000,
  });
  if (done.status !== 0) throw new Error(`QEMU ended with ${done.status ?? done.signal}: ${done.stderr}`);
  return done.stdout;
}

/** A VM of ours with the program in it; without one it is for `restore`. */
export function machineWith(
  image: string | undefined,
  print: (text: string) => void,
  cpus = 1,
  more: Partial<VirtualMachineOptions> = {},
): VirtualMachine {
  const boot =
    image === undefined
      ? undefined
      : {
          kernel: readImage(readFileSync(image), image),
          initrd: undefined,
          append: "",
          deviceTree: undefined,
        };
  return new VirtualMachine({
    cpus,
    memoryBytes: 256 * 1024 ** 2,
    boot,
    startSeconds: 0,
    ports: [],
    disks: [],
    shares: [],
    policy: fault,
    costs: costTable(PROFILES[0]!),
    host: DEFAULT_HOST,
    seed: 1,
    spe: undefined,
    // Programs are small: what they do more than once is translated.
    translation: { hotAfter: 2, batch: 2, patience: 1000 },
    console: (byte) => print(String.fromCharCode(byte)),
    ...more,
  });
}

/** What the program prints in a VM of ours. */
export function underHypervisor(image: string): { text: string; ending: Ending; machine: VirtualMachine } {
  let text = "";
  const machine = machineWith(image, (more) => {
    text += more;
  });
  let ending: Ending = "running";
  for (let i = 0; i < 10_000 && ending === "running"; i++) ending = machine.run(16);
  return { text, ending, machine };
}

/** Lines that are not the same on QEMU, in their order; and why that is right here. */
export interface Difference {
  readonly why: string;
  /** What stands before the colon, and what follows it here and on QEMU. */
  readonly lines: readonly (readonly [what: string, here: string, onQemu: string])[];
}

/** QEMU's lines as they must be here. @throws where a difference is not there */
export function withDifferences(theirs: string, differences: readonly Difference[]): string[] {
  const lines = theirs.split("\n");
  let at = 0;
  for (const { why, lines: different } of differences)
    for (const [what, here, onQemu] of different) {
      const found = lines.indexOf(`${what}: ${onQemu}`, at);
      if (found < 0) throw new Error(`QEMU does not print "${what}: ${onQemu}", of which is said: ${why}`);
      lines[found] = `${what}: ${here}`;
      at = found + 1;
    }
  return lines;
}
