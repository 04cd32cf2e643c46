import { describe, expect, it } from "vitest";
import { costTable } from "../../host/costs.ts";
import { PROFILES } from "../../host/profiles.ts";
import { adaptive } from "../../kvm/spe/policies/adaptive.ts";
import { runBareMetal } from "../experiment.ts";
import { trial } from "../trial.ts";
import { type BarCell, effortOf, samplesPerSecond, settingOfCell, USUAL_CELL } from "./cell.ts";
import { SESSIONS } from "./sessions.ts";

const MIB = 1024 ** 2;
const cellOf = (scenario: string, of: Partial<BarCell> = {}): BarCell => ({
  ...USUAL_CELL,
  bufferBytes: 4 * MIB,
  scenario,
  ...of,
});
const normal = costTable(PROFILES[0]!);

describe("a session", () => {
  it.each([...SESSIONS, "system-300ms", "task-1s"])("%s lasts as long as it says, on each vCPU", (name) => {
    const cell = cellOf(name, { vcpus: 3, periodOps: 65_536, bufferBytes: 128 * 1024 });
    const { schedule } = settingOfCell(cell);
    const { vcpuSeconds } = effortOf(cell);
    expect(schedule.vcpus).toBe(3);
    expect(schedule.durationNs * 3).toBeCloseTo(vcpuSeconds * 1e9, -7);
    for (const vcpu of [0, 1, 2]) expect(schedule.segments.vcpu).toContain(vcpu);
  });

  it.each(["system-past-limit", "task-past-limit"])("%s gets past the guest's LIMIT", (name) => {
    const setting = settingOfCell(cellOf(name, { periodOps: 1024, bufferBytes: 16 * MIB }));
    const { selected } = runBareMetal(setting, normal, "kept");
    expect(selected * 64).toBeGreaterThan(8 * MIB);
  });

  it("selects about as many samples as its effort says", () => {
    const cell = cellOf("system-50ms", { vcpus: 2, periodOps: 1024, ipc: 2 });
    const { selected } = runBareMetal(settingOfCell(cell), normal, "kept");
    expect(selected / effortOf(cell).samples).toBeCloseTo(1, 2);
  });

  // PMSIRR_EL1.INTERVAL has bits 31:8 of what perf asked for.
  it.each([
    [256, 256],
    [300, 256],
    [511, 256],
    [512, 512],
    [1_023, 768],
    [1_025, 1_024],
    [65_535, 65_280],
  ])("that asks for a sample every %i operations gets one every %i", (periodOps, every) => {
    const cell = cellOf("system-5ms", { periodOps });
    const setting = settingOfCell(cell);
    expect(samplesPerSecond(setting)).toBe(2.5e9 / every);
    const { selected } = runBareMetal(setting, normal, "kept");
    expect(Math.abs(selected - samplesPerSecond(setting) * 0.005)).toBeLessThanOrEqual(
      1 + 0.005 * samplesPerSecond(setting) * (2 / every),
    );
  });
});

describe("a cell", () => {
  it.each([
    [cellOf("thread-a", { vcpus: 4 }), /scenario "thread-a" has 1 vCPUs, not 4/],
    [cellOf("system-5ms", { vcpus: 4, hostCpus: 3 }), /--host-cpus: 3 CPUs are too few for 4 vCPUs/],
    [cellOf("system-5ms", { bufferBytes: 3 * MIB }), /cannot be an AUX buffer/],
    [cellOf("nothing"), /scenario "nothing" does not exist/],
  ])("that cannot be is refused: %#", (cell, message) => {
    expect(() => settingOfCell(cell)).toThrow(message);
  });

  it("without a CPU to spare has its workers' time on the vCPUs, and all of it", () => {
    const cell = cellOf("system-50ms", { vcpus: 2, periodOps: 4096 });
    const run = (hostCpus: number | null) =>
      trial({ setting: settingOfCell({ ...cell, hostCpus }), policy: adaptive, costs: normal });
    const spare = run(4);
    const none = run(2);
    expect(run(null).vcpus).toEqual(spare.vcpus);
    expect(spare.stealNs).toBe(0);
    expect(none.stealNs).toBeGreaterThan(0.9 * none.backgroundNs);
    expect(none.stealNs).toBeLessThanOrEqual(none.backgroundNs);
    expect(none.slowdown).toBeGreaterThan(spare.slowdown);
    // Whose CPU it was is no more work.
    expect(none.hostCpuNs).toBeLessThan(1.1 * spare.hostCpuNs);
    expect(none.assumptions).toContain(
      "The host has 2 CPUs for 2 vCPUs: KVM's workers run on the vCPUs' own.",
    );
  });
});
