/** The substitution boxes of AES (FIPS 197, 5.1.1), computed: inverses in GF(2^8), then an affine map. */

/** Multiplies by x modulo x^8 + x^4 + x^3 + x + 1. */
const times2 = (value: number): number => ((value << 1) ^ ((value & 0x80) !== 0 ? 0x11b : 0)) & 0xff;

function multiply(a: number, b: number): number {
  let result = 0;
  for (let factor = a, rest = b; rest !== 0; factor = times2(factor), rest >>= 1)
    if ((rest & 1) === 1) result ^= factor;
  return result;
}

function inverse(value: number): number {
  // a^254 is 1/a, and 0 for 0.
  let result = 1;
  for (let i = 0; i < 254; i++) result = multiply(result, value);
  return result;
}

const rotated = (value: number, by: number): number => ((value << by) | (value >> (8 - by))) & 0xff;

const substitute = (value: number): number => {
  const i = inverse(value);
  return i ^ rotated(i, 1) ^ rotated(i, 2) ^ rotated(i, 3) ^ rotated(i, 4) ^ 0x63;
};

export const SBOX: Uint8Array = Uint8Array.from({ length: 256 }, (_, i) => substitute(i));
export const INVERSE_SBOX: Uint8Array = new Uint8Array(256);
SBOX.forEach((to, from) => {
  INVERSE_SBOX[to] = from;
});
