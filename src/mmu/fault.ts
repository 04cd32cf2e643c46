/** A translation that did not happen, as a value. */
import { encodeFaultStatus } from "../arm/fault-status.ts";
import type { Ipn, Vpn } from "../common/address.ts";

export type FaultKind = "address-size" | "translation" | "access-flag" | "permission" | "external";

/** Levels of lookup. VMSAv8-64 with 48-bit addresses never starts at -1; the type leaves room for LPA2. */
export type Level = -1 | 0 | 1 | 2 | 3;

export interface Fault {
  /** The stage that faulted. An external abort on a stage 1 descriptor is stage 1's. */
  readonly stage: 1 | 2;
  /** `external`: the walk read a page with nothing behind it (a synchronous external abort on a table walk). */
  readonly kind: FaultKind;
  readonly level: Level;
  /** A stage 2 fault on a stage 1 table walk (ESR_ELx.S1PTW, PAR_EL1.PTW). */
  readonly onWalk: boolean;
  /** The page whose stage 1 translation was asked for; undefined where only stage 2 was asked. */
  readonly vpn: Vpn | undefined;
  /** For stage 2: the page it was asked for, which for `onWalk` is the stage 1 table's (HPFAR_EL2.FIPA). */
  readonly ipn: Ipn | undefined;
  /** The access that faulted was a write (ESR_ELx.WnR); for `onWalk`, the MMU was updating the descriptor. */
  readonly write: boolean;
}

/** Whether a translation, or a page of table memory, is a fault. */
export function isFault(result: object): result is Fault {
  return "onWalk" in result;
}

/** A fault of one stage at a page of that stage's input space. */
export function faultAt(
  stage: 1 | 2,
  kind: FaultKind,
  level: Level,
  page: number,
  write: boolean,
  onWalk: boolean,
): Fault {
  return stage === 1
    ? { stage, kind, level, onWalk: false, vpn: page as Vpn, ipn: undefined, write }
    : { stage, kind, level, onWalk, vpn: undefined, ipn: page as Ipn, write };
}

/** The same fault, seen by stage 1 (or by both stages together) while it translated `vpn`. */
export const blameOn = (fault: Fault, vpn: Vpn): Fault => ({
  stage: fault.stage,
  kind: fault.kind,
  level: fault.level,
  onWalk: fault.onWalk,
  vpn,
  ipn: fault.ipn,
  write: fault.write,
});

/** The 6-bit fault status code: DFSC and IFSC of ESR_ELx, FST of PAR_EL1, FSC of PMBSR_EL1.MSS. */
export const faultStatusCode = (fault: Pick<Fault, "kind" | "level">): number =>
  encodeFaultStatus({
    kind: fault.kind === "external" ? "external-on-walk" : fault.kind,
    level: fault.level,
  });
