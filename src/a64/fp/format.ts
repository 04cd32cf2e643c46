/** Floating-point formats, their values, and rounding into them, exactly: FPUnpack and FPRound of Arm's pseudocode. */

export interface Format {
  readonly bits: 16 | 32 | 64;
  readonly fractionBits: number;
  readonly exponentBits: number;
}

export const HALF: Format = { bits: 16, fractionBits: 10, exponentBits: 5 };
export const SINGLE: Format = { bits: 32, fractionBits: 23, exponentBits: 8 };
export const DOUBLE: Format = { bits: 64, fractionBits: 52, exponentBits: 11 };

/** Rounding modes: FPCR.RMode's four, ties away from zero, and to odd. */
export const ROUND = {
  tiesEven: 0,
  plusInfinity: 1,
  minusInfinity: 2,
  zero: 3,
  tiesAway: 4,
  odd: 5,
} as const;
export type Rounding = (typeof ROUND)[keyof typeof ROUND];

/** FPSR's cumulative flags. */
export const FLAG = { IOC: 1, DZC: 2, OFC: 4, UFC: 8, IXC: 16, IDC: 128 } as const;
const FPCR_FZ = 1 << 24;
const FPCR_DN = 1 << 25;
export const FPCR_AHP = 1 << 26;

/** FPCR, and FPSR as it gathers flags. */
export interface FpEnv {
  readonly fpcr: number;
  fpsr: number;
}

export const roundingOf = (env: FpEnv): Rounding => ((env.fpcr >> 22) & 3) as Rounding;
export const defaultNan = (env: FpEnv): boolean => (env.fpcr & FPCR_DN) !== 0;
/** FZ does not apply to half precision without FEAT_FP16. */
export const flushes = (env: FpEnv, format: Format): boolean =>
  format.bits !== 16 && (env.fpcr & FPCR_FZ) !== 0;

export type FpValue =
  /** (-1)^sign * mantissa * 2^exponent, the mantissa not zero. */
  | { readonly kind: "finite"; readonly sign: boolean; readonly mantissa: bigint; readonly exponent: number }
  | { readonly kind: "zero"; readonly sign: boolean }
  | { readonly kind: "infinity"; readonly sign: boolean }
  | { readonly kind: "nan"; readonly sign: boolean; readonly quiet: boolean; readonly fraction: bigint };

const ones = (bits: number): bigint => (1n << BigInt(bits)) - 1n;
export const bias = (format: Format): number => 2 ** (format.exponentBits - 1) - 1;
const maxExponent = (format: Format): number => 2 ** format.exponentBits - 1;

/** The value of a bit pattern; a denormal that FZ flushes sets IDC. */
export function unpack(format: Format, bits: bigint, env: FpEnv): FpValue {
  const { fractionBits } = format;
  const fraction = bits & ones(fractionBits);
  const exponent = Number((bits >> BigInt(fractionBits)) & ones(format.exponentBits));
  const sign = ((bits >> BigInt(format.bits - 1)) & 1n) === 1n;
  const alternative = format.bits === 16 && (env.fpcr & FPCR_AHP) !== 0;
  if (exponent === maxExponent(format) && !alternative) {
    if (fraction === 0n) return { kind: "infinity", sign };
    return { kind: "nan", sign, quiet: ((fraction >> BigInt(fractionBits - 1)) & 1n) === 1n, fraction };
  }
  const least = 1 - bias(format) - fractionBits;
  if (exponent === 0) {
    if (fraction === 0n) return { kind: "zero", sign };
    if (flushes(env, format)) {
      env.fpsr |= FLAG.IDC;
      return { kind: "zero", sign };
    }
    return { kind: "finite", sign, mantissa: fraction, exponent: least };
  }
  return {
    kind: "finite",
    sign,
    mantissa: fraction | (1n << BigInt(fractionBits)),
    exponent: least + exponent - 1,
  };
}

const signBit = (format: Format, sign: boolean): bigint => (sign ? 1n << BigInt(format.bits - 1) : 0n);

export const packZero = (format: Format, sign: boolean): bigint => signBit(format, sign);
export const packInfinity = (format: Format, sign: boolean): bigint =>
  signBit(format, sign) | (BigInt(maxExponent(format)) << BigInt(format.fractionBits));
const packMax = (format: Format, sign: boolean): bigint => packInfinity(format, sign) - 1n;
export const packDefaultNan = (format: Format): bigint =>
  packInfinity(format, false) | (1n << BigInt(format.fractionBits - 1));

export const bitLength = (value: bigint): number => value.toString(2).length;

/**
 * Rounds mantissa * 2^exponent into a format (FPRoundBase), with its exceptions.
 * @param sticky whether something not zero lies below the mantissa's last bit
 */
export function round(
  format: Format,
  sign: boolean,
  mantissa: bigint,
  exponent: number,
  env: FpEnv,
  rounding: Rounding = roundingOf(env),
  sticky = false,
): bigint {
  const { fractionBits } = format;
  if (mantissa === 0n && !sticky) return packZero(format, sign);
  const least = 1 - bias(format);
  // The exponent of the leading bit.
  const top = mantissa === 0n ? least - fractionBits - 2 : exponent + bitLength(mantissa) - 1;
  if (flushes(env, format) && top < least) {
    env.fpsr |= FLAG.UFC;
    return packZero(format, sign);
  }
  const unit = Math.max(top, least) - fractionBits;
  // Two bits below the unit and what is sticky decide.
  const shift = unit - 2 - exponent;
  let scaled: bigint;
  let lost = sticky;
  if (shift > 0) {
    scaled = mantissa >> BigInt(shift);
    lost ||= scaled << BigInt(shift) !== mantissa;
  } else scaled = mantissa << BigInt(-shift);
  let result = scaled >> 2n;
  const below = Number(scaled & 3n) * 2 + (lost ? 1 : 0);
  const inexact = below !== 0;
  const tiny = top < least;
  if (tiny && inexact) env.fpsr |= FLAG.UFC;
  const up = roundsUp(rounding, sign, below, (result & 1n) === 1n);
  if (up) result += 1n;
  if (rounding === ROUND.odd && inexact) result |= 1n;
  const hidden = 1n << BigInt(fractionBits);
  let biased = result >= hidden ? Math.max(top, least) + bias(format) : 0;
  if (result === hidden << 1n) {
    result = hidden;
    biased += 1;
  }
  const alternative = format.bits === 16 && (env.fpcr & FPCR_AHP) !== 0;
  if (biased >= maxExponent(format) + (alternative ? 1 : 0)) {
    if (alternative) {
      env.fpsr |= FLAG.IOC;
      return signBit(format, sign) | ones(format.bits - 1);
    }
    env.fpsr |= FLAG.OFC | FLAG.IXC;
    const toInfinity =
      rounding === ROUND.tiesEven ||
      rounding === ROUND.tiesAway ||
      (rounding === ROUND.plusInfinity && !sign) ||
      (rounding === ROUND.minusInfinity && sign);
    return toInfinity ? packInfinity(format, sign) : packMax(format, sign);
  }
  if (inexact) env.fpsr |= FLAG.IXC;
  return signBit(format, sign) | (BigInt(biased) << BigInt(fractionBits)) | (result & (hidden - 1n));
}

/** @param below what lies below the unit, in eighths; the last of them sticky */
export function roundsUp(rounding: Rounding, sign: boolean, below: number, odd: boolean): boolean {
  switch (rounding) {
    case ROUND.tiesEven:
      return below > 4 || (below === 4 && odd);
    case ROUND.tiesAway:
      return below >= 4;
    case ROUND.plusInfinity:
      return below !== 0 && !sign;
    case ROUND.minusInfinity:
      return below !== 0 && sign;
    default:
      return false;
  }
}
