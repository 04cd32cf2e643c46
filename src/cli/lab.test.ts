import { describe, expect, it } from "vitest";
import { bytesOf } from "../../test/perf-recordings.ts";
import type { CostFactors } from "../host/costs.ts";
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
    costFactors: {},
    hostCpus: null,
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

describe("the host", () => {
  const threadRun = async (of: { costFactors?: CostFactors; hostCpus?: number }) => {
    const lab = await loadLab();
    const options = {
      policies: [{ kind: "named", name: "adaptive" }],
      profiles: ["thread-normal"],
      scenarios: ["migrating"],
      bufferBytes: 1024 ** 2,
      seed: 1,
      costFactors: of.costFactors ?? {},
      hostCpus: of.hostCpus ?? null,
    } as const;
    for await (const { run } of lab.runThread(options, () => {}, null)) return run;
    throw new Error("no run");
  };

  it("has workers of its own, or takes its vCPUs' CPUs for what they do", async () => {
    const enough = await threadRun({});
    expect(await threadRun({ hostCpus: 5 })).toMatchObject({ guestWallNs: enough.guestWallNs, stealNs: 0 });
    expect((await threadRun({ hostCpus: 4 })).assumptions).toContain(
      "The host has 4 CPUs for 4 vCPUs: KVM's workers run on the vCPUs' own.",
    );
    await expect(threadRun({ hostCpus: 3 })).rejects.toThrow(/--host-cpus: 3 CPUs are too few/);
  });

  it("costs what it does times what is asked, and the profile's name says so", async () => {
    const usual = await threadRun({});
    const dearer = await threadRun({ costFactors: { exit: 10 } });
    expect(dearer.profile).toBe("thread-normal (exit=10)");
    expect(dearer.exitNs).toBeGreaterThan(9 * usual.exitNs);
  });
});
