/** What a leaf descriptor comes to: the attributes of its page, and the answer to an access. */
import type { Shareability } from "../arm/descriptors.ts";
import type { FaultKind } from "./fault.ts";

/** What one stage says of a page, table permissions and hardware-managed dirty state included. */
export interface Attributes {
  /** The memory type in MAIR_ELx's encoding, for both stages. */
  readonly memory: number;
  readonly shareability: Shareability;
  /** What EL1 (EL2, for its own regime) may do; at stage 2, what EL1 may do. PAN is not in it. */
  readonly readable: boolean;
  readonly writable: boolean;
  readonly executable: boolean;
  readonly el0Readable: boolean;
  readonly el0Writable: boolean;
  readonly el0Executable: boolean;
  /** The access flag, as this access leaves it. */
  readonly accessed: boolean;
  /** Writable, and hardware will mark it dirty at the first write (DBM with HD, not yet written). */
  readonly clean: boolean;
  /** Stage 1 without nG; always true at stage 2. */
  readonly global: boolean;
  /** Bits 58:55. */
  readonly software: number;
}

/** What a leaf answers to one kind of access. */
export interface LeafVerdict {
  readonly attributes: Attributes;
  /** Undefined: the access may go on, after the update below. */
  readonly fault: FaultKind | undefined;
  /** Bits of the descriptor's low half that this access sets and clears: access flag and dirty state. */
  readonly setLo: number;
  readonly clearLo: number;
  readonly updates: boolean;
}
