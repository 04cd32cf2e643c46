/** Checks as in checks.ts, for all lanes of a vector. Operands repeat what is less than a register, so that all lanes count. */
import type { FunctionBody } from "../../../wasm/function-body.ts";
import type { Emit, Semantics, SemanticsOptions } from "../../emit.ts";
import { LEAVE } from "../../state.ts";
import { keep, range, splat, tee, type V } from "../simd/vectors.ts";
import { leaveIfFlushed, plain } from "./checks.ts";
import { constant } from "./error-free.ts";
import type { IntegerRounding } from "./scalar.ts";

export type Lanes = "f32x4" | "f64x2";
/** sz: 0 is single, 1 double. */
export const lanesOfField = (sz: number): Lanes => (sz === 1 ? "f64x2" : "f32x4");
/** log2 of a lane's bytes. */
export const sizeOfLanes = (lanes: Lanes): number => (lanes === "f64x2" ? 3 : 2);
const integers = (lanes: Lanes) => (lanes === "f64x2" ? "i64x2" : "i32x4");

const EXPONENT = {
  f32x4: { shift: 23, bias: 127 },
  f64x2: { shift: 52, bias: 1023 },
} as const;

/** How far a biased exponent may lie from the bias. */
export const RANGE = {
  /** Zeros and denormals too. */
  finite: { f32x4: 127, f64x2: 1023 },
  /** Normal, and not near the ends: nothing but IXC can have been flagged. */
  normal: { f32x4: 125, f64x2: 1021 },
  /** Products of two and their errors stay far from the ends. */
  middle: { f32x4: 40, f64x2: 400 },
} as const;

/** Pushes all ones for lanes whose exponent is within a range. */
export function exponentWithin(f: FunctionBody, lanes: Lanes, value: V, distance: number): void {
  const { shift, bias } = EXPONENT[lanes];
  const i = f[integers(lanes)];
  const size = sizeOfLanes(lanes);
  f.local.get(value);
  f.i32.const(shift);
  i.shrU();
  splat(f, size, BigInt(2 * bias + 1));
  f.v128.and();
  splat(f, size, BigInt(bias));
  i.sub();
  i.abs();
  splat(f, size, BigInt(distance));
  i.leS();
}

/** Takes a mask; leaves unless it is all ones. */
export function leaveUnlessAll(e: Emit, lanes: Lanes): void {
  const { f } = e;
  f[integers(lanes)].allTrue();
  f.i32.eqz();
  e.leaveIf(LEAVE.SYSTEM);
}

/** Leaves unless all lanes are within a range, or `otherwise` pushes a mask that has the others. */
export function leaveUnlessWithin(
  e: Emit,
  lanes: Lanes,
  value: V,
  distance: number,
  otherwise?: () => void,
): void {
  const { f } = e;
  exponentWithin(f, lanes, value, distance);
  if (otherwise === undefined) {
    leaveUnlessAll(e, lanes);
    return;
  }
  const within = tee(f);
  f[integers(lanes)].allTrue();
  f.i32.eqz();
  const special = f.if();
  f.local.get(within);
  otherwise();
  f.v128.or();
  leaveUnlessAll(e, lanes);
  f.end(special);
  f.local.release(within);
}

/** Pushes all ones for lanes that are zero. */
export function zeroLanes(f: FunctionBody, lanes: Lanes, value: V): void {
  f.local.get(value);
  f.v128.const(0, 0, 0, 0);
  f[lanes].eq();
}

/** Leaves if a lane of some vectors is a NaN. */
export function leaveIfAnyNan(e: Emit, lanes: Lanes, ...values: readonly V[]): void {
  const { f } = e;
  values.forEach((value, i) => {
    f.local.get(value);
    f.local.get(value);
    f[lanes].ne();
    if (i > 0) f.v128.or();
  });
  f.v128.anyTrue();
  e.leaveIf(LEAVE.SYSTEM);
}

/** Leaves if a lane of some vectors is denormal, and FPCR.FZ says that they are flushed to zero. */
export function leaveIfLanesFlushed(e: Emit, lanes: Lanes, ...values: readonly V[]): void {
  const { f } = e;
  const size = sizeOfLanes(lanes);
  leaveIfFlushed(e, () => {
    values.forEach((value, i) => {
      // Between zero and the least normal number: their bits are in that order.
      const magnitude = () => {
        f.local.get(value);
        f[lanes].abs();
      };
      magnitude();
      f.v128.const(0, 0, 0, 0);
      f[integers(lanes)].gtS();
      magnitude();
      splat(f, size, 1n << BigInt(EXPONENT[lanes].shift));
      f[integers(lanes)].ltS();
      f.v128.and();
      if (i > 0) f.v128.or();
    });
    f.v128.anyTrue();
  });
}

/** Pushes the lower or the upper two singles of a vector as doubles. */
export function promote(f: FunctionBody, singles: V, part: "low" | "high"): void {
  f.local.get(singles);
  if (part === "high") {
    f.local.get(singles);
    f.i8x16.shuffle(range(16).map((i) => (i + 8) % 16));
  }
  f.f64x2.promoteLowF32x4();
}

/** Takes two vectors of two singles in their lower halves; pushes one of four. */
export function joinSingles(f: FunctionBody): void {
  const high = keep(f);
  const low = keep(f);
  f.local.get(low);
  f.local.get(high);
  f.i8x16.shuffle(range(16).map((i) => (i < 8 ? i : i + 8)));
  f.local.release(high);
  f.local.release(low);
}

/** An instruction on vectors, or on scalars as Advanced SIMD has them; without sz, on singles. */
export const onLanes = (
  emit: (e: Emit, lanes: Lanes, size: number) => void,
  more: SemanticsOptions = {},
): Semantics => ({
  ...more,
  emit: (e) => {
    e.fpAccess();
    plain(e);
    const lanes = lanesOfField(e.has("sz") ? e.field("sz") : 0);
    emit(e, lanes, sizeOfLanes(lanes));
  },
});

/** Pushes lanes rounded to integers. */
export function roundLanes(e: Emit, lanes: Lanes, a: V, how: IntegerRounding): void {
  const { f } = e;
  f.local.get(a);
  if (how !== "away") {
    f[lanes][how]();
    return;
  }
  f[lanes].trunc();
  const whole = keep(f);
  // One more, away from zero, if a half or more was cut off: 1 with the operand's sign.
  constant(f, lanes, 1);
  f.local.get(a);
  constant(f, lanes, -0);
  f.v128.and();
  f.v128.or();
  f.local.get(whole);
  f[lanes].add();
  f.local.get(whole);
  f.local.get(a);
  f.local.get(whole);
  f[lanes].sub();
  f[lanes].abs();
  constant(f, lanes, 0.5);
  f[lanes].ge();
  f.v128.bitselect();
  f.local.release(whole);
}
