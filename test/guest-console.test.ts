/** The guest's console, on a terminal and without one. */
import { readFileSync } from "node:fs";
import { afterAll, describe, expect, it } from "vitest";
import { SPEVISOR, scratchFolder, spevisor } from "./guest/cli.ts";
import { guestFor } from "./guest/guests.ts";
import { hasTmux, Terminal } from "./tmux.ts";

const guest = await guestFor("guest, console");
if (!hasTmux) console.log("guest, console: skipped, needs: apt-get install tmux");
const MINUTES = 60_000;
/** A busy host may take some seconds for what is shown at once. */
const PROMPT_MS = 20_000;
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
      await terminal.shows(/# $/m);
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

  it.each([1, 2])(
    "shows each key of %i vCPUs when it is typed, and Ctrl-C ends what sleeps",
    async (cpus) => {
      const terminal = new Terminal(scratch.at);
      try {
        terminal.type(`'${process.execPath}' '${SPEVISOR}' run --cpus ${cpus}; echo "status $?"`);
        await terminal.shows(/# $/m);
        for (const [i, waiting] of ["sleep 60", "read -t 60 line", "{ sleep 60; true; } | cat"].entries()) {
          terminal.type(`echo wai''ting ${i}; ${waiting}`);
          await terminal.shows(new RegExp(`^waiting ${i}$`, "m"));
          // One key by itself: it does not wait for the next.
          terminal.press("k");
          await terminal.shows(/^k$/m);
          terminal.press("C-c");
          await terminal.shows(/\^C/);
          // What is typed before its prompt would be what read(1) of busybox takes, now and then.
          await terminal.shows(/# $/m);
          terminal.type(`echo en''ded ${i} $?`);
          await terminal.shows(new RegExp(`^ended ${i} 130$`, "m"));
        }
        // Let each key the guest's time run on to some timers, it would sleep until the clock has caught up: for a minute.
        const keys = "abcdefghijklmnopqrstuvwxyz".repeat(2);
        terminal.type("clear; echo wai''ting; sleep 1000");
        await terminal.shows(/^waiting\n/);
        for (const key of keys) terminal.press(key);
        await terminal.shows(new RegExp(`^${keys}$`, "m"), PROMPT_MS);
        terminal.press("C-c");
        await terminal.shows(/# $/m, PROMPT_MS);
        terminal.type("echo en''ded $?");
        await terminal.shows(/^ended 130$/m);
        terminal.press("C-a");
        terminal.press("x");
        await terminal.shows(/^status 0$/m);
      } finally {
        terminal.close();
      }
    },
  );

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

describe.skipIf(guest === undefined)("a console without a terminal", { timeout: 6 * MINUTES }, () => {
  it("is a shell for what comes through a pipe, and off when it waits for more in vain", async () => {
    const { code, out, err } = await spevisor(["run"], { input: "echo $((6*7))\nsleep 5\necho th''ere" });
    expect(out).toMatch(/^42\r$/m);
    expect(out).toMatch(/# echo th''ere/);
    expect(err).toContain("the guest has powered off");
    expect(code).toBe(0);
  });

  it.each([[["run"]], [["run", "--cpus", "2"]]])("ends where there is no input at all: %j", async (argv) => {
    const { code, out } = await spevisor(argv);
    expect(code, out).toBe(0);
    expect(out).toMatch(/# /);
  });

  it("ends a guest of the user's own that waits for input, and not one that sleeps and goes on", async () => {
    const files = ["--kernel", guest!.image, "--initrd", guest!.initrd];
    const noTests = "cryptomgr.notests";
    // Its first process finds no port for orders there.
    const waits = await spevisor(["run", ...files, "--append", noTests]);
    expect(waits.err).toMatch(/standard input has ended, and the guest has done nothing for an hour/);
    expect(waits.code).toBe(125);
    const script = ["mount -t devtmpfs dev /dev", "sleep 1800", "echo awake >/dev/ttyAMA0", "poweroff -f"];
    const init = script.map((line) => `/bin/busybox ${line}`).join("; ");
    const append = `quiet ${noTests} rdinit=/bin/busybox -- sh -c "${init}"`;
    const sleeps = await spevisor(["run", ...files, "--append", append]);
    expect(sleeps.out).toMatch(/^awake\r$/m);
    expect(sleeps.code).toBe(0);
    const ended = await spevisor(["run", "--timeout", "1", ...files]);
    expect(ended.code).toBe(124);
  });
});
