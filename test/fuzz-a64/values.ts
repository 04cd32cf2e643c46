/** Values that find mistakes: the ends of ranges, and every kind of floating-point number. */
import type { RandomStream } from "../../src/common/random.ts";
import { FLOATS, INTEGERS } from "./corpus.ts";

export const bits32 = (random: RandomStream): number => random.integer(-0x8000_0000, 0x7fff_ffff) >>> 0;
export const bits64 = (random: RandomStream): bigint =>
  (BigInt(bits32(random)) << 32n) | BigInt(bits32(random));
export const pick = <T>(random: RandomStream, from: readonly T[]): T =>
  from[random.integer(0, from.length - 1)]!;
export const chance = (random: RandomStream, of: number): boolean => random.integer(1, of) === 1;

/** An integer of so many bits. */
export function integer(random: RandomStream, bits: number): bigint {
  const wide = BigInt(bits);
  switch (random.integer(0, 10)) {
    case 10:
      return BigInt.asUintN(bits, pick(random, INTEGERS));
    case 0:
      return pick(random, [0n, 1n, 2n, (1n << wide) - 1n, (1n << wide) - 2n]);
    case 1:
      return pick(random, [1n << (wide - 1n), (1n << (wide - 1n)) - 1n, (1n << (wide - 1n)) + 1n]);
    case 2:
      return 1n << BigInt(random.integer(0, bits - 1));
    case 3:
      return (1n << BigInt(random.integer(0, bits - 1))) - 1n;
    case 4:
      return BigInt(random.integer(0, 80)) & ((1n << wide) - 1n);
    case 5:
      return BigInt.asUintN(bits, BigInt(-random.integer(1, 80)));
    case 6:
      return BigInt.asUintN(bits, BigInt(bits32(random) | 0));
    default:
      return BigInt.asUintN(bits, bits64(random));
  }
}

/** A number that has something to do with another one. */
export function related(random: RandomStream, value: bigint): bigint {
  switch (random.integer(0, 5)) {
    case 0:
    case 1:
      return value;
    case 2:
      return BigInt.asUintN(64, ~value);
    case 3:
      return BigInt.asUintN(64, -value);
    case 4:
      // One lane of it, or its sign, is another.
      return value ^ (1n << BigInt(random.integer(0, 63)));
    default:
      return BigInt.asUintN(64, value + pick(random, [1n, -1n]));
  }
}

const FORMATS: Readonly<Record<number, { readonly fraction: number; readonly exponent: number }>> = {
  16: { fraction: 10, exponent: 5 },
  32: { fraction: 23, exponent: 8 },
  64: { fraction: 52, exponent: 11 },
};

/** A floating-point number of 16, 32 or 64 bits. */
export function float(random: RandomStream, bits: number): bigint {
  const { fraction, exponent } = FORMATS[bits]!;
  const bias = 2 ** (exponent - 1) - 1;
  const sign = BigInt(random.integer(0, 1)) << BigInt(bits - 1);
  const top = (1n << BigInt(exponent)) - 1n;
  const someFraction = (): bigint => {
    const whole = BigInt.asUintN(fraction, bits64(random));
    switch (random.integer(0, 3)) {
      case 0:
        return 0n;
      case 1:
        return (1n << BigInt(fraction)) - 1n;
      case 2:
        return (whole >> BigInt(fraction - 4)) << BigInt(fraction - 4);
      default:
        return whole;
    }
  };
  const make = (e: bigint, f: bigint): bigint => sign | (e << BigInt(fraction)) | f;
  const known = FLOATS[bits as keyof typeof FLOATS];
  switch (random.integer(0, 12)) {
    case 12:
      return sign ^ pick(random, known);
    case 0:
      return make(0n, 0n);
    case 1:
      return make(top, 0n);
    case 2: // Quiet.
      return make(top, (1n << BigInt(fraction - 1)) | (someFraction() >> 1n));
    case 3: // Signalling.
      return make(top, (someFraction() >> 1n) | 1n);
    case 4:
      return make(0n, someFraction() | 1n);
    case 5: // Near the ends of normal numbers.
      return make(BigInt(pick(random, [1, 2, fraction, 2 * bias, 2 * bias - 1])), someFraction());
    case 6: // Integers, and what lies half way between them.
      return make(BigInt(bias + random.integer(-2, Math.min(bias, fraction + 2))), someFraction());
    case 7: // Around the ends of integer formats.
      return make(
        BigInt(Math.min(2 * bias, bias + pick(random, [14, 15, 16, 30, 31, 32, 62, 63, 64]))),
        someFraction(),
      );
    case 8:
    case 9:
      return make(BigInt(bias + random.integer(-3, 3)), someFraction());
    default:
      return BigInt.asUintN(bits, bits64(random));
  }
}
