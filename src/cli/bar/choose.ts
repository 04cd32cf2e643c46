/** Which cases a policy is measured in: what the options of `spevisor bar` name. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { UserError } from "../../common/errors.ts";
import type { CostFactors } from "../../host/costs.ts";
import { BACKINGS, type Backing } from "../../host/mm.ts";
import { BAR_SCENARIOS, type BarCell, type COSTS_AT, settingOfCell, USUAL_CELL } from "../../lab/bar/cell.ts";
import { barMatrix, NAMED_CELLS } from "../../lab/bar/matrix.ts";
import { SESSIONS, sessionNamed } from "../../lab/bar/sessions.ts";
import { formatCount } from "../../lab/report/words.ts";
import { SCENARIOS } from "../../lab/scenarios.ts";
import { inputOf } from "../cells/inputs.ts";
import { ALL } from "../job.ts";
import { knownName } from "../options.ts";
import { type BarSetting, recordedSettings } from "./cell.ts";

export const SEEDS = 2 ** 32;

/** What makes cells: each list of values is combined with each other. */
export interface CellFlags {
  readonly buffer?: readonly number[];
  readonly period?: readonly number[];
  readonly vcpus?: readonly number[];
  readonly ipc?: readonly number[];
  readonly irqLatency?: readonly number[];
  readonly backing?: readonly string[];
  readonly workerWake?: readonly number[];
  readonly hostCpus?: readonly number[];
  readonly at?: (typeof COSTS_AT)[number];
  readonly costs?: CostFactors;
}

export interface ChoiceFlags extends CellFlags {
  readonly scenario?: readonly string[];
  readonly recording?: readonly string[];
  readonly random?: number;
  readonly seed: number;
}

/** A setting at a profile's costs. */
export interface BarChoice {
  readonly setting: BarSetting;
  readonly profile: string;
  /** Why it is asked, where it has a name in the bar's own matrix. */
  readonly why?: string;
}

export interface Chosen {
  readonly choices: readonly BarChoice[];
  /** What is to be said of them as a whole. */
  readonly notes: readonly string[];
  /** Where the recordings that they are of lie, by their SHA-256. */
  readonly paths: ReadonlyMap<string, string>;
}

/** The options that make cells, as they are typed; without one of them scenarios are as they are. */
const CELL_OPTIONS: Readonly<Record<keyof CellFlags, string>> = {
  buffer: "--buffer",
  period: "--period",
  vcpus: "--vcpus",
  ipc: "--ipc",
  irqLatency: "--irq-latency",
  backing: "--backing",
  workerWake: "--worker-wake",
  hostCpus: "--host-cpus",
  at: "--at",
  costs: "--costs",
};

const cellOptionsIn = (flags: ChoiceFlags): string[] =>
  (Object.keys(CELL_OPTIONS) as (keyof CellFlags)[])
    .filter((name) => flags[name] !== undefined)
    .map((name) => CELL_OPTIONS[name]);

/** Recorded without times on purpose: it tells nothing of when anything ran. */
const UNREADABLE = "per-thread-without-times.data";
const SHIPPED = fileURLToPath(new URL("../../../recordings/", import.meta.url));

const shippedRecordings = (): string[] =>
  existsSync(SHIPPED)
    ? readdirSync(SHIPPED)
        .filter((name) => name.endsWith(".data") && name !== UNREADABLE)
        .sort()
        .map((name) => join(SHIPPED, name))
    : [];

/** The settings that are in a recording. */
async function settingsIn(file: string, seed: number): Promise<BarSetting[]> {
  const input = await inputOf(file);
  return (await recordedSettings(file, input.name, seed)).map((_, index) => ({
    kind: "recording",
    file: input,
    index,
    seed,
  }));
}

function scenarioNames({ scenario = [] }: ChoiceFlags): string[] {
  const wanted = scenario.flatMap((name) =>
    name === ALL
      ? BAR_SCENARIOS
      : sessionNamed(name) === undefined
        ? [knownName("scenario", name, BAR_SCENARIOS)]
        : [name],
  );
  return [...new Set(wanted)];
}

/**
 * The product of what the options list, over the scenarios that are named, or all sessions.
 * @throws UserError for the first cell that cannot be
 */
function cellsOf(flags: ChoiceFlags): BarCell[] {
  const scenarios = flags.scenario === undefined ? SESSIONS : scenarioNames(flags);
  const backings = flags.backing?.map((name) => knownName("backing", name, BACKINGS) as Backing);
  let cells: BarCell[] = scenarios.map((scenario) => ({
    ...USUAL_CELL,
    scenario,
    at: flags.at ?? USUAL_CELL.at,
    costs: flags.costs ?? USUAL_CELL.costs,
    seed: flags.seed,
  }));
  const times = <Name extends keyof BarCell>(name: Name, values: readonly BarCell[Name][] | undefined) => {
    if (values !== undefined)
      cells = cells.flatMap((cell) => values.map((value) => ({ ...cell, [name]: value })));
  };
  times("bufferBytes", flags.buffer);
  times("periodOps", flags.period);
  times("vcpus", flags.vcpus);
  times("ipc", flags.ipc);
  times("irqLatencyNs", flags.irqLatency);
  times("backing", backings);
  times("workerWakeNs", flags.workerWake);
  times("hostCpus", flags.hostCpus);
  for (const cell of cells) settingOfCell(cell);
  return cells;
}

/** The bar's own matrix, at the profiles that are asked for, and what is to be said of it. */
function matrixAt(profiles: readonly string[], seed: number): Pick<Chosen, "choices" | "notes"> {
  const { cells, combinations, skipped } = barMatrix();
  const choices = [...cells, ...NAMED_CELLS]
    .filter(({ profile }) => profiles.includes(profile))
    .map(({ cell, profile, why }) => ({
      setting: { kind: "cell", cell: { ...cell, seed } } as const,
      profile,
      why,
    }));
  return {
    choices,
    notes: [
      `The matrix: ${cells.length} of ${formatCount(combinations)} combinations, with every two values together and every three of buffer, period and vCPUs; ${NAMED_CELLS.length} cells where adaptive was found to fail or came near it.`,
      skipped.length === 0
        ? "No two values were left out."
        : `Left out, since each takes too long: ${skipped.join("; ")}.`,
    ],
  };
}

/** The settings that were asked for; without a word about them, the matrix, all scenarios and the shipped recordings. */
export async function chooseCases(flags: ChoiceFlags, profiles: readonly string[]): Promise<Chosen> {
  const { scenario, recording, random, seed } = flags;
  const cellOptions = cellOptionsIn(flags);
  const atEach = (settings: readonly BarSetting[]): BarChoice[] =>
    settings.flatMap((setting) => profiles.map((profile) => ({ setting, profile })));
  if (random !== undefined) {
    if (scenario !== undefined || recording !== undefined || cellOptions.length > 0)
      throw new UserError(
        "--random draws its own settings",
        `Leave out ${["--scenario", "--recording", ...cellOptions].join(", ")}`,
      );
    const seeds = Array.from({ length: random }, (_, i) => (seed + i) % SEEDS);
    return {
      choices: atEach(seeds.map((each) => ({ kind: "random", seed: each }))),
      notes: [],
      paths: new Map(),
    };
  }
  if (cellOptions.length > 0) {
    if (recording !== undefined)
      throw new UserError(
        `${cellOptions.join(", ")}: recordings are run as they are`,
        "Leave out --recording, or ask spevisor predict",
      );
    const cells = cellsOf(flags);
    return { choices: atEach(cells.map((cell) => ({ kind: "cell", cell }))), notes: [], paths: new Map() };
  }
  const everything = scenario === undefined && recording === undefined;
  const asTheyAre = SCENARIOS.map(({ name }) => name);
  const wanted = everything ? asTheyAre : scenarioNames(flags);
  const settings: BarSetting[] = wanted.map((name) =>
    asTheyAre.includes(name)
      ? { kind: "scenario", name, seed }
      : { kind: "cell", cell: { ...USUAL_CELL, scenario: name, seed } },
  );
  const paths = new Map<string, string>();
  for (const path of everything ? shippedRecordings() : (recording ?? []))
    for (const setting of await settingsIn(path, seed)) {
      settings.push(setting);
      if (setting.kind === "recording") paths.set(setting.file.sha256, path);
    }
  const matrix = everything ? matrixAt(profiles, seed) : { choices: [], notes: [] };
  return { choices: [...matrix.choices, ...atEach(settings)], notes: matrix.notes, paths };
}
