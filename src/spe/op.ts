/** The sampled operation as its core followed it, and the vocabulary of its record. */

/** The classes that PMSFCR_EL1's type filter knows. An atomic read-modify-write counts as a load and as a store. */
export type OpKind = "branch" | "load" | "store" | "atomic" | "other";

/**
 * What the core or the model tells of one op after it has completed. The exception level, the context IDs and the
 * time are the unit's to collect, when it selects the op.
 */
export interface SampledOp {
  readonly kind: OpKind;
  /** Payload of the Operation Type packet: see SUBCLASS. */
  readonly subclass: number;
  /** Payload of the Events packet, bits 31:0 (unsigned or not): see EVENT. */
  readonly events: number;
  /** Cycles from selection to completion. */
  readonly totalLatency: number;
  /** Cycles from selection to issue. */
  readonly issueLatency: number;
  /** Cycles of address translation; memory ops only. */
  readonly translationLatency?: number | undefined;
  /** Virtual address of the instruction; bits 55:0 are recorded. */
  readonly pc: bigint;
  /** Virtual address of the access, with its tag; memory ops only. */
  readonly va?: bigint | undefined;
  /** Physical address of the access after both stages; recorded if PMSCR_ELx.PA allow it. */
  readonly pa?: number | undefined;
  /** Where a taken branch went; undefined if it was not taken. */
  readonly target?: bigint | undefined;
  /** The exception level that it went to, where that is another one than its own (an exception return). */
  readonly targetEl?: 0 | 1 | 2 | undefined;
  /** Where the previous taken branch went; recorded if PMSIDR_EL1.PBT. */
  readonly previousTarget?: bigint | undefined;
  /** Payload of the Data Source packet; loads only. */
  readonly dataSource?: number | undefined;
}

/** Bits of the Events packet (Arm DDI 0487, Events packet; names as perf prints them). */
export const EVENT = {
  exceptionGenerated: 1 << 0,
  retired: 1 << 1,
  l1dAccess: 1 << 2,
  l1dRefill: 1 << 3,
  tlbAccess: 1 << 4,
  tlbWalk: 1 << 5,
  /** A branch not taken, or a conditional op whose condition failed. */
  notTaken: 1 << 6,
  mispredicted: 1 << 7,
  llcAccess: 1 << 8,
  llcMiss: 1 << 9,
  remoteAccess: 1 << 10,
  misaligned: 1 << 11,
  transactional: 1 << 16,
  partialPredicate: 1 << 17,
  emptyPredicate: 1 << 18,
  l2dAccess: 1 << 19,
  l2dMiss: 1 << 20,
  modifiedData: 1 << 21,
  recentlyFetched: 1 << 22,
  dataSnooped: 1 << 23,
} as const;

/** Subclasses of the Operation Type packet. `store` is added to a load/store subclass; flags may be combined. */
export const SUBCLASS = {
  other: 0x00,
  otherConditional: 0x01,
  /** Added to the load/store subclasses below. */
  store: 0x01,
  generalPurpose: 0x00,
  simdFp: 0x04,
  unspecified: 0x10,
  tag: 0x14,
  memcpy: 0x20,
  memset: 0x25,
  nv2: 0x30,
  /** Extended load/store: combined with the three flags that follow. */
  extended: 0x02,
  extendedAtomic: 0x04,
  extendedExclusive: 0x08,
  extendedAcquireRelease: 0x10,
  branch: 0x00,
  branchConditional: 0x01,
  branchIndirect: 0x02,
  /** CR: recorded if PMSIDR_EL1.CRR. */
  branchLink: 0x08,
  branchReturn: 0x10,
  branchPlain: 0x18,
} as const;

/** CR in the subclass of a branch. */
export const CALL_RETURN_MASK = 0x18;

/** Op kinds as bits, for filters: a kind passes if it shares a bit with what is let through. */
export const KIND_BITS: Readonly<Record<OpKind, number>> = {
  branch: 1,
  load: 2,
  store: 4,
  atomic: 6,
  other: 8,
};
export const ALL_KIND_BITS = 15;
