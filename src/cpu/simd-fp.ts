/** SIMD floating point, exactly, lane by lane. */
import type { Fields } from "../a64/encoding.ts";
import { elementOf } from "../a64/encodings/simd-saturating.ts";
import {
  fixedToFp,
  fpAbs,
  fpAdd,
  fpCompare,
  fpConvert,
  fpDiv,
  fpMaxMin,
  fpMul,
  fpMulAdd,
  fpMulX,
  fpNeg,
  fpRoundInt,
  fpSqrt,
  fpSub,
  fpToFixed,
} from "../a64/fp/arithmetic.ts";
import {
  fpRecipEstimate,
  fpRecipStep,
  fpRecpX,
  fpRsqrtEstimate,
  fpRsqrtStep,
  unsignedRecipEstimate,
  unsignedRsqrtEstimate,
} from "../a64/fp/estimates.ts";
import {
  DOUBLE,
  type Format,
  type FpEnv,
  HALF,
  ROUND,
  type Rounding,
  roundingOf,
  SINGLE,
} from "../a64/fp/format.ts";
import { countOf, type Execute, isScalar, type Lanes, lane, writeAll, writeNarrow } from "./simd-lanes.ts";

type Unary = (format: Format, a: bigint, env: FpEnv) => bigint;
type Binary = (format: Format, a: bigint, b: bigint, env: FpEnv, d: bigint) => bigint;

const sizeOf = (f: Fields): number => 2 + f.sz;
const formatOfSize = (size: number): Format => (size === 1 ? HALF : size === 2 ? SINGLE : DOUBLE);

const each = (x: Lanes, size: number, of: (i: number) => bigint): void =>
  writeAll(
    x,
    size,
    Array.from({ length: countOf(x.f, size) }, (_, i) => of(i)),
  );

const same =
  (operation: Binary): Execute =>
  (x) => {
    const { f, env } = x;
    const size = sizeOf(f);
    const format = formatOfSize(size);
    each(x, size, (i) =>
      operation(format, lane(x, f.Rn, size, i), lane(x, f.Rm, size, i), env, lane(x, f.Rd, size, i)),
    );
  };

const unary =
  (operation: Unary): Execute =>
  (x) => {
    const size = sizeOf(x.f);
    const format = formatOfSize(size);
    each(x, size, (i) => operation(format, lane(x, x.f.Rn, size, i), x.env));
  };

/** Neighbours, first of Rn and then of Rm; a scalar has one pair, of Rn. */
const pairwise =
  (operation: Binary): Execute =>
  (x) => {
    const { f, env } = x;
    const size = sizeOf(f);
    const format = formatOfSize(size);
    const half = isScalar(f) ? 1 : countOf(f, size) / 2;
    each(x, size, (i) => {
      const from = i < half ? f.Rn : f.Rm;
      const at = 2 * (i % half);
      return operation(format, lane(x, from, size, at), lane(x, from, size, at + 1), env, 0n);
    });
  };

/** All four lanes, by halves. */
const across =
  (operation: Binary): Execute =>
  (x) => {
    const { f, env } = x;
    const of = (i: number): bigint =>
      operation(SINGLE, lane(x, f.Rn, 2, i), lane(x, f.Rn, 2, i + 1), env, 0n);
    const low = of(0);
    writeAll(x, 2, [operation(SINGLE, low, of(2), env, 0n)]);
  };

const byElement =
  (operation: Binary): Execute =>
  (x) => {
    const { f, env } = x;
    const size = sizeOf(f);
    const format = formatOfSize(size);
    const { register, index } = elementOf(f, size);
    const factor = lane(x, register, size, index);
    each(x, size, (i) => operation(format, lane(x, f.Rn, size, i), factor, env, lane(x, f.Rd, size, i)));
  };

/** NZCV of a comparison, and whether it holds. */
const HOLDS = {
  eq: (nzcv: number) => (nzcv & 4) !== 0,
  // Unordered is 0011.
  ge: (nzcv: number) => nzcv === 0b0110 || nzcv === 0b0010,
  gt: (nzcv: number) => nzcv === 0b0010,
  le: (nzcv: number) => nzcv === 0b0110 || nzcv === 0b1000,
  lt: (nzcv: number) => nzcv === 0b1000,
} as const;

const compared = (how: keyof typeof HOLDS, format: Format, a: bigint, b: bigint, env: FpEnv): bigint =>
  HOLDS[how](fpCompare(format, a, b, how !== "eq", env)) ? (1n << BigInt(format.bits)) - 1n : 0n;

const compare = (how: keyof typeof HOLDS): Execute =>
  same((format, a, b, env) => compared(how, format, a, b, env));
const compareMagnitudes = (how: keyof typeof HOLDS): Execute =>
  same((format, a, b, env) => compared(how, format, fpAbs(format, a), fpAbs(format, b), env));
const compareZero = (how: keyof typeof HOLDS): Execute =>
  unary((format, a, env) => compared(how, format, a, 0n, env));

const maxMin =
  (max: boolean, number: boolean): Binary =>
  (format, a, b, env) =>
    fpMaxMin(format, a, b, max, number, env);

const mulAdd: Binary = (format, a, b, env, d) => fpMulAdd(format, d, a, b, env);
const mulSub: Binary = (format, a, b, env, d) => fpMulAdd(format, d, fpNeg(format, a), b, env);

const roundTo = (rounding: Rounding | undefined, exact = false): Execute =>
  unary((format, a, env) => fpRoundInt(format, a, rounding ?? roundingOf(env), exact, env));

const toInteger = (unsigned: boolean, rounding: Rounding): Execute =>
  unary((format, a, env) => fpToFixed(format, a, format.bits, 0, unsigned, rounding, env));

const fromInteger = (unsigned: boolean): Execute =>
  unary((format, a, env) => fixedToFp(format, a, format.bits, 0, unsigned, env));

const fixed =
  (operation: (format: Format, a: bigint, fractionBits: number, env: FpEnv) => bigint): Execute =>
  (x) => {
    const { f, env } = x;
    const size = 31 - Math.clz32(f.immh);
    const format = formatOfSize(size);
    const fractionBits = 2 * format.bits - (f.immh * 8 + f.immb);
    each(x, size, (i) => operation(format, lane(x, f.Rn, size, i), fractionBits, env));
  };
const toFixed = (unsigned: boolean): Execute =>
  fixed((format, a, bits, env) => fpToFixed(format, a, format.bits, bits, unsigned, ROUND.zero, env));
const fromFixed = (unsigned: boolean): Execute =>
  fixed((format, a, bits, env) => fixedToFp(format, a, format.bits, bits, unsigned, env));

/** To half the size, FCVTN and FCVTXN. */
const narrow =
  (rounding?: Rounding): Execute =>
  (x) => {
    const { f, env } = x;
    const size = 1 + f.sz;
    const count = isScalar(f) ? 1 : 8 >> size;
    writeNarrow(
      x,
      size,
      Array.from({ length: count }, (_, i) =>
        fpConvert(
          formatOfSize(size),
          formatOfSize(size + 1),
          lane(x, f.Rn, size + 1, i),
          env,
          rounding ?? roundingOf(env),
        ),
      ),
    );
  };

const widen: Execute = (x) => {
  const { f, env } = x;
  const size = 1 + f.sz;
  const count = 8 >> size;
  writeAll(
    x,
    size + 1,
    Array.from({ length: count }, (_, i) =>
      fpConvert(formatOfSize(size + 1), formatOfSize(size), lane(x, f.Rn, size, i + f.Q * count), env),
    ),
  );
};

/** URECPE and URSQRTE: fractions of 32 bits. */
const estimate =
  (operation: (bits: number) => number): Execute =>
  (x) =>
    each(x, 2, (i) => BigInt(operation(Number(lane(x, x.f.Rn, 2, i)))));

const VECTORS: Readonly<Record<string, Execute>> = {
  FMAXNM: same(maxMin(true, true)),
  FMINNM: same(maxMin(false, true)),
  FMAXNMP: pairwise(maxMin(true, true)),
  FMINNMP: pairwise(maxMin(false, true)),
  FMAXNMV: across(maxMin(true, true)),
  FMINNMV: across(maxMin(false, true)),
  FMAX: same(maxMin(true, false)),
  FMIN: same(maxMin(false, false)),
  FMAXP: pairwise(maxMin(true, false)),
  FMINP: pairwise(maxMin(false, false)),
  FMAXV: across(maxMin(true, false)),
  FMINV: across(maxMin(false, false)),
  FMLA: same(mulAdd),
  FMLS: same(mulSub),
  FADD: same((format, a, b, env) => fpAdd(format, a, b, env)),
  FSUB: same((format, a, b, env) => fpSub(format, a, b, env)),
  FADDP: pairwise((format, a, b, env) => fpAdd(format, a, b, env)),
  FABD: same((format, a, b, env) => fpAbs(format, fpSub(format, a, b, env))),
  FMULX: same((format, a, b, env) => fpMulX(format, a, b, env)),
  FMUL: same((format, a, b, env) => fpMul(format, a, b, env)),
  FDIV: same((format, a, b, env) => fpDiv(format, a, b, env)),
  FCMEQ: compare("eq"),
  FCMGE: compare("ge"),
  FCMGT: compare("gt"),
  FACGE: compareMagnitudes("ge"),
  FACGT: compareMagnitudes("gt"),
  FCMGT_zero: compareZero("gt"),
  FCMGE_zero: compareZero("ge"),
  FCMEQ_zero: compareZero("eq"),
  FCMLE_zero: compareZero("le"),
  FCMLT_zero: compareZero("lt"),
  FRECPS: same((format, a, b, env) => fpRecipStep(format, a, b, env)),
  FRSQRTS: same((format, a, b, env) => fpRsqrtStep(format, a, b, env)),
  FRECPE: unary(fpRecipEstimate),
  FRECPX: unary(fpRecpX),
  FRSQRTE: unary(fpRsqrtEstimate),
  URECPE: estimate(unsignedRecipEstimate),
  URSQRTE: estimate(unsignedRsqrtEstimate),
  FSQRT: unary(fpSqrt),
  FABS: unary(fpAbs),
  FNEG: unary(fpNeg),
  FCVTN: narrow(),
  FCVTXN: narrow(ROUND.odd),
  FCVTL: widen,
  FRINTN: roundTo(ROUND.tiesEven),
  FRINTA: roundTo(ROUND.tiesAway),
  FRINTP: roundTo(ROUND.plusInfinity),
  FRINTM: roundTo(ROUND.minusInfinity),
  FRINTZ: roundTo(ROUND.zero),
  FRINTX: roundTo(undefined, true),
  FRINTI: roundTo(undefined),
  FCVTNS: toInteger(false, ROUND.tiesEven),
  FCVTNU: toInteger(true, ROUND.tiesEven),
  FCVTPS: toInteger(false, ROUND.plusInfinity),
  FCVTPU: toInteger(true, ROUND.plusInfinity),
  FCVTMS: toInteger(false, ROUND.minusInfinity),
  FCVTMU: toInteger(true, ROUND.minusInfinity),
  FCVTZS: toInteger(false, ROUND.zero),
  FCVTZU: toInteger(true, ROUND.zero),
  FCVTAS: toInteger(false, ROUND.tiesAway),
  FCVTAU: toInteger(true, ROUND.tiesAway),
  SCVTF: fromInteger(false),
  UCVTF: fromInteger(true),
  FMLA_element: byElement(mulAdd),
  FMLS_element: byElement(mulSub),
  FMUL_element: byElement((format, a, b, env) => fpMul(format, a, b, env)),
  FMULX_element: byElement((format, a, b, env) => fpMulX(format, a, b, env)),
  SCVTF_fixed: fromFixed(false),
  UCVTF_fixed: fromFixed(true),
  FCVTZS_fixed: toFixed(false),
  FCVTZU_fixed: toFixed(true),
};

/** What these instructions do, by their rows' names; scalars do what vectors do to one lane. */
export const simdFpInstruction = (name: string): Execute | undefined => VECTORS[name.replace(/_scalar$/, "")];
