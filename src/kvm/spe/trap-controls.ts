/** What KVM sets in MDCR_EL2 and HDFG*TR_EL2 for a guest with SPE. */
import { HDFGRTR_EL2, HDFGWTR_EL2, MDCR_EL2 } from "../../arm/registers.ts";
import { type CompiledSpeTraps, compileSpeTraps } from "../../arm/spe-traps.ts";

/**
 * Whose the hardware's buffer is: "guest", with its registers; "trapped", the guest's with KVM at its registers; "kvm",
 * a bounce buffer of KVM's own.
 */
export type BufferOwner = "guest" | "trapped" | "kvm";

/** MDCR_EL2.E2PB. */
export const E2PB: Readonly<Record<BufferOwner, number>> = { guest: 3, trapped: 2, kvm: 0 };

const known = new Map<BufferOwner, CompiledSpeTraps>();

/**
 * E2PB traps the buffer registers, or gives them to the guest; PMBIDR and PMSIDR trap with the former. Where EL2 owns the
 * buffer PMSCR_EL1.TS does nothing and PMSCR_EL2.TS takes its place, so KVM must see the guest's writes.
 */
export function compileTraps(owner: BufferOwner): CompiledSpeTraps {
  const compiled = known.get(owner) ?? compile(owner);
  known.set(owner, compiled);
  return compiled;
}

function compile(owner: BufferOwner): CompiledSpeTraps {
  const on = owner !== "guest";
  return compileSpeTraps({
    MDCR_EL2: MDCR_EL2.with(0n, { E2PB: E2PB[owner] }),
    HDFGRTR_EL2: HDFGRTR_EL2.with(0n, { PMBIDR_EL1: on, PMSIDR_EL1: on, nPMSNEVFR_EL1: 1 }),
    HDFGWTR_EL2: HDFGWTR_EL2.with(0n, { PMSCR_EL1: owner === "kvm", nPMSNEVFR_EL1: 1 }),
    fgt: true,
  });
}
