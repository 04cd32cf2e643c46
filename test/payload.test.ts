/** A bare-metal program under the hypervisor and on QEMU's virt machine: the same lines on the console. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { costTable } from "../src/host/costs.ts";
import { PROFILES } from "../src/host/profiles.ts";
import { fault } from "../src/kvm/spe/policies/fault.ts";
import { readImage } from "../src/vmm/image.ts";
import type { Ending } from "../src/vmm/machine.ts";
import { VirtualMachine } from "../src/vmm/virtual-machine.ts";

const CROSS = "aarch64-linux-gnu";
const QEMU = "qemu-system-aarch64";
const here = fileURLToPath(new URL("./payload/", import.meta.url));
const has = (command: string): boolean => spawnSync(command, ["--version"]).status === 0;
const missing = !has(`${CROSS}-gcc`) ? "gcc-aarch64-linux-gnu" : !has(QEMU) ? "qemu-system-arm" : undefined;
if (missing !== undefined) console.log(`payload: skipped, needs: apt-get install ${missing}`);

/** Builds the payload and returns the path of its Image. */
function build(directory: string): string {
  const elf = join(directory, "payload.elf");
  const image = join(directory, "payload.img");
  execFileSync(`${CROSS}-gcc`, [
    ...["-march=armv8.2-a", "-O1", "-ffreestanding", "-nostdlib", "-static", "-mgeneral-regs-only"],
    ...["-mstrict-align", "-fno-pic", "-fno-stack-protector", "-Wall", "-Werror", "-Wl,--build-id=none"],
    ...["-Wl,--no-warn-rwx-segments", `-Wl,-T,${join(here, "payload.ld")}`],
    ...["-o", elf, join(here, "start.S"), join(here, "payload.c")],
  ]);
  execFileSync(`${CROSS}-objcopy`, ["-O", "binary", elf, image]);
  return image;
}

function onQemu(image: string): string {
  const machine = ["-M", "virt,gic-version=3", "-cpu", "cortex-a76", "-m", "256M"];
  const io = ["-display", "none", "-serial", "stdio", "-monitor", "none", "-nic", "none"];
  const done = spawnSync(QEMU, [...machine, ...io, "-kernel", image], {
    encoding: "utf8",
    input: "",
    timeout: 60_000,
  });
  if (done.status !== 0) throw new Error(`QEMU ended with ${done.status ?? done.signal}: ${done.stderr}`);
  return done.stdout;
}

function underHypervisor(image: string): { text: string; ending: Ending; machine: VirtualMachine } {
  let text = "";
  const machine = new VirtualMachine({
    cpus: 1,
    memoryBytes: 256 * 1024 ** 2,
    boot: {
      kernel: readImage(readFileSync(image), image),
      initrd: undefined,
      append: "",
      deviceTree: undefined,
    },
    startSeconds: 0,
    ports: [],
    disks: [],
    shares: [],
    policy: fault,
    costs: costTable(PROFILES[0]!),
    backing: "thp",
    seed: 1,
    console: (byte) => {
      text += String.fromCharCode(byte);
    },
  });
  let ending: Ending = "running";
  for (let i = 0; i < 10_000 && ending === "running"; i++) ending = machine.run(16);
  return { text, ending, machine };
}

describe.skipIf(missing !== undefined)("the payload", () => {
  let directory: string;
  let image: string;
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), "spevisor-payload-"));
    image = build(directory);
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  it("prints here what it prints on QEMU", { timeout: 120_000 }, () => {
    const ours = underHypervisor(image);
    expect(ours.text.split("\n")).toEqual(onQemu(image).split("\n"));
    expect(ours.text).toMatch(/done\n$/);
    expect(ours.ending).toBe("off");
  });

  it("runs alike twice", { timeout: 120_000 }, () => {
    const first = underHypervisor(image);
    const second = underHypervisor(image);
    expect(second.text).toBe(first.text);
    expect(second.machine.instructions).toBe(first.machine.instructions);
  });
});
