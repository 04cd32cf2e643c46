/** `run --trace-instructions` on Debian's guest: the kernel's own symbols, the instructions that were asked for, and the same run. */
import { readFileSync } from "node:fs";
import { afterAll, describe, expect, it } from "vitest";
import { readReport } from "../src/lab/report/report-file.ts";
import type { LinuxRun } from "../src/lab/report/run.ts";
import { runInGuest, scratchFolder } from "./guest/cli.ts";
import { guestFor } from "./guest/guests.ts";

const guest = await guestFor("guest, instruction trace");
const MINUTES = 60_000;
const scratch = scratchFolder("guest-trace");
afterAll(scratch.remove);

/** A line: vCPU, seconds, number, level, address, symbol and offset, word, mnemonic. */
const LINE =
  /^\[(\d{3})\] (\d+\.\d{9}): (\d+) EL([01]) ([0-9a-f]{16})(?: ([\w.$]+)\+0x([0-9a-f]+))?: ([0-9a-f]{8}) (\S+)/;

interface Line {
  readonly vcpu: number;
  readonly seconds: number;
  readonly number: number;
  readonly el: number;
  readonly pc: bigint;
  readonly symbol: string | undefined;
  readonly offset: number;
  readonly mnemonic: string;
}

const linesIn = (text: string): readonly Line[] =>
  text
    .trimEnd()
    .split("\n")
    .map((line) => {
      const [, vcpu, seconds, number, el, pc, symbol, offset, , mnemonic] = LINE.exec(line) ?? [];
      expect(mnemonic, line).toBeDefined();
      return {
        vcpu: Number(vcpu),
        seconds: Number(seconds),
        number: Number(number),
        el: Number(el),
        pc: BigInt(`0x${pc}`),
        symbol,
        offset: Number.parseInt(offset ?? "0", 16),
        mnemonic: mnemonic!,
      };
    });

/** What a run came to, beside the trace. */
async function runOf(
  command: readonly string[],
  options: readonly string[],
): Promise<{ run: LinuxRun; out: string; err: string }> {
  const json = scratch.at("run.json");
  const { code, out, err } = await runInGuest(command, [...options, "--json", json]);
  expect(code, err).toBe(0);
  const [run] = readReport(readFileSync(json, "utf8"), json).runs;
  return { run: run as LinuxRun, out, err };
}

describe.skipIf(guest === undefined)("a trace of Debian's kernel", { timeout: 5 * MINUTES }, () => {
  const file = scratch.at("trace");
  const COMMAND = ["sh", "-c", "echo $((6 * 7))"];

  it("names its functions, and goes to standard output: what the guest writes there to standard error", async () => {
    const options = ["--bare-metal", "--trace-instructions", "-", "--trace-range", "ksys_write"];
    const { out, err } = await runOf(COMMAND, options);
    expect(err).toContain("42\n");
    const lines = linesIn(out);
    expect(new Set(lines.map(({ symbol, el }) => `EL${el} ${symbol}`))).toEqual(new Set(["EL1 ksys_write"]));
    expect(lines.some(({ offset }) => offset === 0)).toBe(true);
    expect(new Set(lines.map(({ pc, offset }) => pc - BigInt(offset))).size).toBe(1);
    // It returns to whoever has called it.
    expect(lines.some(({ mnemonic }) => mnemonic === "ret")).toBe(true);
    for (const [i, { number, seconds }] of lines.entries()) {
      expect(number).toBeGreaterThan(lines[i - 1]?.number ?? -1);
      expect(seconds).toBeGreaterThanOrEqual(lines[i - 1]?.seconds ?? 0);
    }
  });

  it("leaves the run as it is without", async () => {
    const options = ["--cpus", "2"];
    const plain = await runOf(COMMAND, options);
    const traced = await runOf(COMMAND, [
      ...options,
      "--trace-instructions",
      file,
      "--trace-range",
      "vfs_write",
    ]);
    expect(traced).toEqual(plain);
    expect(linesIn(readFileSync(file, "utf8")).length).toBeGreaterThan(10);
  });

  it("is refused for a function that it has not, and the command is not run", async () => {
    const options = ["--trace-instructions", file, "--trace-range", "no_such_function"];
    const { code, out, err } = await runInGuest(["echo", "ran"], options);
    expect([code, out]).toEqual([2, ""]);
    expect(err).toMatch(/the guest's kernel has no function "no_such_function"\nLook for its name: .*grep/);
  });
});
