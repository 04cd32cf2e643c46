/** Why a run of a core ended. */

import type { Encoding } from "../arm/registers.ts";
import type { MmioAccess } from "../kvm/guest-core.ts";

export type CoreExit =
  | { readonly kind: "budget" }
  /**
   * The host has done a lot for few instructions, or none, and may look at something else. The guest must not notice: when
   * depends on what is decoded already, which a snapshot does not hold.
   */
  | { readonly kind: "busy" }
  /** What comes next must wait for those who are behind. */
  | { readonly kind: "ahead" }
  | { readonly kind: "wfi" }
  | { readonly kind: "wfe" }
  | { readonly kind: "hvc"; readonly imm: number }
  | { readonly kind: "smc"; readonly imm: number }
  /** An access to a system register, which the hypervisor carries out. The instruction has not happened. */
  | { readonly kind: "sysreg"; readonly encoding: Encoding; readonly isRead: boolean; readonly rt: number }
  | { readonly kind: "stage2-fault"; readonly ipa: number; readonly write: boolean }
  /** A load or store to an IPA without memory. A read is answered by `completeRead` and happens in the next run. */
  | MmioAccess;
