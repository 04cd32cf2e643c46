/** A verdict on a policy in one setting at one profile's costs: what a worker runs of the bar, and the task that has it run. */
import { BrokenInvariant } from "../../common/errors.ts";
import type { RecordedRuns } from "../../guest/recording/build.ts";
import { readRuns } from "../../guest/recording/read.ts";
import { recordingSettings, scenarioSettings } from "../../lab/bar/cases.ts";
import { BarCase, verdictOf } from "../../lab/bar/measure.ts";
import type { Setting } from "../../lab/experiment.ts";
import type { Json } from "../../lab/questions/question.ts";
import { randomSetting } from "../../lab/random-settings.ts";
import { openInput, pathOf } from "../cells/inputs.ts";
import type { CellTask, InputFile } from "../cells/task.ts";
import { choosePolicies } from "../job.ts";
import { chosen, loadLab, profileNamed } from "../lab.ts";

/** What a policy is measured in; random settings are held to the slowdown alone, at the costs' values. */
export type BarSetting =
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

const nameOf = (setting: BarSetting): string => {
  switch (setting.kind) {
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

async function settingOf(setting: BarSetting, paths: Readonly<Record<string, string>>): Promise<Setting> {
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
      return randomSetting(setting.seed);
  }
}

/** The last case, whose bare metal and trap-only the next profile may share. */
let last: { readonly key: string; readonly of: BarCase } | undefined;

/** Judges. @returns the verdict */
export async function runBarCell(input: Json, paths: Readonly<Record<string, string>>): Promise<Json> {
  const { policy, setting, profile } = input as unknown as BarInput;
  const [choice] = await choosePolicies(await loadLab(), [policy]);
  if (choice === undefined) throw new BrokenInvariant("a verdict is on a policy");
  const key = JSON.stringify(setting);
  if (last?.key !== key) last = { key, of: new BarCase(await settingOf(setting, paths)) };
  const asked = setting.kind === "random" ? ({ ends: false, asked: "slowdown" } as const) : { ends: true };
  const verdict = await verdictOf(last.of, chosen(choice), profileNamed(profile), asked);
  return verdict as unknown as Json;
}
