/** What SPE in a VM would have cost a recorded workload. */

import { PREDICTION } from "../cli/defaults.ts";
import type { Target } from "../cli/engine.ts";
import { UserError } from "../common/errors.ts";
import type { PinPolicy } from "../kvm/spe/policy.ts";
import type { ModelRun } from "../lab/report/run.ts";

/** A recording under one policy and one cost profile, as `spevisor predict --json` writes it. */
export type Prediction = ModelRun;

/** What a recording cannot tell, and whom and under what to predict. Every part may be left out. */
export interface PredictOptions {
  /** Names, as `spevisor policies` lists them, or policies of your own; all registered ones where nobody says. */
  readonly policies?: readonly (string | PinPolicy)[];
  /** Names, as `spevisor profiles` lists them; "thread-normal" where nobody says. */
  readonly profiles?: readonly string[];
  /** Whom to profile; the recorded command and its children where nobody says. */
  readonly target?: Target;
  /** The guest's profiling buffer; 256 MiB. */
  readonly bufferBytes?: number;
  /** What backs the guest's memory in the host: "base", "thp", "hugetlb-2M", ...; "thp". */
  readonly backing?: string;
  /** As many as the recording's CPUs or its overlapping tasks. */
  readonly vcpus?: number;
  /** False: each switch-in enables the buffer, a switch between two of the command's tasks, too. */
  readonly directSwitches?: boolean;
  /** Instructions between samples; 4096. */
  readonly periodInstructions?: number;
  /** 2.5. */
  readonly frequencyGHz?: number;
  /** 1. */
  readonly instructionsPerCycle?: number;
  /** The VM's memory; 2 GiB. */
  readonly memoryBytes?: number;
  /** RLIMIT_MEMLOCK of the VMM; unlimited. */
  readonly memlockBytes?: number;
  /** From PMBIRQ asserted to handled; the profile's own. */
  readonly irqLatencyNs?: number;
  /** Evaluate both ends of the cost ranges however long the recording is. */
  readonly ranges?: boolean;
  /** Of everything that is drawn; 1. */
  readonly seed?: number;
  /** Told now and then how many of the runs are done. */
  readonly onProgress?: (progress: {
    readonly done: number;
    readonly total: number;
    readonly what: string;
  }) => void;
}

const WHOLE = [
  "bufferBytes",
  "vcpus",
  "periodInstructions",
  "memoryBytes",
  "memlockBytes",
  "irqLatencyNs",
] as const;
const POSITIVE = ["frequencyGHz", "instructionsPerCycle"] as const;

function checkNumbers(options: PredictOptions): void {
  for (const name of WHOLE) {
    const value = options[name];
    if (value !== undefined && !(Number.isSafeInteger(value) && value >= 0))
      throw new UserError(`${name}: ${value} is not a whole number`);
  }
  for (const name of POSITIVE) {
    const value = options[name];
    if (value !== undefined && !(Number.isFinite(value) && value > 0))
      throw new UserError(`${name}: ${value} is not a number above 0`);
  }
  const { seed } = options;
  if (seed !== undefined && !(Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32))
    throw new UserError(`seed: ${seed} is not a whole number below 2^32`);
}

/**
 * Runs a recording under each policy and cost profile, as `spevisor predict` does.
 * @param recording a perf.data by its path ("-" for standard input), or its content
 * @returns a record for each, in the order of profiles and then policies; its fields carry units
 * @throws UserError for a recording, a name or a number that cannot be used
 */
export async function predict(
  recording: string | Uint8Array,
  options: PredictOptions = {},
): Promise<readonly Prediction[]> {
  checkNumbers(options);
  const [{ loadLab }, { openSource }, { bytesSource }, { checkRun }, { knownName }] = await Promise.all([
    import("../cli/lab.ts"),
    import("../vmm/node/file-source.ts"),
    import("../perf/byte-source.ts"),
    import("../lab/report/report-file.ts"),
    import("../cli/options.ts"),
  ]);
  const engine = await loadLab();
  const policies = options.policies ?? engine.listPolicies().map(({ name }) => name);
  const profiles = options.profiles ?? [PREDICTION.profile];
  const known = engine.listProfiles().map(({ name }) => name);
  for (const name of profiles) knownName("cost profile", name, known);
  const backing = knownName("backing", options.backing ?? PREDICTION.backing, engine.listBackings());
  const { source, close } =
    typeof recording === "string"
      ? await openSource(recording)
      : { source: bytesSource("the recording", recording), close: async () => undefined };
  const runs: ModelRun[] = [];
  try {
    const details = engine.runPredict(
      source,
      {
        policies: policies.map((policy) =>
          typeof policy === "string"
            ? { kind: "named", name: policy }
            : { kind: "loaded", file: `policy "${policy.name}"`, policy },
        ),
        profiles,
        backing,
        target: options.target ?? { kind: "recorded" },
        bufferBytes: options.bufferBytes ?? PREDICTION.bufferBytes,
        vcpus: options.vcpus ?? null,
        directSwitches: options.directSwitches ?? true,
        periodInstructions: options.periodInstructions ?? PREDICTION.periodInstructions,
        frequencyGHz: options.frequencyGHz ?? PREDICTION.frequencyGHz,
        instructionsPerCycle: options.instructionsPerCycle ?? PREDICTION.instructionsPerCycle,
        memoryBytes: options.memoryBytes ?? PREDICTION.memoryBytes,
        memlockBytes: options.memlockBytes ?? null,
        irqLatencyNs: options.irqLatencyNs ?? null,
        ranges: options.ranges ?? false,
        seed: options.seed ?? PREDICTION.seed,
        costFactors: {},
        hostCpus: null,
        charts: false,
      },
      options.onProgress ?? (() => undefined),
      null,
    );
    for await (const { run } of details) runs.push(checkRun(run));
  } finally {
    await close();
  }
  return runs;
}
