/** A scenario for a guest that is real: what is typed in it, and what the machine is like where that matters. */
import type { HostConfig } from "../../vmm/machine-config.ts";

const MIB = 1024 ** 2;

/** What the machine is beside what all have: one vCPU, as the thread's guest had, and 1 GiB. */
export interface ScenarioMachine {
  readonly cpus?: number;
  readonly memoryBytes?: number;
  readonly host?: Partial<HostConfig>;
  /** The unit's recommended minimum interval; perf takes no shorter period. */
  readonly speIntervalOps?: number;
}

/** What somebody measured for the same commands, by cost profile. */
export interface Seen {
  readonly wallNs: Readonly<Record<string, number>>;
  /** On bare metal it took less than that. */
  readonly bareMetalBelowNs: number;
  /** Context switches that they give or that their times imply. */
  readonly switches: number;
  /** Of what `perf stat` measured, on the kernel with debugging options. */
  readonly clockGHz: number | null;
  readonly source: string;
}

export interface LinuxScenario {
  readonly name: string;
  /** One sentence. */
  readonly summary: string;
  /** Where it comes from; what its numbers are derived from. */
  readonly origin: string;
  /** As it is typed in the guest: a shell's script. */
  readonly command: string;
  /** perf's -m of one buffer. */
  readonly bufferBytes: number;
  readonly machine?: ScenarioMachine;
  readonly seen?: Seen;
  /** Whether it is run with --no-bpf-event as well (`withoutBpfEvents`): those that name it themselves have no need of it. */
  readonly hasVariant?: true;
}

/** What a machine is where its scenario does not say. */
export const MACHINE = { cpus: 1, memoryBytes: 1024 * MIB } as const;

/** What is left away with --no-bpf-event: a thread of perf's that listens to BPF programs, and the wait for its end. */
export const withoutBpfEvents = (command: string): string =>
  command.replaceAll("perf record", "perf record --no-bpf-event");

/** The name under which the variant stands in records and tables. */
export const withoutBpfName = (name: string): string => `${name} --no-bpf-event`;

/** Makes a file of so many MiB, for a command to read that computes: before it, so that it is not in the profile. */
export const zeros = (mib: number): string => `dd if=/dev/zero of=/tmp/zeros bs=1M count=${mib} 2>/dev/null`;
