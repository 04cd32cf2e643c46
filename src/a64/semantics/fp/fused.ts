/**
 * Fused multiply-add, which WebAssembly has not. Doubles: Boldo and Melquiond, "Emulation of FMA and correctly rounded sums"
 * (IEEE Transactions on Computers 57, 2008), whose last sum but one rounds to odd. Singles have exact products as doubles,
 * and a sum that rounds to odd can be rounded once more.
 */
import type { FunctionBody } from "../../../wasm/function-body.ts";
import type { Emit, Semantics } from "../../emit.ts";
import { byElement, keep, operand, result, secondOperand, takeOperand, type V } from "../simd/vectors.ts";
import { noteInexact, plain } from "./checks.ts";
import { constant, twoProduct, twoSum } from "./error-free.ts";
import {
  exponentWithin,
  joinSingles,
  type Lanes,
  lanesOfField,
  leaveIfLanesFlushed,
  leaveUnlessAll,
  leaveUnlessWithin,
  promote,
  RANGE,
  sizeOfLanes,
  zeroLanes,
} from "./lanes.ts";

/** How far a sum's exponent may be from a double's bias so that it is a normal single, and not near the ends of those. */
const SINGLE_DISTANCE = 125;

/** Makes a sum the one that rounding to odd would give: its last bit is set if anything was lost. */
function toOdd(f: FunctionBody, sum: V, error: V): void {
  const sign = (value: V) => {
    f.local.get(value);
    constant(f, "f64x2", 0);
    f.f64x2.gt();
  };
  // Away from zero where what was lost has the sum's sign, else towards it: 1 or -1 in the bits...
  f.local.get(sum);
  f.i64.const(1);
  f.i64x2.splat();
  f.i64.const(-1);
  f.i64x2.splat();
  sign(error);
  sign(sum);
  f.v128.xor();
  f.v128.not();
  f.v128.bitselect();
  // ... of lanes that lost something and are even.
  f.local.get(error);
  constant(f, "f64x2", 0);
  f.f64x2.ne();
  f.v128.and();
  f.local.get(sum);
  f.i64.const(1);
  f.i64x2.splat();
  f.v128.and();
  f.i64.const(0);
  f.i64x2.splat();
  f.i64x2.eq();
  f.v128.and();
  f.i64x2.add();
  f.local.set(sum);
}

/**
 * Pushes a * b + c, lanes of doubles in locals that are overwritten: doubles, or two singles (and zeros) in the lower half.
 * Leaves unless all lanes are ordinary, or products with zero.
 */
function multiplyAdd(e: Emit, a: V, b: V, c: V, single: boolean): void {
  const { f } = e;
  const take = (): V => f.local.take("v128");
  const [zero, whole, high, low, sum, error] = [take(), take(), take(), take(), take(), take()] as const;
  zeroLanes(f, "f64x2", a);
  zeroLanes(f, "f64x2", b);
  f.v128.or();
  f.local.set(zero);
  // Finite; and unless a factor is zero, factors are middling, and the addend is or is zero.
  for (const value of [a, b, c]) exponentWithin(f, "f64x2", value, RANGE.finite.f64x2);
  f.v128.and();
  f.v128.and();
  for (const value of [a, b, c]) exponentWithin(f, "f64x2", value, RANGE.middle.f64x2);
  zeroLanes(f, "f64x2", c);
  f.v128.or();
  f.v128.and();
  f.v128.and();
  f.local.get(zero);
  f.v128.or();
  f.v128.and();
  leaveUnlessAll(e, "f64x2");
  if (single) {
    f.local.get(a);
    f.local.get(b);
    f.f64x2.mul();
    f.local.set(high);
    twoSum(f, "f64x2", high, c, sum, error);
    toOdd(f, sum, error);
    leaveUnlessWithin(e, "f64x2", sum, SINGLE_DISTANCE, () => f.local.get(zero));
    f.local.get(sum);
    f.f32x4.demoteF64x2Zero();
    f.local.set(whole);
    noteInexact(e, () => {
      promote(f, whole, "low");
      f.local.get(sum);
      f.f64x2.ne();
      f.v128.anyTrue();
    });
  } else {
    // With a zero factor the sum is exact, and its sign is as this one's.
    f.local.get(a);
    f.local.get(b);
    f.f64x2.mul();
    f.local.get(c);
    f.f64x2.add();
    f.local.set(whole);
    twoProduct(f, "f64x2", a, b, high, low);
    // a and b are free now.
    twoSum(f, "f64x2", c, low, a, b);
    twoSum(f, "f64x2", high, a, low, c);
    twoSum(f, "f64x2", b, c, sum, error);
    toOdd(f, sum, error);
    f.local.get(whole);
    f.local.get(low);
    f.local.get(sum);
    f.f64x2.add();
    f.local.get(zero);
    f.v128.bitselect();
    f.local.set(whole);
    leaveUnlessWithin(e, "f64x2", whole, RANGE.normal.f64x2, () => f.local.get(zero));
    noteInexact(e, () => {
      // What the odd sum lost is below all bits of the result.
      twoSum(f, "f64x2", low, sum, a, b);
      for (const value of [error, b]) {
        f.local.get(value);
        constant(f, "f64x2", 0);
        f.f64x2.ne();
      }
      f.v128.or();
      f.local.get(zero);
      f.v128.andnot();
      f.v128.anyTrue();
    });
  }
  f.local.get(whole);
  for (const local of [zero, whole, high, low, sum, error]) f.local.release(local);
}

/** Pushes a * b + c of lanes that are singles or doubles. */
function fuse(e: Emit, lanes: Lanes, a: V, b: V, c: V): void {
  const { f } = e;
  leaveIfLanesFlushed(e, lanes, a, b, c);
  if (lanes === "f64x2") {
    multiplyAdd(e, a, b, c, false);
    return;
  }
  const parts = e.has("Q") && e.field("Q") === 1 ? (["low", "high"] as const) : (["low"] as const);
  for (const part of parts) {
    const doubles = [a, b, c].map((value) => {
      promote(f, value, part);
      return keep(f);
    }) as [V, V, V];
    multiplyAdd(e, ...doubles, true);
    for (const local of doubles) f.local.release(local);
  }
  if (parts.length === 2) joinSingles(f);
}

/** FMLA and FMLS, of vectors and by element. */
const accumulate = (subtract: boolean, isElement = false): Semantics => ({
  ...(isElement ? byElement((f) => 2 + f.sz) : {}),
  emit: (e) => {
    const { f } = e;
    e.fpAccess();
    plain(e);
    const lanes = lanesOfField(e.field("sz"));
    const size = sizeOfLanes(lanes);
    operand(e, "Rn", size);
    if (subtract) f[lanes].neg();
    const a = keep(f);
    const b = secondOperand(e, size, isElement);
    const c = takeOperand(e, "Rd", size);
    fuse(e, lanes, a, b, c);
    result(e, size);
    for (const local of [a, b, c]) f.local.release(local);
  },
});

/** FMADD, FMSUB, FNMADD, FNMSUB: o1 negates the addend, o0 != o1 the product. */
const scalar: Semantics = {
  emit: (e) => {
    const { f } = e;
    e.fpAccess();
    plain(e);
    const lanes = lanesOfField(e.field("ftype"));
    const size = sizeOfLanes(lanes);
    operand(e, "Rn", size);
    if (e.field("o0") !== e.field("o1")) f[lanes].neg();
    const a = keep(f);
    const b = takeOperand(e, "Rm", size);
    operand(e, "Ra", size);
    if (e.field("o1") === 1) f[lanes].neg();
    const c = keep(f);
    fuse(e, lanes, a, b, c);
    result(e, size);
    for (const local of [a, b, c]) f.local.release(local);
  },
};

export const FUSED = {
  FMADD: scalar,
  FMLA: accumulate(false),
  FMLS: accumulate(true),
  FMLA_element: accumulate(false, true),
  FMLS_element: accumulate(true, true),
  FMLA_element_scalar: accumulate(false, true),
  FMLS_element_scalar: accumulate(true, true),
} satisfies Record<string, Semantics>;
