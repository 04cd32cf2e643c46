/**
 * Advanced SIMD with results that are the nearest that fit: SatQ and UnsignedSatQ of the Arm ARM, FPSR.QC remembering that
 * one was not exact.
 */
import type { Local } from "../../../wasm/entities.ts";
import type { Emit, Semantics } from "../../emit.ts";
import { type Binary, plain, same } from "./arithmetic.ts";
import type { Sign } from "./lanes.ts";
import {
  asScalars,
  BY_ELEMENT,
  belowUnsigned,
  bitsOf,
  integerOp,
  integerShape,
  isScalar,
  keep,
  noteSaturation,
  operand,
  result,
  secondOperand,
  shiftBy,
  shiftRightName,
  signBit,
  signs,
  simd,
  splat,
  takeOperand,
  tee,
  type V,
} from "./vectors.ts";
import { type Long, long, multiplyLong, narrowResult } from "./widening.ts";

const sizeOf = (e: Emit): number => e.field("size");
const most = (size: number): bigint => signBit(size) - 1n;

/** Takes a vector: where a mask in a local says so, pushes instead what `nearest` pushes; notes it. */
function replaceSaturated(e: Emit, saturated: V, nearest: () => void): void {
  const { f } = e;
  const value = keep(f);
  nearest();
  f.local.get(value);
  f.local.get(saturated);
  f.v128.bitselect();
  f.local.get(saturated);
  noteSaturation(e);
  f.local.release(value);
}

/** Pushes the end of the range at which a signed number's sign lies. */
function nearestSigned(e: Emit, size: number, a: V): void {
  e.f.local.get(a);
  signs(e.f, size);
  splat(e.f, size, most(size));
  e.f.v128.xor();
}

/** Sums and differences: signed ones have the wrong sign, unsigned ones go around the end. */
const addSaturating =
  (sign: Sign, how: "add" | "sub"): Binary =>
  (e, size, a, b) => {
    const { f } = e;
    plain(how)(e, size, a, b);
    const sum = tee(f);
    if (sign === "s") {
      // The sum has another sign than a, and b has not the sign that would explain it.
      f.local.get(a);
      f.local.get(sum);
      f.v128.xor();
      f.local.get(a);
      f.local.get(b);
      f.v128.xor();
      if (how === "add") f.v128.andnot();
      else f.v128.and();
      signs(f, size);
    } else if (how === "add") belowUnsigned(f, size, sum, a);
    else belowUnsigned(f, size, a, b);
    const saturated = keep(f);
    replaceSaturated(e, saturated, () => {
      if (sign === "s") nearestSigned(e, size, a);
      else splat(f, size, how === "add" ? -1n : 0n);
    });
    f.local.release(sum);
    f.local.release(saturated);
  };

/** Takes a vector; flips the signs: signed numbers become unsigned ones in the same order. */
function biased(e: Emit, size: number): void {
  splat(e.f, size, signBit(size));
  e.f.v128.xor();
}

/** SUQADD: an unsigned number is added to the signed one in Rd. */
const addUnsignedToSigned = (e: Emit, size: number, a: V): void => {
  const { f } = e;
  operand(e, "Rd", size);
  biased(e, size);
  const d = keep(f);
  addSaturating("u", "add")(e, size, d, a);
  biased(e, size);
  f.local.release(d);
};

/** USQADD: a signed number is added to the unsigned one in Rd. */
const addSignedToUnsigned = (e: Emit, size: number, a: V): void => {
  const { f } = e;
  const d = takeOperand(e, "Rd", size);
  plain("add")(e, size, d, a);
  const sum = tee(f);
  f.local.get(a);
  signs(f, size);
  const negative = keep(f);
  // Below d although something was added, or above it although something was taken away.
  belowUnsigned(f, size, d, sum);
  belowUnsigned(f, size, sum, d);
  f.local.get(negative);
  f.v128.bitselect();
  const saturated = keep(f);
  replaceSaturated(e, saturated, () => {
    f.local.get(negative);
    f.v128.not();
  });
  for (const local of [d, sum, negative, saturated]) f.local.release(local);
};

const unary = (operation: (e: Emit, size: number, a: V) => void): Semantics =>
  simd((e) => {
    const size = sizeOf(e);
    const a = takeOperand(e, "Rn", size);
    operation(e, size, a);
    result(e, size);
    e.f.local.release(a);
  });

/** The least number has no opposite: it comes out as itself, negative. */
const opposite =
  (name: "abs" | "neg") =>
  (e: Emit, size: number, a: V): void => {
    const { f } = e;
    f.local.get(a);
    integerShape(f, size)[name]();
    const value = tee(f);
    f.local.get(value);
    if (name === "neg") {
      f.local.get(a);
      f.v128.and();
    }
    signs(f, size);
    const saturated = tee(f);
    f.v128.xor();
    f.local.get(saturated);
    noteSaturation(e);
    f.local.release(value);
    f.local.release(saturated);
  };

/** Takes a vector with lanes of twice the size; makes them what fits into `size`, read as `to` says. */
export function saturateNarrow(e: Emit, size: number, from: Sign, to: Sign): void {
  const { f } = e;
  const wide = tee(f);
  const bits = bitsOf(size);
  // What fits is the same without its upper half.
  shiftBy(f, size + 1, "shl", bits);
  shiftBy(f, size + 1, shiftRightName(to), bits);
  f.local.get(wide);
  integerOp(f, size + 1, "ne");
  const saturated = keep(f);
  f.local.get(wide);
  replaceSaturated(e, saturated, () => {
    if (from === "u") splat(f, size + 1, -1n);
    else {
      f.local.get(wide);
      signs(f, size + 1);
      splat(f, size + 1, to === "s" ? most(size) : -1n);
      f.v128.xor();
    }
  });
  f.local.release(wide);
  f.local.release(saturated);
}

const narrow = (from: Sign, to: Sign): Semantics =>
  simd((e) => {
    const size = sizeOf(e);
    if (isScalar(e)) operand(e, "Rn", size + 1);
    else e.getV("Rn");
    saturateNarrow(e, size, from, to);
    narrowResult(e, size);
  });

/**
 * SQDMULH and its like: the upper halves of doubled products, rounded, and added to Rd or taken from it. Computed with one
 * bit less, so that twice the size has room: (d << bits + 2ab + 2^(bits - 1)) >> bits = (d << (bits - 1) + ab + 2^(bits - 2))
 * >> (bits - 1).
 */
const doublingHigh = (round: boolean, accumulates?: "add" | "sub", isElement = false): Semantics =>
  simd(
    (e) => {
      const { f } = e;
      const size = sizeOf(e);
      const bits = bitsOf(size);
      const names = ["I8x16", "I16x8", "I32x4"];
      const a = takeOperand(e, "Rn", size);
      const b = secondOperand(e, size, isElement);
      const halves = (["Low", "High"] as const).map((part) => {
        if (accumulates !== undefined) {
          operand(e, "Rd", size);
          integerOp(f, size + 1, `extend${part}${names[size]}S`);
          shiftBy(f, size + 1, "shl", bits - 1);
        }
        f.local.get(a);
        f.local.get(b);
        integerOp(f, size + 1, `extmul${part}${names[size]}S`);
        if (accumulates !== undefined) integerShape(f, size + 1)[accumulates]();
        if (round) {
          splat(f, size + 1, 1n << BigInt(bits - 2));
          integerShape(f, size + 1).add();
        }
        shiftBy(f, size + 1, "shrS", bits - 1);
        saturateNarrow(e, size, "s", "s");
        return keep(f);
      }) as [V, V];
      for (const half of halves) f.local.get(half);
      // The low halves of all lanes.
      f.i8x16.shuffle(
        Array.from({ length: 16 }, (_, i) => {
          const lane = i >> size;
          return ((2 * lane) << size) + (i & ((1 << size) - 1));
        }),
      );
      result(e, size);
      for (const local of [a, b, ...halves]) f.local.release(local);
    },
    isElement ? BY_ELEMENT : {},
  );

/** Doubled products: only that of the least number with itself does not fit, and comes out as the least of the wider ones. */
const doublingLong: Long = (e, size, a, b) => {
  const { f } = e;
  multiplyLong("s")(e, size, a, b);
  shiftBy(f, size + 1, "shl", 1);
  const product = tee(f);
  f.local.get(product);
  splat(f, size + 1, signBit(size + 1));
  integerOp(f, size + 1, "eq");
  const saturated = tee(f);
  f.v128.xor();
  f.local.get(saturated);
  noteSaturation(e);
  f.local.release(product);
  f.local.release(saturated);
};

const doublingAccumulate =
  (how: "add" | "sub"): Long =>
  (e, size, a, b) => {
    const { f } = e;
    if (isScalar(e)) operand(e, "Rd", size + 1);
    else e.getV("Rd");
    const d = keep(f);
    doublingLong(e, size, a, b);
    const product = keep(f);
    addSaturating("s", how)(e, size + 1, d, product);
    f.local.release(d);
    f.local.release(product);
  };

/**
 * A lane that was shifted to the left by `by`, as an i64: pushes it, or the nearest if bits were lost. All three are locals,
 * `a` the lane before.
 */
export function clampLane(
  e: Emit,
  size: number,
  sign: Sign,
  a: Local<"i64">,
  by: Local<"i64">,
  shifted: Local<"i64">,
): void {
  const { f } = e;
  const lost = f.local.take("i32");
  f.local.get(shifted);
  if (size < 3) {
    if (sign === "u") {
      f.i64.constBigInt((1n << BigInt(bitsOf(size))) - 1n);
      f.i64.and();
    } else [f.i64.extend8S, f.i64.extend16S, f.i64.extend32S][size]!.call(f.i64);
  }
  f.local.get(by);
  f.i64[shiftRightName(sign)]();
  f.local.get(a);
  f.i64.ne();
  f.local.tee(lost);
  f.i32.const(27);
  f.i32.shl();
  e.get32("FPSR");
  f.i32.or();
  e.set32("FPSR");
  if (sign === "u") f.i64.const(-1);
  else {
    f.local.get(a);
    f.i64.const(63);
    f.i64.shrS();
    f.i64.constBigInt(most(size));
    f.i64.xor();
  }
  f.local.get(shifted);
  f.local.get(lost);
  f.select();
  f.local.release(lost);
}

const BOTH = {
  SQADD: same(addSaturating("s", "add")),
  UQADD: same(addSaturating("u", "add")),
  SQSUB: same(addSaturating("s", "sub")),
  UQSUB: same(addSaturating("u", "sub")),
  SUQADD: unary(addUnsignedToSigned),
  USQADD: unary(addSignedToUnsigned),
  SQABS: unary(opposite("abs")),
  SQNEG: unary(opposite("neg")),
  SQXTUN: narrow("s", "u"),
  SQXTN: narrow("s", "s"),
  UQXTN: narrow("u", "u"),
  SQDMULH: doublingHigh(false),
  SQRDMULH: doublingHigh(true),
  SQRDMLAH: doublingHigh(true, "add"),
  SQRDMLSH: doublingHigh(true, "sub"),
  SQDMULH_element: doublingHigh(false, undefined, true),
  SQRDMULH_element: doublingHigh(true, undefined, true),
  SQRDMLAH_element: doublingHigh(true, "add", true),
  SQRDMLSH_element: doublingHigh(true, "sub", true),
  SQDMULL: long(doublingLong),
  SQDMLAL: long(doublingAccumulate("add")),
  SQDMLSL: long(doublingAccumulate("sub")),
  SQDMULL_element: long(doublingLong, true),
  SQDMLAL_element: long(doublingAccumulate("add"), true),
  SQDMLSL_element: long(doublingAccumulate("sub"), true),
} satisfies Record<string, Semantics>;

/** Vectors, and scalars of the same name. */
export const SIMD_SATURATING_SEMANTICS = { ...BOTH, ...asScalars(BOTH) };
