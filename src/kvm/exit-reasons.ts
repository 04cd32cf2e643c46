/** Why a vCPU came back to the hypervisor, as KVM's trace events and `kvm_stat` name it, and as reports count it. */
import { REGISTERS, type RegisterName } from "../arm/registers.ts";

const PLAIN = [
  /** A CPU access that stage 2 does not map: an instruction's or its data. */
  "DABT",
  "HVC",
  "MMIO",
  "PMBIRQ",
  "SMC",
  "MRS PMU",
  "MSR PMU",
  /** A timer of a policy's went off while the guest ran. */
  "host timer",
  /** Other work of the host's has its CPU. */
  "preempted",
  /** Back to user space, which raises RLIMIT_MEMLOCK. */
  "KVM_EXIT_RLIMIT",
] as const;

export type ExitReason = (typeof PLAIN)[number] | `${"MRS" | "MSR"} ${RegisterName}`;

/** All that there are. */
export const EXIT_REASONS: readonly ExitReason[] = [
  ...PLAIN,
  ...REGISTERS.flatMap(({ name }) => [`MRS ${name}`, `MSR ${name}`] as const),
];
