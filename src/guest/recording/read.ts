/** Reads a recording into runs. */
import { counted } from "../../common/counts.ts";
import { UserError } from "../../common/errors.ts";
import type { ByteSource } from "../../perf/byte-source.ts";
import { HOW_TO_RECORD } from "../../perf/header.ts";
import { type ReadReport, readRecording } from "../../perf/reader.ts";
import type { RecordedRuns } from "./build.ts";
import { type CollectedRuns, RunCollector } from "./collect.ts";
import { TIMERS } from "./target.ts";

/**
 * Whether it can be that nothing was switched: a command of a single task, recorded on its own, that never gave up its
 * CPU, as `true` mostly does. A whole system always switches, whatever the command forks is switched in once, and a sleep
 * is a switch.
 */
const neverSwitched = (report: ReadReport, { runs, tasks }: CollectedRuns): boolean =>
  report.switchesFromExec &&
  report.lostRecords === 0 &&
  runs.count > 0 &&
  tasks.length === 1 &&
  !tasks.some(({ names }) => names.some(({ comm }) => TIMERS.has(comm)));

/**
 * Reads all of a perf.data, holding one entry a run. Ask `buildSchedule` for schedules of it.
 *
 * @throws UserError if it is no perf.data with switch events and times, or no switch is in it although there was one
 */
export async function readRuns(source: ByteSource): Promise<RecordedRuns> {
  const collector = new RunCollector();
  const report = await readRecording(source, collector);
  const collected = collector.finish();
  const hasRuns = collected.runs.count > 0 && collected.kind !== undefined;
  if (!hasRuns && !neverSwitched(report, collected)) {
    const records = [...report.records.values()].reduce((sum, count) => sum + count, 0);
    const warnings = report.warnings.length === 0 ? "" : ` (${report.warnings.join("; ")})`;
    throw new UserError(
      `${report.name}: no switch records: none of its ${counted(records, "record")} says who ran when, although its events ask for it${warnings}`,
      `Give the file that perf record wrote: perf inject --strip leaves such records out. ${HOW_TO_RECORD}`,
    );
  }
  return { report, collected };
}
