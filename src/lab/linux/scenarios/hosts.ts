/** Hosts that do something with guest memory, give it another backing, or more vCPUs, or too little to lock. */
import type { PressureKind } from "../../../host/pressure.ts";
import type { HostConfig } from "../../../vmm/machine-config.ts";
import { type LinuxScenario, type ScenarioMachine, zeros } from "../scenario.ts";

const MIB = 1024 ** 2;

/** A recording with samples on a machine of another kind. */
const on = (name: string, summary: string, origin: string, machine: ScenarioMachine): LinuxScenario => ({
  name,
  summary,
  origin,
  command: `${zeros(4)} && perf record --no-bpf-event -c 1024 -e arm_spe// -m,16M -- md5sum /tmp/zeros`,
  bufferBytes: 16 * MIB,
  machine,
});

/**
 * How often, and of how much: as many pages a second as the guest has, 16 at a time in the mean. So NUMA balancing's scan does it,
 * 256 MiB a second (sysctl_numa_balancing_scan_size, sysctl_numa_balancing_scan_period_min).
 */
const PER_SECOND = 4000;
const SMALL_BYTES = 256 * MIB;
const RATE =
  "The rate is that of NUMA balancing's scan, 256 MiB a second; of others it is assumed: a host under memory pressure";

/** While it samples, the host does something to 256 MiB of guest memory. */
const under = (
  name: string,
  summary: string,
  kinds: readonly PressureKind[],
  host: Partial<HostConfig> = {},
) =>
  on(name, summary, RATE, {
    memoryBytes: SMALL_BYTES,
    host: { ...host, pressure: { kinds, perSecond: PER_SECOND } },
  });

const BACKING =
  "What the series says of each backing; one that is not transparent huge pages is less work or more for the host";

export const HOSTS: readonly LinuxScenario[] = [
  under("reclaim", "While sampling, the host swaps out guest pages", ["reclaim"]),
  under("migration", "While sampling, the host moves guest pages to other frames", ["migrate", "compact"]),
  under("numa-hints", "While sampling, the host takes permissions away to see who accesses what", ["numa"]),
  under("ksm", "While sampling, the host merges guest pages that are alike", ["ksm"]),
  under(
    "busy-host",
    "A host that reclaims, moves, merges and hints, and takes 10 µs to PMBIRQ's exit",
    ["reclaim", "migrate", "compact", "ksm", "numa"],
    { irqLatencyNs: 10_000 },
  ),
  on("base-pages", "Guest memory in pages of 4 KiB", BACKING, { host: { backing: "base" } }),
  on("thp", "Guest memory in transparent huge pages, which all scenarios have that do not say", BACKING, {
    host: { backing: "thp" },
  }),
  on("hugetlb", "Guest memory in 2 MiB pages of hugetlbfs", BACKING, { host: { backing: "hugetlb-2M" } }),
  ...[2, 4].map(
    (cpus): LinuxScenario => ({
      name: `vcpus-${cpus}`,
      summary: `Two tasks that compute on ${cpus} vCPUs, each vCPU with a buffer of its own`,
      origin:
        "The thread's guest had one vCPU (ncpus=1 in its RCU stall); few switches, since each enable stops one vCPU only",
      command:
        `${zeros(2)} && perf record --no-bpf-event -c 4096 -e arm_spe// -m,4M -- ` +
        "sh -c 'md5sum /tmp/zeros & md5sum /tmp/zeros; wait'",
      bufferBytes: 4 * MIB,
      machine: { cpus },
    }),
  ),
  {
    ...on(
      "memlock-short",
      "User space may lock no more than 4 MiB, and a half of the buffer has 8",
      "RLIMIT_MEMLOCK's default was 64 KiB and is 8 MiB since Linux 5.16; KVM_EXIT_RLIMIT asks for more",
      {
        host: { memlockBytes: 4 * MIB, memlockMaxBytes: 4 * MIB },
      },
    ),
  },
];
