/** Reads a recording into runs. */
import { UserError } from "../../common/errors.ts";
import type { ByteSource } from "../../perf/byte-source.ts";
import { HOW_TO_RECORD } from "../../perf/header.ts";
import { readRecording } from "../../perf/reader.ts";
import type { RecordedRuns } from "./build.ts";
import { RunCollector } from "./collect.ts";

/**
 * Reads all of a perf.data, holding one entry a run. Ask `buildSchedule` for schedules of it.
 *
 * @throws UserError if it is no perf.data with switch events and times, or holds no switch at all
 */
export async function readRuns(source: ByteSource): Promise<RecordedRuns> {
  const collector = new RunCollector();
  const report = await readRecording(source, collector);
  const collected = collector.finish();
  if (collected.runs.count === 0) {
    const records = [...report.records.values()].reduce((sum, count) => sum + count, 0);
    const warnings = report.warnings.length === 0 ? "" : ` (${report.warnings.join("; ")})`;
    throw new UserError(
      `${report.name}: no switch events in its ${records} records${warnings}`,
      HOW_TO_RECORD,
    );
  }
  return { report, collected };
}
