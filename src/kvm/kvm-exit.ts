import type { MmioAccess } from "./guest-core.ts";

/** Why KVM_RUN returned to user space. */
export type KvmExit =
  /** This vCPU reached the end of its quantum; not an exit that a real KVM would make. */
  | { readonly kind: "quantum" }
  /** Neither is this: the host may look at something else before the same turn goes on. */
  | { readonly kind: "again" }
  /** Idle until an instant, or (Infinity) until another vCPU kicks it. */
  | { readonly kind: "idle"; readonly untilNs: number }
  /** KVM_EXIT_RLIMIT: raise RLIMIT_MEMLOCK by this much and run again. */
  | { readonly kind: "rlimit"; readonly byBytes: number }
  | { readonly kind: "shutdown" }
  /** KVM_EXIT_MMIO: a device of user space, reached at this instant; then `answered` is called. */
  | MmioAccess
  /** KVM_EXIT_SYSTEM_EVENT: PSCI SYSTEM_OFF or SYSTEM_RESET. */
  | { readonly kind: "system-event"; readonly event: "off" | "reset" };

/** A vCPU that is off sleeps until it is switched on. */
export const OFF: KvmExit = { kind: "idle", untilNs: Number.POSITIVE_INFINITY };
