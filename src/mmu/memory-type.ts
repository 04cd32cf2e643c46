/**
 * Memory types in MAIR_ELx's encoding, one byte each: 0b0000dd00 is Device, everything else Normal with an outer
 * (high) and inner (low) nibble. A nibble: 0b0100 Non-cacheable; else bit 2 says write-back rather than
 * write-through, bit 3 non-transient, bits [1:0] the read and write allocation hints.
 */
import { SH, type Shareability } from "../arm/descriptors.ts";
import { MMU_CHOICES } from "./implementation.ts";

export const DEVICE_NGNRNE = 0x00;
export const NORMAL_NON_CACHEABLE = 0x44;
export const NORMAL_WRITE_THROUGH_READ_ALLOCATE = 0xaa;
export const NORMAL_WRITE_BACK = 0xff;

const NIBBLE_NON_CACHEABLE = 0b0100;

export const isDevice = (memory: number): boolean => (memory & 0xf0) === 0;

/** A MAIR byte as this MMU takes it: without FEAT_XS and FEAT_MTE2, so their encodings are reserved. */
export function decodeMair(byte: number): number {
  const reserved = isDevice(byte) ? (byte & 0b11) !== 0 : (byte & 0x0f) === 0;
  return reserved ? MMU_CHOICES.reservedMemoryType : byte;
}

/** One half of stage 2's MemAttr, as the nibble with non-transient read and write allocation. */
function stage2Nibble(cacheability: number): number {
  switch (cacheability) {
    case 0b01:
      return NIBBLE_NON_CACHEABLE;
    case 0b10:
      return 0b1011;
    case 0b11:
      return 0b1111;
    default:
      return MMU_CHOICES.reservedMemoryType & 0xf;
  }
}

/** Stage 2 MemAttr[3:0] (without FWB) in MAIR's encoding (S2DecodeMemAttrs). */
export const decodeStage2MemAttr = (memAttr: number): number =>
  memAttr >> 2 === 0 ? memAttr << 2 : (stage2Nibble(memAttr >> 2) << 4) | stage2Nibble(memAttr & 0b11);

const isWriteThrough = (nibble: number): boolean => (nibble & 0b0100) === 0;

/** S2CombineS1AttrHints: the weaker of the two, with stage 1's hints. */
function combineNibbles(stage1: number, stage2: number): number {
  if (stage1 === NIBBLE_NON_CACHEABLE || stage2 === NIBBLE_NON_CACHEABLE) return NIBBLE_NON_CACHEABLE;
  return isWriteThrough(stage2) ? stage1 & 0b1011 : stage1;
}

/** Both stages' types together: Device wins, the stricter Device of two, else the weaker cacheability. */
export function combineMemory(stage1: number, stage2: number): number {
  if (isDevice(stage1) && isDevice(stage2)) return Math.min(stage1, stage2);
  if (isDevice(stage1)) return stage1;
  if (isDevice(stage2)) return stage2;
  return (combineNibbles(stage1 >> 4, stage2 >> 4) << 4) | combineNibbles(stage1 & 0xf, stage2 & 0xf);
}

/** Both stages' shareability together: the wider one. */
export const combineShareability = (stage1: Shareability, stage2: Shareability): Shareability =>
  stage1 === SH.outer || stage2 === SH.outer
    ? SH.outer
    : stage1 === SH.inner || stage2 === SH.inner
      ? SH.inner
      : SH.none;

/** Device and Normal Non-cacheable memory is outer shareable, whatever its descriptor says. */
export const effectiveShareability = (memory: number, shareability: Shareability): Shareability =>
  isDevice(memory) || memory === NORMAL_NON_CACHEABLE ? SH.outer : shareability;

/** A descriptor's SH field. */
export const decodeShareability = (sh: number): Shareability =>
  sh === 1 ? MMU_CHOICES.reservedShareability : (sh as Shareability);
