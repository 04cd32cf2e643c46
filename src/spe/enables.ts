/**
 * Whether the profiling buffer and profiling are enabled, and what a sample may collect: the functions of Arm's
 * pseudocode by their names (sail-arm, arm-v9.4-a/src/v8_base.sail). Security state is always Non-secure and every
 * exception level is AArch64, so those two conditions always hold.
 */
import { PMBLIMITR_EL1, PMBSR_EL1 } from "../arm/registers.ts";

export type ExceptionLevel = 0 | 1 | 2;

/** What the unit must know of its processing element. Plain and mutable: whoever runs the PE writes it. */
export interface PeContext {
  /** PSTATE.EL. */
  el: ExceptionLevel;
  /** EL2 is implemented and enabled. */
  el2: boolean;
  /** MDCR_EL2.E2PB: 0 the buffer belongs to EL2, 2 and 3 to EL1. */
  e2pb: number;
  /** HCR_EL2.TGE. */
  tge: boolean;
  /** HCR_EL2.E2H. */
  e2h: boolean;
  /** CONTEXTIDR_EL1[31:0], unsigned. */
  contextIdrEl1: number;
  /** CONTEXTIDR_EL2[31:0], unsigned. */
  contextIdrEl2: number;
}

/** A PE without EL2, running at EL1: bare metal, kernel. */
export const bareMetalPe = (): PeContext => ({
  el: 1,
  el2: false,
  e2pb: 0,
  tge: false,
  e2h: false,
  contextIdrEl1: 0,
  contextIdrEl2: 0,
});

/** The exception level that owns the profiling buffer: its registers and its translation regime. */
export const ProfilingBufferOwner = (pe: PeContext): 1 | 2 => (pe.el2 && pe.e2pb === 0 ? 2 : 1);

/**
 * Whether the profiling buffer is enabled: PMBLIMITR_EL1.E is 1 and PMBSR_EL1.S is 0. The values may be the
 * hardware's or a hypervisor's copy of the guest's.
 */
export const ProfilingBufferEnabled = (registers: {
  readonly PMBLIMITR_EL1: bigint;
  readonly PMBSR_EL1: bigint;
}): boolean => PMBLIMITR_EL1.is(registers.PMBLIMITR_EL1, "E") && !PMBSR_EL1.is(registers.PMBSR_EL1, "S");

/** The enables of PMSCR_EL1 and PMSCR_EL2, taken apart. */
export interface ProfilingEnables {
  readonly e0spe: boolean;
  readonly e1spe: boolean;
  readonly e0hspe: boolean;
  readonly e2spe: boolean;
}

/**
 * Whether profiling is enabled at an exception level, the buffer being enabled or not as `bufferEnabled` says
 * (StatisticalProfilingEnabled).
 */
export function StatisticalProfilingEnabled(
  el: ExceptionLevel,
  bufferEnabled: boolean,
  enables: ProfilingEnables,
  pe: PeContext,
): boolean {
  if (!bufferEnabled) return false;
  const owner = ProfilingBufferOwner(pe);
  const tge = pe.el2 && pe.tge;
  if (el > owner || (tge && owner === 1)) return false;
  if (el === 2) return enables.e2spe;
  if (el === 1) return enables.e1spe;
  return tge ? enables.e0hspe : enables.e0spe;
}

/** PMBIDR_EL1.P as read at pe.el: the buffer belongs to a higher exception level (SPE_PMBIDR_P_Read). */
export const profilingBufferProhibited = (pe: PeContext): boolean => ProfilingBufferOwner(pe) > pe.el;

/** What PMSCR_EL1 and PMSCR_EL2 let a sample collect, taken apart. */
export interface CollectControls {
  readonly cx1: boolean;
  readonly pa1: boolean;
  readonly ts1: boolean;
  readonly pct1: number;
  readonly cx2: boolean;
  readonly pa2: boolean;
  readonly ts2: boolean;
  readonly pct2: number;
}

/** CONTEXTIDR_EL1 goes into the record. */
export const CollectContextIDR1 = (controls: CollectControls, pe: PeContext): boolean =>
  controls.cx1 && pe.el < 2 && !(pe.el2 && pe.tge);

/** CONTEXTIDR_EL2 goes into the record. */
export const CollectContextIDR2 = (controls: CollectControls, pe: PeContext): boolean =>
  controls.cx2 && pe.el2;

/** The physical address of an access goes into the record. */
export const CollectPhysicalAddress = (controls: CollectControls, pe: PeContext): boolean =>
  pe.el2 ? controls.pa2 && (ProfilingBufferOwner(pe) === 2 || controls.pa1) : controls.pa1;

/** Which counter a timestamp is: CNTVCT, CNTPCT, or CNTPCT less CNTPOFF_EL2 (FEAT_ECV). */
export type TimestampKind = "virtual" | "physical" | "offset-physical";

/**
 * Which counter goes into the record, or undefined for none (CollectTimeStamp). Without FEAT_ECV only bit 0 of PCT
 * counts; the reserved value 2 behaves as 0.
 */
export function CollectTimeStamp(
  controls: CollectControls,
  pe: PeContext,
  ecv: boolean,
): TimestampKind | undefined {
  const owner = ProfilingBufferOwner(pe);
  if (!(owner === 2 ? controls.ts2 : controls.ts1)) return undefined;
  const inHost = pe.el2 && pe.e2h && (pe.el === 2 || (pe.tge && pe.el === 0));
  const virtual = inHost ? "physical" : "virtual";
  const pct1 = effectivePct(controls.pct1, ecv);
  if (pe.el2) {
    const pct2 = effectivePct(controls.pct2, ecv);
    if (pct2 === 0) return virtual;
    if (pct2 === 3) return owner === 1 && pct1 === 0 ? virtual : "offset-physical";
    if (owner === 2) return "physical";
  }
  if (pct1 === 0) return virtual;
  return pct1 === 3 ? "offset-physical" : "physical";
}

function effectivePct(pct: number, ecv: boolean): 0 | 1 | 3 {
  if (!ecv) return (pct & 1) === 1 ? 1 : 0;
  return pct === 1 || pct === 3 ? pct : 0;
}
