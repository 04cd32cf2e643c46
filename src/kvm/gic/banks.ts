/**
 * The registers with some bits an interrupt, which the distributor has for SPIs and the redistributors have for SGIs and
 * PPIs at the same offsets (Arm IHI 0069, 12.9 and 12.11).
 */
import { type Interrupts, PRIVATE } from "./interrupts.ts";

const BANK = {
  IGROUPR: 0x0080,
  ISENABLER: 0x0100,
  ICENABLER: 0x0180,
  ISPENDR: 0x0200,
  ICPENDR: 0x0280,
  ISACTIVER: 0x0300,
  ICACTIVER: 0x0380,
} as const;
const BANK_BYTES = 0x80;
const IPRIORITYR = { at: 0x0400, bytes: 0x400 } as const;
const ICFGR = { at: 0x0c00, bytes: 0x100 } as const;

export const isPriority = (offset: number): boolean =>
  offset >= IPRIORITYR.at && offset < IPRIORITYR.at + IPRIORITYR.bytes;

/** The first interrupt of a set that a register at `offset` is about, which has `perByte` of them in a byte. */
const firstOf = (set: Interrupts, offset: number, at: number, perByte: number): number =>
  (offset - at) * perByte - set.first;

/** The value of an aligned word, or of a byte of IPRIORITYR; what is no register of the set's reads as zero. */
export function readBank(set: Interrupts, offset: number, bytes: number): number {
  let value = 0;
  if (isPriority(offset)) {
    const first = firstOf(set, offset, IPRIORITYR.at, 1);
    for (let i = 0; i < bytes; i++) value |= (set.priority[first + i] ?? 0) << (8 * i);
    return value >>> 0;
  }
  if (offset >= ICFGR.at && offset < ICFGR.at + ICFGR.bytes) {
    const first = firstOf(set, offset, ICFGR.at, 4);
    for (let i = 0; i < 16; i++) if (set.edge[first + i] === 1) value |= 2 << (2 * i);
    return value >>> 0;
  }
  const bank = offset & -BANK_BYTES;
  const word = firstOf(set, offset, bank, 8) / 32;
  if (word < 0) return 0;
  switch (bank) {
    case BANK.IGROUPR:
      return set.bits(word, (i) => set.group[i] === 1);
    case BANK.ISENABLER:
    case BANK.ICENABLER:
      return set.bits(word, (i) => set.enabled[i] === 1);
    case BANK.ISPENDR:
    case BANK.ICPENDR:
      return set.bits(word, (i) => set.pending(i));
    case BANK.ISACTIVER:
    case BANK.ICACTIVER:
      return set.bits(word, (i) => set.active[i] === 1);
  }
  return 0;
}

/** Writes what `readBank` reads. */
export function writeBank(set: Interrupts, offset: number, bytes: number, value: number): void {
  if (isPriority(offset)) {
    const first = firstOf(set, offset, IPRIORITYR.at, 1);
    for (let i = 0; i < bytes; i++) if (first + i >= 0) set.setPriority(first + i, value >> (8 * i));
    return;
  }
  if (offset >= ICFGR.at && offset < ICFGR.at + ICFGR.bytes) {
    const first = firstOf(set, offset, ICFGR.at, 4);
    // KVM leaves SGIs and PPIs as they are (vgic_mmio_write_config).
    for (let i = Math.max(0, -first); i < 16 && first + i < set.count; i++)
      if (set.first + first + i >= PRIVATE) set.put("edge", first + i, ((value >> (2 * i + 1)) & 1) as 0 | 1);
    return;
  }
  const bank = offset & -BANK_BYTES;
  const word = firstOf(set, offset, bank, 8) / 32;
  if (word < 0) return;
  switch (bank) {
    case BANK.IGROUPR:
      set.each(word, ~value, (i) => set.put("group", i, 0));
      set.each(word, value, (i) => set.put("group", i, 1));
      return;
    case BANK.ISENABLER:
      set.each(word, value, (i) => set.put("enabled", i, 1));
      return;
    case BANK.ICENABLER:
      set.each(word, value, (i) => set.put("enabled", i, 0));
      return;
    case BANK.ISPENDR:
      set.each(word, value, (i) => set.put("latched", i, 1));
      return;
    case BANK.ICPENDR:
      set.each(word, value, (i) => set.put("latched", i, 0));
      return;
    case BANK.ISACTIVER:
      set.each(word, value, (i) => set.put("active", i, 1));
      return;
    case BANK.ICACTIVER:
      set.each(word, value, (i) => set.put("active", i, 0));
      return;
  }
}
