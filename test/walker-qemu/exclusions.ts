/**
 * Where QEMU 7.2 and Arm's pseudocode differ, the pseudocode (v8_base.sail of rems-project/sail-arm) is right and
 * the walker follows it. Each difference is a named exclusion: it hides the bits of an answer that QEMU gets
 * wrong, and no others. Differences that generate.ts keeps away from are named there.
 *
 * One more has no bits in PAR_EL1: AT S1E1W and its like mark pages dirty in QEMU. AArch64_S1Translate and
 * AArch64_S2Translate exclude AccessType_AT, so the checksum of the tables is computed as for a store.
 */
import { isFault } from "../../src/mmu/fault.ts";
import { isDevice, NORMAL_NON_CACHEABLE } from "../../src/mmu/memory-type.ts";
import type { CombinedTranslation, Translation } from "../../src/mmu/translate.ts";
import type { Case } from "./generate.ts";
import { EXCEPTION, type Outcome } from "./simulate.ts";

export interface Exclusion {
  readonly name: string;
  readonly why: string;
  /** The bits of the answer that are not compared; zero where the exclusion does not apply. */
  ignored(outcome: Outcome, from: Case, expected: bigint): bigint;
}

const isCombined = (outcome: Translation | CombinedTranslation): outcome is CombinedTranslation =>
  "stage1" in outcome;

const isTransientWriteBack = (nibble: number): boolean => nibble >= 0b0101 && nibble <= 0b0111;
const isTransient = (memory: number): boolean =>
  isTransientWriteBack(memory >> 4) || isTransientWriteBack(memory & 15);

export const EXCLUSIONS: readonly Exclusion[] = [
  {
    name: "level of a stage 2 fault on a stage 1 walk",
    why: "get_phys_addr_lpae overwrites it with the level of the stage 1 descriptor that was being read",
    ignored: (outcome, _, expected) =>
      !isFault(outcome) || !outcome.onWalk ? 0n : expected >= EXCEPTION ? 0b11n : 0b110n,
  },
  {
    name: "shareability of Device and Non-cacheable memory without stage 2",
    why: "PAR_EL1.SH shows the descriptor's field; EffectiveShareability is applied by combine_cacheattrs only",
    ignored: (outcome, { stage2 }) => {
      if (isFault(outcome) || (isCombined(outcome) && stage2.enabled)) return 0n;
      const memory = isCombined(outcome) ? outcome.memory : outcome.attributes.memory;
      return isDevice(memory) || memory === NORMAL_NON_CACHEABLE ? 0b11n << 7n : 0n;
    },
  },
  {
    name: "kind of Device memory where one stage is Normal",
    why: "combined_attrs_nofwb compares the inner nibble of the Normal type as if it were a kind of Device",
    ignored: (outcome, { stage2 }) =>
      !isFault(outcome) &&
      isCombined(outcome) &&
      stage2.enabled &&
      isDevice(outcome.stage1.attributes.memory) !== isDevice(outcome.stage2.attributes.memory)
        ? 0x0cn << 56n
        : 0n,
  },
  {
    name: "transient hint where stage 2 weakens write-back to write-through",
    why: "combine_cacheattr_nibble keeps the allocation hints but always says non-transient",
    ignored: (outcome, { stage2 }) =>
      !isFault(outcome) &&
      isCombined(outcome) &&
      stage2.enabled &&
      isTransient(outcome.stage1.attributes.memory) &&
      !isDevice(outcome.stage2.attributes.memory)
        ? 0x88n << 56n
        : 0n,
  },
];
