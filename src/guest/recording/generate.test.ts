import { describe, expect, it } from "vitest";
import { bytesSource } from "../../perf/byte-source.ts";
import { buildSchedule } from "./build.ts";
import { type GenerateOptions, generatedBytes } from "./generate.ts";
import { readRuns } from "./read.ts";

const read = (options: GenerateOptions) => readRuns(bytesSource("generated", generatedBytes(options)));
const SHAPES = [
  [true, true],
  [true, false],
  [false, true],
  [false, false],
] as const;

describe("a generated recording", () => {
  it.each(SHAPES)("is whole (system-wide: %s, little-endian: %s)", async (systemWide, littleEndian) => {
    const { report, collected } = await read({ seed: 3, switchEvents: 20_000, systemWide, littleEndian });
    expect(report.warnings).toEqual([]);
    expect(report.unreadBytes + report.lateRecords).toBe(0);
    expect(report.littleEndian).toBe(littleEndian);
    expect(Object.values(collected.repairs).every((count) => count === 0)).toBe(true);
    expect(collected.switchesIn + collected.switchesOut).toBeGreaterThanOrEqual(20_000);
    expect(collected.hasCpuNumbers).toBe(systemWide);
    expect(collected.preemptedOut).toBeGreaterThan(100);
  });

  it("has a command, with direct switches and others, on as many vCPUs as there are CPUs", async () => {
    for (const systemWide of [true, false]) {
      const built = buildSchedule(await read({ seed: 3, switchEvents: 20_000, systemWide, cpus: 3 }));
      if (built.kind !== "schedule") throw new Error(built.message);
      const { recording, schedule } = built;
      expect(recording).toMatchObject({ target: "command and its children", vcpus: 3, targetTasks: 12 });
      expect(recording.enables).toBeGreaterThan(1000);
      expect(recording.directSwitches).toBeGreaterThan(1000);
      expect(schedule.segments.count).toBeGreaterThan(recording.enables);
    }
  });

  it("is the same for the same seed, and another for another", () => {
    const of = (seed: number) => generatedBytes({ seed, switchEvents: 3000, systemWide: true });
    expect(of(1)).toEqual(of(1));
    expect(of(1)).not.toEqual(of(2));
  });
});
