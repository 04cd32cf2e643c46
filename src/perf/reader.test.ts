import { describe, expect, it } from "vitest";
import { UserError } from "../common/errors.ts";
import { bytesSource, streamSource } from "./byte-source.ts";
import { readRecording } from "./reader.ts";
import type { RecordingSink } from "./recording-sink.ts";

const VOID: RecordingSink = {
  taskIn: () => {},
  taskOut: () => {},
  cpuIn: () => {},
  cpuOut: () => {},
  comm: () => {},
  fork: () => {},
  exit: () => {},
  lost: () => {},
};

const u16 = (value: number): number[] => [value & 255, value >> 8];
const u32 = (value: number): number[] => [...u16(value & 0xffff), ...u16(value >>> 16)];
const u64 = (value: number): number[] => [...u32(value % 2 ** 32), ...u32(Math.floor(value / 2 ** 32))];
const text = (value: string, fieldBytes = value.length): number[] => [
  ...new TextEncoder().encode(value.padEnd(fieldBytes, "\0")),
];
const record = (type: number, misc: number, ...body: number[][]): number[] => {
  const bytes = body.flat();
  return [...u32(type), ...u16(misc), ...u16(8 + bytes.length), ...bytes];
};

const TID_TIME = 2 | 4;
const SAMPLE_ID_ALL = 1 << 18;
const CONTEXT_SWITCH = 1 << 26;

/** A perf_event_attr of version 0 size: 64 bytes. */
const attr = (sampleType = TID_TIME, flags = SAMPLE_ID_ALL | CONTEXT_SWITCH): number[] => [
  ...u32(1),
  ...u32(64),
  ...u64(9),
  ...u64(0),
  ...u64(sampleType),
  ...u64(0),
  ...u64(flags),
  ...u64(0),
  ...u64(0),
];

const pipe = (...records: number[][]): Uint8Array =>
  Uint8Array.from([...text("PERFILE2"), ...u64(16), ...records.flat()]);

/** A file with one attr section, then the data; `dataBytes` is what the header says of it. */
function file(attrs: readonly (readonly number[])[], data: number[], dataBytes = data.length): Uint8Array {
  const entries = attrs.flatMap((one) => [...one, ...u64(0), ...u64(0)]);
  const header = [
    ...text("PERFILE2"),
    ...u64(104),
    ...u64(80),
    ...u64(104),
    ...u64(entries.length),
    ...u64(104 + entries.length),
    ...u64(dataBytes),
    ...u64(0),
    ...u64(0),
    ...u64(0),
    ...u64(0),
    ...u64(0),
    ...u64(0),
  ];
  return Uint8Array.from([...header, ...entries, ...data]);
}

const id = (tid: number, timeNs: number): number[] => [...u32(tid), ...u32(tid), ...u64(timeNs)];
const switchIn = (tid: number, timeNs: number): number[] => record(14, 0, id(tid, timeNs));
const switchOut = (tid: number, timeNs: number): number[] => record(14, 1 << 13, id(tid, timeNs));

async function ins(
  bytes: Uint8Array,
): Promise<{ times: number[]; warnings: readonly string[]; unread: number }> {
  const times: number[] = [];
  const report = await readRecording(bytesSource("test.data", bytes), {
    ...VOID,
    taskIn: (timeNs) => times.push(timeNs),
  });
  return { times, warnings: report.warnings, unread: report.unreadBytes };
}

async function refusal(bytes: Uint8Array): Promise<UserError> {
  try {
    await readRecording(bytesSource("test.data", bytes), VOID);
  } catch (error) {
    if (error instanceof UserError) return error;
    throw error;
  }
  throw new Error("it was not refused");
}

describe("a file that is no recording of switches", () => {
  it.each([
    ["an empty file", new Uint8Array(0), /test\.data: it is empty/],
    ["an ELF binary", Uint8Array.from([...text("\x7fELF\x02\x01\x01"), ...u64(0)]), /ELF binary.*offset 0/],
    ["another version", Uint8Array.from(text("version https://example.org")), /not a perf\.data file/],
    ["text", Uint8Array.from(text("#!/bin/sh\necho hello\n")), /not a perf\.data file.*offset 0/],
    ["one byte", Uint8Array.of(80), /not a perf\.data file/],
    ["a magic and nothing else", Uint8Array.from(text("PERFILE2")), /ends within its header, at offset 8/],
    ["perf.data of version 1", Uint8Array.from([...text("PERFFILE"), ...u64(104)]), /version 1.*offset 0/],
    ["a cut header", file([attr()], []).slice(0, 60), /header is cut.*60/],
    ["a file without attrs", file([], []), /sections are damaged/],
    ["one without switch events", file([attr(TID_TIME, SAMPLE_ID_ALL)], []), /no switch events/],
    ["a pipe without switch events", pipe(record(64, 0, attr(TID_TIME, SAMPLE_ID_ALL))), /no switch events/],
    ["a pipe without attrs", pipe(record(68, 0)), /no event attributes/],
    ["a pipe that starts with a switch", pipe(switchIn(1, 5)), /before any event attributes/],
    ["one without sample_id_all", file([attr(TID_TIME, CONTEXT_SWITCH)], switchIn(1, 5)), /no times/],
    ["one without times", file([attr(2)], record(14, 0, u64(1))), /no times/],
  ])("refuses %s, and says what to do", async (_, bytes, what) => {
    const error = await refusal(bytes);
    expect(error.what).toMatch(what);
    expect(error.remedy).toContain("perf record --switch-events -e dummy");
  });

  it("refuses a Git LFS pointer, in a file or through a pipe", async () => {
    const pointer = Uint8Array.from(text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n"));
    expect(await refusal(pointer)).toMatchObject({
      what: "test.data: it is a Git LFS pointer, and not the file that it stands for",
      remedy: "Fetch the file: git lfs pull",
    });
    async function* once() {
      yield pointer;
    }
    await expect(readRecording(streamSource("standard input", once()), VOID)).rejects.toThrow(
      /standard input: it is a Git LFS pointer/,
    );
  });

  it("refuses a perf.data directory's header", async () => {
    const bytes = file([attr()], switchIn(1, 5));
    // Feature 24, DIR_FORMAT.
    bytes[72 + 3] = 1;
    expect((await refusal(bytes)).what).toMatch(/directory.*offset 72/);
  });

  it("refuses a file that comes through a pipe, which cannot go back to its header's offsets", async () => {
    async function* once() {
      yield file([attr()], switchIn(1, 5));
    }
    await expect(readRecording(streamSource("standard input", once()), VOID)).rejects.toThrow(
      /through a pipe/,
    );
  });

  it("refuses events of different shapes without identifiers", async () => {
    const bytes = file([attr(), attr(TID_TIME | 128)], switchIn(1, 5));
    expect((await refusal(bytes)).what).toMatch(/2 events write differently shaped records/);
  });
});

describe("what is read", () => {
  it("counts ns from the first time, exactly, although the clock is beyond 2^53 ns", async () => {
    const start = 2 ** 60;
    const shifted = (timeNs: number): number[] => [
      ...u32(1),
      ...u32(1),
      ...u32(timeNs),
      ...u32(start / 2 ** 32),
    ];
    const { times } = await ins(
      file(
        [attr()],
        [...record(14, 0, shifted(1001)), ...record(14, 0, shifted(1002)), ...record(14, 0, shifted(4))],
      ),
    );
    expect(times).toEqual([-997, 0, 1]);
  });

  it("finds the sample id by the identifier at a record's end where events differ", async () => {
    const IDENTIFIER = 1 << 16;
    const header = (...attrs: number[][]) => attrs.flatMap((one) => record(64, 0, one));
    const wide = [...attr(TID_TIME | 128 | IDENTIFIER), ...u64(7)];
    const narrow = [...attr(TID_TIME | IDENTIFIER), ...u64(8)];
    const { times } = await ins(
      pipe(
        header(wide, narrow),
        record(14, 0, id(1, 100), u64(3), u64(7)),
        record(14, 0, id(1, 300), u64(8)),
        record(14, 0, id(1, 300), u64(99)),
      ),
    );
    expect(times).toEqual([0, 200]);
  });

  it("skips AUX data behind its record, however the chunks fall", async () => {
    const aux = Array.from({ length: 5000 }, () => 0xff);
    const data = [switchIn(1, 10), record(71, 0, u64(aux.length), u64(0)), aux, switchIn(1, 20)];
    const bytes = pipe(record(64, 0, attr()), ...data);
    expect((await ins(bytes)).times).toEqual([0, 10]);
    async function* crumbs() {
      for (let at = 0; at < bytes.length; at += 7) yield bytes.subarray(at, at + 7);
    }
    const times: number[] = [];
    await readRecording(streamSource("pipe", crumbs()), { ...VOID, taskIn: (timeNs) => times.push(timeNs) });
    expect(times).toEqual([0, 10]);
  });

  it("adds up LOST and LOST_SAMPLES, without samples that a filter dropped", async () => {
    const data = [
      ...record(2, 0, u64(0), u64(3), id(1, 5)),
      ...record(2, 0, u64(0), u64(4), id(1, 6)),
      ...record(13, 0, u64(10), id(1, 7)),
      ...record(13, 1 << 15, u64(100), id(1, 8)),
    ];
    const report = await readRecording(bytesSource("test.data", file([attr()], data)), VOID);
    expect(report.lostRecords).toBe(7);
    expect(report.lostSamples).toBe(10);
    expect(Object.fromEntries(report.records)).toEqual({ LOST: 2, LOST_SAMPLES: 2 });
  });
});

describe("a damaged file", () => {
  const data = [...switchIn(1, 10), ...switchOut(1, 20), ...switchIn(1, 30)];

  it("gives what comes before the cut", async () => {
    const whole = file([attr()], data);
    const { times, warnings } = await ins(whole.slice(0, whole.length - 10));
    expect(times).toEqual([0]);
    expect(warnings.join()).toMatch(new RegExp(`truncated at offset ${whole.length - 10}: 10 bytes`));
  });

  it("is read to its end where perf was killed before it wrote the size", async () => {
    const { times, warnings } = await ins(file([attr()], data, 0));
    expect(times).toEqual([0, 20]);
    expect(warnings.join()).toMatch(/did not end in good order/);
  });

  it("stops at a record that is shorter than its own header, and says how much is left", async () => {
    const broken = [...switchIn(1, 10), ...u32(14), ...u16(0), ...u16(4), ...switchIn(1, 30)];
    const { times, warnings, unread } = await ins(file([attr()], broken));
    expect(times).toEqual([0]);
    expect(warnings.join()).toMatch(/damaged at offset 208: a record of 4 bytes.*32 bytes after it/);
    expect(unread).toBe(32);
  });

  it("counts records that are too short for their type, and types that nobody knows", async () => {
    const odd = [...record(14, 0, u64(1)), ...record(999, 0, u64(1)), ...switchIn(1, 10)];
    const report = await readRecording(bytesSource("test.data", file([attr()], odd)), VOID);
    expect(report.damagedRecords).toBe(1);
    expect(report.unknownRecords).toBe(1);
    expect(report.records.get("type 999")).toBe(1);
    expect(report.warnings.join()).toMatch(
      /1 damaged and 1 unknown records.*first: SWITCH of 16 bytes at offset 184/,
    );
  });

  it("stops at AUX data that no file can hold", async () => {
    const { times, warnings } = await ins(
      file([attr()], [...switchIn(1, 10), ...record(71, 0, u64(2 ** 60)), ...switchIn(1, 20)]),
    );
    expect(times).toEqual([0]);
    expect(warnings.join()).toMatch(/AUXTRACE followed by 11529215046068\d+ bytes/);
  });
});
