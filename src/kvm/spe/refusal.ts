/** How a guest is told that its buffer cannot go on: in PMBSR_EL1, as the SPU would say it. */
import { PMBSR_EL1 } from "../../arm/registers.ts";
import { PMBSR_BSC, PMBSR_EC } from "../../arm/syndromes.ts";
import { assertNever } from "../../common/errors.ts";
import { faultStatusCode } from "../../mmu/fault.ts";
import type { EnableOutcome } from "./policy.ts";

/** Why KVM itself refuses an enable, before any policy sees it. */
export type OwnRefusal = { readonly kind: "full" } | { readonly kind: "too-large" };

export type RefusedEnable =
  | Exclude<EnableOutcome, { kind: "done" } | { kind: "withheld" } | { kind: "over-memlock" }>
  | OwnRefusal;

/** What PMBSR_EL1 says of an enable that could not be. */
export function refusal(outcome: RefusedEnable): bigint {
  switch (outcome.kind) {
    case "stage1-fault":
      return PMBSR_EL1.with(0n, {
        S: 1,
        EC: PMBSR_EC.stage1Abort,
        EA: outcome.fault.kind === "external",
        MSS: faultStatusCode(outcome.fault),
      });
    case "unbacked":
      return PMBSR_EL1.with(0n, { S: 1, EC: PMBSR_EC.stage1Abort, EA: 1, MSS: SYNCHRONOUS_EXTERNAL_ABORT });
    case "full":
      return PMBSR_EL1.with(0n, { S: 1, EC: PMBSR_EC.buffer, MSS: PMBSR_BSC.filled });
    case "too-large":
      return PMBSR_EL1.with(0n, { S: 1, EC: PMBSR_EC.buffer, MSS: PMBSR_BSC.tooLarge });
    default:
      return assertNever(outcome);
  }
}

const SYNCHRONOUS_EXTERNAL_ABORT = 0x10;
