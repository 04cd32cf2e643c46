/** perf stat in Debian's guest, of what the models say and of what the profiling unit samples: programs whose rates are known. */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readReport } from "../src/lab/report/report-file.ts";
import { runInGuest, scratchFolder } from "./guest/cli.ts";
import { guestFor } from "./guest/guests.ts";
import { archive, buildLoop, buildProfiled, hasCrossCompiler } from "./guest/programs.ts";

if (!hasCrossCompiler)
  console.log(
    "guest, PMU events: skipped, needs: apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross",
  );
const guest = hasCrossCompiler ? await guestFor("guest, PMU events") : undefined;
const MINUTES = 60_000;
const scratch = scratchFolder("guest-pmu");
afterAll(scratch.remove);

/** Lines of `perf stat -x,`: the count of an event. */
function counted(text: string, event: string): number {
  const row = text
    .split("\n")
    .map((line) => line.split(","))
    .find((cells) => cells[2] === event);
  return Number(row?.[0]);
}

describe.skipIf(guest === undefined)("perf stat", { timeout: 5 * MINUTES }, () => {
  let programs = "";
  beforeAll(async () => {
    programs = await archive(scratch.at("programs.tar"), {
      loop: buildLoop(scratch.at("loop")),
      profiled: buildProfiled(scratch.at("profiled")),
    });
  });
  const beside = (script: string, options: readonly string[] = []) =>
    runInGuest(["sh", "-c", `cd /tmp && tar x && ${script}`], options, { input: { file: programs } });

  it("counts a loop's branches, and a stride's lines and pages", async () => {
    const events = ["l1d_cache", "l1d_cache_refill", "l1d_tlb_refill", "dtlb_walk"].map(
      (name) => `${name}:u`,
    );
    const { code, err } = await beside(
      `perf stat -x, -e br_pred:u,br_mis_pred:u ./loop 100000 && perf stat -x, -e ${events} ./profiled known >/dev/null`,
    );
    expect(code, err).toBe(0);
    // Two branches for each digit and one behind the last, the loop's own, BL and RET.
    expect(counted(err, "br_pred:u")).toBe(2 * 6 + 1 + 100_000 + 2);
    expect(counted(err, "br_mis_pred:u")).toBeLessThan(20);
    // 60 times 4,096 loads, two lines apart: each is gone from the first level before it comes round again. The same memory
    // was filled once, a line at a time.
    const loads = 60 * 4096;
    const filled = 8192;
    expect(counted(err, "l1d_cache_refill:u") / (loads + filled)).toBeCloseTo(1, 1);
    expect(counted(err, "l1d_cache:u")).toBeGreaterThan(loads);
    // 128 pages do not fit into 48 entries, but into 1,280.
    expect(counted(err, "l1d_tlb_refill:u") / (60 * 128)).toBeGreaterThan(0.95);
    expect(counted(err, "dtlb_walk:u")).toBeGreaterThan(128);
    expect(counted(err, "dtlb_walk:u")).toBeLessThan(600);
  });

  it("counts the unit's population and samples as the unit does, beside perf record", async () => {
    const json = scratch.at("samples.json");
    const { code, err } = await beside(
      "perf stat -x, -e sample_pop,sample_feed,sample_filtrate,sample_collision -- " +
        "perf record -q -o /tmp/perf.data -e arm_spe/branch_filter=1/ ./loop 3000000",
      ["--json", json],
    );
    expect(code, err).toBe(0);
    const [run] = readReport(readFileSync(json, "utf8"), json).runs;
    const { selected = 0, filtered = 0 } = run?.samples ?? {};
    expect(selected).toBeGreaterThan(1000);
    // The kernel samples some of its own instructions around a context switch while it has the counters off.
    expect(counted(err, "sample_feed") / selected).toBeCloseTo(1, 2);
    expect(counted(err, "sample_filtrate") / (selected - filtered)).toBeCloseTo(1, 2);
    expect(counted(err, "sample_filtrate")).toBeLessThan(counted(err, "sample_feed") / 2);
    expect(counted(err, "sample_pop") / (selected * 1025)).toBeCloseTo(1, 2);
    expect(counted(err, "sample_collision")).toBe(0);
  });
});
