/** Exception syndromes: ESR_ELx values, made and read. A syndrome is an unsigned 32-bit number here. */
import { type Encoding, encodingKey } from "./register.ts";

/** Exception classes, ESR_ELx.EC (Arm DDI 0601, ESR_EL2). */
export const EC = {
  unknown: 0x00,
  wfx: 0x01,
  fpAccess: 0x07,
  other: 0x0a,
  illegalState: 0x0e,
  svc64: 0x15,
  hvc64: 0x16,
  smc64: 0x17,
  sysreg: 0x18,
  instructionAbortLower: 0x20,
  instructionAbortSame: 0x21,
  pcAlignment: 0x22,
  dataAbortLower: 0x24,
  dataAbortSame: 0x25,
  spAlignment: 0x26,
  serror: 0x2f,
  breakpointLower: 0x30,
  breakpointSame: 0x31,
  stepLower: 0x32,
  stepSame: 0x33,
  watchpointLower: 0x34,
  watchpointSame: 0x35,
  brk64: 0x3c,
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

/** ESR_ELx.IL: the instruction had 32 bits, as all of A64 has. */
const IL = 0x0200_0000;

/** An ESR_ELx value from its class and ISS. */
export const syndromeOf = (ec: number, iss: number): number => ((ec << 26) | IL | iss) >>> 0;

/** CV with COND = 0b1110, in the ISS of trapped instructions that could be conditional: AArch64 has no condition. */
const ISS_ALWAYS = (1 << 24) | (0xe << 20);
/** ISS of a trapped WFI or WFE (EC 0x01). */
export const waitIss = (instruction: "wfi" | "wfe"): number => ISS_ALWAYS | (instruction === "wfe" ? 1 : 0);
/** ISS of a trapped access to FP and SIMD registers (EC 0x07). */
export const FP_ACCESS_ISS = ISS_ALWAYS;
/** WnR and CM in the ISS of data aborts and watchpoints. */
export const ISS_WNR = 1 << 6;
export const ISS_CM = 1 << 8;
/** DFSC and IFSC of debug exceptions. */
export const DEBUG_EXCEPTION = 0x22;

/** ISS of a trapped PSB CSYNC (EC 0x0A, FEAT_SPEv1p5, HFGITR_EL2.PSBCSYNC). */
const ISS_PSB_CSYNC = 4;

export interface SysregAccess {
  readonly encoding: Encoding;
  /** The general-purpose register, 0..31 (31 is XZR). */
  readonly rt: number;
  readonly isRead: boolean;
}

/** ISS of a trapped MSR, MRS or SYS (EC 0x18, AArch64.SystemAccessTrapSyndrome): op0:op2:op1:CRn:Rt:CRm:direction. */
export function sysregIss({ encoding, rt, isRead }: SysregAccess): number {
  const [op0, op1, crn, crm, op2] = encoding;
  return (op0 << 20) | (op2 << 17) | (op1 << 14) | (crn << 10) | (rt << 5) | (crm << 1) | (isRead ? 1 : 0);
}

/** ESR_ELx for it. */
export const sysregSyndrome = (access: SysregAccess): number => syndromeOf(EC.sysreg, sysregIss(access));

/** ESR_EL2 for a trapped PSB CSYNC. */
export const psbCsyncSyndrome = (): number => syndromeOf(EC.other, ISS_PSB_CSYNC);

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
  syndromeOf(
    abort.fromLower ? EC.dataAbortLower : EC.dataAbortSame,
    (abort.onStage1Walk ? 1 << 7 : 0) | (abort.isWrite ? ISS_WNR : 0) | abort.dfsc,
  );

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
      isWrite: (iss & ISS_WNR) !== 0,
      onStage1Walk: (iss & (1 << 7)) !== 0,
      dfsc: iss & 0x3f,
    };
  if (ec === EC.other && iss === ISS_PSB_CSYNC) return { kind: "psb-csync" };
  return { kind: "other", ec, iss };
}
