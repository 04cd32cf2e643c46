import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { syntheticRun, syntheticThread } from "../../../test/synthetic-runs.ts";
import { BrokenInvariant, UserError } from "../../common/errors.ts";
import { checkRun, readReport, writeReport } from "./report-file.ts";
import { REPORT_SCHEMA, type Report, TIME_PARTS } from "./run.ts";

const report = (runs = [syntheticRun()]): Report => ({
  schema: REPORT_SCHEMA,
  version: "0.1.0",
  host: { platform: "linux", arch: "x64", node: "v20", cpus: 2, wallNs: 1e9, machine: null },
  runs,
});

describe("a report", () => {
  it("is the same after it was written and read", () => {
    const runs = syntheticThread().map((detail) => detail.run);
    expect(readReport(writeReport(report(runs)), "r.json")).toEqual(report(runs));
  });

  it("refuses on write a vCPU whose parts do not add up to its elapsed time", () => {
    fc.assert(
      fc.property(fc.constantFrom(...TIME_PARTS), fc.integer({ min: 1_000, max: 1e9 }), (part, lostNs) => {
        const run = syntheticRun();
        const [vcpu] = run.vcpus as [(typeof run.vcpus)[number]];
        const broken = { ...run, vcpus: [{ ...vcpu, [part]: vcpu[part] + lostNs }] };
        expect(() => writeReport(report([broken]))).toThrow(BrokenInvariant);
      }),
    );
  });

  it("refuses totals that are not the sum over the vCPUs", () => {
    expect(() => checkRun({ ...syntheticRun(), pinNs: 5e6 })).toThrow(/pinNs is 5000000/);
  });

  it("refuses samples that are neither written nor lost in a named way", () => {
    const run = syntheticRun();
    expect(() => checkRun({ ...run, samples: { ...run.samples, written: 1 } })).toThrow(
      /10000 samples selected/,
    );
  });

  it("refuses reasons for enables that do not add up", () => {
    expect(() => checkRun(syntheticRun({ model: { enableReasons: { "switch-in": 99 } } }))).toThrow(
      /bufferEnables/,
    );
  });

  it("refuses an unknown field, so that a misspelt one is not lost", () => {
    expect(() => checkRun({ ...syntheticRun(), slowDown: 3 })).toThrow(/slowDown/);
  });

  it("takes sums that differ by rounding only", () => {
    const parts = Object.fromEntries(TIME_PARTS.map((part) => [part, 1e9 / 3]));
    expect(() => checkRun(syntheticRun({}, parts))).not.toThrow();
  });

  it.each([
    ["noise", "\u0000\u0001", /not a JSON file/],
    ["no schema", "{}", /names no schema, and this version reads spevisor.report\/1/],
    ["another schema", '{"schema":"spevisor.machine/1"}', /its schema is "spevisor.machine\/1"/],
    [
      "a run of another schema",
      writeReport(report()).replace("spevisor.run/3", "spevisor.run/2"),
      /runs\[0\]: its schema is "spevisor.run\/2", and this version reads spevisor.run\/3/,
    ],
    ["a changed figure", writeReport(report()).replace(/"exitNs": \d+/, '"exitNs": 77'), /damaged/],
  ])("names the file and what is wrong with %s", (_, text, message) => {
    expect(() => readReport(text, "r.json")).toThrow(UserError);
    expect(() => readReport(text, "r.json")).toThrow(message);
    expect(() => readReport(text, "r.json")).toThrow(/^r\.json/);
  });
});
