import { describe, expect, it } from "vitest";
import { labelOf, type PredictCell, type SweepCell, type ThreadCell } from "./cell.ts";
import { commandOf } from "./command.ts";
import { type Choices, cellsOfSweep } from "./expand.ts";
import { FreeSpeWalls } from "./linux.ts";
import { Sweep } from "./matrix.ts";
import { lineOf, type Result } from "./row.ts";
import { Summary } from "./summary.ts";

const same = (names: readonly string[]): readonly string[] => names;
const CHOICES: Choices = {
  policies: same,
  policyFile: (name) => (name === "mine" ? { name: "mine.ts", sha256: "of mine.ts" } : undefined),
  profiles: same,
  scenarios: same,
  linuxScenarios: () => [],
  questions: () => [],
  recordings: (patterns) => patterns.map((name) => ({ name, sha256: `of ${name}` })),
  barSettings: () => 2,
};
const cellsOf = (matrix: object, only: Parameters<typeof cellsOfSweep>[2] = []) =>
  cellsOfSweep(Sweep.parse({ schema: "spevisor.sweep/1", cells: [matrix] }), CHOICES, only);

const THREAD = {
  kind: "thread",
  scenarios: ["thread-a"],
  policies: ["fault", "adaptive"],
  buffers: ["4M", "64M"],
};

describe("a sweep's cells", () => {
  it("are every combination of its lists, in their order, policies beside each other", () => {
    const cells = cellsOf({ ...THREAD, seeds: [7], repetitions: 2 }) as ThreadCell[];
    expect(cells.map(({ bufferBytes, seed, policy }) => [bufferBytes / 1024 ** 2, seed, policy])).toEqual([
      [4, 7, "fault"],
      [4, 7, "adaptive"],
      [4, 8, "fault"],
      [4, 8, "adaptive"],
      [64, 7, "fault"],
      [64, 7, "adaptive"],
      [64, 8, "fault"],
      [64, 8, "adaptive"],
    ]);
  });

  it("are those that a filter leaves", () => {
    expect(cellsOf({ ...THREAD, only: [{ policy: "fault", buffer: "4M" }, { buffer: "64M" }] })).toHaveLength(
      3,
    );
    expect(cellsOf({ ...THREAD, exclude: [{ buffer: ["4M", "64M"], policy: "fault" }] })).toHaveLength(2);
    expect(cellsOf(THREAD, [{ policy: "adaptive" }])).toHaveLength(2);
    expect(() => cellsOf({ ...THREAD, only: [{ polices: "fault" }] })).toThrow(
      /"polices", which no cell has/,
    );
    expect(() => cellsOf({ ...THREAD, only: [{ policy: "none" }] })).toThrow(/no cells/);
  });

  it("of the bar are scenarios, all settings of a recording, or a random setting for each seed", () => {
    expect(cellsOf({ kind: "bar", scenarios: ["thread-a"], recordings: ["x.data"] }).map(labelOf)).toEqual([
      "thread-a, adaptive, thread-normal, seed 1",
      "thread-a, adaptive, thread-debug, seed 1",
      "x.data, adaptive, thread-normal, seed 1",
      "x.data, adaptive, thread-debug, seed 1",
      "x.data (2), adaptive, thread-normal, seed 1",
      "x.data (2), adaptive, thread-debug, seed 1",
    ]);
    expect(cellsOf({ kind: "bar", random: true, repetitions: 1000 })).toHaveLength(2000);
  });
});

const [CELL] = cellsOf(THREAD) as [ThreadCell];
const PREDICT = cellsOf({
  kind: "predict",
  recordings: ["it's.data"],
  policies: ["fault"],
  costs: [{}, { exit: 10 }],
});

describe("the command that repeats a cell", () => {
  it.each([
    [
      CELL,
      "npx spevisor thread --scenario thread-a --policy fault --profile thread-normal --buffer 4M --seed 1",
    ],
    [
      { ...CELL, period: 512 },
      "npx spevisor sweep --kind thread --scenario thread-a --policy fault --profile thread-normal --buffer 4M --seed 1 --period 512",
    ],
    [
      PREDICT[0]!,
      "npx spevisor predict 'a/it'\\''s.data' --policy fault --profile thread-normal --buffer 256M --period 4096 --backing thp --seed 1",
    ],
    [
      PREDICT[1]!,
      expect.stringMatching(/^npx spevisor sweep --kind predict --recording .* --costs exit=10$/),
    ],
    [{ kind: "fuzz", target: "a64", cases: 10, seed: 7 }, "npm run fuzz:a64 -- --cases 10 --seed 7"],
  ] as [SweepCell, string][])("is typed: %j", (cell, command) => {
    expect(commandOf(cell, (sha256) => `a/${sha256.replace("of ", "")}`)).toEqual(command);
  });
});

const result = (cell: SweepCell, row: Record<string, number>): Result => ({
  cell,
  outcome: { kind: "row", row },
});

describe("the summary", () => {
  it("has each workload, policy and buffer, and the worst cells first", () => {
    const summary = new Summary();
    for (const seed of [1, 2, 3])
      summary.add(result({ ...CELL, seed }, { slowdown: seed, lostShare: seed / 10 }));
    summary.add({ cell: { ...CELL, seed: 4 }, outcome: { kind: "failed", why: "no memory" } });
    expect(summary.groups).toEqual([
      {
        workload: "thread-a",
        policy: "fault",
        bufferBytes: 4 * 1024 ** 2,
        cells: 4,
        failed: 1,
        slowdown: { median: 2, worst: 3 },
        worstLostShare: 0.3,
      },
    ]);
    expect(summary.worst.map(({ slowdown }) => slowdown)).toEqual([3, 2, 1]);
    expect(summary.failures).toEqual([{ cell: { ...CELL, seed: 4 }, why: "no memory" }]);
  });

  it("keeps the worst of very many", () => {
    const summary = new Summary();
    for (let seed = 0; seed < 1000; seed++)
      summary.add(result({ ...CELL, seed }, { slowdown: (seed * 7919) % 1000 }));
    expect(summary.worst.map(({ slowdown }) => slowdown)).toEqual(
      Array.from({ length: 20 }, (_, i) => 999 - i),
    );
  });
});

it("a run of Linux is against the VM whose SPE is free, of the same scenario, costs and seed", () => {
  const walls = new FreeSpeWalls();
  const cell = { kind: "linux", scenario: "thread-a", profile: "thread-normal", seed: 1 } as const;
  walls.add(result({ ...cell, policy: "free-spe" }, { guestWallNs: 10 }));
  const completed = walls.complete(result({ ...cell, policy: "fault" }, { guestWallNs: 25 }));
  expect(lineOf(completed)).toContain('"result":{"slowdown":2.5,"guestWallNs":25}');
  expect(
    lineOf(walls.complete(result({ ...cell, seed: 2, policy: "fault" }, { guestWallNs: 25 }))),
  ).toContain('"slowdown":null');
});

it("a recording is the same whatever its cell is under", () => {
  expect((PREDICT as PredictCell[]).map(({ recording }) => recording.sha256)).toEqual([
    "of it's.data",
    "of it's.data",
  ]);
});
