/** Conversions of vectors between formats, and to and from integers; and of scalars as Advanced SIMD has them. */
import type { Local } from "../../../wasm/entities.ts";
import type { Emit, Semantics } from "../../emit.ts";
import { LEAVE } from "../../state.ts";
import { buildVector } from "../simd/lanes.ts";
import { asScalars, isUpper, keep, result, takeOperand, type V } from "../simd/vectors.ts";
import { narrowResult } from "../simd/widening.ts";
import { noteInexact } from "./checks.ts";
import { convertInteger, integerDiffers, leaveUnlessFits, truncate } from "./convert.ts";
import { constant } from "./error-free.ts";
import {
  joinSingles,
  leaveIfAnyNan,
  leaveIfLanesFlushed,
  leaveUnlessAll,
  leaveUnlessWithin,
  onLanes,
  promote,
  RANGE,
  roundLanes,
  zeroLanes,
} from "./lanes.ts";
import type { IntegerRounding } from "./scalar.ts";

/** Runs `body` for each lane of doubles: it takes a value and leaves a 64-bit result. */
function byDoubles(e: Emit, a: V, extract: "i64x2" | "f64x2", body: (i: number) => void): void {
  const { f } = e;
  const count = e.has("Q") ? 2 : 1;
  buildVector(e, 3, count, (i) => {
    f.local.get(a);
    f[extract].extractLane(i);
    body(i);
  });
}

const fromInteger = (unsigned: boolean): Semantics =>
  onLanes((e, lanes, size) => {
    const { f } = e;
    const a = takeOperand(e, "Rn", size);
    if (lanes === "f64x2") {
      const format = { wide: true, unsigned };
      byDoubles(e, a, "i64x2", () => {
        const integer: Local = f.local.take("i64");
        const number = f.local.take("f64");
        f.local.tee(integer);
        convertInteger(e, "f64", format);
        f.local.set(number);
        noteInexact(e, () => integerDiffers(e, "f64", number, integer, format));
        f.local.get(number);
        f.i64.reinterpretF64();
        f.local.release(integer);
        f.local.release(number);
      });
      f.local.release(a);
      return;
    }
    f.local.get(a);
    f.f32x4[unsigned ? "convertI32x4U" : "convertI32x4S"]();
    const numbers = keep(f);
    noteInexact(e, () => {
      // Rounded up to the end of the range, or to another integer.
      f.local.get(numbers);
      constant(f, "f32x4", 2 ** (unsigned ? 32 : 31));
      f.f32x4.ge();
      f.local.get(numbers);
      f.i32x4[unsigned ? "truncSatF32x4U" : "truncSatF32x4S"]();
      f.local.get(a);
      f.i32x4.ne();
      f.v128.or();
      f.v128.anyTrue();
    });
    f.local.get(numbers);
    result(e, size);
    f.local.release(a);
    f.local.release(numbers);
  });

const toInteger = (how: IntegerRounding, unsigned: boolean): Semantics =>
  onLanes((e, lanes, size) => {
    const { f } = e;
    const a = takeOperand(e, "Rn", size);
    leaveIfLanesFlushed(e, lanes, a);
    roundLanes(e, lanes, a, how);
    const whole = keep(f);
    const inexact = () =>
      noteInexact(e, () => {
        f.local.get(whole);
        f.local.get(a);
        f[lanes].ne();
        f.v128.anyTrue();
      });
    if (lanes === "f64x2") {
      const format = { wide: true, unsigned };
      // All of them first: an instruction that leaves has written nothing.
      byDoubles(e, whole, "f64x2", () => {
        const number = f.local.take("f64");
        f.local.set(number);
        leaveUnlessFits(e, "f64", number, format);
        f.local.get(number);
        truncate(e, "f64", format);
        f.local.release(number);
      });
      inexact();
    } else {
      f.local.get(whole);
      constant(f, lanes, 2 ** (unsigned ? 32 : 31));
      f.f32x4.lt();
      f.local.get(whole);
      constant(f, lanes, unsigned ? 0 : -(2 ** 31));
      f.f32x4.ge();
      f.v128.and();
      leaveUnlessAll(e, lanes);
      inexact();
      f.local.get(whole);
      f.i32x4[unsigned ? "truncSatF32x4U" : "truncSatF32x4S"]();
      result(e, size);
    }
    f.local.release(a);
    f.local.release(whole);
  });

/** FCVTL of singles to doubles. Halves leave. */
const widen: Semantics = onLanes((e, lanes) => {
  const { f } = e;
  if (lanes === "f32x4") {
    e.leave(LEAVE.SYSTEM);
    return;
  }
  const a = takeOperand(e, "Rn", 2);
  leaveIfAnyNan(e, "f32x4", a);
  leaveIfLanesFlushed(e, "f32x4", a);
  promote(f, a, isUpper(e) ? "high" : "low");
  e.setV("Rd");
  f.local.release(a);
});

/** FCVTN of doubles to singles. */
const narrow: Semantics = onLanes((e, lanes) => {
  const { f } = e;
  if (lanes === "f32x4") {
    e.leave(LEAVE.SYSTEM);
    return;
  }
  e.getV("Rn");
  const doubles = keep(f);
  leaveIfLanesFlushed(e, "f64x2", doubles);
  f.local.get(doubles);
  f.f32x4.demoteF64x2Zero();
  const low = keep(f);
  // Twice, so that all four lanes count.
  f.local.get(low);
  f.local.get(low);
  joinSingles(f);
  const singles = keep(f);
  leaveUnlessWithin(e, "f32x4", singles, RANGE.normal.f32x4, () => {
    zeroLanes(f, "f64x2", doubles);
    const zero = keep(f);
    f.local.get(zero);
    f.local.get(zero);
    f.i8x16.shuffle([0, 1, 2, 3, 8, 9, 10, 11, 0, 1, 2, 3, 8, 9, 10, 11]);
    f.local.release(zero);
  });
  noteInexact(e, () => {
    promote(f, singles, "low");
    f.local.get(doubles);
    f.f64x2.ne();
    f.v128.anyTrue();
  });
  // As lanes of 64 bits whose low halves are wanted.
  f.local.get(singles);
  f.i64x2.extendLowI32x4U();
  narrowResult(e, 2);
  for (const local of [doubles, low, singles]) f.local.release(local);
});

/** Vectors, and scalars that do the same to one lane. */
const BOTH = {
  FCVTNS: toInteger("nearest", false),
  FCVTNU: toInteger("nearest", true),
  FCVTPS: toInteger("ceil", false),
  FCVTPU: toInteger("ceil", true),
  FCVTMS: toInteger("floor", false),
  FCVTMU: toInteger("floor", true),
  FCVTZS: toInteger("trunc", false),
  FCVTZU: toInteger("trunc", true),
  FCVTAS: toInteger("away", false),
  FCVTAU: toInteger("away", true),
  SCVTF: fromInteger(false),
  UCVTF: fromInteger(true),
} satisfies Record<string, Semantics>;

export const VECTOR_CONVERSIONS = {
  ...BOTH,
  ...asScalars(BOTH),
  FCVTL: widen,
  FCVTN: narrow,
};
