import { describe, expect, it } from "vitest";
import { bytesOf } from "../../test/perf-recordings.ts";
import type { ModelRun } from "../lab/report/run.ts";
import { bytesSource } from "../perf/byte-source.ts";
import { loadLab } from "./lab.ts";

async function predicted(name: string, directSwitches = true): Promise<ModelRun> {
  const lab = await loadLab();
  const options = {
    policies: [{ kind: "named", name: "trap-only" }],
    profiles: ["thread-normal"],
    bufferBytes: 1024 ** 2,
    seed: 1,
    target: { kind: "recorded" },
    backing: "thp",
    vcpus: null,
    directSwitches,
    periodInstructions: 4096,
    frequencyGHz: 2.5,
    instructionsPerCycle: 1,
    memoryBytes: null,
    memlockBytes: null,
    irqLatencyNs: null,
    ranges: false,
  } as const;
  for await (const { run } of lab.runPredict(bytesSource(name, bytesOf(name)), options, () => {}, null))
    return run;
  throw new Error("no run");
}

describe("a prediction", () => {
  it("asks for a target with a list of what ran", async () => {
    const asked = predicted("idle.system.data");
    await expect(asked).rejects.toThrow(/whose command, sleep, only passes the time[\s\S]*--comm NAME/);
    await expect(asked).rejects.toThrow(
      /^ {2}perf +2 tasks +\S+ ms +\d+ switches\n {2}sleep +1 task +\S+ ms/m,
    );
  });

  it("is run without direct switches as well, where they are told by time alone", async () => {
    const run = await predicted("sched-pipe.task.data");
    expect(run.model.bufferEnablesWithoutDirectSwitchRule).toBeGreaterThan(1.2 * run.bufferEnables);
    expect(run.model.withoutDirectSwitches?.bufferEnables).toBe(
      run.model.bufferEnablesWithoutDirectSwitchRule,
    );
    expect(run.model.withoutDirectSwitches?.slowdown).toBeGreaterThan(run.slowdown);
    const without = await predicted("sched-pipe.task.data", false);
    expect(without).toMatchObject({
      ...run.model.withoutDirectSwitches,
      model: { withoutDirectSwitches: null },
    });
  });

  it.each(["make-j2.task-with-cpu.data", "sched-pipe.system.data"])(
    "is run once where %s tells which they are",
    async (name) => {
      const run = await predicted(name);
      expect(run.model.bufferEnablesWithoutDirectSwitchRule).toBeGreaterThan(1.2 * run.bufferEnables);
      expect(run.model.withoutDirectSwitches).toBeNull();
    },
  );
});
