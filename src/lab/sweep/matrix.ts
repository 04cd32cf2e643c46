/**
 * What a sweep runs, as a file says it: matrices of cells, each a product of what its lists name. From this schema comes the JSON
 * Schema that editors take (docs/sweep.schema.json).
 */
import * as z from "zod";
import { UserError } from "../../common/errors.ts";
import { parseSizeBytes } from "../../common/sizes.ts";
import { COST_NAMES } from "../../host/costs.ts";
import { BACKINGS } from "../../host/mm.ts";

export const SWEEP_SCHEMA = "spevisor.sweep/1";

const MAX_SEED = 0xffffffff;
/** More cells than this are a slip of the finger. */
export const MOST_CELLS = 10_000_000;

const list = <T extends z.ZodType>(item: T) => z.array(item).min(1);
const name = z.string().min(1);
const seed = z.int().min(0).max(MAX_SEED);

/** "256M", as perf's -m takes it, or a number of bytes. */
const size = z
  .union([
    z.string().regex(/^[0-9]+[KMGT]?(i?B)?$/i, "a size is a whole number with K, M, G or T: 256M"),
    z.int().positive(),
  ])
  .describe('A size: "256M", or a number of bytes');

/** Some costs, multiplied. */
const factors = z
  .partialRecord(z.enum(COST_NAMES as [string, ...string[]]), z.number().nonnegative())
  .describe("Costs, multiplied: { exit: 10, walkTable: 0.5 }; { } leaves all at their own values");

const seeds = {
  seeds: list(seed).default([1]).describe("Seeds of everything that is drawn"),
  repetitions: z.int().min(1).max(1_000_000).default(1).describe("So many seeds from each of them on"),
};
const policies = list(name)
  .default(["all"])
  .describe('Pin policies by name, or "all"; of thread and predict also files such as ./mine.ts');
const profiles = list(name).default(["thread-normal"]).describe('Cost profiles by name, or "all"');
const costs = list(factors).default([{}]);
const buffers = list(size).default(["256M"]).describe("Sizes of the profiling buffer");

/** Cells that have one of the named values in each of the named fields. */
const filter = z
  .record(z.string(), z.union([list(z.union([z.string(), z.number()])), z.string(), z.number()]))
  .describe("Fields of a cell, with the values that are meant: { policy: adaptive, buffer: [4M, 64M] }");
const filters = {
  only: z.array(filter).default([]).describe("Cells that fit one of these, and no others"),
  exclude: z.array(filter).default([]).describe("Cells that fit one of these are left out"),
};

const Thread = z.strictObject({
  kind: z.literal("thread").describe("Built-in scenarios, on the model"),
  scenarios: list(name).default(["thread-a", "thread-b"]).describe('By name, or "all"'),
  policies,
  profiles,
  costs,
  buffers,
  periods: list(z.int().positive())
    .optional()
    .describe("Instructions between samples; the scenario's own by default"),
  ...seeds,
  ...filters,
});
const Predict = z.strictObject({
  kind: z.literal("predict").describe("Recordings, on the model"),
  recordings: list(name).describe("perf.data files and patterns such as *.data, from the file's own folder"),
  comms: list(name).optional().describe("Profile the tasks of these names; the recorded command by default"),
  policies,
  profiles,
  costs,
  buffers,
  periods: list(z.int().positive()).default([4096]).describe("Instructions between samples"),
  vcpus: list(z.int().min(1).max(512)).optional().describe("As many as the recording needs by default"),
  backings: list(z.enum(BACKINGS as readonly [string, ...string[]]))
    .default(["thp"])
    .describe("What backs guest memory in the host"),
  ...seeds,
  ...filters,
});
const Bar = z.strictObject({
  kind: z.literal("bar").describe("Whether policies meet the bar (spevisor bar)"),
  policies: list(name).default(["adaptive"]),
  profiles: list(name).default(["thread-normal", "thread-debug"]),
  scenarios: list(name).optional().describe('By name, or "all"'),
  recordings: list(name).optional(),
  random: z
    .boolean()
    .default(false)
    .describe("A random setting for each seed instead, held to the slowdown alone"),
  ...seeds,
  ...filters,
});
const Ask = z.strictObject({
  kind: z.literal("ask").describe("The cells of questions (spevisor ask)"),
  questions: z.union([z.literal("all"), list(z.int().min(1))]).default("all"),
  costs,
  ...filters,
});
const Linux = z.strictObject({
  kind: z
    .literal("linux")
    .describe("Commands in a guest that executes Debian's kernel (spevisor thread --guest linux)"),
  scenarios: list(name).default(["thread-a"]).describe('By name, or "all"'),
  policies,
  profiles,
  ...seeds,
  ...filters,
});
const Fuzz = z.strictObject({
  kind: z.literal("fuzz").describe("Fuzzers; they need a checkout, and those of A64 qemu-aarch64"),
  targets: list(z.enum(["a64", "a64-sequences", "recordings", "hostile-guests"])),
  cases: z.int().min(1).default(1000).describe("In each cell"),
  ...seeds,
  ...filters,
});

/** The kinds of cells, and what each has. */
export const Matrix = z.discriminatedUnion("kind", [Thread, Predict, Bar, Ask, Linux, Fuzz]);
export type Matrix = z.infer<typeof Matrix>;
export type MatrixKind = Matrix["kind"];
export const MATRIX_KINDS = [
  "thread",
  "predict",
  "bar",
  "ask",
  "linux",
  "fuzz",
] as const satisfies readonly MatrixKind[];

export const Sweep = z.strictObject({
  schema: z.literal(SWEEP_SCHEMA),
  name: z.string().min(1).optional().describe("What pages and lists call it; the file's name by default"),
  cells: list(Matrix).describe("Matrices: each is run for every combination of what its lists name"),
});
export type Sweep = z.infer<typeof Sweep>;

export type Filter = z.infer<typeof filter>;

/** The schema as the text of a JSON Schema, for editors. */
export const sweepSchemaText = (): string => {
  const schema = {
    ...z.toJSONSchema(Sweep, { io: "input", target: "draft-7" }),
    title: "A sweep of spevisor's",
  };
  return `${JSON.stringify(schema, null, 2)}\n`;
};

/** Bytes of a size in a matrix. */
export const bytesOf = (value: string | number): number =>
  typeof value === "number" ? value : parseSizeBytes(value, "a buffer");

/** The seeds of a matrix, in order and each once. */
export function seedsOf({
  seeds: from,
  repetitions,
}: {
  readonly seeds: readonly number[];
  readonly repetitions: number;
}): number[] {
  if (from.length * repetitions > MOST_CELLS)
    throw new UserError(`${from.length * repetitions} seeds are too many`);
  return [
    ...new Set(
      from.flatMap((first) => Array.from({ length: repetitions }, (_, i) => (first + i) % (MAX_SEED + 1))),
    ),
  ];
}
