/** Exception syndromes: ESR_ELx values, made and read. A syndrome is an unsigned 32-bit number here. */
import { type Encoding, encodingKey } from "./register.ts";

/** Exception classes, ESR_ELx.EC (Arm DDI 0601, ESR_EL2). */
export const EC = {
  unknown: 0x00,
  wfx: 0x01,
  other: 0x0a,
  hvc64: 0x16,
  smc64: 0x17,
  sysreg: 0x18,
  instructionAbortLower: 0x20,
  instructionAbortSame: 0x21,
  dataAbortLower: 0x24,
  dataAbortSame: 0x25,
  serror: 0x2f,
} as const;

/** PMBSR_EL1.EC: why a profiling buffer management event was raised. */
export const PMBSR_EC = {
  /** Another reason, named by BSC in MSS[5:0]: see PMBSR_BSC. */
  buffer: 0x00,
  granuleProtection: 0x1e,
  implementationDefined: 0x1f,
  stage1Abort: 0x24,
  stage2Abort: 0x25,
} as const;

/** PMBSR_EL1.MSS[5:0] when EC is 0. 4 is used by KVM for a buffer larger than PMBIDR_EL1.MaxBuffSize. */
export const PMBSR_BSC = { notFilled: 0, filled: 1, tooLarge: 4 } as const;

const IL = 0x0200_0000;

/** ISS of a trapped PSB CSYNC (EC 0x0A, FEAT_SPEv1p5, HFGITR_EL2.PSBCSYNC). */
const ISS_PSB_CSYNC = 4;

export interface SysregAccess {
  readonly encoding: Encoding;
  /** The general-purpose register, 0..31 (31 is XZR). */
  readonly rt: number;
  readonly isRead: boolean;
}

/** ESR_EL2 for a trapped MSR or MRS: EC 0x18, ISS = op0:op2:op1:CRn:Rt:CRm:direction. */
export function sysregSyndrome({ encoding, rt, isRead }: SysregAccess): number {
  const [op0, op1, crn, crm, op2] = encoding;
  const iss =
    (op0 << 20) | (op2 << 17) | (op1 << 14) | (crn << 10) | (rt << 5) | (crm << 1) | (isRead ? 1 : 0);
  return ((EC.sysreg << 26) | IL | iss) >>> 0;
}

/** ESR_EL2 for a trapped PSB CSYNC. */
export const psbCsyncSyndrome = (): number => ((EC.other << 26) | IL | ISS_PSB_CSYNC) >>> 0;

export interface DataAbort {
  /** Whether the abort came from a lower exception level. */
  readonly fromLower: boolean;
  readonly isWrite: boolean;
  /** The fault was a stage-2 fault on a stage-1 table walk. */
  readonly onStage1Walk: boolean;
  /** DFSC: see fault-status.ts. */
  readonly dfsc: number;
}

/** ESR_ELx for a data abort without instruction details (ISV = 0). */
export const dataAbortSyndrome = (abort: DataAbort): number =>
  (((abort.fromLower ? EC.dataAbortLower : EC.dataAbortSame) << 26) |
    IL |
    (abort.onStage1Walk ? 1 << 7 : 0) |
    (abort.isWrite ? 1 << 6 : 0) |
    abort.dfsc) >>>
  0;

export type Syndrome =
  | ({ readonly kind: "sysreg"; readonly key: number } & SysregAccess)
  | ({ readonly kind: "data-abort" } & DataAbort)
  | { readonly kind: "psb-csync" }
  | { readonly kind: "other"; readonly ec: number; readonly iss: number };

/** Reads an ESR_ELx value. */
export function decodeSyndrome(esr: number): Syndrome {
  const ec = esr >>> 26;
  const iss = esr & 0x01ff_ffff;
  if (ec === EC.sysreg) {
    const encoding: Encoding = [
      (iss >> 20) & 3,
      (iss >> 14) & 7,
      (iss >> 10) & 15,
      (iss >> 1) & 15,
      (iss >> 17) & 7,
    ];
    return {
      kind: "sysreg",
      encoding,
      key: encodingKey(encoding),
      rt: (iss >> 5) & 31,
      isRead: (iss & 1) === 1,
    };
  }
  if (ec === EC.dataAbortLower || ec === EC.dataAbortSame)
    return {
      kind: "data-abort",
      fromLower: ec === EC.dataAbortLower,
      isWrite: (iss & (1 << 6)) !== 0,
      onStage1Walk: (iss & (1 << 7)) !== 0,
      dfsc: iss & 0x3f,
    };
  if (ec === EC.other && iss === ISS_PSB_CSYNC) return { kind: "psb-csync" };
  return { kind: "other", ec, iss };
}
