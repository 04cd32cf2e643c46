/** The file of a machine's schedule: what was written is read, and what is damaged is refused by line. */
import { expect, it } from "vitest";
import { headerLine, isMachineSchedule, lineOf, readMachineSchedule } from "./file.ts";
import { HEADER, LINES, SCHEDULE } from "./machine-schedule.testing.ts";

const TEXT = headerLine(HEADER) + LINES.map(lineOf).join("");

it("what was written is what is read", () => {
  expect(isMachineSchedule(TEXT)).toBe(true);
  expect(isMachineSchedule("PERFILE2")).toBe(false);
  expect(readMachineSchedule("a.schedule", TEXT)).toEqual(SCHEDULE);
});

it.each([
  ["a file that was cut in a line", TEXT.slice(0, -20), /line 8: no JSON/],
  ["one that was cut between lines", TEXT.replace(/\["end".*\n$/, ""), /no end: it was cut/],
  ["another version", TEXT.replace("schedule/3", "schedule/9"), /another version \(spevisor.schedule\/9\)/],
  ["a counter that goes back", TEXT.replace("3500,2900", "3500,800"), /line 6: guestNs of vCPU 0/],
  ["a vCPU that is not there", TEXT.replace('["off",0', '["off",3'), /line 6: vCPU 3 of 1/],
  ["an unknown line", TEXT.replace('"off"', '"of"'), /line 6/],
])("refuses %s", (_, text, message) => {
  expect(() => readMachineSchedule("a.schedule", text)).toThrow(message);
});
