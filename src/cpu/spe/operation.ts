/** The class of an operation as the profiling unit takes it: what its filters go by, and the Operation Type packet's payload. */
import type { MemoryOp, OpClass } from "../../a64/op-class.ts";
import { type OpKind, SUBCLASS } from "../../spe/op.ts";

interface RecordedOperation {
  readonly kind: OpKind;
  /** Payload of the Operation Type packet. FP and SIMD of other operations are FEAT_SPE_FPF's, which the unit does not have. */
  readonly subclass: number;
}

const REGISTERS = {
  general: SUBCLASS.generalPurpose,
  "simd-fp": SUBCLASS.simdFp,
  unspecified: SUBCLASS.unspecified,
} as const;

const PROCEDURE = {
  call: SUBCLASS.branchLink,
  return: SUBCLASS.branchReturn,
  neither: SUBCLASS.branchPlain,
} as const;

function memorySubclass({ kind, registers, extended }: MemoryOp): number {
  const store = kind === "store" ? SUBCLASS.store : 0;
  if (extended === undefined) return REGISTERS[registers] | store;
  return (
    SUBCLASS.extended |
    (extended.atomic ? SUBCLASS.extendedAtomic : 0) |
    (extended.exclusive ? SUBCLASS.extendedExclusive : 0) |
    (extended.acquireRelease ? SUBCLASS.extendedAcquireRelease : 0) |
    store
  );
}

/** What a record says of an operation of a class (SPEConstructClass). */
export function recordedOperation(op: OpClass): RecordedOperation {
  switch (op.kind) {
    case "other":
      return { kind: "other", subclass: op.conditional ? SUBCLASS.otherConditional : SUBCLASS.other };
    case "load":
    case "store":
      return { kind: op.kind, subclass: memorySubclass(op) };
    case "load-atomic":
      return { kind: "atomic", subclass: memorySubclass(op) };
    case "branch":
      return {
        kind: "branch",
        subclass:
          PROCEDURE[op.procedure] |
          (op.indirect ? SUBCLASS.branchIndirect : SUBCLASS.branch) |
          (op.conditional ? SUBCLASS.branchConditional : 0),
      };
  }
}
