/** From a machine's lines to the segments that the model replays. */
import { expect, it } from "vitest";
import { NO_PAGE, SEGMENT, WAIT } from "../../guest/schedule.ts";
import type { ScheduleLine } from "./file.ts";
import { HEADER, LINES, SCHEDULE } from "./machine-schedule.testing.ts";
import { cutSchedule } from "./segments.ts";

const columns = (lines: readonly ScheduleLine[], cpus = 1) =>
  cutSchedule({ header: { ...HEADER, cpus }, lines }, []);

it("a segment ends where the buffer is turned on or off, and where its vCPU is idle", () => {
  const { segments } = cutSchedule(SCHEDULE, []).schedule;
  expect([...segments.startNs]).toEqual([0, 1_000, 3_000, 10_500]);
  expect([...segments.endNs]).toEqual([1_000, 3_000, 3_500, 15_500]);
  expect([...(segments.ops ?? [])]).toEqual([0, 3_000, 0, 0]);
  const toggles = [...segments.flags].map((flags) => flags & (SEGMENT.enables | SEGMENT.disables));
  expect(toggles).toEqual([0, SEGMENT.enables | SEGMENT.disables, 0, 0]);
  expect([...segments.wait]).toEqual([WAIT.none, WAIT.none, WAIT.none, WAIT.other]);
  expect(segments.waitNs[3]).toBe(7_000);
});

it("the time in which a driver deals with its full buffer is the interrupt's, not the segment's", () => {
  const lines = LINES.flatMap((line): ScheduleLine[] =>
    line[0] === "off"
      ? [
          ["stopped", 0, 2_000, 1_900, 100, 3_800, 1_900, "0xffff800080008000"],
          ["resumed", 0, 2_300, 2_200, 100, 4_400, 1_900, "0xffff800080008000", "0xffff800080010000"],
          line,
        ]
      : [line],
  );
  const { schedule, stoppedNs } = columns(lines);
  expect(stoppedNs).toEqual([[[300]]]);
  expect(schedule.segments.endNs[1]).toBe(2_700);
});

it("a vCPU that another one wakes waits for what that one does, not for a time", () => {
  const lines: ScheduleLine[] = [
    ["idle", 0, 100, 100, 0, 200, 0, 2_100, "other"],
    ["idle", 1, 2_600, 2_600, 0, 5_200, 0, 9_000, "timer"],
    ["end", 0, 3_000, 1_000, 0, 2_000, 0],
    ["end", 1, 9_500, 3_100, 0, 6_200, 0],
  ];
  const { segments } = columns(lines, 2).schedule;
  // In order of their starts: vCPU 0, vCPU 1, vCPU 0 again, vCPU 1 again.
  expect([...segments.wait]).toEqual([WAIT.none, WAIT.none, WAIT.woken, WAIT.other]);
  expect([segments.waker[2], segments.wakerOffsetNs[2]]).toEqual([1, 2_100]);
});

it("what a thread does in the kernel before it is back at EL0 is its own, and no switch lies between its segments", () => {
  const lines: ScheduleLine[] = [
    ["task", 0, 100, 100, 0, 200, 0, "0x70001", "0x1000"],
    ["idle", 0, 1_000, 1_000, 0, 2_000, 0, 2_000, "timer"],
    ["task", 0, 2_300, 1_300, 0, 2_600, 0, "0x80002", "0x2000"],
    ["idle", 0, 3_000, 2_000, 0, 4_000, 0, 4_000, "timer"],
    ["task", 0, 4_100, 2_100, 0, 4_200, 0, "0x70001", "0x1000"],
    ["end", 0, 5_000, 3_000, 0, 6_000, 0],
  ];
  const { schedule } = columns(lines);
  const { segments, tasks } = schedule;
  expect(tasks.map(({ pid }) => pid)).toEqual([7, 8]);
  expect([...segments.task]).toEqual([0, 1, 0]);
  expect(segments.previousOfTask[2]).toBe(0);
  // From its own last instruction, in which the other one had a turn.
  expect(segments.waitNs[2]).toBe(3_000);
});

it("what was profiled in no time at all is not lost: the next piece has it", () => {
  const lines = LINES.flatMap((line): ScheduleLine[] =>
    line[0] === "off"
      ? [["ran", 0, 2_000, 1_900, 100, 3_800, 1_900], ["ran", 0, 2_000, 1_900, 100, 3_801, 1_901], line]
      : [line],
  );
  const { segments } = columns(lines).schedule;
  expect([...segments.endNs].slice(0, 3)).toEqual([1_000, 2_000, 3_000]);
  expect([...(segments.ops ?? [])].slice(0, 3)).toEqual([0, 1_900, 1_100]);
});

it("what another exit took is at the start of a segment, and so is the access that stage 2 did not allow", () => {
  const lines: ScheduleLine[] = [
    ["ran", 0, 1_000, 1_000, 0, 2_000, 0],
    ["fault", 0, 3_700, 3_000, 700, 6_000, 0, 0x4_2000, "write"],
    ["end", 0, 6_000, 4_000, 2_000, 8_000, 0],
  ];
  const { segments } = columns(lines).schedule;
  expect([...segments.endNs]).toEqual([1_000, 3_700, 6_000]);
  expect([...(segments.otherNs ?? [])]).toEqual([0, 700, 1_300]);
  expect([...(segments.faultPage ?? [])]).toEqual([NO_PAGE, NO_PAGE, 0x4_2000]);
  expect([...segments.flags].map((flags) => (flags & SEGMENT.faultsByWrite) !== 0)).toEqual([
    false,
    false,
    true,
  ]);
});

it("a wait is as long as it was, though the hypervisor worked for others meanwhile", () => {
  const lines: ScheduleLine[] = [
    ["task", 0, 100, 100, 0, 200, 0, "0x70001", "0x1000"],
    ["idle", 0, 1_000, 1_000, 0, 2_000, 0, 2_000, "timer"],
    ["task", 0, 2_300, 1_300, 0, 2_600, 0, "0x80002", "0x2000"],
    // 500 ns for SPE.
    ["idle", 0, 3_500, 2_000, 0, 4_000, 0, 4_500, "timer"],
    ["task", 0, 4_600, 2_100, 0, 4_200, 0, "0x70001", "0x1000"],
    ["end", 0, 5_500, 3_000, 0, 6_000, 0],
  ];
  expect(columns(lines).schedule.segments.waitNs[2]).toBe(3_500);
});

it("a driver that writes its limit though the buffer is off does so in the replay, unless it deals with a full one there", () => {
  const lines: ScheduleLine[] = [
    ["limit", 0, 1_000, 1_000, 0, 2_000, 0],
    ["on", 0, 2_000, 2_000, 0, 4_000, 0, "0x1000", "0x2000"],
    ["stopped", 0, 2_500, 2_500, 0, 5_000, 0, "0x2000"],
    ["off", 0, 2_600, 2_600, 0, 5_200, 0, "0x2000"],
    ["limit", 0, 2_650, 2_650, 0, 5_300, 0],
    ["resumed", 0, 2_700, 2_700, 0, 5_400, 0, "0x2000", "0x0"],
    ["end", 0, 4_000, 4_000, 0, 8_000, 0],
  ];
  const { segments } = columns(lines).schedule;
  expect([...segments.flags].map((flags) => (flags & SEGMENT.writesLimit) !== 0)).toEqual([
    false,
    true,
    false,
    false,
  ]);
});
