/** The thread's commands in Debian's guest: what each enable costs, what bare metal takes, what the best policy leaves. */
import { beforeAll, describe, expect, it } from "vitest";
import { cacheFolder, sourceVersion } from "../src/cli/cache-folder.ts";
import { type CellOutcome, LIMIT_NS, runGuestTask } from "../src/cli/linux/cell.ts";
import { overFreeSpe, withBaselines } from "../src/lab/linux/baseline.ts";
import { type Cell, cellsOf, labelOf } from "../src/lab/linux/cells.ts";
import { THREAD } from "../src/lab/linux/scenarios/thread.ts";
import { startingAlike } from "../src/lab/linux/shared-start.ts";
import { perEnableNs } from "../src/lab/report/linux-columns.ts";
import { checkRun } from "../src/lab/report/report-file.ts";
import type { LinuxRun, ModelRun } from "../src/lab/report/run.ts";
import { guestFor } from "./guest/guests.ts";

const guest = await guestFor("guest, the thread");
const MINUTES = 60_000;
const A = "thread-a --no-bpf-event";
const [NORMAL, DEBUG] = ["thread-normal", "thread-debug"];
type Ran = Extract<CellOutcome, { kind: "ran" }>;
const ranIn = (cell: Cell, outcome: CellOutcome | undefined): Ran => {
  if (outcome?.kind !== "ran") throw new Error(`${labelOf(cell)}: ${outcome?.why}`);
  return outcome;
};

/** A few of the matrix: all of it takes minutes. */
const WANTED = [
  `${A}, bare metal`,
  `${A}, free-spe, ${NORMAL}`,
  `${A}, adaptive, ${NORMAL}`,
  `${A}, pin-on-enable, ${NORMAL}`,
  `${A}, pin-on-enable, ${DEBUG}`,
  ...["bare metal", `free-spe, ${NORMAL}`, `adaptive, ${NORMAL}`].map(
    (machine) => `thread-b-1024 --no-bpf-event, ${machine}`,
  ),
];

describe.skipIf(guest === undefined)("the thread's commands on Linux", () => {
  let runs: readonly LinuxRun[] = [];
  let models: readonly (readonly [run: LinuxRun, model: ModelRun | undefined])[] = [];
  let cells: readonly Cell[] = [];
  let alone: LinuxRun | undefined;
  let givenUp: CellOutcome | undefined;
  beforeAll(async () => {
    if (guest === undefined) return;
    const all = cellsOf({
      scenarios: THREAD,
      policies: ["pin-on-enable", "adaptive"],
      profiles: [NORMAL, DEBUG],
    });
    cells = all.filter((cell) => WANTED.includes(labelOf(cell)));
    const shared = {
      guest: { image: guest.image, initrd: guest.initrd, files: guest.manifest.files },
      cacheDir: cacheFolder(process.env),
      build: sourceVersion(),
      seed: 1,
      limitNs: LIMIT_NS,
    };
    const ran: Ran[] = [];
    for (const group of startingAlike(cells)) {
      const outcomes = await runGuestTask({ ...shared, cells: group });
      for (const [i, cell] of group.entries()) ran.push(ranIn(cell, outcomes[i]));
    }
    const together = cells.find((cell) => labelOf(cell) === `${A}, pin-on-enable, ${NORMAL}`)!;
    const [outcome] = await runGuestTask({ ...shared, cells: [together] });
    alone = ranIn(together, outcome).run;
    [givenUp] = await runGuestTask({ ...shared, cells: [together], limitNs: 0.2e9 });
    runs = withBaselines(ran.map(({ run }) => run));
    models = ran.map(({ run, model }) => [run, model]);
  }, 10 * MINUTES);

  const runOf = (scenario: string, policy: string, profile: string): LinuxRun => {
    const run = runs.find(
      (each) => each.scenario === scenario && each.policy === policy && each.profile === profile,
    );
    if (run === undefined) throw new Error(`${scenario}, ${policy}, ${profile} did not run`);
    return run;
  };

  it("conserve samples and time, and find all of memory mapped", () => {
    expect(runs).toHaveLength(WANTED.length);
    // Sums are checked: samples selected and accounted for, parts of time and what has elapsed.
    for (const run of runs) expect(checkRun(run).cpuStage2Faults, run.scenario).toBe(0);
  });

  it("take as long in the model's replay of the machine's schedule, with as many enables and pins", () => {
    for (const [run, model] of models) {
      const label = `${run.scenario}, ${run.policy}, ${run.profile}`;
      const isOfPolicy = ["adaptive", "pin-on-enable"].includes(run.policy);
      expect(model === undefined, label).toBe(!isOfPolicy);
      if (model === undefined) continue;
      const { bufferEnables, pins, pagesPinned } = run;
      expect(model, label).toMatchObject({ scenario: run.scenario, bufferEnables, pins, pagesPinned });
      expect(Math.abs(model.guestWallNs / run.guestWallNs - 1), label).toBeLessThan(0.05);
    }
  });

  it("are given up where they take too much of the guest's time", () => {
    expect(givenUp).toEqual({
      kind: "failed",
      why: expect.stringMatching(
        /^the command has not ended after 200 ms of the guest's time and \d+ enables? of its buffer$/,
      ),
    });
  });

  it("come to the same from where others have brought them as from their start", () => {
    const [together] = withBaselines(runs.filter(({ scenario }) => scenario === A)).filter(
      ({ policy, profile }) => policy === "pin-on-enable" && profile === NORMAL,
    );
    const { baseline: _, bareMetalWallNs: _metal, slowdown: _slowdown, ...own } = together!;
    expect(alone).toMatchObject(own);
  });

  it.each([
    [NORMAL, 0.04],
    [DEBUG, 0.2],
  ])("cost what the thread has measured for each enable on %s: %f s", (profile, seconds) => {
    const run = runOf(A, "pin-on-enable", profile as string);
    expect(run.bufferEnables).toBeGreaterThan(1);
    expect(Math.abs((perEnableNs(run) ?? 0) / (seconds * 1e9) - 1)).toBeLessThan(0.25);
  });

  it("take less than half a second on bare metal", () => {
    const run = runOf(A, "none", "none");
    expect(run.guestWallNs).toBeLessThan(0.5e9);
    expect(run.contextSwitches).toBeGreaterThan(0);
    expect(run.bufferBytes).toBe(256 * 1024 ** 2);
  });

  it("take under adaptive hardly longer than where SPE is free", () => {
    const run = runOf(A, "adaptive", NORMAL);
    expect(overFreeSpe(run)).toBeLessThan(1.1);
    expect(run.slowdown).toBeLessThan(1.1);
  });

  it("lose nothing under adaptive at a period of 1,024", () => {
    const scenario = "thread-b-1024 --no-bpf-event";
    const run = runOf(scenario, "adaptive", NORMAL);
    expect(overFreeSpe(run)).toBeLessThan(1.1);
    expect(run.samples.written).toBeGreaterThan(1000);
    expect(run.blackouts.count).toBe(0);
    expect(run.guestClockGHz).toBeGreaterThan(1);
    // The same work: hardly a sample more or less than bare metal's.
    const metal = runOf(scenario, "none", "none");
    expect(Math.abs(run.samples.selected / metal.samples.selected - 1)).toBeLessThan(0.02);
  });
});
