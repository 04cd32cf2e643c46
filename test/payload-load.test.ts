/** Programs that are no Image, loaded here and by QEMU: ELF and raw binaries, at the same addresses with the same X0. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { CROSS, missingPackage, onQemu, underHypervisor } from "./payload/bare-metal.ts";

const missing = missingPackage();
if (missing !== undefined) console.log(`loading: skipped, needs: apt-get install ${missing}`);

describe.skipIf(missing !== undefined)("a program is loaded as QEMU does", () => {
  const folder = mkdtempSync(join(tmpdir(), "spevisor-load-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const source = fileURLToPath(new URL("./payload/load.S", import.meta.url));
  const elf = (name: string, ...options: readonly string[]): string => {
    const file = join(folder, name);
    const common = ["-nostdlib", "-static", "-Wl,--build-id=none", "-Wl,--no-warn-rwx-segments", "-Wl,-N"];
    execFileSync(`${CROSS}-gcc`, [...common, ...options, "-o", file, source]);
    return file;
  };
  const raw = (name: string): string => {
    const file = join(folder, name);
    execFileSync(`${CROSS}-objcopy`, ["-O", "binary", elf(`${name}.elf`, "-Wl,-Ttext=0x40080000"), file]);
    return file;
  };

  it.each<[string, () => string, RegExp]>([
    [
      "ELF, behind the device tree",
      () => elf("high", "-Wl,-Ttext=0x40400000"),
      /^0{8}40400000\n0{16}\n0{16}\n0{8}edfe0dd0\n/,
    ],
    ["ELF, at the start of memory", () => elf("low", "-Wl,-Ttext=0x40000000"), /^0{8}40000000\n0{16}\n/],
    [
      "ELF, linked to other virtual addresses",
      () => {
        const file = elf("virtual", "-Wl,-Ttext=0x80000000");
        const text = ["--change-section-lma", ".text=0x40600000", "--change-section-lma", ".bss=0x40601000"];
        execFileSync(`${CROSS}-objcopy`, [...text, file]);
        return file;
      },
      /^0{8}40600000\n/,
    ],
    ["raw", () => raw("raw"), /^0{8}40080000\n0{8}48000000\n0{8}edfe0dd0\n/],
  ])("%s", { timeout: 120_000 }, (_, make, expected) => {
    const file = make();
    const ours = underHypervisor(file);
    expect(ours.text).toMatch(expected);
    expect(ours.text.split("\n")).toEqual(onQemu(file).replaceAll("\r", "").split("\n"));
    expect(ours.ending).toBe("off");
  });
});
