/** What the walker says of a case, in the form in which the payload answers. */
import { vpnOf } from "../../src/common/address.ts";
import type { Access } from "../../src/mmu/access.ts";
import { halfOf } from "../../src/mmu/config.ts";
import { type Fault, faultStatusCode, isFault } from "../../src/mmu/fault.ts";
import { parEl1 } from "../../src/mmu/par.ts";
import {
  type CombinedTranslation,
  type Translation,
  throughStage2,
  translate,
  translateBoth,
} from "../../src/mmu/translate.ts";
import type { Case, Operation, Query } from "./generate.ts";

export type Outcome = Translation | CombinedTranslation | Fault;

/** The access of an AT instruction; `by` is a parameter because QEMU lets AT mark pages dirty. */
const accessOf = (operation: Operation, by: "at" | "store" = "at"): Access => ({
  by,
  el: operation.includes("E0") ? 0 : 1,
  write: operation.includes("W"),
  pan: operation.endsWith("P"),
});

export function outcomeOf({ regime, stage2, machine }: Case, query: Query, by: "at" | "store"): Outcome {
  const page = vpnOf(query.address);
  const half = halfOf(regime, page);
  const access = accessOf(query.operation, by);
  return query.operation.startsWith("S12")
    ? translateBoth(half, stage2, page, access, machine)
    : translate(half, page, access, throughStage2(stage2, machine));
}

/** An AT instruction that meets an external abort takes an exception instead of writing PAR_EL1. */
export const EXCEPTION = 0xeeee_0000_0000_0000n;

/** The word that the payload stores for an outcome: PAR_EL1, or for an external abort the syndrome's status code. */
export const answerOf = (outcome: Outcome): bigint =>
  isFault(outcome) && outcome.kind === "external"
    ? EXCEPTION | BigInt(faultStatusCode(outcome))
    : parEl1(outcome);

/** The payload's checksum over the words that a case began with. */
export function checksum({ machine }: Case, memory: readonly bigint[]): bigint {
  let sum = 0n;
  for (let i = 0; i < memory.length; i += 2) {
    const address = Number(memory[i]);
    const words = machine.page(Math.floor(address / 4096)) as Uint32Array;
    const index = (address % 4096) / 4;
    const value = (BigInt(words[index + 1] as number) << 32n) | BigInt(words[index] as number);
    sum = BigInt.asUintN(64, sum * 0x100000001b3n + value);
  }
  return sum;
}
