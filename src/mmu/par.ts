/** PAR_EL1: what an AT instruction leaves of a translation (AArch64_EncodePAR, 64-bit format). */
import { type Fault, faultStatusCode, isFault } from "./fault.ts";
import type { CombinedTranslation, Translation } from "./translate.ts";

const F = 1n;
const PTW = 1n << 8n;
const S = 1n << 9n;
/** Non-secure state: the output is Non-secure memory. UNKNOWN by the architecture, 1 in practice. */
const NS = 1n << 9n;
const RES1 = 1n << 11n;

/**
 * The value of PAR_EL1 after AT S1E* (a stage's translation or fault) or AT S12E* (both stages' together).
 * Bit 10 and, for faults, bits 63:48 are IMPLEMENTATION DEFINED; they are zero.
 */
export function parEl1(result: Translation | CombinedTranslation | Fault): bigint {
  if (isFault(result)) {
    const status = BigInt(faultStatusCode(result)) << 1n;
    return F | status | (result.onWalk ? PTW : 0n) | (result.stage === 2 ? S : 0n) | RES1;
  }
  const { memory, shareability } = "attributes" in result ? result.attributes : result;
  return (
    (BigInt(shareability) << 7n) | NS | RES1 | (BigInt(result.outputPage) << 12n) | (BigInt(memory) << 56n)
  );
}
