/**
 * The bar's own matrix: what hosts and profiles may be, every pair of values at least once and buffer, period and vCPUs every three;
 * and the cells in which a policy was once found to fail. All combinations are a sweep's work.
 */
import type { CostEnd } from "../../host/costs.ts";
import type { Backing } from "../../host/mm.ts";
import { type BarCell, effortOf, USUAL_CELL } from "./cell.ts";
import { coveringArray } from "./covering.ts";
import { LENGTHS } from "./sessions.ts";

/** A cell at a profile's costs, and why it is asked. */
export interface MatrixCell {
  readonly cell: BarCell;
  readonly profile: string;
  readonly why: string;
}

const KIB = 1024;
const MIB = 1024 ** 2;
const MS = 1_000_000;

const DIMENSIONS = {
  /** 128 KiB are perf's default for users, 4 MiB for root. */
  bufferBytes: [128 * KIB, 4 * MIB, 16 * MIB, 256 * MIB],
  periodOps: [256, 1_024, 4_096, 65_536],
  vcpus: [1, 2, 4, 8, 16],
  length: LENGTHS,
  kind: ["system", "task"],
  costs: (["thread-normal", "thread-debug"] as const).flatMap((profile) =>
    (["value", "low", "high"] as const).map((at) => [profile, at] as const),
  ),
  workerWakeNs: [10_000, 100_000, MS, 10 * MS],
  spareCpus: [1, 0],
  backing: ["base", "thp"],
  ipc: [1, 2],
} as const;

const NAMES = Object.keys(DIMENSIONS) as (keyof typeof DIMENSIONS)[];
/** Buffer, period and vCPUs. */
const WHOLE = 3;
/** Of samples, on all vCPUs: some seconds for a policy and what it is compared with. */
const MOST_SAMPLES = 25_000_000;
/** A vCPU's second takes as long as so many samples: its timers, its switches. */
const SAMPLES_OF_VCPU_SECOND = 300_000;

function cellOf(row: readonly number[]): Omit<MatrixCell, "why"> {
  const at = <Name extends keyof typeof DIMENSIONS>(name: Name): (typeof DIMENSIONS)[Name][number] =>
    DIMENSIONS[name][row[NAMES.indexOf(name)]!] as (typeof DIMENSIONS)[Name][number];
  const [profile, end] = at("costs");
  const vcpus = at("vcpus");
  return {
    profile,
    cell: {
      ...USUAL_CELL,
      scenario: `${at("kind")}-${at("length")}`,
      bufferBytes: at("bufferBytes"),
      periodOps: at("periodOps"),
      vcpus,
      ipc: at("ipc"),
      backing: at("backing"),
      workerWakeNs: at("workerWakeNs"),
      hostCpus: at("spareCpus") === 0 ? vcpus : null,
      at: end,
    },
  };
}

function effort(row: readonly number[]): number {
  const { samples, vcpuSeconds } = effortOf(cellOf(row).cell);
  return samples + SAMPLES_OF_VCPU_SECOND * vcpuSeconds;
}

interface Matrix {
  readonly cells: readonly MatrixCell[];
  /** How many all combinations are. */
  readonly combinations: number;
  /** Pairs of values that no cell has, since each would take too long. */
  readonly skipped: readonly string[];
}

/** The matrix, without the cells that have names. */
export function barMatrix(): Matrix {
  const sizes = NAMES.map((name) => DIMENSIONS[name].length);
  const { rows, uncovered } = coveringArray({ sizes, whole: WHOLE, effort, mostEffort: MOST_SAMPLES });
  return {
    cells: rows.map((row) => ({ ...cellOf(row), why: "matrix" })),
    combinations: sizes.reduce((product, size) => product * size, 1),
    skipped: uncovered.map((values) =>
      Object.entries(values)
        .map(([dimension, value]) => {
          const name = NAMES[Number(dimension)]!;
          return `${name} ${DIMENSIONS[name][value!]}`;
        })
        .join(" with "),
    ),
  };
}

const BOTH = ["thread-normal", "thread-debug"] as const;
type Profile = (typeof BOTH)[number];

/** Cells of one kind, at each of some profiles. */
function named(
  why: string,
  profiles: readonly Profile[],
  cells: readonly (Partial<BarCell> & Pick<BarCell, "scenario">)[],
  at: CostEnd = "value",
): MatrixCell[] {
  return cells.flatMap((cell) =>
    profiles.map((profile) => ({ why, profile, cell: { ...USUAL_CELL, at, ...cell } })),
  );
}

/** perf record -a of 100 ms on so many vCPUs. */
const system = (vcpus: number, periodOps: number, of: Partial<BarCell> = {}) => ({
  scenario: "system-100ms",
  vcpus,
  periodOps,
  ...of,
});

const THP: Backing = "thp";

/** Where `adaptive` was found to fail, or came near it: what each was found with. */
export const NAMED_CELLS: readonly MatrixCell[] = [
  ...named("perf's default buffers: the window is lost at each LIMIT of the guest's", BOTH, [
    { scenario: "per-cpu", bufferBytes: 4 * MIB },
    { scenario: "per-cpu", bufferBytes: 4 * MIB, periodOps: 1_024 },
    { scenario: "long-task", bufferBytes: 128 * KIB },
  ]),
  ...named(
    "perf's default buffers, at debug's dearest",
    ["thread-debug"],
    [{ scenario: "long-task", bufferBytes: 128 * KIB }],
    "high",
  ),
  ...named("one worker for all vCPUs", BOTH, [
    system(4, 1_024),
    system(4, 1_024, { ipc: 2, bufferBytes: 16 * MIB }),
    system(16, 1_024, { bufferBytes: 16 * MIB }),
    system(16, 4_096, { bufferBytes: 16 * MIB }),
    system(16, 4_096, { bufferBytes: 16 * MIB, ipc: 3 }),
    system(1, 256),
  ]),
  ...named("short sessions: the cold start counts", BOTH, [
    { scenario: "system-50ms", periodOps: 4_096 },
    { scenario: "system-50ms", periodOps: 1_024 },
    { scenario: "system-50ms", periodOps: 256 },
    { scenario: "system-5ms", periodOps: 256 },
    { scenario: "system-10ms", periodOps: 1_024, workerWakeNs: MS },
    { scenario: "system-50ms", periodOps: 4_096, vcpus: 4, workerWakeNs: MS },
  ]),
  ...named(
    "late workers",
    ["thread-normal"],
    [300_000, MS, 3 * MS, 10 * MS].flatMap((workerWakeNs) => [
      { scenario: "task-50ms", periodOps: 1_024, workerWakeNs },
      { scenario: "task-50ms", periodOps: 4_096, workerWakeNs },
      { scenario: "system-300ms", periodOps: 1_024, workerWakeNs },
    ]),
  ),
  ...named("who pays: the workers run on the vCPUs' CPUs", BOTH, [
    { scenario: "per-cpu", hostCpus: 4 },
    { scenario: "per-cpu", bufferBytes: 4 * MIB, periodOps: 1_024, hostCpus: 4 },
  ]),
  ...named(
    "a pinned page keeps its huge page",
    ["thread-normal"],
    ["thread-a", "thread-b-sampling", "per-cpu"].map((scenario) => ({ scenario, backing: THP })),
  ),
];
