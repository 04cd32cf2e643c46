/** How far perf's reader has read, told by the driver's windows. */
import { expect, it } from "vitest";
import type { ScheduleLine } from "./file.ts";
import { readingsOf } from "./reader.ts";

const BASE = 0xffff_8000_8000_0000n;
const FACTS = { base: BASE, bytes: 0x10000, maxRecordBytes: 64, alignBytes: 64, snapshot: false };
const at = (offset: number): string => `0x${(BASE + BigInt(offset)).toString(16)}`;
const counters = (ns: number) => [0, ns, ns, 0, 2 * ns, 2 * ns] as const;
const on = (ns: number, from: number, to: number): ScheduleLine => ["on", ...counters(ns), at(from), at(to)];
const off = (ns: number, pointer: number): ScheduleLine => ["off", ...counters(ns), at(pointer)];
const stopped = (ns: number, pointer: number): ScheduleLine => ["stopped", ...counters(ns), at(pointer)];
const resumed = (ns: number, from: number, to: number): ScheduleLine => [
  "resumed",
  ...counters(ns),
  at(from),
  at(to),
];

it("nothing was read where the windows are what they would be without a reader", () => {
  const lines = [on(0, 0, 0x8000), off(100, 0x1000), on(200, 0x1000, 0x8000), off(300, 0x2000)];
  expect(readingsOf(lines, FACTS)).toMatchObject({
    windows: [
      { head: 0, tail: 0 },
      { head: 0x1000, tail: 0 },
    ],
    unexplained: 0,
  });
});

it("a full buffer that goes on in front was read before it was enabled again", () => {
  const lines = [
    on(0, 0, 0x8000),
    stopped(100, 0x8000),
    // One page short of the end: nothing has been read yet.
    resumed(110, 0x8000, 0xf000),
    off(120, 0x8000),
    on(300, 0x8000, 0x10000),
    off(400, 0xa000),
  ];
  expect(readingsOf(lines, FACTS)).toMatchObject({
    windows: [
      { head: 0, tail: 0 },
      { head: 0x8000, tail: 0 },
      { head: 0x8000, tail: 0x8000 },
    ],
    unexplained: 0,
  });
});

it("one that was never off was read by another CPU half way, and a window that no reading gives is told of", () => {
  const lines = [
    on(0, 0, 0x8000),
    stopped(100, 0x8000),
    resumed(110, 0x8000, 0xf000),
    stopped(210, 0xf000),
    resumed(220, 0xf000, 0x10000),
    off(230, 0xf000),
    on(300, 0xf000, 0x4000),
  ];
  expect(readingsOf(lines, FACTS)).toMatchObject({
    windows: [
      { head: 0, tail: 0 },
      { head: 0x8000, tail: 0 },
      { head: 0xf000, tail: 0x8000 },
      { head: 0xf000, tail: 0xf000 },
    ],
    unexplained: 1,
  });
});
