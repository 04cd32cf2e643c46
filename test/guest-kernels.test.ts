/** Kernels that are not the default guest's: as vmlinux, with modules of their own, and without a port to take orders on. */
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { afterAll, describe, expect, it } from "vitest";
import { runInGuest, scratchFolder } from "./guest/cli.ts";
import { guestFor } from "./guest/guests.ts";
import { has } from "./oracles.ts";
import { CROSS } from "./payload/bare-metal.ts";

const MINUTES = 60_000;
/** A kernel that is not the default guest's tests its ciphers, which takes as long as the rest of its boot. */
const NO_TESTS = ["--append", "cryptomgr.notests"];
const scratch = scratchFolder("guest-kernels");
afterAll(scratch.remove);
const cloud = await guestFor("guest-kernels");
const generic = await guestFor("guest-kernels", "bookworm", "generic");
const lacking = [
  ["cpio", "cpio"],
  [`${CROSS}-ld`, "binutils-aarch64-linux-gnu"],
].flatMap(([program, from]) => (has(program!) ? [] : [from]));
if (lacking.length > 0) console.log(`guest-kernels: skipped, needs: apt-get install ${lacking.join(" ")}`);

describe.skipIf(cloud === undefined || generic === undefined || lacking.length > 0)(
  "another kernel",
  { timeout: 10 * MINUTES },
  () => {
    it("runs a command as its vmlinux, linked to the kernel's own addresses", async () => {
      const [object, script, vmlinux] = ["Image.o", "vmlinux.ld", "vmlinux"].map(scratch.at) as [
        string,
        string,
        string,
      ];
      execFileSync(`${CROSS}-ld`, ["-r", "-b", "binary", "-o", object, cloud!.image]);
      writeFileSync(
        script,
        "SECTIONS { . = 0xffff800080000000; .head.text : { *(.data) } . = ALIGN(65536); .bss : { . += 65536; } }",
      );
      execFileSync(`${CROSS}-ld`, ["-T", script, "-e", "0xffff800080000000", "-o", vmlinux, object]);
      const { code, out, err } = await runInGuest(["uname", "-r"], ["--kernel", vmlinux, ...NO_TESTS]);
      expect({ code, out }, err).toEqual({ code: 0, out: `${cloud!.manifest.release}\n` });
    });

    it("that has no module for the port ends the run at once with 125, and names both kernels and what to do", async () => {
      const { code, out, err } = await runInGuest(["true"], ["--kernel", generic!.image, ...NO_TESTS]);
      expect({ code, out }).toEqual({ code: 125, out: "" });
      expect(err).toContain(`Linux ${generic!.manifest.release} found no control port`);
      expect(err).toContain(
        `modules for Linux ${cloud!.manifest.release} only\nGive its own modules: --modules DIR`,
      );
    });

    it("runs a command with its modules, which are not taken for another one's", async () => {
      mkdirSync(scratch.at("root"));
      execFileSync("cpio", ["-i", "-d", "--quiet", "-F", generic!.initrd, "usr/lib/modules/*"], {
        cwd: scratch.at("root"),
      });
      const { release } = generic!.manifest;
      const kernel = ["--kernel", generic!.image, ...NO_TESTS];
      const script =
        "uname -r; modprobe 9p && grep -w 9p /proc/filesystems; ls /lib/modules; cat /proc/cmdline";
      const folder = scratch.at(`root/usr/lib/modules/${release}`);
      const { code, out, err } = await runInGuest(["sh", "-c", script], [...kernel, "--modules", folder]);
      const modules = [release, cloud!.manifest.release].sort().join("\n");
      expect({ code, out }, err).toEqual({
        code: 0,
        out: `${release}\nnodev\t9p\n${modules}\nconsole=ttyAMA0 panic=-1 cryptomgr.notests\n`,
      });
      const other = await runInGuest(["true"], ["--kernel", cloud!.image, "--modules", scratch.at("root")]);
      expect(other).toMatchObject({ code: 2, out: "" });
      expect(other.err).toContain(
        `has modules for Linux ${release}, and the kernel is Linux ${cloud!.manifest.release}`,
      );
    });

    it("gets the whole command line from --append where nothing is to stand before it, and memory for which there is no room as long as it is not used", async () => {
      const line = "console=ttyAMA0 quiet cryptomgr.notests";
      const { out, err } = await runInGuest(
        ["grep", "", "/proc/cmdline", "/proc/meminfo"],
        ["--append", line, "--no-default-append", "--memory", "5G"],
      );
      expect(out.split("\n")[0], err).toBe(`/proc/cmdline:${line}`);
      expect(Number(/MemTotal: +(\d+) kB/.exec(out)?.[1])).toBeGreaterThan(4.8 * 1024 ** 2);
    });
  },
);
