/** Linux's runs made up for tests of what stands outside the machine. Their sums hold; their figures mean nothing. */
import type { LinuxRun, TimePart } from "../src/lab/report/run.ts";
import { syntheticRun } from "./synthetic-runs.ts";

/** A sound run of a Linux guest, beside nothing; `over` replaces fields, `parts` the split of its single vCPU. */
function syntheticLinux(
  over: Partial<LinuxRun> = {},
  parts: Partial<Record<TimePart, number>> = {},
): LinuxRun {
  const counts = { instructions: 600e6, el0: 400e6, el1: 200e6, exceptions: 1000 };
  return {
    ...syntheticRun({}, parts),
    guest: "linux",
    assumptions: [],
    baseline: null,
    bareMetalWallNs: null,
    slowdown: null,
    model: null,
    guestComplaints: [],
    machine: {
      cpus: 1,
      memoryBytes: 2 ** 30,
      startSeconds: 0,
      shares: [],
      disks: [],
      ended: "done",
      status: 0,
      ...counts,
      vcpus: [{ ...counts, pc: "0x0", el: 1, storm: null }],
      undefined: {},
      console: [],
      boot: null,
    },
    ...over,
  };
}

/** A matrix of one scenario: bare metal, the VM with free SPE, two policies. Without its baselines. */
export const syntheticMatrix = (scenario: string, profile: string): LinuxRun[] => [
  syntheticLinux({ scenario, policy: "none", profile: "none", bufferEnables: 0, bufferDisables: 0 }),
  syntheticLinux(
    { scenario, policy: "free-spe", profile, bufferEnables: 1, bufferDisables: 1 },
    { exitNs: 2e6 },
  ),
  syntheticLinux(
    { scenario, policy: "pin-on-enable", profile, bufferEnables: 6, bufferDisables: 6, guestClockGHz: 0.004 },
    { pinNs: 0.18e9, unpinNs: 0.06e9 },
  ),
  syntheticLinux({ scenario, policy: "adaptive", profile, bufferEnables: 1, bufferDisables: 1 }),
];
