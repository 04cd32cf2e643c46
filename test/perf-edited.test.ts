/** Recordings that lack something: what perf inject has taken out, and what older perfs wrote in another way. */
import { describe, expect, it } from "vitest";
import { buildSchedule } from "../src/guest/recording/build.ts";
import { readRuns } from "../src/guest/recording/read.ts";
import { bytesSource } from "../src/perf/byte-source.ts";
import { ATTR_FLAG, RECORD } from "../src/perf/format.ts";
import { firstNamed, renamed, withAttrFlag, without, withoutSwitches, withoutTypes } from "./perf-edit.ts";
import { bytesOf, RECORDINGS } from "./perf-recordings.ts";

const plain = RECORDINGS.filter((name) => !name.includes("-z.") && !name.startsWith("pipe-mode"));
const read = (name: string, bytes: Uint8Array) => readRuns(bytesSource(name, bytes));
const built = async (name: string, bytes: Uint8Array) => buildSchedule(await read(name, bytes));

describe("a recording whose switch records are gone", () => {
  it.each(plain)("%s is refused", async (name) => {
    await expect(read(name, withoutSwitches(bytesOf(name)))).rejects.toThrow(
      /no switch records: none of its [\d,]+ records[\s\S]*perf inject --strip/,
    );
  });

  it("is one of a command that kept its CPU where a single task was recorded on its own, and says so", async () => {
    const stripped = withoutSwitches(bytesOf("make-j2.task.data"));
    const command = firstNamed(stripped);
    const ofTasks: readonly number[] = [RECORD.comm, RECORD.exit];
    const alone = without(
      stripped,
      ({ type, pid }) => type === RECORD.fork || (ofTasks.includes(type) && pid !== command),
    );
    const answer = await built("alone", alone);
    expect(answer).toMatchObject({
      kind: "schedule",
      recording: { target: "make and its children", enables: 1, enablesAtExec: 1 },
    });
    if (answer.kind === "schedule")
      expect(answer.recording.warnings.join()).toMatch(/no switch was recorded/);
    // Where it has other tasks, they were switched in.
    const others = without(stripped, ({ type }) => type === RECORD.fork);
    await expect(read("others", others)).rejects.toThrow(/no switch records/);
    // Whoever sleeps is switched out.
    await expect(read("asleep", renamed(alone, "make", "sleep"))).rejects.toThrow(/no switch records/);
    // The same file, had perf been told -a: its event is not turned on by the command.
    const everything = withAttrFlag(alone, ATTR_FLAG.enableOnExec, false);
    await expect(read("everything", everything)).rejects.toThrow(/no switch records/);
  });
});

describe("a recording of an old perf, whose child has no name of its own", () => {
  it.each(plain.filter((name) => !name.startsWith("attached")))("%s is the same", async (name) => {
    const old = await built(name, renamed(bytesOf(name), "perf-exec", "perf"));
    expect(old).toEqual(await built(name, bytesOf(name)));
  });

  it("is the same where perf has another name", async () => {
    const name = "make-j2.system.data";
    const older = renamed(renamed(bytesOf(name), "perf-exec", "perf_4.9"), "perf", "perf_4.9");
    expect(await built(name, older)).toEqual(await built(name, bytesOf(name)));
  });
});

describe("a recording without names", () => {
  it("is of its tasks if it was made per task, and one has to choose if it is of a whole system", async () => {
    expect(await built("tasks", withoutTypes(bytesOf("make-j2.task.data"), RECORD.comm))).toMatchObject({
      kind: "schedule",
      recording: { target: "the recorded tasks" },
    });
    const system = await built("system", withoutTypes(bytesOf("make-j2.system.data"), RECORD.comm));
    expect(system).toMatchObject({ kind: "choose-target", commands: [{ comm: "" }] });
  });
});
