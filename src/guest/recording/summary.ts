/** What a report says about the recording that a schedule comes from. */
import { counted } from "../../common/counts.ts";
import { formatNs } from "../../common/sizes.ts";
import type { ReadReport } from "../../perf/reader.ts";
import type { CollectedRuns, Repairs } from "./collect.ts";

/** How often the target's switches enable the buffer, under each reading of them. */
export interface EnableCounts {
  /** Segments with SEGMENT.enables; for per-CPU profiling, one for each vCPU. */
  readonly enables: number;
  /** The same if no switch counted as direct: every start of a target segment. */
  readonly enablesWithoutDirectRule: number;
  /** Switches between clones of one context, where perf leaves the PMU alone. */
  readonly directSwitches: number;
  /** Of `enables`: at the execve of the recorded command, which is no switch-in. */
  readonly enablesAtExec: number;
  /** Of `enables`: the target already ran when the recording began, so there is no switch-in record. */
  readonly enablesAtStart: number;
  /** Of `enables`: runs that only their neighbours' records name. */
  readonly enablesInferred: number;
  /**
   * `enables` as the kernel would have it, which drops a task's event at its exit: a switch from a task that has
   * exited is not direct, and one that comes back for its last steps enables nothing. The switch records alone do
   * not show it, so `enables` does not follow it.
   */
  readonly enablesIfExitDropsContext: number;
}

export interface RecordingSummary extends EnableCounts {
  readonly name: string;
  readonly commandLine: string | undefined;
  readonly arch: string | undefined;
  readonly osRelease: string | undefined;
  readonly perfVersion: string | undefined;
  readonly systemWide: boolean;
  readonly hasCpuNumbers: boolean;
  /** Direct switches were told by time alone, whichever CPUs they were on: the counts of enables may be far apart. */
  readonly directSwitchesGuessed: boolean;
  /** What is profiled, in words. */
  readonly target: string;
  readonly tasks: number;
  readonly targetTasks: number;
  readonly vcpus: number;
  readonly cpusOnline: number | undefined;
  /** Switch records in the whole recording. */
  readonly switchesIn: number;
  readonly switchesOut: number;
  /** First to last record. */
  readonly recordedNs: number;
  /** First target switch-in to last target switch-out: what the schedule covers. */
  readonly wallNs: number;
  readonly targetRunNs: number;
  readonly lostRecords: number;
  readonly repairs: Readonly<Repairs>;
  /** How many records of each type. */
  readonly records: ReadonlyMap<string, number>;
  readonly warnings: readonly string[];
}

/** A stretch without any switch this long in a recording of single tasks or a whole system deserves a look. */
const LONG_GAP_NS = 600e9;

/** Sentences on everything that a reader of the result should know about the recording itself. */
export function recordingWarnings(
  report: ReadReport,
  collected: CollectedRuns,
  longestGapNs: number,
): string[] {
  const warnings = [...report.warnings];
  if (report.lostRecords > 0)
    warnings.push(
      `the kernel lost ${counted(report.lostRecords, "record")} (perf's buffers were full): that many switches or fewer are missing, and runs around them may be too long. Record with a larger -m`,
    );
  else if (report.lostSamples > 0)
    warnings.push(
      `the kernel lost ${counted(report.lostSamples, "record")} (LOST_SAMPLES): switches may be missing`,
    );
  const { repairs } = collected;
  if (repairs.missingOut > 0)
    warnings.push(
      `${counted(repairs.missingOut, "run has", "runs have")} no switch-out: taken to end at the next switch-in, or where records were lost`,
    );
  if (repairs.missingIn > 0)
    warnings.push(
      `${counted(repairs.missingIn, "run has", "runs have")} no switch-in: taken to start where the CPU's last switch announced it`,
    );
  if (repairs.inferredRuns > 0)
    warnings.push(
      repairs.inferredRuns === 1
        ? "1 run has no records of its own and was taken from those of its neighbours"
        : `${counted(repairs.inferredRuns, "run")} have no records of their own and were taken from those of their neighbours`,
    );
  if (repairs.strayOut > 0)
    warnings.push(
      `${counted(repairs.strayOut, "switch belongs", "switches belong")} to no run and ${repairs.strayOut === 1 ? "was" : "were"} left out`,
    );
  if (repairs.otherKind > 0)
    warnings.push(
      `${counted(repairs.otherKind, "switch record")} without a time, or of the other kind (per task, CPU-wide) than the first, ${repairs.otherKind === 1 ? "was" : "were"} left out`,
    );
  const { switchEventIds, info } = report;
  if (collected.kind === "cpu" && switchEventIds > 0 && switchEventIds < (info.cpusOnline ?? 0))
    warnings.push(
      `recorded on ${switchEventIds} of ${counted(info.cpusOnline ?? 0, "CPU")} (perf record -C): what ran on the others is not known, and the runs of a task that went there are missing`,
    );
  if (collected.switchesIn + collected.switchesOut === 0)
    warnings.push(
      "no switch was recorded: the command is taken to have kept its CPU from its execve to its end. One as short as `true` does; of one that sleeps or takes long the switch records are missing",
    );
  if (longestGapNs > LONG_GAP_NS)
    warnings.push(
      `nothing is switched for ${formatNs(longestGapNs)}: if that is not so, a time stamp is damaged`,
    );
  return warnings;
}
