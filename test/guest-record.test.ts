/** What a command's record says of Debian's guest: it counts from the command's start, and the boot stands beside it. */
import { readFileSync } from "node:fs";
import { afterAll, expect, it } from "vitest";
import { readReport } from "../src/lab/report/report-file.ts";
import type { LinuxRun } from "../src/lab/report/run.ts";
import { runInGuest, scratchFolder } from "./guest/cli.ts";
import { guestFor } from "./guest/guests.ts";

const guest = await guestFor("guest, records");
const MINUTES = 60_000;
const scratch = scratchFolder("guest-record");
afterAll(scratch.remove);

async function runOf(command: readonly string[]): Promise<LinuxRun> {
  const json = scratch.at("run.json");
  const { code, err } = await runInGuest(command, ["--json", json]);
  expect(code, err).toBe(0);
  const [run] = readReport(readFileSync(json, "utf8"), json).runs;
  return run as LinuxRun;
}

it.skipIf(guest === undefined)(
  "a trivial command has hardly an exit, and the boot's are named as such",
  { timeout: 5 * MINUTES },
  async () => {
    const { scenario, guest, machine, exitReasons, guestWallNs, ...run } = await runOf(["true"]);
    expect({ scenario, guest, status: machine.status, ended: machine.ended }).toEqual({
      scenario: "true",
      guest: "linux",
      status: 0,
      ended: "done",
    });
    expect(exitReasons.MMIO).toBeGreaterThan(0);
    expect(exitReasons.MMIO).toBeLessThan(100);
    expect(machine.boot?.exitReasons.MMIO).toBeGreaterThan(10_000);
    expect(machine.boot?.cpuStage2Faults).toBeGreaterThan(0);
    // The kernel's tests of its ciphers alone would be 600 million more.
    expect(machine.boot?.instructions).toBeLessThan(500e6);
    expect(machine.instructions).toBeLessThan((machine.boot?.instructions ?? 0) / 50);
    expect(guestWallNs).toBeLessThan((machine.boot?.wallNs ?? 0) / 50);
    expect(machine.instructions).toBe(machine.el0 + machine.el1);
    expect(run).toMatchObject({ baseline: null, bareMetalWallNs: null, slowdown: null, model: null });
  },
);

it.skipIf(guest === undefined)(
  "what follows a command, as --out does, is not its",
  { timeout: 5 * MINUTES },
  async () => {
    const json = scratch.at("run.json");
    const options = ["--out", scratch.at("results"), "--json", json];
    const { code, err } = await runInGuest(["true"], options);
    expect(code, err).toBe(0);
    const [run] = readReport(readFileSync(json, "utf8"), json).runs;
    expect(run?.machine?.instructions).toBe((await runOf(["true"])).machine.instructions);
  },
);
