/** SCTLR_EL1 as this core has it: which of its bits can be written, and what the others read as (Arm DDI 0601, SCTLR_EL1). */
import { SCTLR_EL1 } from "../arm/registers.ts";
import type { Implementation } from "./implementation.ts";

/** RES1 without AArch32 at EL0 (ITD, SED, nTLSMD, LSMAOE), FEAT_ExS (EOS, EIS) and FEAT_CSV2_2 (TSCXT). */
const RES1 = SCTLR_EL1.with(0n, { EOS: 1, ITD: 1, SED: 1, TSCXT: 1, EIS: 1, nTLSMD: 1, LSMAOE: 1 });

/** E0E and EE are RES0 where nothing is big-endian, CP15BEN where EL0 is AArch64 only. */
const WRITABLE = SCTLR_EL1.with(0n, {
  M: 1,
  A: 1,
  C: 1,
  SA: 1,
  SA0: 1,
  UMA: 1,
  I: 1,
  DZE: 1,
  UCT: 1,
  nTWI: 1,
  nTWE: 1,
  WXN: 1,
  UCI: 1,
});

/** Out of reset, as KVM's vCPUs have it (sys_reg_descs of arch/arm64/kvm/sys_regs.c): caches and MMU off, SP checked. */
export const SCTLR_RESET = SCTLR_EL1.with(0n, { SA: 1, SA0: 1, nTWI: 1, nTWE: 1, SPAN: 1 });

/** What the register holds after a value was written to it. */
export function sctlrOf(value: bigint, { features, mmu }: Implementation): bigint {
  const more = { SPAN: features.has("PAN"), EPAN: mmu.epan };
  const fixed = SCTLR_EL1.with(RES1, { SPAN: !features.has("PAN") });
  return (value & SCTLR_EL1.with(WRITABLE, more)) | fixed;
}
