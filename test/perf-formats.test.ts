/** The shapes that a perf.data can have, each with real files: byte order, files and pipes, compression, attributes. */
import { describe, expect, it } from "vitest";
import { buildSchedule } from "../src/guest/recording/build.ts";
import { readRuns } from "../src/guest/recording/read.ts";
import { bytesSource, streamSource } from "../src/perf/byte-source.ts";
import { readRecording } from "../src/perf/reader.ts";
import { openSource } from "../src/vmm/node/file-source.ts";
import { toBigEndian } from "./perf-byteswap.ts";
import { bytesOf, pathOf, RECORDINGS, readBytes, WITHOUT_TIMES, WrittenDown } from "./perf-recordings.ts";

const compressed = RECORDINGS.filter((name) => name.includes("-z."));
const plain = RECORDINGS.filter((name) => !name.includes("-z."));

async function* pieces(bytes: Uint8Array, length: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += length) yield bytes.subarray(at, at + length);
}

describe("a recording", () => {
  it.each(RECORDINGS)("%s is read without a warning, to its last byte", async (name) => {
    const { report, lines } = await readBytes(name, bytesOf(name));
    expect(report.warnings).toEqual([]);
    expect([report.unreadBytes, report.damagedRecords, report.unknownRecords, report.lateRecords]).toEqual([
      0, 0, 0, 0,
    ]);
    expect(report.info).toMatchObject({ arch: "x86_64", cpusOnline: 2, eventNames: ["dummy"] });
    expect(report.info.commandLine?.join(" ")).toMatch(/perf record .*--switch-events -e dummy/);
    const switches = (report.records.get("SWITCH") ?? 0) + (report.records.get("SWITCH_CPU_WIDE") ?? 0);
    expect(lines.filter((line) => /^(cpu|task)(In|Out) /.test(line))).toHaveLength(switches);
    expect(switches).toBeGreaterThan(30);
  });

  it.each(plain)("%s tells the same if a big-endian machine had written it", async (name) => {
    const turned = await readBytes(name, toBigEndian(bytesOf(name)));
    expect(turned.report.littleEndian).toBe(false);
    const original = await readBytes(name, bytesOf(name));
    expect(turned.lines).toEqual(original.lines);
    // Features come as records in a pipe, and the converter leaves those out.
    if (!original.report.pipe)
      expect(turned.report.info.commandLine).toEqual(original.report.info.commandLine);
  });

  it.each(compressed)("%s has compressed records, which hold most of its switches", async (name) => {
    const { report } = await readBytes(name, bytesOf(name));
    expect(report.records.get("COMPRESSED")).toBeGreaterThan(0);
    expect(report.info.compressed).toMatchObject({ level: 1 });
    const switches = (report.records.get("SWITCH") ?? 0) + (report.records.get("SWITCH_CPU_WIDE") ?? 0);
    // More than would fit uncompressed.
    expect(switches * 24).toBeGreaterThan(bytesOf(name).length * 0.9);
  });

  it("written into a pipe is read in pieces of any size", async () => {
    const bytes = bytesOf("pipe-mode.system.data");
    const whole = await readBytes("pipe", bytes);
    expect(whole.report.pipe).toBe(true);
    for (const length of [1, 7, 4096, 1 << 20]) {
      const sink = new WrittenDown();
      await readRecording(streamSource("pipe", pieces(bytes, length)), sink);
      expect(sink.lines).toEqual(whole.lines);
    }
  });

  it.each(RECORDINGS)("%s is the same from a file", async (name) => {
    const { source, close } = await openSource(pathOf(name));
    const sink = new WrittenDown();
    await readRecording(source, sink);
    await close();
    expect(sink.lines).toEqual((await readBytes(name, bytesOf(name))).lines);
  });

  it("without times is refused", async () => {
    await expect(readBytes("file", bytesOf(WITHOUT_TIMES))).rejects.toThrow(
      /carry no times[\s\S]*--timestamp/,
    );
  });
});

describe("the shipped recordings", () => {
  const built = async (name: string) => buildSchedule(await readRuns(bytesSource(name, bytesOf(name))));

  it("ask for a target where the command only passes the time", async () => {
    expect(await built("idle.system.data")).toMatchObject({ kind: "choose-target" });
  });

  it.each([
    ["make-j2.system.data", "make and its children", true],
    ["make-j2.task.data", "make and its children", false],
    ["make-j2.task-with-cpu.data", "make and its children", true],
    ["node-hash.system.data", "node and its children", true],
    ["sched-pipe.task.data", "perf and its children", false],
    ["attached.task.data", "the recorded tasks (node)", false],
  ])("%s: %s, CPU numbers: %s", async (name, target, hasCpuNumbers) => {
    const answer = await built(name);
    expect(answer).toMatchObject({ kind: "schedule", recording: { target, hasCpuNumbers } });
  });
});
