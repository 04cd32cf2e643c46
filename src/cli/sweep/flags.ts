/** The options of `sweep`, and the sweep that they make where there is no file. */
import { type Command, Option } from "commander";
import { UserError } from "../../common/errors.ts";
import type { Filter } from "../../lab/sweep/matrix.ts";
import { MATRIX_KINDS, type MatrixKind, SWEEP_SCHEMA } from "../../lab/sweep/matrix.ts";
import { MOST_JOBS, names, nonEmpty, whole } from "../options.ts";

export interface SweepFlags {
  readonly kind?: MatrixKind;
  readonly recording?: string[];
  readonly comm?: string[];
  readonly scenario?: string[];
  readonly policy?: string[];
  readonly profile?: string[];
  readonly costs?: Record<string, number>[];
  readonly buffer?: string[];
  readonly period?: string[];
  readonly vcpus?: string[];
  readonly backing?: string[];
  readonly question?: string[];
  readonly target?: string[];
  readonly cases?: number;
  readonly random?: true;
  readonly seed?: string[];
  readonly repetitions?: number;
  readonly only?: Filter[];
  readonly out?: string;
  readonly dryRun?: true;
  readonly jobs?: number;
  readonly cache: boolean;
  readonly queue?: string;
  readonly inputs?: string;
  readonly priority?: number;
  readonly attach?: string;
  readonly cancel?: string;
}

/** "exit=10,walkTable=0.5": one set of factors; "none": costs at their own values. */
function factors(text: string, before: Record<string, number>[] = []): Record<string, number>[] {
  const set: Record<string, number> = {};
  for (const part of text === "none" ? [] : text.split(",")) {
    const [name = "", factor = ""] = part.split("=", 2);
    if (!/^[0-9]*\.?[0-9]+$/.test(factor))
      throw new UserError(`--costs: "${part}" is not a cost and a factor`, "Write NAME=FACTOR: exit=10");
    set[name] = Number(factor);
  }
  return [...before, set];
}

/** "policy=adaptive,buffer=4M". */
function filter(text: string, before: Filter[] = []): Filter[] {
  const pairs = text.split(",").map((part) => {
    const [name = "", ...value] = part.split("=");
    if (name === "" || value.length === 0)
      throw new UserError(
        `--only: "${part}" is not a field and a value`,
        "Write FIELD=VALUE: policy=adaptive,buffer=4M",
      );
    return [name, value.join("=")] as const;
  });
  return [...before, Object.fromEntries(pairs)];
}

/** Adds what says which cells there are. */
export const withMatrix = (command: Command): Command =>
  command
    .addOption(new Option("--kind <kind>", "instead of a file: what to run").choices(MATRIX_KINDS))
    .option("--recording <files...>", "recordings, and patterns such as '*.data'", names)
    .option("--comm <names...>", "profile the tasks of these names", names)
    .option("--scenario <names...>", "scenarios", names)
    .option("--policy <names...>", 'policies, files of them, or "all"', names)
    .option("--profile <names...>", 'cost profiles, or "all"', names)
    .option(
      "--costs <factors>",
      'multiply costs: exit=10,walkTable=0.5, or "none"; again for another set',
      factors,
    )
    .option("--buffer <sizes...>", "profiling buffers: 4M,64M,256M", names)
    .option("--period <n...>", "instructions between samples", names)
    .option("--vcpus <n...>", "vCPUs", names)
    .option("--backing <kinds...>", "what backs guest memory in the host", names)
    .option("--question <n...>", "questions", names)
    .option("--target <names...>", "fuzzers: a64, a64-sequences, recordings, hostile-guests", names)
    .option("--cases <n>", "cases of a fuzzer in each cell", whole("--cases", 1))
    .option("--random", "of the bar: a random setting for each seed")
    .option("--seed <n...>", "seeds", names)
    .option("--repetitions <n>", "so many seeds from each of them on", whole("--repetitions", 1))
    .option("--only <fields>", "cells that fit: policy=adaptive,buffer=4M; again for more", filter);

/** Adds what says where results go and who computes them. */
export const withEngine = (command: Command): Command =>
  command
    .option("--out <folder>", "where results go (default: the sweep's name and -sweep)", nonEmpty)
    .option("--dry-run", "say what would be run, and about how long it takes")
    .option("--jobs <n>", "threads (default: one for each core)", whole("--jobs", 1, MOST_JOBS))
    .option("--no-cache", "run every cell, and keep no results for the next time");

/** Adds what says which queue workers elsewhere take cells from. */
export const withQueue = (command: Command): Command =>
  command
    .option(
      "--queue <url>",
      "have workers elsewhere compute: a Redis or Valkey, redis://HOST (see spevisor worker)",
      nonEmpty,
    )
    .option(
      "--inputs <where>",
      "with --queue: a folder that all machines share, or s3://BUCKET/PREFIX, for input files",
      nonEmpty,
    )
    .option(
      "--priority <n>",
      "with --queue: 1 comes first; without it behind all that have one",
      whole("--priority", 1, 2 ** 20),
    )
    .option("--attach <id>", "go on with a sweep that was started elsewhere", nonEmpty)
    .option("--cancel <id>", "take a sweep's waiting cells out of the queue", nonEmpty);

const numbers = (option: string, texts: readonly string[] | undefined): number[] | undefined =>
  texts?.map((text) => whole(option, 0)(text));

/** The options' sweep, as a file would have it. */
export function sweepOfFlags(flags: SweepFlags): unknown {
  const { kind, question } = flags;
  const matrix = {
    kind,
    recordings: flags.recording,
    comms: flags.comm,
    scenarios: flags.scenario,
    policies: flags.policy,
    profiles: flags.profile,
    costs: flags.costs,
    buffers: flags.buffer,
    periods: numbers("--period", flags.period),
    vcpus: numbers("--vcpus", flags.vcpus),
    backings: flags.backing,
    questions: question?.includes("all") ? "all" : numbers("--question", question),
    targets: flags.target,
    cases: flags.cases,
    random: flags.random,
    seeds: numbers("--seed", flags.seed),
    repetitions: flags.repetitions,
  };
  const given = Object.fromEntries(Object.entries(matrix).filter(([, value]) => value !== undefined));
  return { schema: SWEEP_SCHEMA, name: kind, cells: [given] };
}

/** Options that say which cells there are, of those that were given. */
export const matrixFlags = (flags: SweepFlags): string[] =>
  Object.keys((sweepOfFlags({ ...flags }) as { cells: [object] }).cells[0]).filter((name) => name !== "kind");
