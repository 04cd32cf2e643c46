/** What a machine was made with. */
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

/** What a machine was made with, as far as it must be made alike to take a state. */
export interface MachineConfig {
  readonly cpus: number;
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
  readonly spe: SpeConfig;
  /** Whether its first process is spevisor's own, which takes orders. */
  readonly agent: boolean;
}
