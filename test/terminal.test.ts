/** The command line on terminals: of no size, and interrupted. */
import { spawnSync } from "node:child_process";
import { afterAll, describe, expect, it } from "vitest";
import { SPEVISOR, scratchFolder } from "./guest/cli.ts";
import { has } from "./oracles.ts";
import { hasTmux, Terminal } from "./tmux.ts";

const MINUTE = 60_000;
const scratch = scratchFolder("terminal");
afterAll(scratch.remove);

const hasScript = has("script");
if (!hasScript) console.log("a terminal of no size: skipped, needs: apt-get install bsdutils");
if (!hasTmux) console.log("an interrupted command: skipped, needs: apt-get install tmux");

/** What a command writes to a terminal of so many columns. */
function onTerminal(columns: number, ...argv: readonly string[]): string {
  const command = `stty cols ${columns}; '${process.execPath}' '${SPEVISOR}' ${argv.join(" ")}`;
  const { COLUMNS: _, ...env } = process.env;
  const { stdout, status } = spawnSync("script", ["-qec", command, "/dev/null"], {
    encoding: "utf8",
    env: { ...env, NO_COLOR: "1", TERM: "xterm" },
    timeout: MINUTE,
    input: "",
  });
  expect(status, stdout).toBe(0);
  return stdout.replaceAll("\r\n", "\n");
}

describe.skipIf(!hasScript)("a terminal that says it has no columns", { timeout: 3 * MINUTE }, () => {
  it.each([[["policies"]], [["predict", "--help"]], [["explain", "adaptive"]]])(
    "shows %j as one of 80",
    (argv) => {
      expect(onTerminal(0, ...argv)).toBe(onTerminal(80, ...argv));
    },
  );

  it("has a progress line of one line, and little of it", () => {
    const shown = onTerminal(0, "ask", "20", "--no-cache", "--jobs", "1");
    const lines = shown.split("\n").flatMap((line) => line.split("\r\u001b[K"));
    expect(lines.some((line) => /^[⠀-⣿] .* of \d+, \d+ %\)$/.test(line))).toBe(true);
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(80);
    expect(shown.length).toBeLessThan(100_000);
  });
});

describe.skipIf(!hasTmux)("Ctrl-C", { timeout: 3 * MINUTE }, () => {
  it.each(["bar --random 100000", "thread"])("leaves no progress line of `%s` behind", async (command) => {
    const terminal = new Terminal(scratch.at);
    try {
      terminal.type(`'${process.execPath}' '${SPEVISOR}' ${command}; echo "status $?"`);
      await terminal.shows(/^[⠀-⣿] .* of \d+, \d+ %\)$/m);
      terminal.press("C-c");
      await terminal.shows(/status 130$/m);
      expect(terminal.screen).not.toMatch(/[⠀-⣿]| of \d+, \d+ %/);
    } finally {
      terminal.close();
    }
  });
});
