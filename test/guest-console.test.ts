/** The guest's console on a terminal, and its disk. */
import { readFileSync, writeFileSync } from "node:fs";
import { afterAll, describe, expect, it } from "vitest";
import { runInGuest, SPEVISOR, scratchFolder } from "./guest/cli.ts";
import { guestFor } from "./guest/guests.ts";
import { hasTmux, Terminal } from "./tmux.ts";

const guest = await guestFor("guest, console");
if (!hasTmux) console.log("guest, console: skipped, needs: apt-get install tmux");
const MINUTES = 60_000;
const scratch = scratchFolder("guest-console");
afterAll(scratch.remove);

describe.skipIf(guest === undefined || !hasTmux)("the console", { timeout: 6 * MINUTES }, () => {
  it("is a shell on this terminal, of the terminal's size, until Ctrl-A x; the terminal is as before then", async () => {
    const terminal = new Terminal(scratch.at);
    try {
      terminal.type(
        `stty -a >${scratch.at("before")}; '${process.execPath}' '${SPEVISOR}' run; echo "status $?"`,
      );
      await terminal.shows(/# $/m);
      terminal.type("echo $((6*7))");
      await terminal.shows(/^42$/m);
      terminal.type("stty size");
      await terminal.shows(/^30 100$/m);
      // Ctrl-C is the guest's: it ends what runs there.
      terminal.type("echo asl''eep; sleep 1000");
      await terminal.shows(/^asleep$/m);
      terminal.press("C-c");
      terminal.type("echo sti''ll $?");
      await terminal.shows(/^still 130$/m);
      terminal.press("C-a");
      terminal.press("x");
      await terminal.shows(/^status 0$/m);
      expect(terminal.screen).toContain("ended from the keyboard");
      terminal.type(`stty -a >${scratch.at("after")}; echo d''one`);
      await terminal.shows(/^done$/m);
      expect(readFileSync(scratch.at("after"), "utf8")).toBe(readFileSync(scratch.at("before"), "utf8"));
    } finally {
      terminal.close();
    }
  });

  it("ends the machine with status 0 when its shell ends", async () => {
    const terminal = new Terminal(scratch.at);
    try {
      terminal.type(`'${process.execPath}' '${SPEVISOR}' run; echo "status $?"`);
      await terminal.shows(/# $/m);
      terminal.type("exit 3");
      await terminal.shows(/^status 0$/m);
      expect(terminal.screen).toContain("the guest has powered off");
    } finally {
      terminal.close();
    }
  });
});

describe.skipIf(guest === undefined)("--disk", { timeout: 6 * MINUTES }, () => {
  it("is what the guest reads and writes, and keeps what it wrote", async () => {
    const disk = scratch.at("disk.img");
    const bytes = Buffer.alloc(4 * 1024 ** 2, "spevisor disk\n");
    writeFileSync(disk, bytes);
    const script = `cat /sys/block/vda/size; head -c 14 /dev/vda
      printf 'from the guest' | dd of=/dev/vda bs=1 seek=1000000 conv=notrunc 2>/dev/null`;
    const { code, out, err } = await runInGuest(["sh", "-c", script], ["--disk", disk]);
    expect({ code, out }, err).toEqual({ code: 0, out: "8192\nspevisor disk\n" });
    bytes.write("from the guest", 1_000_000);
    expect(readFileSync(disk).equals(bytes)).toBe(true);
  });

  it("takes a swap area", async () => {
    const disk = scratch.at("swap.img");
    writeFileSync(disk, Buffer.alloc(1024 ** 2));
    const swap = await runInGuest(
      ["sh", "-c", "mkswap /dev/vda >/dev/null && swapon /dev/vda && cat /proc/swaps"],
      ["--disk", disk],
    );
    expect(swap.out, swap.err).toMatch(/^\/dev\/vda\s+partition\s+1020\s/m);
    expect(readFileSync(disk).subarray(4086, 4096).toString("latin1")).toBe("SWAPSPACE2");
  });
});
