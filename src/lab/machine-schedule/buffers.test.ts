/** Which buffer each line of a machine's schedule is about, and what the model makes of several. */
import { expect, it } from "vitest";
import { costTable } from "../../host/costs.ts";
import { PROFILES } from "../../host/profiles.ts";
import { type MadeVm, makeVm } from "../experiment.ts";
import { policyNamed } from "../policies.ts";
import { restoreVm, type SavedVm, saveVm } from "../snapshot.ts";
import { trial } from "../trial.ts";
import { buffersOf } from "./buffers.ts";
import type { ScheduleLine } from "./file.ts";
import { HEADER } from "./machine-schedule.testing.ts";
import { machineSetting } from "./setting.ts";

const BASE = 0xffff_8000_8000_0000n;
const at = (offset: number): string => `0x${(BASE + BigInt(offset)).toString(16)}`;
const counters = (us: number) => [0, us * 1000, us * 500, 0, us * 1000, us * 1000] as const;
/** 100 us with the buffer on from one offset to another, and then idle for 50 us. */
const session = (us: number, from: number, limit: number, to: number): readonly ScheduleLine[] => [
  ["on", ...counters(us), at(from), at(limit)],
  ["event", 0, "0x2b", "0x0", "0x0", "0x0", "0x400", "0x400"],
  ["off", ...counters(us + 100), at(to)],
  ["idle", ...counters(us + 100), (us + 150) * 1000, "timer"],
];
const mapped = (offset: number, first: number, pages: number): ScheduleLine => [
  ...(["buffer", 0, at(offset)] as const),
  [[first, pages]],
  [0x4_0000, 0x4_0001, 0x4_0002, 0x4_0003],
];
const END: ScheduleLine = ["end", ...counters(2000)];
const settingOf = (lines: readonly ScheduleLine[]) =>
  machineSetting("a.schedule", { header: HEADER, lines }, 1);
const policy = policyNamed("pin-on-enable");
const costs = costTable(PROFILES[0]!);

/** 64 KiB, then 8 KiB where it was, then 64 KiB there again over other pages. */
const REMAPS: readonly ScheduleLine[] = [
  mapped(0, 0x4_1000, 16),
  ...session(0, 0, 0x8000, 0x400),
  mapped(0, 0x4_2000, 2),
  ...session(200, 0, 0x1000, 0x400),
  mapped(0, 0x4_3000, 16),
  ...session(400, 0, 0x8000, 0x400),
  ...session(600, 0x400, 0x8000, 0x800),
  END,
];

it("a line is about the buffer that was mapped last where its pointer is", () => {
  const side = [mapped(0x2_0000, 0x4_4000, 16), ...session(800, 0x2_0000, 0x2_8000, 0x2_0400)];
  const [buffers] = buffersOf(
    [...REMAPS.slice(0, -1), ...side, ...session(1000, 0x800, 0x8000, 0xc00), END],
    1,
  );
  expect(buffers?.map((buffer) => [buffer.mapped[3][0]?.[0], buffer.lines.length])).toEqual([
    [0x4_1000, 5],
    [0x4_2000, 5],
    [0x4_3000, 14],
    [0x4_4000, 5],
  ]);
});

it("each enable of the replay pins the buffer that it was", () => {
  const setting = settingOf(REMAPS);
  const run = trial({ setting, policy, costs });
  expect(setting.placed?.[0]?.map(({ snapshot, readings }) => [snapshot, readings?.length])).toEqual([
    [false, 1],
    [false, 1],
    [false, 2],
  ]);
  expect(run.bufferEnables).toBe(4);
  // pin-on-enable pins from the pointer to the limit.
  expect(run.pagesPinned - run.tablePagesPinned).toBe(8 + 1 + 8 + 8);
  expect(run.samples.lostInBlackout).toBe(0);
});

it("perf record -S is told by windows of the buffer's halves, which no reader explains", () => {
  const ring: readonly ScheduleLine[] = [
    mapped(0, 0x4_1000, 16),
    ["on", ...counters(10), at(0), at(0x8000)],
    ["event", 0, "0x2b", "0x0", "0x0", "0x0", "0x400", "0x400"],
    ["stopped", ...counters(100), at(0x8000)],
    // Nobody has read yet: without -S the last page would be out of reach.
    ["resumed", ...counters(101), at(0x8000), at(0x1_0000)],
    ["off", ...counters(200), at(0x9000)],
    END,
  ];
  const [buffer] = settingOf(ring).placed?.[0] ?? [];
  expect(buffer).toMatchObject({ snapshot: true });
  expect(buffer?.readings).toBeUndefined();
});

it("a model that is saved between two buffers at one place goes on as if it had not been", () => {
  const setting = settingOf(REMAPS);
  const digest = ({ machine, guest }: MadeVm) => ({
    cores: guest.cores.map((core) => ({ spu: core.spu.save(), reasons: core.reasons })),
    statistics: machine.spe.statistics.save(),
    nowNs: machine.nowNs,
  });
  const made = () => makeVm(setting, policy, costs, "kept");
  const whole = made();
  whole.machine.start();
  whole.machine.run();
  const { turns } = whole.machine;
  expect(turns).toBeGreaterThan(5);
  for (let at = 0; at < turns; at++) {
    const first = made();
    first.machine.start();
    first.machine.runSteps(at);
    const second = made();
    restoreVm(second, JSON.parse(JSON.stringify(saveVm(first))) as SavedVm);
    second.machine.run();
    expect(digest(second), `saved after ${at} turns`).toEqual(digest(whole));
  }
});
