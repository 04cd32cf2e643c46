/** Debian's kernel boots here as on QEMU's virt machine, but for differences that have a reason each. */
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { COMMAND_LINE } from "../src/guest/debian/command-line.ts";
import { cpioArchive } from "../src/guest/debian/cpio.ts";
import { factsOf, onlyIn } from "./guest/boot-facts.ts";
import { run, scratchFolder, spevisor } from "./guest/cli.ts";
import { guestFor } from "./guest/guests.ts";
import { DIFFERENCES } from "./guest/qemu-differences.ts";
import { has } from "./oracles.ts";

const QEMU = "qemu-system-aarch64";
const hasQemu = has(QEMU);
if (!hasQemu) console.log("guest, boot as on QEMU: skipped, needs: apt-get install qemu-system-arm");
const guest = hasQemu ? await guestFor("guest, boot as on QEMU") : undefined;
const MINUTES = 60_000;
const scratch = scratchFolder("guest-qemu");
afterAll(scratch.remove);

/** Beside what both machines are given: QEMU is told what `spevisor run` says by itself. */
const APPEND = "nokaslr";
const START = "2026-01-01T00:00:00";

describe.skipIf(guest === undefined)("Debian's kernel", { timeout: 6 * MINUTES }, () => {
  let here: ReturnType<typeof factsOf> = new Map();
  let qemu: ReturnType<typeof factsOf> = new Map();

  beforeAll(async () => {
    const init = readFileSync(fileURLToPath(new URL("./guest/facts.sh", import.meta.url)));
    const initrd = scratch.at("initrd");
    // The kernel unpacks one archive after the other: of two files of one name the later one stays.
    writeFileSync(
      initrd,
      Buffer.concat([
        readFileSync(guest?.initrd ?? ""),
        cpioArchive(new Map([["init", { kind: "file", mode: 0o755, content: init }]])),
      ]),
    );
    const image = guest?.image ?? "";
    const machine = ["-M", "virt-7.2,gic-version=3", "-cpu", "neoverse-n1", "-smp", "2", "-m", "512M"];
    const io = [
      "-display",
      "none",
      "-serial",
      "stdio",
      "-monitor",
      "none",
      "-nic",
      "none",
      "-rtc",
      `base=${START}`,
    ];
    const boot = ["-kernel", image, "-initrd", initrd, "-append", `${COMMAND_LINE} ${APPEND}`];
    const [ours, theirs] = await Promise.all([
      spevisor([
        ...["run", "--kernel", image, "--initrd", initrd, "--append", APPEND],
        ...["--cpus", "2", "--memory", "512M", "--rtc", START],
      ]),
      // Its time is that of its instructions: how busy this computer is does not show.
      run(QEMU, [...machine, ...io, "-icount", "shift=1,sleep=off", ...boot]),
    ]);
    expect(ours.code, ours.err).toBe(0);
    expect(theirs.code, theirs.err).toBe(0);
    [here, qemu] = [factsOf(ours.out), factsOf(theirs.out)];
  }, 6 * MINUTES);

  it("comes to its end on both, and says as much", () => {
    for (const facts of [here, qemu]) {
      expect([...facts.keys()].at(-1)).toBe("end");
      expect(facts.get("dmesg")?.size).toBeGreaterThan(150);
    }
    expect([...here.keys()]).toEqual([...qemu.keys()]);
  });

  it("finds nothing here that it does not find on QEMU, and nothing less, without a reason in the list", () => {
    const unexplained = (lines: readonly string[], patterns: readonly RegExp[]): readonly string[] =>
      lines.filter((line) => !patterns.some((pattern) => pattern.test(line)));
    expect({
      here: unexplained(
        onlyIn(here, qemu),
        DIFFERENCES.flatMap((one) => one.here),
      ),
      qemu: unexplained(
        onlyIn(qemu, here),
        DIFFERENCES.flatMap((one) => one.qemu),
      ),
    }).toEqual({ here: [], qemu: [] });
  });

  it.each(DIFFERENCES.filter((one) => one.varies !== true))("the list is right: $why", (difference) => {
    for (const [patterns, lines] of [
      [difference.here, onlyIn(here, qemu)],
      [difference.qemu, onlyIn(qemu, here)],
    ] as const)
      for (const pattern of patterns)
        expect(
          lines.some((line) => pattern.test(line)),
          String(pattern),
        ).toBe(true);
  });
});
