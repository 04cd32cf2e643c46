/** DecodeBitMasks (Arm ARM, shared pseudocode): the masks of logical immediates and bitfield moves. */
import type { Fields } from "../emit.ts";

const ones = (count: number): bigint => (1n << BigInt(count)) - 1n;

/** `value` of `bits` bits, repeated up to 64. */
function replicate(value: bigint, bits: number): bigint {
  let out = 0n;
  for (let at = 0; at < 64; at += bits) out |= value << BigInt(at);
  return out;
}

const rotateRight = (value: bigint, amount: number, bits: number): bigint =>
  amount === 0 ? value : (value >> BigInt(amount)) | ((value << BigInt(bits - amount)) & ones(bits));

/** log2 of the element's size; negative if N and imms name none. */
export const elementLog2 = (n: number, imms: number): number => 31 - Math.clz32((n << 6) | (~imms & 0x3f));

/** wmask is the field rotated to its place, tmask the bits up to its top. */
export function decodeBitMasks(f: Pick<Fields, "N" | "immr" | "imms">): { wmask: bigint; tmask: bigint } {
  const bits = 1 << elementLog2(f.N, f.imms);
  const s = f.imms & (bits - 1);
  const r = f.immr & (bits - 1);
  const d = (s - r) & (bits - 1);
  return {
    wmask: replicate(rotateRight(ones(s + 1), r, bits), bits),
    tmask: replicate(ones(d + 1), bits),
  };
}

/** The value of a logical immediate; a 32-bit instruction takes its low half. */
export const bitMask = (f: Fields): bigint => decodeBitMasks(f).wmask;
