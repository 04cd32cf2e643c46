import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { sweepSchemaText } from "../../lab/sweep/matrix.ts";
import { readSweep } from "./file.ts";

const HEAD = "schema: spevisor.sweep/1\ncells:\n";

describe("a sweep's file", () => {
  it("is YAML or JSON, and what it leaves out has its usual value", () => {
    const yaml = readSweep(`${HEAD}  - kind: thread\n    buffers: [4M, 65536]\n`, "a.yaml");
    expect(yaml.cells).toEqual([
      {
        kind: "thread",
        scenarios: ["thread-a", "thread-b"],
        policies: ["all"],
        profiles: ["thread-normal"],
        costs: [{}],
        buffers: ["4M", 65536],
        seeds: [1],
        repetitions: 1,
        only: [],
        exclude: [],
      },
    ]);
    expect(readSweep(JSON.stringify(yaml), "a.json")).toEqual(yaml);
  });

  it.each([
    ["schema: [1\n", /^a\.yaml:\d+:\d+: /],
    ["schema: spevisor.sweep/2\ncells: []\n", /^a\.yaml:1:9: schema: /],
    [
      `${HEAD}  - kind: thread\n    buffers: [4M, 4Q]\n`,
      /^a\.yaml:4:19: cells\[0\]\.buffers\[1\]: a size is/,
    ],
    [`${HEAD}  - kind: predict\n`, /^a\.yaml:3:5: cells\[0\]\.recordings: /],
    [
      `${HEAD}  - kind: thread\n    policy: [fault]\n`,
      /^a\.yaml:4:13: cells\[0\]: Unrecognized key: "policy"/,
    ],
    [`${HEAD}  - kind: threads\n`, /^a\.yaml:3:11: cells\[0\]\.kind: /],
    [`${HEAD}  - kind: thread\n    costs: [{ exits: 2 }]\n`, /^a\.yaml:4:\d+: cells\[0\]\.costs\[0\]/],
    [`${HEAD}  - kind: fuzz\n    targets: [a64]\n    cases: 0\n`, /^a\.yaml:5:12: cells\[0\]\.cases: /],
  ])("says where %j is wrong", (text, message) => {
    expect(() => readSweep(text, "a.yaml")).toThrow(message);
  });

  it("has a JSON Schema that is what the declaration says: npm run schema", () => {
    expect(readFileSync(new URL("../../../docs/sweep.schema.json", import.meta.url), "utf8")).toBe(
      sweepSchemaText(),
    );
  });

  it("is what the examples are", () => {
    const file = new URL("../../../examples/buffers.yaml", import.meta.url);
    expect(readSweep(readFileSync(file, "utf8"), "buffers.yaml").cells.length).toBeGreaterThan(1);
  });
});
