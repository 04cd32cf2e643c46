/** A verdict on a policy in one setting at one profile's costs: what a worker runs of the bar, and the task that has it run. */
import { BrokenInvariant } from "../../common/errors.ts";
import { formatBytes, formatNs } from "../../common/sizes.ts";
import type { RecordedRuns } from "../../guest/recording/build.ts";
import { readRuns } from "../../guest/recording/read.ts";
import { COST_NAMES, type CostName, type CostTable } from "../../host/costs.ts";
import type { PinPolicy } from "../../kvm/spe/policy.ts";
import { recordingSettings, scenarioSettings } from "../../lab/bar/cases.ts";
import { type BarCell, settingOfCell, USUAL_CELL } from "../../lab/bar/cell.ts";
import { BarCase, type Verdict, type VerdictOptions, verdictOf } from "../../lab/bar/measure.ts";
import type { Setting } from "../../lab/experiment.ts";
import type { Json } from "../../lab/questions/question.ts";
import { randomCase } from "../../lab/random-settings.ts";
import { openInput, pathOf } from "../cells/inputs.ts";
import type { CellTask, InputFile } from "../cells/task.ts";
import { choosePolicies } from "../job.ts";
import { chosen, loadLab, profileNamed } from "../lab.ts";

/** What a policy is measured in. */
export type BarSetting =
  | { readonly kind: "cell"; readonly cell: BarCell }
  | { readonly kind: "scenario"; readonly name: string; readonly seed: number }
  /** `index` counts a recording's settings (lab/bar/cases.ts). */
  | { readonly kind: "recording"; readonly file: InputFile; readonly index: number; readonly seed: number }
  | { readonly kind: "random"; readonly seed: number };

interface BarInput {
  /** A name, or the path of a file. */
  readonly policy: string;
  readonly setting: BarSetting;
  readonly profile: string;
}

/** What of a cell is not as usual, as the options that choose it. */
export function cellOptions(cell: BarCell): string[] {
  const usual = USUAL_CELL;
  const factors = Object.entries(cell.costs).map(([name, factor]) => `${name}=${factor}`);
  const options: readonly (readonly [boolean, () => string])[] = [
    [cell.bufferBytes !== usual.bufferBytes, () => `--buffer ${typedBytes(cell.bufferBytes)}`],
    [cell.periodOps !== null, () => `--period ${cell.periodOps}`],
    [cell.vcpus !== null, () => `--vcpus ${cell.vcpus}`],
    [cell.ipc !== usual.ipc, () => `--ipc ${cell.ipc}`],
    [cell.irqLatencyNs !== usual.irqLatencyNs, () => `--irq-latency ${typedNs(cell.irqLatencyNs)}`],
    [cell.backing !== usual.backing, () => `--backing ${cell.backing}`],
    [cell.workerWakeNs !== null, () => `--worker-wake ${typedNs(cell.workerWakeNs ?? 0)}`],
    [cell.hostCpus !== null, () => `--host-cpus ${cell.hostCpus}`],
    [cell.at !== "all", () => `--at ${cell.at}`],
    [factors.length > 0, () => `--costs ${factors.join(",")}`],
    [cell.seed !== usual.seed, () => `--seed ${cell.seed}`],
  ];
  return options.flatMap(([isSaid, text]) => (isSaid ? [text()] : []));
}

const typedBytes = (bytes: number): string => formatBytes(bytes).replace(/ ([KMGT])iB$/, "$1");
const typedNs = (ns: number): string => formatNs(ns).replace(" ", "").replace("µ", "u");

const cellText = (cell: BarCell): string => [cell.scenario, ...cellOptions(cell)].join(" ");

/** A cell at a profile's costs, in words that nothing else has. */
export const labelOfCell = (cell: BarCell, profile: string): string => `${cellText(cell)}, ${profile}`;

const nameOf = (setting: BarSetting): string => {
  switch (setting.kind) {
    case "cell":
      return cellText(setting.cell);
    case "scenario":
      return setting.name;
    case "recording":
      return setting.index === 0 ? setting.file.name : `${setting.file.name} (${setting.index + 1})`;
    case "random":
      return `random ${setting.seed}`;
  }
};

/** A verdict as a task. */
export const barTask = (input: BarInput): CellTask => ({
  kind: "bar",
  input: input as unknown as Json,
  files: input.setting.kind === "recording" ? [input.setting.file] : [],
  label: `${nameOf(input.setting)}, ${input.profile}`,
});

/** A recording's settings. @param name what to call it */
export async function recordedSettings(path: string, name: string, seed: number): Promise<Setting[]> {
  const opened = await openInput(path, name);
  let runs: RecordedRuns;
  try {
    runs = await readRuns(opened.source);
  } finally {
    await opened.close();
  }
  return recordingSettings(runs, seed);
}

async function settingOf(
  setting: Exclude<BarSetting, { kind: "cell" }>,
  paths: Readonly<Record<string, string>>,
): Promise<Setting> {
  switch (setting.kind) {
    case "scenario": {
      const found = scenarioSettings(setting.seed).find(({ scenario }) => scenario === setting.name);
      if (found === undefined) throw new BrokenInvariant(`a worker knows of no scenario ${setting.name}`);
      return found;
    }
    case "recording": {
      const { file, index, seed } = setting;
      const found = (await recordedSettings(pathOf(file, paths), file.name, seed))[index];
      if (found === undefined) throw new BrokenInvariant(`${file.name} has no setting ${index}`);
      return found;
    }
    case "random":
      return randomCase(setting.seed).setting;
  }
}

/** Costs with factors and another delay of workers, in whole ns. */
const adjusted =
  ({ costs: factors = {}, workerWakeNs }: Partial<Pick<BarCell, "costs" | "workerWakeNs">>) =>
  (costs: CostTable): CostTable => {
    const table: Record<CostName, number> = { ...costs, workerWake: workerWakeNs ?? costs.workerWake };
    for (const name of COST_NAMES) table[name] = Math.round(table[name] * (factors[name] ?? 1));
    return table;
  };

const optionsOf = (setting: BarSetting): VerdictOptions => {
  switch (setting.kind) {
    case "cell":
      return { at: setting.cell.at, flips: false, adjust: adjusted(setting.cell) };
    case "scenario":
    case "recording":
      return { at: "all", flips: true };
    case "random":
      return { at: "all", flips: false, adjust: adjusted(randomCase(setting.seed)) };
  }
};

/** Of a cell's waits the kept ones alone are run: they are never the better reading. */
const caseOfCell = (cell: BarCell): BarCase => new BarCase(settingOfCell(cell), ["kept"]);

/** The verdict on a policy in a cell. */
export const judgeCell = (cell: BarCell, policy: PinPolicy, profile: string): Verdict =>
  verdictOf(caseOfCell(cell), policy, profileNamed(profile), optionsOf({ kind: "cell", cell }));

/** The last case, whose bare metal and references the next profile may share. */
let last: { readonly key: string; readonly of: BarCase } | undefined;

async function caseOf(setting: BarSetting, paths: Readonly<Record<string, string>>): Promise<BarCase> {
  const key = JSON.stringify(setting);
  if (last?.key !== key) {
    last = {
      key,
      of: setting.kind === "cell" ? caseOfCell(setting.cell) : new BarCase(await settingOf(setting, paths)),
    };
  }
  return last.of;
}

/** Judges. @returns the verdict */
export async function runBarCell(input: Json, paths: Readonly<Record<string, string>>): Promise<Json> {
  const { policy, setting, profile } = input as unknown as BarInput;
  const [choice] = await choosePolicies(await loadLab(), [policy]);
  if (choice === undefined) throw new BrokenInvariant("a verdict is on a policy");
  const of = await caseOf(setting, paths);
  const verdict = verdictOf(of, chosen(choice), profileNamed(profile), optionsOf(setting));
  return { ...verdict, scenario: nameOfCase(setting, of) } as unknown as Json;
}

/** A recording's targets have names of their own. */
const nameOfCase = (setting: BarSetting, of: BarCase): string =>
  setting.kind === "recording" ? of.setting.scenario : nameOf(setting);
