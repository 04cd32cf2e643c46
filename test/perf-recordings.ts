/** The recordings that the repository ships, for tests. */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { bytesSource } from "../src/perf/byte-source.ts";
import { type ReadReport, readRecording } from "../src/perf/reader.ts";
import type { RecordingSink } from "../src/perf/recording-sink.ts";

const folder = fileURLToPath(new URL("../recordings/", import.meta.url));

/** Recorded without times on purpose: it must be refused. */
export const WITHOUT_TIMES = "per-thread-without-times.data";

/** File names of the recordings that can be read. */
export const RECORDINGS = readdirSync(folder)
  .filter((name) => name.endsWith(".data") && name !== WITHOUT_TIMES)
  .sort();

export const pathOf = (name: string): string => `${folder}${name}`;
export const bytesOf = (name: string): Uint8Array => new Uint8Array(readFileSync(pathOf(name)));

/** What a sink was told, one line a call: "cpuOut 1200 1 100/101 preempted > 0/0". */
export class WrittenDown implements RecordingSink {
  readonly lines: string[] = [];

  taskIn(timeNs: number, cpu: number, pid: number, tid: number): void {
    this.lines.push(`taskIn ${timeNs} ${cpu} ${pid}/${tid}`);
  }

  taskOut(timeNs: number, cpu: number, pid: number, tid: number, preempted: boolean): void {
    this.lines.push(`taskOut ${timeNs} ${cpu} ${pid}/${tid} ${preempted}`);
  }

  cpuIn(timeNs: number, cpu: number, pid: number, tid: number, fromPid: number, fromTid: number): void {
    this.lines.push(`cpuIn ${timeNs} ${cpu} ${pid}/${tid} < ${fromPid}/${fromTid}`);
  }

  cpuOut(
    timeNs: number,
    cpu: number,
    pid: number,
    tid: number,
    preempted: boolean,
    nextPid: number,
    nextTid: number,
  ): void {
    this.lines.push(`cpuOut ${timeNs} ${cpu} ${pid}/${tid} ${preempted} > ${nextPid}/${nextTid}`);
  }

  comm(timeNs: number, cpu: number, pid: number, tid: number, comm: string, exec: boolean): void {
    this.lines.push(`comm ${timeNs} ${cpu} ${pid}/${tid} ${comm} ${exec}`);
  }

  fork(timeNs: number, cpu: number, pid: number, tid: number, parentPid: number, parentTid: number): void {
    this.lines.push(`fork ${timeNs} ${cpu} ${pid}/${tid} < ${parentPid}/${parentTid}`);
  }

  exit(timeNs: number, cpu: number, pid: number, tid: number): void {
    this.lines.push(`exit ${timeNs} ${cpu} ${pid}/${tid}`);
  }

  lost(timeNs: number, cpu: number, records: number): void {
    this.lines.push(`lost ${timeNs} ${cpu} ${records}`);
  }
}

/** Reads bytes and gives the report and everything that the sink was told. */
export async function readBytes(
  name: string,
  bytes: Uint8Array,
): Promise<{ report: ReadReport; lines: readonly string[] }> {
  const sink = new WrittenDown();
  const report = await readRecording(bytesSource(name, bytes), sink);
  return { report, lines: sink.lines };
}
