/** What the bar is asked in: the scenarios, and recordings with every target that they have. */
import { buildSchedule, type RecordedRuns } from "../../guest/recording/build.ts";
import { busiestCommands, type Target } from "../../guest/recording/target.ts";
import type { Setting } from "../experiment.ts";
import { predictionSetting, USUAL_PREDICTION } from "../predict.ts";
import { SCENARIOS } from "../scenarios.ts";

/** perf's -m,256M, as in the thread. */
export const BAR_BUFFER_BYTES = 256 * 1024 ** 2;

/** Each scenario's setting. */
export const scenarioSettings = (seed: number): Setting[] =>
  SCENARIOS.map((scenario) => scenario.setting(BAR_BUFFER_BYTES, seed));

const labelOf = (target: Target | undefined): string =>
  target === undefined || target.kind === "command"
    ? ""
    : target.kind === "comm"
      ? ` --comm ${target.comm}`
      : target.kind === "pid"
        ? ` --pid ${target.pid}`
        : " --per-cpu";

/** As its command was profiled; where the whole system was recorded, also per CPU and by its busiest command. */
function targetsOf({ collected }: RecordedRuns): (Target | undefined)[] {
  if (collected.kind !== "cpu") return [undefined];
  const busiest = busiestCommands(collected).find(({ comm }) => comm !== "");
  return [
    undefined,
    { kind: "per-cpu" },
    ...(busiest === undefined ? [] : [{ kind: "comm", comm: busiest.comm } as const]),
  ];
}

/** A recording as settings, named as one would ask `predict` for them. */
export function recordingSettings(recorded: RecordedRuns, seed: number): Setting[] {
  return targetsOf(recorded).flatMap((target) => {
    const built = buildSchedule(recorded, { target });
    if (built.kind === "choose-target") return [];
    const setting = predictionSetting(built, {
      ...USUAL_PREDICTION,
      bufferBytes: BAR_BUFFER_BYTES,
      seed,
    });
    return [{ ...setting, scenario: `${setting.scenario}${labelOf(target)}` }];
  });
}
