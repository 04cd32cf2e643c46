/**
 * What the models need of an op that they follow, by its handler: what an interpreter has just looked at lies in its caches,
 * while the word of the instruction, and what is known of that, do not.
 */
import type { Handlers } from "../../a64/handlers.ts";
import { type BranchOp, type OpClass, opClassOfRow } from "../../a64/op-class.ts";

/** A handler's kind: from BRANCH on the number of one of `branches`, and BRANCH. */
export const KIND = {
  /** The word says it: what class it is depends on more than its encoding, or it is decoded no longer. */
  OF_WORD: 0,
  OTHER: 1,
  SIMD: 2,
  LOAD: 3,
  STORE: 4,
  BRANCH: 5,
} as const;

export class HandlerKinds {
  /** By the number of a handler. */
  readonly kinds: Uint8Array;
  readonly branches: BranchOp[] = [];

  constructor(handlers: Handlers) {
    this.kinds = new Uint8Array(handlers.end).fill(KIND.OF_WORD);
    for (const { row, first, variants } of handlers.encodings) {
      const op = opClassOfRow(row);
      if (op !== undefined) this.kinds.fill(this.kindOf(op), first, first + variants);
    }
  }

  /** The kind of a class. */
  kindOf(op: OpClass): number {
    switch (op.kind) {
      case "other":
        return op.simd || op.floatingPoint ? KIND.SIMD : KIND.OTHER;
      case "load":
      case "load-atomic":
        return KIND.LOAD;
      case "store":
        return KIND.STORE;
      case "branch": {
        const known = this.branches.indexOf(op);
        return KIND.BRANCH + (known < 0 ? this.branches.push(op) - 1 : known);
      }
    }
  }
}
