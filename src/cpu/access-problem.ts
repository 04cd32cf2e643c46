/** What keeps an access from happening now, and what of it the guest gets and what the hypervisor. */
import { encodeFaultStatus } from "../arm/fault-status.ts";
import { type Ipn, PAGE_BYTES } from "../common/address.ts";
import type { MmioAccess } from "../kvm/guest-core.ts";
import { type Fault, faultStatusCode } from "../mmu/fault.ts";
import type { CombinedTranslation } from "../mmu/translate.ts";

/** DFSC and IFSC beyond the walk's. */
export const ALIGNMENT_FAULT = encodeFaultStatus({ kind: "alignment" });
export const EXTERNAL_ABORT = encodeFaultStatus({ kind: "external" });

export type AccessProblem =
  /** Stage 2 has no translation that allows it: KVM's business, then it is tried again. */
  | { readonly kind: "stage2"; readonly ipa: number; readonly write: boolean }
  | MmioAccess
  | {
      readonly kind: "data";
      readonly va: bigint;
      readonly status: number;
      readonly write: boolean;
      readonly cache: boolean;
    }
  | { readonly kind: "fetch"; readonly va: bigint; readonly status: number }
  | { readonly kind: "pc-alignment" }
  /** A device, while others are behind. */
  | { readonly kind: "ahead" }
  | { readonly kind: "watchpoint"; readonly va: bigint; readonly write: boolean; readonly cache: boolean };

/** What was being done: a fetch, a read or a write, cache maintenance or address translation. */
export interface Attempt {
  readonly by: "fetch" | "data" | "maintenance";
  readonly write: boolean;
}

/**
 * A fault as the guest, or KVM, gets it.
 * @param isMemory whether memory is behind a page of IPA space
 */
export function problemOf(
  fault: Fault,
  va: bigint,
  { by, write }: Attempt,
  isMemory: (page: Ipn) => boolean,
): AccessProblem {
  const abort = (status: number): AccessProblem =>
    by === "fetch"
      ? { kind: "fetch", va, status }
      : { kind: "data", va, status, write, cache: by === "maintenance" };
  if (fault.stage === 1) return abort(faultStatusCode(fault));
  const page = fault.ipn as Ipn;
  if (isMemory(page))
    return { kind: "stage2", ipa: page * PAGE_BYTES, write: fault.onWalk ? fault.write : write };
  // A table in a place without memory: an external abort on the walk.
  if (fault.onWalk) return abort(faultStatusCode({ kind: "external", level: fault.level }));
  if (by === "fetch") return abort(EXTERNAL_ABORT);
  return { kind: "mmio", ipa: page * PAGE_BYTES + Number(va & 0xfffn), bytes: 0, write, data: 0n };
}

/** Whether a translation is the same in every context: of TTBR1_EL1's half, and not marked nG. */
export const isGlobal = (va: bigint, { stage1 }: CombinedTranslation): boolean =>
  ((va >> 55n) & 1n) === 1n && stage1.attributes.global;
