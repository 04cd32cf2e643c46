/** What a machine was made with. */
import type { CyclesPerNs } from "../a64/state.ts";
import type { Backing } from "../host/mm.ts";
import type { PressureRate } from "../host/random-pressure.ts";
import type { SpeConfig } from "../spe/implementation.ts";

/**
 * What becomes of the guest's writes: they go to the file, are refused, or stay in memory and are gone when the machine is
 * (QEMU's readonly=on and snapshot=on).
 */
export type DiskMode = "writable" | "readonly" | "snapshot";

export interface DiskConfig {
  /** What the guest reads as its serial number. */
  readonly id: string;
  readonly mode: DiskMode;
}

/** How the hypervisor and its host treat the VM. On bare metal only `irqLatencyNs` means something. */
export interface HostConfig {
  /** What backs guest memory. */
  readonly backing: Backing;
  /** RLIMIT_MEMLOCK at the start, and how far user space raises it when KVM asks (KVM_EXIT_RLIMIT); null: unlimited. */
  readonly memlockBytes: number | null;
  readonly memlockMaxBytes: number | null;
  /** KVM_ARM_VCPU_SPE_MAX_BUFFER_SIZE; null: none. */
  readonly maxBufferBytes: number | null;
  /** From PMBIRQ asserted to the exit, or to the exception on bare metal. */
  readonly irqLatencyNs: number;
  /** What the host does to guest memory by itself; null: nothing. */
  readonly pressure: PressureRate | null;
  /** Whether a guest's records may have physical addresses, which are the host's then (PMSCR_EL2.PA). */
  readonly physicalAddresses: boolean;
}

/** A host that has memory and time. */
export const DEFAULT_HOST: HostConfig = {
  backing: "thp",
  memlockBytes: null,
  memlockMaxBytes: null,
  maxBufferBytes: null,
  irqLatencyNs: 0,
  pressure: null,
  physicalAddresses: false,
};

/** What a machine was made with, as far as it must be made alike to take a state. */
export interface MachineConfig {
  readonly cpus: number;
  /** The clock of its CPUs: cycles in a nanosecond. */
  readonly clockGHz: CyclesPerNs;
  readonly memoryBytes: number;
  readonly policy: string;
  readonly profile: string;
  readonly seed: number;
  /** Seconds since 1970 at the guest's time 0. */
  readonly startSeconds: number;
  /** Tags of shares, in order. */
  readonly shares: readonly string[];
  readonly disks: readonly DiskConfig[];
  /** The profiling unit of its CPUs. */
  readonly spe: SpeConfig & {
    /** What the models of caches, TLB and prediction follow: every op, or some before each sample. */
    readonly models: "exact" | "sampled";
  };
  readonly host: HostConfig;
  /** Whether its first process is spevisor's own, which takes orders. */
  readonly agent: boolean;
}
