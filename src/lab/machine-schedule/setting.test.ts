/** A schedule whose pages are not the guest's was edited: it is named, and nothing is run. */
import { expect, it } from "vitest";
import { UserError } from "../../common/errors.ts";
import type { ScheduleLine } from "./file.ts";
import { HEADER, LINES } from "./machine-schedule.testing.ts";
import { machineSetting } from "./setting.ts";

/** One behind the last of the header's 64 MiB. */
const BEHIND = 0x4_4000;
const faultOn = (page: number): ScheduleLine => ["fault", 0, 500, 500, 0, 1_000, 0, page, "write"];
const buffer = (first: number, pages: number, lastTable: number): ScheduleLine => [
  ...(["buffer", 0, "0xffff800080000000"] as const),
  [[first, pages]],
  [0x4_0000, 0x4_0001, 0x4_0002, lastTable],
];
const settingWith = (line: ScheduleLine) =>
  machineSetting("a.schedule", { header: HEADER, lines: [line, ...LINES] }, 1);

it("takes a page that is the guest's last", () => {
  expect(settingWith(faultOn(BEHIND - 1)).schedule.vcpus).toBe(HEADER.cpus);
});

it.each<[ScheduleLine]>([
  [faultOn(BEHIND)],
  [faultOn(0x3_ffff)],
  [["mapped", -1, [[BEHIND - 8, 9]]]],
  [["host", -1, 700, "migrate", 0x4000, 1]],
  [buffer(BEHIND - 8, 9, 0x4_0003)],
  [buffer(0x4_1000, 16, BEHIND)],
])("refuses %j", (line) => {
  expect(() => settingWith(line)).toThrow(UserError);
  expect(() => settingWith(line)).toThrow(new RegExp(`a\\.schedule: guest page \\d+ of a "${line[0]}" line`));
});
