/** Estimates and steps of reciprocals: FPRecipEstimate, FPRSqrtEstimate, FPRecipX, FPRecipStepFused, FPRSqrtStepFused. */
import { fpNeg, invalid, processNan, processNans, roundSum, signed } from "./arithmetic.ts";
import {
  bias,
  FLAG,
  type Format,
  type FpEnv,
  flushes,
  packInfinity,
  packZero,
  ROUND,
  roundingOf,
  unpack,
} from "./format.ts";

/** RecipEstimate: of 256 to 511, in units of 1/512 and 1/256. */
function recipEstimate(a: number): number {
  const b = Math.floor((1 << 19) / (2 * a + 1));
  return (b + 1) >> 1;
}

/** RecipSqrtEstimate: of 128 to 511. */
function recipSqrtEstimate(value: number): number {
  const a = value < 256 ? 2 * value + 1 : 2 * ((value & ~1) + 1);
  let b = 512;
  while (a * (b + 1) * (b + 1) < 1 << 28) b += 1;
  return (b + 1) >> 1;
}

/** The fraction as 52 bits. */
const fraction52 = (format: Format, bits: bigint): bigint =>
  BigInt.asUintN(format.fractionBits, bits) << BigInt(52 - format.fractionBits);
const exponentOf = (format: Format, bits: bigint): number =>
  Number((bits >> BigInt(format.fractionBits)) & ((1n << BigInt(format.exponentBits)) - 1n));

function pack(format: Format, sign: boolean, exponent: number, fraction: bigint): bigint {
  return (
    packZero(format, sign) |
    (BigInt(exponent) << BigInt(format.fractionBits)) |
    (fraction >> BigInt(52 - format.fractionBits))
  );
}

const MASK52 = (1n << 52n) - 1n;

export function fpRecipEstimate(format: Format, bits: bigint, env: FpEnv): bigint {
  const x = unpack(format, bits, env);
  if (x.kind === "nan") return processNan(format, x, bits, env);
  if (x.kind === "infinity") return packZero(format, x.sign);
  if (x.kind === "zero") {
    env.fpsr |= FLAG.DZC;
    return packInfinity(format, x.sign);
  }
  let fraction = fraction52(format, bits);
  let exponent = exponentOf(format, bits);
  // Below 2^-(bias + 1) the reciprocal is out of range.
  if (exponent === 0 && fraction >> 50n === 0n) {
    env.fpsr |= FLAG.OFC | FLAG.IXC;
    const rounding = roundingOf(env);
    const infinite =
      rounding === ROUND.tiesEven ||
      (rounding === ROUND.plusInfinity && !x.sign) ||
      (rounding === ROUND.minusInfinity && x.sign);
    return infinite ? packInfinity(format, x.sign) : packInfinity(format, x.sign) - 1n;
  }
  // From 2^(bias - 1) on it is a denormal.
  if (flushes(env, format) && exponent >= 2 * bias(format) - 1) {
    env.fpsr |= FLAG.UFC;
    return packZero(format, x.sign);
  }
  if (exponent === 0) {
    if (fraction >> 51n === 0n) {
      exponent = -1;
      fraction = (fraction << 2n) & MASK52;
    } else fraction = (fraction << 1n) & MASK52;
  }
  const estimate = recipEstimate(256 | Number(fraction >> 44n));
  let resultExponent = 2 * bias(format) - 1 - exponent;
  let result = BigInt(estimate & 255) << 44n;
  if (resultExponent === 0) result = (1n << 51n) | (result >> 1n);
  else if (resultExponent === -1) {
    result = (1n << 50n) | (result >> 2n);
    resultExponent = 0;
  }
  return pack(format, x.sign, resultExponent, result);
}

export function fpRsqrtEstimate(format: Format, bits: bigint, env: FpEnv): bigint {
  const x = unpack(format, bits, env);
  if (x.kind === "nan") return processNan(format, x, bits, env);
  if (x.kind === "zero") {
    env.fpsr |= FLAG.DZC;
    return packInfinity(format, x.sign);
  }
  if (x.sign) return invalid(format, env);
  if (x.kind === "infinity") return packZero(format, false);
  let fraction = fraction52(format, bits);
  let exponent = exponentOf(format, bits);
  if (exponent === 0) {
    while (fraction >> 51n === 0n) {
      fraction = (fraction << 1n) & MASK52;
      exponent -= 1;
    }
    fraction = (fraction << 1n) & MASK52;
  }
  const scaled = (exponent & 1) === 0 ? 256 | Number(fraction >> 44n) : 128 | Number(fraction >> 45n);
  const resultExponent = Math.floor((3 * bias(format) - 1 - exponent) / 2);
  return pack(format, false, resultExponent, BigInt(recipSqrtEstimate(scaled) & 255) << 44n);
}

/** FPRecpX: the exponent inverted. */
export function fpRecpX(format: Format, bits: bigint, env: FpEnv): bigint {
  const x = unpack(format, bits, env);
  if (x.kind === "nan") return processNan(format, x, bits, env);
  const ones = 2 ** format.exponentBits - 1;
  const exponent = exponentOf(format, bits);
  return pack(format, x.sign, exponent === 0 ? ones - 1 : ~exponent & ones, 0n);
}

/** `from` - a * b, halved for the square root, rounded once. */
function step(format: Format, from: 2n | 3n, operand: bigint, b: bigint, env: FpEnv): bigint {
  const a = fpNeg(format, operand);
  const x = unpack(format, a, env);
  const y = unpack(format, b, env);
  const nan = processNans(format, [a, b], [x, y], env);
  if (nan !== undefined) return nan;
  const infinite = x.kind === "infinity" || y.kind === "infinity";
  const halved = from === 3n ? 1 : 0;
  if (infinite && (x.kind === "zero" || y.kind === "zero"))
    return roundSum(format, { m: from, e: -halved }, { m: 0n, e: 0 }, env);
  if (infinite) return packInfinity(format, x.sign !== y.sign);
  const p = signed(x);
  const q = signed(y);
  return roundSum(format, { m: from, e: -halved }, { m: p.m * q.m, e: p.e + q.e - halved }, env);
}

export const fpRecipStep = (format: Format, a: bigint, b: bigint, env: FpEnv): bigint =>
  step(format, 2n, a, b, env);
export const fpRsqrtStep = (format: Format, a: bigint, b: bigint, env: FpEnv): bigint =>
  step(format, 3n, a, b, env);

/** UnsignedRecipEstimate and UnsignedRSqrtEstimate, of 32 bits. */
export const unsignedRecipEstimate = (bits: number): number =>
  bits >>> 31 === 0 ? 0xffff_ffff : (recipEstimate(bits >>> 23) << 23) >>> 0;
export const unsignedRsqrtEstimate = (bits: number): number =>
  bits >>> 30 === 0 ? 0xffff_ffff : (recipSqrtEstimate(bits >>> 23) << 23) >>> 0;
