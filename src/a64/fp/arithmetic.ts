/** Arithmetic on bit patterns, exact before it is rounded: FPAdd, FPMul, FPMulAdd, ... of Arm's pseudocode. */
import {
  bitLength,
  DOUBLE,
  defaultNan,
  FLAG,
  type Format,
  FPCR_AHP,
  type FpEnv,
  type FpValue,
  HALF,
  packDefaultNan,
  packInfinity,
  packZero,
  ROUND,
  type Rounding,
  round,
  roundingOf,
  roundsUp,
  SINGLE,
  unpack,
} from "./format.ts";

/** FPProcessNaN: the operand made quiet, or the default NaN. */
export function processNan(
  format: Format,
  value: FpValue & { kind: "nan" },
  bits: bigint,
  env: FpEnv,
): bigint {
  if (!value.quiet) env.fpsr |= FLAG.IOC;
  if (defaultNan(env)) return packDefaultNan(format);
  return bits | (1n << BigInt(format.fractionBits - 1));
}

/** FPProcessNaNs: the first signalling operand, else the first quiet one. Undefined: no NaN. */
export function processNans(
  format: Format,
  operands: readonly bigint[],
  values: readonly FpValue[],
  env: FpEnv,
) {
  for (const quiet of [false, true])
    for (let i = 0; i < values.length; i++) {
      const value = values[i]!;
      if (value.kind === "nan" && value.quiet === quiet) return processNan(format, value, operands[i]!, env);
    }
  return undefined;
}

export function invalid(format: Format, env: FpEnv): bigint {
  env.fpsr |= FLAG.IOC;
  return packDefaultNan(format);
}

/** Signed mantissa and exponent of a finite value or zero. */
export const signed = (value: FpValue): { readonly m: bigint; readonly e: number } =>
  value.kind === "finite"
    ? { m: value.sign ? -value.mantissa : value.mantissa, e: value.exponent }
    : { m: 0n, e: 0 };

/** The sum of two exact values, rounded. `zeroSign` is the sign of an exact zero from operands that are not. */
export function roundSum(
  format: Format,
  a: { m: bigint; e: number },
  b: { m: bigint; e: number },
  env: FpEnv,
): bigint {
  const e = a.m === 0n ? b.e : b.m === 0n ? a.e : Math.min(a.e, b.e);
  const m = (a.m === 0n ? 0n : a.m << BigInt(a.e - e)) + (b.m === 0n ? 0n : b.m << BigInt(b.e - e));
  if (m === 0n) return packZero(format, roundingOf(env) === ROUND.minusInfinity);
  return round(format, m < 0n, m < 0n ? -m : m, e, env);
}

export function fpAdd(format: Format, a: bigint, b: bigint, env: FpEnv, subtract = false): bigint {
  const x = unpack(format, a, env);
  let y = unpack(format, b, env);
  const nan = processNans(format, [a, b], [x, y], env);
  if (nan !== undefined) return nan;
  if (subtract) y = { ...y, sign: !y.sign };
  if (x.kind === "infinity" && y.kind === "infinity" && x.sign !== y.sign) return invalid(format, env);
  if (x.kind === "infinity" || y.kind === "infinity")
    return packInfinity(format, x.kind === "infinity" ? x.sign : y.sign);
  if (x.kind === "zero" && y.kind === "zero" && x.sign === y.sign) return packZero(format, x.sign);
  return roundSum(format, signed(x), signed(y), env);
}

export const fpSub = (format: Format, a: bigint, b: bigint, env: FpEnv): bigint =>
  fpAdd(format, a, b, env, true);

export function fpMul(format: Format, a: bigint, b: bigint, env: FpEnv): bigint {
  const x = unpack(format, a, env);
  const y = unpack(format, b, env);
  const nan = processNans(format, [a, b], [x, y], env);
  if (nan !== undefined) return nan;
  const sign = x.sign !== y.sign;
  if (x.kind === "infinity" || y.kind === "infinity") {
    if (x.kind === "zero" || y.kind === "zero") return invalid(format, env);
    return packInfinity(format, sign);
  }
  if (x.kind !== "finite" || y.kind !== "finite") return packZero(format, sign);
  return round(format, sign, x.mantissa * y.mantissa, x.exponent + y.exponent, env);
}

/** FPMulX: infinity times zero is 2. */
export function fpMulX(format: Format, a: bigint, b: bigint, env: FpEnv): bigint {
  const quiet: FpEnv = { fpcr: env.fpcr, fpsr: 0 };
  const x = unpack(format, a, quiet);
  const y = unpack(format, b, quiet);
  if ((x.kind === "infinity" && y.kind === "zero") || (x.kind === "zero" && y.kind === "infinity")) {
    env.fpsr |= quiet.fpsr;
    return round(format, x.sign !== y.sign, 2n, 0, env);
  }
  return fpMul(format, a, b, env);
}

export function fpDiv(format: Format, a: bigint, b: bigint, env: FpEnv): bigint {
  const x = unpack(format, a, env);
  const y = unpack(format, b, env);
  const nan = processNans(format, [a, b], [x, y], env);
  if (nan !== undefined) return nan;
  const sign = x.sign !== y.sign;
  if (x.kind === y.kind && x.kind !== "finite") return invalid(format, env);
  if (x.kind === "infinity") return packInfinity(format, sign);
  if (y.kind === "zero") {
    env.fpsr |= FLAG.DZC;
    return packInfinity(format, sign);
  }
  if (x.kind !== "finite" || y.kind !== "finite") return packZero(format, sign);
  const shift = Math.max(0, format.fractionBits + 4 + bitLength(y.mantissa) - bitLength(x.mantissa));
  const dividend = x.mantissa << BigInt(shift);
  const quotient = dividend / y.mantissa;
  const sticky = quotient * y.mantissa !== dividend;
  return round(format, sign, quotient, x.exponent - y.exponent - shift, env, roundingOf(env), sticky);
}

export function fpSqrt(format: Format, a: bigint, env: FpEnv): bigint {
  const x = unpack(format, a, env);
  if (x.kind === "nan") return processNan(format, x, a, env);
  if (x.kind === "zero") return packZero(format, x.sign);
  if (x.sign) return invalid(format, env);
  if (x.kind === "infinity") return packInfinity(format, false);
  let shift = Math.max(0, 2 * (format.fractionBits + 4) - bitLength(x.mantissa));
  if (((x.exponent - shift) & 1) !== 0) shift += 1;
  const scaled = x.mantissa << BigInt(shift);
  const root = integerSqrt(scaled);
  return round(format, false, root, (x.exponent - shift) / 2, env, roundingOf(env), root * root !== scaled);
}

function integerSqrt(value: bigint): bigint {
  let x = 1n << BigInt((bitLength(value) + 1) >> 1);
  for (;;) {
    const y = (x + value / x) >> 1n;
    if (y >= x) return x;
    x = y;
  }
}

/** FPMulAdd: addend + a * b, rounded once. */
export function fpMulAdd(format: Format, addend: bigint, a: bigint, b: bigint, env: FpEnv): bigint {
  const c = unpack(format, addend, env);
  const x = unpack(format, a, env);
  const y = unpack(format, b, env);
  const infinityTimesZero =
    (x.kind === "infinity" && y.kind === "zero") || (x.kind === "zero" && y.kind === "infinity");
  const nan = processNans(format, [addend, a, b], [c, x, y], env);
  // A quiet NaN added to infinity times zero is an invalid operation all the same.
  if (c.kind === "nan" && c.quiet && infinityTimesZero) return invalid(format, env);
  if (nan !== undefined) return nan;
  const sign = x.sign !== y.sign;
  const productInfinite = x.kind === "infinity" || y.kind === "infinity";
  if (infinityTimesZero || (c.kind === "infinity" && productInfinite && c.sign !== sign))
    return invalid(format, env);
  if (c.kind === "infinity") return packInfinity(format, c.sign);
  if (productInfinite) return packInfinity(format, sign);
  const productZero = x.kind === "zero" || y.kind === "zero";
  if (c.kind === "zero" && productZero && c.sign === sign) return packZero(format, sign);
  const p = signed(x);
  const q = signed(y);
  return roundSum(format, signed(c), { m: p.m * q.m, e: p.e + q.e }, env);
}

/** Bits of a NaN's sign and of the format's sign. */
export const fpNeg = (format: Format, a: bigint): bigint => a ^ (1n << BigInt(format.bits - 1));
export const fpAbs = (format: Format, a: bigint): bigint => a & ~(1n << BigInt(format.bits - 1));

/** -1, 0, 1; undefined where unordered. */
function order(x: FpValue, y: FpValue): -1 | 0 | 1 | undefined {
  if (x.kind === "nan" || y.kind === "nan") return undefined;
  if (x.kind === "infinity" || y.kind === "infinity") {
    const rank = (v: FpValue) => (v.kind === "infinity" ? (v.sign ? -1 : 1) : 0);
    return Math.sign(rank(x) - rank(y)) as -1 | 0 | 1;
  }
  const a = signed(x);
  const b = signed(y);
  const e = a.m === 0n ? b.e : b.m === 0n ? a.e : Math.min(a.e, b.e);
  const left = a.m === 0n ? 0n : a.m << BigInt(a.e - e);
  const right = b.m === 0n ? 0n : b.m << BigInt(b.e - e);
  return left < right ? -1 : left > right ? 1 : 0;
}

/** FPCompare: NZCV as bits 3:0. */
export function fpCompare(format: Format, a: bigint, b: bigint, signalling: boolean, env: FpEnv): number {
  const x = unpack(format, a, env);
  const y = unpack(format, b, env);
  const result = order(x, y);
  if (result === undefined) {
    const anySignalling = (x.kind === "nan" && !x.quiet) || (y.kind === "nan" && !y.quiet);
    if (signalling || anySignalling) env.fpsr |= FLAG.IOC;
    return 0b0011;
  }
  return result === 0 ? 0b0110 : result < 0 ? 0b1000 : 0b0010;
}

/** FPMax and FPMin; `number` is FPMaxNum and FPMinNum, which prefer a number to a quiet NaN. */
export function fpMaxMin(
  format: Format,
  a: bigint,
  b: bigint,
  max: boolean,
  number: boolean,
  env: FpEnv,
): bigint {
  let first = a;
  let second = b;
  if (number) {
    // Operands are looked at without flags: the flush, if any, is flagged below.
    const quiet: FpEnv = { fpcr: env.fpcr, fpsr: 0 };
    const x = unpack(format, a, quiet);
    const y = unpack(format, b, quiet);
    const infinity = packInfinity(format, max);
    if (x.kind === "nan" && x.quiet && y.kind !== "nan") first = infinity;
    else if (y.kind === "nan" && y.quiet && x.kind !== "nan") second = infinity;
  }
  const x = unpack(format, first, env);
  const y = unpack(format, second, env);
  const nan = processNans(format, [first, second], [x, y], env);
  if (nan !== undefined) return nan;
  const result = order(x, y) as -1 | 0 | 1;
  const takeFirst = max ? result > 0 : result < 0;
  const chosen = takeFirst ? x : y;
  if (chosen.kind === "infinity") return packInfinity(format, chosen.sign);
  if (chosen.kind === "zero") {
    // Of two zeros, +0 is the larger.
    const bothZero = x.kind === "zero" && y.kind === "zero";
    const sign = bothZero ? (max ? x.sign && y.sign : x.sign || y.sign) : chosen.sign;
    return packZero(format, sign);
  }
  if (chosen.kind !== "finite") return packDefaultNan(format);
  return round(format, chosen.sign, chosen.mantissa, chosen.exponent, env);
}

/** FPConvert between formats. */
export function fpConvert(
  to: Format,
  from: Format,
  a: bigint,
  env: FpEnv,
  rounding = roundingOf(env),
): bigint {
  const x = unpack(from, a, env);
  const alternative = to.bits === 16 && (env.fpcr & FPCR_AHP) !== 0;
  if (x.kind === "nan") {
    if (alternative) {
      env.fpsr |= FLAG.IOC;
      return packZero(to, x.sign);
    }
    if (!x.quiet) env.fpsr |= FLAG.IOC;
    if (defaultNan(env)) return packDefaultNan(to);
    // FPConvertNaN: the fraction's upper bits, as many as fit.
    const shift = to.fractionBits - from.fractionBits;
    const fraction = shift >= 0 ? x.fraction << BigInt(shift) : x.fraction >> BigInt(-shift);
    return (
      packInfinity(to, x.sign) |
      (1n << BigInt(to.fractionBits - 1)) |
      (fraction & ((1n << BigInt(to.fractionBits)) - 1n))
    );
  }
  if (x.kind === "infinity") {
    if (alternative) {
      env.fpsr |= FLAG.IOC;
      return packZero(to, x.sign) | ((1n << 15n) - 1n);
    }
    return packInfinity(to, x.sign);
  }
  if (x.kind === "zero") return packZero(to, x.sign);
  return round(to, x.sign, x.mantissa, x.exponent, env, rounding);
}

/** The integer nearest to mantissa * 2^exponent, in a rounding mode, and whether it is exact. */
function toInteger(x: FpValue & { kind: "finite" }, scale: number, rounding: Rounding) {
  const exponent = x.exponent + scale;
  if (exponent >= 0) return { magnitude: x.mantissa << BigInt(exponent), exact: true };
  const shift = BigInt(-exponent);
  // Eighths below the unit, the last one sticky.
  const eighths = (x.mantissa << 3n) >> shift;
  const below = Number(eighths & 7n) | (eighths << shift === x.mantissa << 3n ? 0 : 1);
  let magnitude = eighths >> 3n;
  if (roundsUp(rounding, x.sign, below, (magnitude & 1n) === 1n)) magnitude += 1n;
  return { magnitude, exact: below === 0 };
}

/** FPToFixed: saturates to `bits`. */
export function fpToFixed(
  format: Format,
  a: bigint,
  bits: number,
  fractionBits: number,
  unsigned: boolean,
  rounding: Rounding,
  env: FpEnv,
): bigint {
  const x = unpack(format, a, env);
  const most = unsigned ? (1n << BigInt(bits)) - 1n : (1n << BigInt(bits - 1)) - 1n;
  const least = unsigned ? 0n : -(1n << BigInt(bits - 1));
  const out = (value: bigint): bigint => BigInt.asUintN(bits, value);
  if (x.kind === "nan") {
    env.fpsr |= FLAG.IOC;
    return 0n;
  }
  if (x.kind === "zero") return 0n;
  if (x.kind === "infinity") {
    env.fpsr |= FLAG.IOC;
    return out(x.sign ? least : most);
  }
  // Far out of range: the shift would only cost time.
  if (x.exponent > 200) {
    env.fpsr |= FLAG.IOC;
    return out(x.sign ? least : most);
  }
  const { magnitude, exact } = toInteger(x, fractionBits, rounding);
  const value = x.sign ? -magnitude : magnitude;
  if (value > most || value < least) {
    env.fpsr |= FLAG.IOC;
    return out(value > most ? most : least);
  }
  if (!exact) env.fpsr |= FLAG.IXC;
  return out(value);
}

/** FixedToFP. */
export function fixedToFp(
  format: Format,
  value: bigint,
  bits: number,
  fractionBits: number,
  unsigned: boolean,
  env: FpEnv,
): bigint {
  const integer = unsigned ? BigInt.asUintN(bits, value) : BigInt.asIntN(bits, value);
  if (integer === 0n) return packZero(format, false);
  return round(format, integer < 0n, integer < 0n ? -integer : integer, -fractionBits, env);
}

/** FPRoundInt: to an integral value in the same format; `exact` flags what is lost. */
export function fpRoundInt(
  format: Format,
  a: bigint,
  rounding: Rounding,
  exact: boolean,
  env: FpEnv,
): bigint {
  const x = unpack(format, a, env);
  if (x.kind === "nan") return processNan(format, x, a, env);
  if (x.kind === "infinity") return packInfinity(format, x.sign);
  if (x.kind === "zero") return packZero(format, x.sign);
  const result = toInteger(x, 0, rounding);
  if (exact && !result.exact) env.fpsr |= FLAG.IXC;
  if (result.magnitude === 0n) return packZero(format, x.sign);
  return round(format, x.sign, result.magnitude, 0, { fpcr: 0, fpsr: 0 });
}

/** Formats by an encoding's `ftype`: 0 single, 1 double, 3 half. */
export const formatOf = (ftype: number): Format => (ftype === 0 ? SINGLE : ftype === 1 ? DOUBLE : HALF);
