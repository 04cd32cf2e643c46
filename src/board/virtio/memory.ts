/** Guest memory as a virtio device sees it, and little-endian numbers in it (virtio 1.2, 2.4). */

/** What a device may read and write; the machine provides it. Nothing here throws for what a guest does. */
export interface GuestMemory {
  /** A copy of `bytes` bytes at a guest-physical address; undefined if any of them is not memory. */
  read(ipa: number, bytes: number): Uint8Array | undefined;
  /** Whether all of `data` went to memory; if not, none or some of it did. */
  write(ipa: number, data: Uint8Array): boolean;
}

/** An address from its two registers or fields. Above 2^53 it is not exact, and `readAt` says it is not memory. */
const addressOf = (low: number, high: number): number => (high >>> 0) * 2 ** 32 + (low >>> 0);

const reachable = (ipa: number, bytes: number): boolean => Number.isSafeInteger(ipa + bytes);

export const readAt = (memory: GuestMemory, ipa: number, bytes: number): Uint8Array | undefined =>
  reachable(ipa, bytes) ? memory.read(ipa, bytes) : undefined;

export const writeAt = (memory: GuestMemory, ipa: number, data: Uint8Array): boolean =>
  reachable(ipa, data.length) && memory.write(ipa, data);

export const u16At = (bytes: Uint8Array, at: number): number =>
  (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8);

export const u32At = (bytes: Uint8Array, at: number): number =>
  (u16At(bytes, at) | (u16At(bytes, at + 2) << 16)) >>> 0;

/** Up to 2^53; larger ones lose their low bits, and no address or sector is that large. */
export const u64At = (bytes: Uint8Array, at: number): number =>
  addressOf(u32At(bytes, at), u32At(bytes, at + 4));

export const u16Bytes = (value: number): Uint8Array => Uint8Array.of(value, value >> 8);

export const u32Bytes = (value: number): Uint8Array =>
  Uint8Array.of(value, value >> 8, value >> 16, value >> 24);
