/** Small schedules of a machine's, written by hand. */
import type { MachineSchedule, ScheduleHeader, ScheduleLine } from "./file.ts";

export const HEADER: ScheduleHeader = {
  schema: "spevisor.schedule/3",
  version: "0.0.0",
  command: "perf record -- true",
  policy: "none",
  profile: "none",
  seed: 1,
  cpus: 1,
  clockGHz: 2,
  ipc: 1,
  memoryBytes: 64 * 1024 ** 2,
  backing: "thp",
  memlockBytes: null,
  memlockMaxBytes: null,
  maxBufferBytes: null,
  irqLatencyNs: 0,
  spe: { version: "1.2", intervalOps: 1024 },
};

/** 64 KiB at the first page of vmalloc's space. */
const BUFFER: ScheduleLine = [
  "buffer",
  0,
  "0xffff800080000000",
  [[0x4_1000, 16]],
  [0x4_0000, 0x4_0001, 0x4_0002, 0x4_0003],
];
const POINTER = "0xffff800080000000";
const LIMIT = "0xffff800080008000";

/** One vCPU: 1 us off, 2 us on with 3,000 instructions profiled, 7 us idle, 5 us off. */
export const LINES: readonly ScheduleLine[] = [
  ["task", 0, 100, 100, 0, 200, 0, "0x70001", "0x1000"],
  BUFFER,
  ["on", 0, 1_000, 900, 100, 1_800, 0, POINTER, LIMIT],
  ["event", 0, "0x2b", "0x0", "0x0", "0x0", "0x400", "0x400"],
  // The hypervisor took 500 ns for SPE in between.
  ["off", 0, 3_500, 2_900, 100, 5_800, 3_000, "0xffff800080000100"],
  ["idle", 0, 4_000, 3_400, 100, 6_800, 3_000, 11_000, "timer"],
  ["end", 0, 16_000, 8_400, 100, 16_800, 3_000],
];

export const SCHEDULE: MachineSchedule = { header: HEADER, lines: LINES };
