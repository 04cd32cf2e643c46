/** What KVM sets in MDCR_EL2 and HDFG*TR_EL2 for a guest with SPE. */
import { HDFGRTR_EL2, MDCR_EL2 } from "../../arm/registers.ts";
import { type CompiledSpeTraps, compileSpeTraps } from "../../arm/spe-traps.ts";

const trapped = new Map<boolean, CompiledSpeTraps>();

/** E2PB: 0b10 traps the buffer registers, 0b11 gives them to the guest; PMBIDR and PMSIDR trap with the former. */
export function compileTraps(on: boolean): CompiledSpeTraps {
  const known = trapped.get(on);
  if (known !== undefined) return known;
  const compiled = compileSpeTraps({
    MDCR_EL2: MDCR_EL2.with(0n, { E2PB: on ? 2 : 3 }),
    HDFGRTR_EL2: HDFGRTR_EL2.with(0n, { PMBIDR_EL1: on, PMSIDR_EL1: on, nPMSNEVFR_EL1: 1 }),
    HDFGWTR_EL2: 1n << 62n,
    fgt: true,
  });
  trapped.set(on, compiled);
  return compiled;
}
