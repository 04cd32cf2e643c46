/**
 * 64-bit values as two words. A store to memory that both types view takes a tenth of the time of `Number(value & mask)`, which
 * makes a bigint on the way: replays do this for every register that is written.
 */
const value64 = new BigUint64Array(1);
const words = new Uint32Array(value64.buffer);
value64[0] = 1n;
/** Where the host keeps the low word of the two. */
const LOW = words[0] === 1 ? 0 : 1;
const HIGH = 1 - LOW;
const TWO_32 = 2 ** 32;

/** Bits [31:0], unsigned. */
export function lowWord(value: bigint): number {
  value64[0] = value;
  return words[LOW] as number;
}

/** Bits [63:32], unsigned. */
export function highWord(value: bigint): number {
  value64[0] = value;
  return words[HIGH] as number;
}

/** Bits [63:12] as a number: what lies below 2^52 is exact. */
export function pageOfValue(value: bigint): number {
  value64[0] = value;
  return (words[HIGH] as number) * 0x10_0000 + ((words[LOW] as number) >>> 12);
}

/** A value of two words, of each of which bits [31:0] count. */
export function ofWords(high: number, low: number): bigint {
  words[HIGH] = high;
  words[LOW] = low;
  return value64[0] as bigint;
}

/** The address of a byte: a page's number, of 52 bits, times 4096, and an offset in it. */
export function ofPage(page: number, offset: number): bigint {
  words[HIGH] = Math.floor(page / 0x10_0000) % TWO_32;
  words[LOW] = ((page % 0x10_0000) * 4096) | offset;
  return value64[0] as bigint;
}
