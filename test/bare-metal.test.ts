/** Debian without a hypervisor: the same guest, from its boot or from a snapshot of a VM, and nothing that was charged. */
import { readFileSync } from "node:fs";
import { afterAll, describe, expect, it } from "vitest";
import { readReport } from "../src/lab/report/report-file.ts";
import type { LinuxRun } from "../src/lab/report/run.ts";
import { runInGuest, scratchFolder } from "./guest/cli.ts";
import { guestFor } from "./guest/guests.ts";

const guest = await guestFor("guest, bare metal");
const MINUTES = 60_000;
const scratch = scratchFolder("bare-metal");
afterAll(scratch.remove);

/** What the kernel says, but for when, and for how long what takes time takes. */
const consoleOf = (err: string): readonly string[] =>
  err
    // It may come in the middle of a line.
    .replace(/spevisor: booting the guest\r*\n/g, "")
    .split(/\r*\n/)
    .filter((line) => /^\[ *\d+\.\d+\] /.test(line))
    .map((line) => line.replace(/^\[ *\d+\.\d+\] /, "").replace(/\d+(\.\d+)? ?[mun]s\b/g, "… ms"))
    .map((line) => line.replace(/(setting system clock to [\d-]+T00:0)\S+/, "$1…"))
    .map((line) => line.replace(/audit\(\d+\.\d+:\d+\)/, "audit(…)"));

async function recorded(command: readonly string[], options: readonly string[]) {
  const json = scratch.at("run.json");
  const { code, out, err } = await runInGuest(command, ["--verbose", "--json", json, ...options]);
  expect(code, err).toBe(0);
  const { runs, host } = readReport(readFileSync(json, "utf8"), json);
  return { out, console: consoleOf(err), run: runs[0] as LinuxRun, started: host.machine?.snapshot };
}

describe.skipIf(guest === undefined)("bare metal", { timeout: 8 * MINUTES }, () => {
  it("boots Debian with the hypervisor's console output, and nothing is trapped or charged", async () => {
    const [metal, vm] = [
      await recorded(["uname", "-a"], ["--bare-metal", "--no-cache"]),
      await recorded(["uname", "-a"], ["--no-cache"]),
    ];
    expect(vm.console.length).toBeGreaterThan(50);
    expect([...metal.console].sort()).toEqual([...vm.console].sort());
    expect(metal.out).toBe(vm.out);
    const { run } = metal;
    expect(run).toMatchObject({ policy: "none", backing: "none", exitReasons: {}, cpuStage2Faults: 0 });
    expect(run.machine.boot).toMatchObject({ exitReasons: {}, cpuStage2Faults: 0 });
    expect(run.guestRunNs + run.idleNs).toBe(run.vcpus.reduce((sum, { elapsedNs }) => sum + elapsedNs, 0));
    // A VM's boot costs its host nothing: it is good for any policy and costs.
    expect(vm.run.machine.boot?.cpuStage2Faults).toBeGreaterThan(10);
  });

  it("goes on from a VM's snapshot", async () => {
    const saved = scratch.at("vm.snapshot");
    const prepared = await runInGuest(["sh", "-c", "echo prepared >/tmp/state"], ["--save-snapshot", saved]);
    expect(prepared).toMatchObject({ code: 0 });
    const command = ["sh", "-c", "cat /tmp/state; seq 1 20000 | md5sum; ls / | md5sum"];
    const metal = await recorded(command, ["--bare-metal", "--snapshot", saved]);
    const vm = await recorded(command, ["--snapshot", saved]);
    expect(metal.started).toBe("restored");
    expect(metal.out).toBe(vm.out);
    expect(metal.out).toMatch(/^prepared\n/);
    expect(metal.run).toMatchObject({ exitReasons: {}, cpuStage2Faults: 0, exitNs: 0, stage2Ns: 0 });
    expect(metal.run.guestWallNs).toBeLessThan(vm.run.guestWallNs);
  });
});
