/** What SPE in a VM would have cost a recorded workload: a recording and what it cannot tell, as a setting. */
import { PAGE_BYTES } from "../common/address.ts";
import { counted } from "../common/counts.ts";
import { UserError } from "../common/errors.ts";
import { formatBytes } from "../common/sizes.ts";
import type { RecordedSchedule } from "../guest/recording/build.ts";
import type { RecordingSummary } from "../guest/recording/summary.ts";
import { DEFAULT_EVENT } from "../guest/spe-event.ts";
import type { Backing } from "../host/mm.ts";
import { DEFAULT_MEMLOCK_BYTES, defaultMemoryBytes, type Setting } from "./experiment.ts";
import { THRESHOLDS } from "./report/verdicts.ts";
import { DEFAULT_CLOCK_GHZ, DEFAULT_IPC, DEFAULT_IRQ_LATENCY_NS } from "./scenarios.ts";

/** What a recording cannot hold. */
export interface PredictSettings {
  readonly bufferBytes: number;
  readonly backing: Backing;
  /** Instructions between samples. */
  readonly period: number;
  readonly clockGHz: number;
  readonly ipc: number;
  /** Undefined: enough for the buffers. */
  readonly memoryBytes: number | undefined;
  /** How far RLIMIT_MEMLOCK may be raised; Infinity: no limit. */
  readonly memlockMaxBytes: number;
  readonly irqLatencyNs: number;
  readonly seed: number;
  readonly stage2AtStart: "mapped" | "absent";
}

/** What is assumed where nobody says otherwise. */
export const USUAL_PREDICTION: Omit<PredictSettings, "bufferBytes" | "seed"> = {
  backing: "thp",
  period: DEFAULT_EVENT.period,
  clockGHz: DEFAULT_CLOCK_GHZ,
  ipc: DEFAULT_IPC,
  memoryBytes: undefined,
  memlockMaxBytes: Number.POSITIVE_INFINITY,
  irqLatencyNs: DEFAULT_IRQ_LATENCY_NS,
  stage2AtStart: "absent",
};

/**
 * Whether what a recording costs depends on which of its switches are direct, and it does not tell: then it is to be
 * run with none of them, too (`ScheduleOptions.directSwitches`).
 */
export const leavesEnablesOpen = ({
  directSwitchesGuessed,
  enables,
  enablesWithoutDirectRule,
}: RecordingSummary): boolean =>
  directSwitchesGuessed && enablesWithoutDirectRule > enables * THRESHOLDS.openEnables;

/** AUX buffers are a power of two of at least two pages. */
export function checkBuffer(bytes: number): void {
  if (bytes < 2 * PAGE_BYTES || !Number.isInteger(Math.log2(bytes)))
    throw new UserError(
      `--buffer: ${formatBytes(bytes)} cannot be an AUX buffer`,
      "perf takes powers of two from 8K up: 1M, 256M",
    );
}

/**
 * @throws UserError where the buffer cannot be one, or the memory does not hold the buffers
 */
export function predictionSetting(recorded: RecordedSchedule, settings: PredictSettings): Setting {
  checkBuffer(settings.bufferBytes);
  const { schedule, recording } = recorded;
  const least = defaultMemoryBytes(schedule.vcpus, settings.bufferBytes);
  const wanted = settings.memoryBytes ?? least;
  const blocks = Math.ceil(wanted / (512 * PAGE_BYTES));
  const needed = schedule.vcpus * settings.bufferBytes;
  if (wanted < needed * 1.02 + 16 * 1024 ** 2)
    throw new UserError(
      `--memory: ${formatBytes(wanted)} does not hold ${counted(schedule.vcpus, "AUX buffer")} of ${formatBytes(settings.bufferBytes)}`,
      `Give the guest ${formatBytes(least)}, or take a smaller --buffer`,
    );
  return {
    // The file's name without its folder: the same recording gives the same record wherever it lies.
    scenario: recording.name.split(/[/\\]/).at(-1) ?? recording.name,
    schedule,
    event: { ...DEFAULT_EVENT, period: settings.period },
    bufferBytes: settings.bufferBytes,
    snapshot: false,
    pageBytes: 4096,
    backing: settings.backing,
    memoryBytes: blocks * 512 * PAGE_BYTES,
    memlockBytes: Math.min(DEFAULT_MEMLOCK_BYTES, settings.memlockMaxBytes),
    memlockMaxBytes: settings.memlockMaxBytes,
    irqLatencyNs: settings.irqLatencyNs,
    clockGHz: settings.clockGHz,
    ipc: settings.ipc,
    seed: settings.seed,
    stage2AtStart: settings.stage2AtStart,
  };
}
