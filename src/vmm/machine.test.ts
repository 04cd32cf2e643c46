import { describe, expect, it } from "vitest";
import { WAIT } from "../guest/schedule.ts";
import { DEFAULT_EVENT } from "../guest/spe-event.ts";
import { costTable } from "../host/costs.ts";
import { PROFILES } from "../host/profiles.ts";
import { adaptive } from "../kvm/spe/policies/adaptive.ts";
import { runVm } from "../lab/experiment.ts";
import { settingOf } from "../lab/scenarios.ts";
import { scheduleOf } from "../lab/schedules.ts";

describe("a vCPU that another one kicks", () => {
  /** A task runs for 20 ms on vCPU 0; after 1 ms of it, it wakes up another one that sleeps on vCPU 1. */
  const schedule = scheduleOf({
    tasks: ["waker", "woken"],
    vcpus: 2,
    bursts: [
      { task: 0, runNs: 20_000_000, gapNs: 0, vcpu: 0 },
      { task: 1, runNs: 5_000_000, gapNs: -19_000_000, vcpu: 1 },
    ],
    assumptions: [],
  });
  schedule.segments.wait[1] = WAIT.woken;
  schedule.segments.waker[1] = 0;
  schedule.segments.wakerOffsetNs[1] = 1_000_000;

  it("goes on in its own time: no vCPU is further ahead than a quantum when it does", () => {
    const profile = PROFILES.find(({ name }) => name === "thread-normal");
    if (profile === undefined) throw new Error("no thread-normal");
    let latestNs = 0;
    let furthestBehindNs = 0;
    const setting = settingOf("kick", schedule, DEFAULT_EVENT, 1024 ** 2, 1);
    const { machine } = runVm(setting, adaptive, costTable(profile), "kept", {
      trace: ({ what, atNs }) => {
        if (what !== "exit") return;
        furthestBehindNs = Math.max(furthestBehindNs, latestNs - atNs);
        latestNs = Math.max(latestNs, atNs);
      },
    });
    machine.destroy();
    expect(latestNs).toBeGreaterThan(20_000_000);
    // A quantum, and what an exit takes.
    expect(furthestBehindNs).toBeLessThan(110_000);
  });
});
