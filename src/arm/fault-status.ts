/**
 * Fault status codes: DFSC and IFSC of ESR_ELx, FSC of PMBSR_EL1.MSS and FST of PAR_EL1 are one encoding
 * (EncodeLDFSC in Arm's pseudocode, v8_base.sail). The level is that of the walk, -1 to 3.
 */
import { assertNever, invariant } from "../common/errors.ts";

export type FaultStatus =
  | {
      readonly kind: "address-size" | "translation" | "access-flag" | "permission" | "external-on-walk";
      readonly level: number;
    }
  | {
      readonly kind:
        | "external"
        | "asynchronous-external"
        | "alignment"
        | "tlb-conflict"
        | "unsupported-atomic-update";
    };

/** The 6-bit code of a fault. */
export function encodeFaultStatus(fault: FaultStatus): number {
  switch (fault.kind) {
    case "address-size":
      return fault.level === -1 ? 0x29 : levelled(0x00, fault.level);
    case "translation":
      return fault.level === -1 ? 0x2b : levelled(0x04, fault.level);
    case "access-flag":
      return levelled(0x08, fault.level);
    case "permission":
      return levelled(0x0c, fault.level);
    case "external-on-walk":
      return fault.level === -1 ? 0x13 : levelled(0x14, fault.level);
    case "external":
      return 0x10;
    case "asynchronous-external":
      return 0x11;
    case "alignment":
      return 0x21;
    case "tlb-conflict":
      return 0x30;
    case "unsupported-atomic-update":
      return 0x31;
    default:
      return assertNever(fault);
  }
}

function levelled(base: number, level: number): number {
  invariant(Number.isInteger(level) && level >= 0 && level <= 3, `a fault at level ${level}`);
  return base + level;
}

/** The fault of a code; undefined for codes that this project never makes. */
export function decodeFaultStatus(code: number): FaultStatus | undefined {
  const level = code & 3;
  switch (code >> 2) {
    case 0:
      return { kind: "address-size", level };
    case 1:
      return { kind: "translation", level };
    case 2:
      return { kind: "access-flag", level };
    case 3:
      return { kind: "permission", level };
    case 5:
      return { kind: "external-on-walk", level };
  }
  switch (code) {
    case 0x10:
      return { kind: "external" };
    case 0x11:
      return { kind: "asynchronous-external" };
    case 0x13:
      return { kind: "external-on-walk", level: -1 };
    case 0x21:
      return { kind: "alignment" };
    case 0x29:
      return { kind: "address-size", level: -1 };
    case 0x2b:
      return { kind: "translation", level: -1 };
    case 0x30:
      return { kind: "tlb-conflict" };
    case 0x31:
      return { kind: "unsupported-atomic-update" };
  }
  return undefined;
}
