/** C programs in Debian's guest: what a kernel does for processes, floating point, perf's counts, several vCPUs. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readReport } from "../src/lab/report/report-file.ts";
import { type Ended, runInGuest, scratchFolder } from "./guest/cli.ts";
import { guestFor } from "./guest/guests.ts";
import {
  archive,
  buildChecks,
  buildFloat,
  buildFloatHere,
  buildLoop,
  hasCompiler,
  hasCrossCompiler,
} from "./guest/programs.ts";

if (!hasCrossCompiler)
  console.log(
    "guest, C programs: skipped, needs: apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross",
  );
if (!hasCompiler) console.log("guest, floating point: skipped, needs: apt-get install gcc libc6-dev");
const bookworm = hasCrossCompiler ? await guestFor("guest, C programs") : undefined;
const trixie = hasCrossCompiler ? await guestFor("guest, C programs on trixie", "trixie") : undefined;
const MINUTES = 60_000;
const scratch = scratchFolder("guest-programs");
afterAll(scratch.remove);

/** Lines of `perf stat -x,`: the count of each event. */
function counts(text: string): ReadonlyMap<string, number> {
  const rows = text.split("\n").map((line) => line.split(","));
  return new Map(rows.filter((row) => row.length > 3).map((row) => [row[2] ?? "", Number(row[0])]));
}

describe.skipIf(bookworm === undefined)("C programs", { timeout: 5 * MINUTES }, () => {
  let programs = "";
  beforeAll(async () => {
    programs = await archive(scratch.at("programs.tar"), {
      exclusives: buildChecks(scratch.at("exclusives"), "exclusives"),
      lse: buildChecks(scratch.at("lse"), "lse"),
      float: buildFloat(scratch.at("float")),
      loop: buildLoop(scratch.at("loop")),
    });
  });
  /** Runs a script beside the programs; the archive is its standard input. */
  const beside = (script: string, options: readonly string[] = []): Promise<Ended> =>
    runInGuest(["sh", "-c", `cd /tmp && tar x && ${script}`], options, { input: { file: programs } });

  it("signals, memory, processes, pipes, threads, clocks and random numbers", async () => {
    const checks = ["signals", "memory", "processes 500", "pipes", "threads 3", "clocks", "randomness"];
    const { code, out, err } = await beside(checks.map((check) => `./exclusives ${check}`).join(" && "));
    const names = checks.map((check) => check.split(" ")[0]);
    expect({ code, out, err }).toEqual({
      code: 0,
      out: names.map((name) => `${name} ok\n`).join(""),
      err: "",
    });
    expect(await beside("./lse threads 3")).toEqual({ code: 0, out: "threads ok\n", err: "" });
  });

  it.skipIf(!hasCompiler)("compute what this computer computes, to the last bit", async () => {
    const expected = spawnSync(buildFloatHere(scratch.at("float-here")), { encoding: "utf8" });
    expect(expected.stdout.split("\n").length).toBeGreaterThan(40);
    expect(await beside("./float")).toEqual({ code: 0, out: expected.stdout, err: "" });
  });

  it("perf stat counts user instructions as the program has them", async () => {
    const { code, err } = await beside("perf stat -x, -e instructions:u,cycles:u ./loop 10000000");
    const known = 4 * 10_000_000 + 5 * 8 + 10;
    const counted = counts(err);
    expect(code).toBe(0);
    // Within a ten-thousandth: what is beside it are ticks of the kernel.
    expect(Math.abs((counted.get("instructions:u") ?? 0) / known - 1)).toBeLessThan(1e-4);
    // An instruction takes one cycle.
    expect(counted.get("cycles:u")).toBe(counted.get("instructions:u"));
  });

  it("perf stat counts all instructions as the machine itself counts them", async () => {
    const measured = async (rounds: number) => {
      const json = scratch.at(`loop-${rounds}.json`);
      const { code, err } = await beside(`perf stat -x, -e instructions ./loop ${rounds}`, ["--json", json]);
      expect(code).toBe(0);
      const [run] = readReport(readFileSync(json, "utf8"), json).runs;
      return { perf: counts(err).get("instructions") ?? 0, machine: run?.machine?.instructions ?? 0 };
    };
    const [once, twice] = [await measured(10_000_000), await measured(20_000_000)];
    const machine = twice.machine - once.machine;
    expect(machine).toBeGreaterThan(40_000_000);
    expect(Math.abs((twice.perf - once.perf) / machine - 1)).toBeLessThan(0.01);
  });

  it("perf record finds the loop", async () => {
    const { code, out } = await beside(
      "perf record -q -e cycles -o data ./loop 20000000 && perf report -i data --stdio 2>/dev/null",
    );
    expect(code).toBe(0);
    const [share] = /(\d+\.\d+)%\s+loop\s+loop\s+\[\.\] busy_loop/.exec(out)?.slice(1) ?? [];
    expect(Number(share), out).toBeGreaterThan(95);
  });

  const machines = [
    ["bookworm", bookworm, 2],
    ["bookworm", bookworm, 4],
    ["trixie", trixie, 1],
    ["trixie", trixie, 2],
    ["trixie", trixie, 4],
  ] as const;
  for (const [suite, guest, cpus] of machines)
    it.skipIf(guest === undefined)(`run on ${cpus} vCPUs of ${suite}`, async () => {
      const all = (1 << cpus) - 1;
      const { code, out, err } = await beside(
        [
          "uname -r",
          "nproc",
          `./exclusives threads ${2 * cpus}`,
          `./lse threads ${2 * cpus}`,
          // Moved to each vCPU, and back to all.
          `for cpu in $(seq 0 ${cpus - 1}); do taskset $((1 << cpu)) awk '{ print $39 }' /proc/self/stat; done`,
          `{ taskset ${all.toString(16)} ./exclusives threads ${cpus} & ./lse threads ${cpus} && wait $!; }`,
          "awk '/^cpu[0-9]/ { if ($2 + $4 > 0) busy++ } END { print busy }' /proc/stat",
        ].join(" && "),
        ["--suite", suite, "--cpus", String(cpus)],
      );
      const numbers = Array.from({ length: cpus }, (_, i) => `${i}\n`).join("");
      expect({ code, out }, err).toEqual({
        code: 0,
        out: `${guest?.manifest.release}\n${cpus}\n${"threads ok\n".repeat(2)}${numbers}${"threads ok\n".repeat(2)}${cpus}\n`,
      });
    });
});
