/** Scalar floating-point arithmetic, comparison and rounding to an integer, on WebAssembly's f32 and f64. */
import type { Local } from "../../../wasm/entities.ts";
import type { Emit, Semantics } from "../../emit.ts";
import { LEAVE } from "../../state.ts";
import {
  EXPONENT,
  exponent,
  isZero,
  leaveIfAnyFlushed,
  leaveIfNan,
  leaveUnlessFinite,
  leaveUnlessNormal,
  noteInexact,
  plain,
  type Scalar,
  scalarOf,
} from "./checks.ts";
import { lostInSum, twoProduct } from "./error-free.ts";

function load(e: Emit, type: Scalar, field: string): void {
  e.f[type].load(e.vAddress(field));
}

/** As load, into a local that the caller releases. */
export function takeScalar(e: Emit, type: Scalar, field: string): Local {
  load(e, type, field);
  const local = e.f.local.take(type);
  e.f.local.set(local);
  return local;
}

/** Writes a number to Rd, the rest of which becomes zero. */
export function store(e: Emit, type: Scalar, value: Local): void {
  const { f } = e;
  f.local.get(value);
  if (type === "f64") f.i64.reinterpretF64();
  else {
    f.i32.reinterpretF32();
    f.i64.extendI32U();
  }
  e.setD("Rd");
}

const simple = (emit: (e: Emit, type: Scalar) => void): Semantics => ({
  emit: (e) => {
    e.fpAccess();
    plain(e);
    emit(e, scalarOf(e.field("ftype")));
  },
});

const addition = (how: "add" | "sub"): Semantics =>
  simple((e, type) => {
    const { f } = e;
    const a = takeScalar(e, type, "Rn");
    const b = takeScalar(e, type, "Rm");
    f.local.get(a);
    f.local.get(b);
    f[type][how]();
    const sum = f.local.take(type);
    f.local.set(sum);
    // A tiny sum is exact, and so is zero: its sign is that of rounding to nearest.
    leaveUnlessFinite(e, type, sum);
    leaveIfAnyFlushed(e, type, a, b, sum);
    noteInexact(e, () => {
      lostInSum(f, type, a, b, sum, how);
      f[type].const(0);
      f[type].ne();
    });
    store(e, type, sum);
    for (const local of [a, b, sum]) f.local.release(local);
  });

/** Biased exponents of doubles from 2^-400 to 2^400: products of two and their errors stay far from the ends. */
const MIDDLE = { least: 1023 - 400, count: 801 } as const;

/** Pushes 1 if x * y is not z, exactly; leaves where that is hard to tell. */
function productDiffers(e: Emit, type: Scalar, x: Local, y: Local, z: Local): void {
  const { f } = e;
  if (type === "f32") {
    // Products of singles are exact as doubles.
    for (const value of [x, y]) {
      f.local.get(value);
      f.f64.promoteF32();
    }
    f.f64.mul();
    f.local.get(z);
    f.f64.promoteF32();
    f.f64.ne();
    return;
  }
  for (const value of [x, y]) {
    exponent(e, type, value);
    f.i32.const(MIDDLE.least);
    f.i32.sub();
    f.i32.const(MIDDLE.count);
    f.i32.geU();
    isZero(e, type, value);
    f.i32.eqz();
    f.i32.and();
    e.leaveIf(LEAVE.SYSTEM);
  }
  const [product, error] = [f.local.take("f64"), f.local.take("f64")];
  twoProduct(f, "f64", x, y, product, error);
  f.local.get(product);
  f.local.get(z);
  f.f64.ne();
  f.local.get(error);
  f.f64.const(0);
  f.f64.ne();
  f.i32.or();
  f.local.release(product);
  f.local.release(error);
}

const multiplication = (negated: boolean): Semantics =>
  simple((e, type) => {
    const { f } = e;
    const a = takeScalar(e, type, "Rn");
    const b = takeScalar(e, type, "Rm");
    leaveIfAnyFlushed(e, type, a, b);
    f.local.get(a);
    f.local.get(b);
    f[type].mul();
    const product = f.local.take(type);
    f.local.set(product);
    leaveUnlessNormal(e, type, product, () => {
      isZero(e, type, product);
      isZero(e, type, a);
      isZero(e, type, b);
      f.i32.or();
      f.i32.and();
    });
    noteInexact(e, () => productDiffers(e, type, a, b, product));
    if (negated) {
      f.local.get(product);
      f[type].neg();
      f.local.set(product);
    }
    store(e, type, product);
    for (const local of [a, b, product]) f.local.release(local);
  });

const division: Semantics = simple((e, type) => {
  const { f } = e;
  const a = takeScalar(e, type, "Rn");
  const b = takeScalar(e, type, "Rm");
  leaveIfAnyFlushed(e, type, a, b);
  f.local.get(a);
  f.local.get(b);
  f[type].div();
  const quotient = f.local.take(type);
  f.local.set(quotient);
  leaveUnlessNormal(e, type, quotient, () => {
    isZero(e, type, quotient);
    isZero(e, type, a);
    f.i32.and();
    // And not by infinity, which productDiffers would take for inexact.
    exponent(e, type, b);
    f.i32.const(EXPONENT[type].mask);
    f.i32.ne();
    f.i32.and();
  });
  noteInexact(e, () => productDiffers(e, type, quotient, b, a));
  store(e, type, quotient);
  for (const local of [a, b, quotient]) f.local.release(local);
});

const squareRoot: Semantics = simple((e, type) => {
  const { f } = e;
  const a = takeScalar(e, type, "Rn");
  leaveIfAnyFlushed(e, type, a);
  f.local.get(a);
  f[type].sqrt();
  const root = f.local.take(type);
  f.local.set(root);
  leaveUnlessNormal(e, type, root, () => isZero(e, type, root));
  noteInexact(e, () => productDiffers(e, type, root, root, a));
  store(e, type, root);
  f.local.release(a);
  f.local.release(root);
});

/** Numbers only: NaNs leave. Then FMAX is FMAXNM, and of two zeros the positive one is the greater here as there. */
const extreme = (name: "max" | "min"): Semantics =>
  simple((e, type) => {
    const { f } = e;
    const a = takeScalar(e, type, "Rn");
    const b = takeScalar(e, type, "Rm");
    leaveIfNan(e, type, a, b);
    leaveIfAnyFlushed(e, type, a, b);
    f.local.get(a);
    f.local.get(b);
    f[type][name]();
    f.local.set(a);
    store(e, type, a);
    f.local.release(a);
    f.local.release(b);
  });

/** Sets the flags to what Rn is to Rm, or to zero: N is less, Z equal, C not less. Leaves where there is no order. */
function compare(e: Emit, type: Scalar, withZero: boolean): void {
  const { f } = e;
  const a = takeScalar(e, type, "Rn");
  const b = f.local.take(type);
  if (withZero) f[type].const(0);
  else load(e, type, "Rm");
  f.local.set(b);
  leaveIfNan(e, type, a, b);
  leaveIfAnyFlushed(e, type, a, b);
  e.orderFlags(type, a, b);
  for (const local of [a, b]) f.local.release(local);
}

/** FRINTN, P, M, Z, A; X, which flags what is lost, and I take FPCR's mode, which is to nearest here. */
const ROUNDINGS = ["nearest", "ceil", "floor", "trunc", "away", undefined, "nearest", "nearest"] as const;
const FRINT_X = 6;

export type IntegerRounding = "nearest" | "ceil" | "floor" | "trunc" | "away";

/** Pushes a number rounded to an integer. */
export function roundToInteger(e: Emit, type: Scalar, value: Local, how: IntegerRounding): void {
  const { f } = e;
  f.local.get(value);
  if (how !== "away") {
    f[type][how]();
    return;
  }
  f[type].trunc();
  const whole = f.local.take(type);
  f.local.tee(whole);
  // One more, away from zero, if a half or more was cut off.
  f[type].const(1);
  f.local.get(value);
  f[type].copysign();
  f[type].add();
  f.local.get(whole);
  f.local.get(value);
  f.local.get(whole);
  f[type].sub();
  f[type].abs();
  f[type].const(0.5);
  f[type].ge();
  f.select();
  f.local.release(whole);
}

const round: Semantics = {
  emit: (e) => {
    const { f } = e;
    e.fpAccess();
    const how = ROUNDINGS[e.field("rmode3")];
    if (how === undefined) {
      e.leave(LEAVE.UNDEFINED);
      return;
    }
    plain(e);
    const type = scalarOf(e.field("ftype"));
    const value = takeScalar(e, type, "Rn");
    leaveIfNan(e, type, value);
    leaveIfAnyFlushed(e, type, value);
    roundToInteger(e, type, value, how);
    const whole = f.local.take(type);
    f.local.set(whole);
    if (e.field("rmode3") === FRINT_X)
      noteInexact(e, () => {
        f.local.get(whole);
        f.local.get(value);
        f[type].ne();
      });
    store(e, type, whole);
    f.local.release(value);
    f.local.release(whole);
  },
};

export const SCALAR_ARITHMETIC = {
  FADD_scalar: addition("add"),
  FSUB_scalar: addition("sub"),
  FMUL_scalar: multiplication(false),
  FNMUL_scalar: multiplication(true),
  FDIV_scalar: division,
  FSQRT_scalar: squareRoot,
  FMAX_scalar: extreme("max"),
  FMAXNM_scalar: extreme("max"),
  FMIN_scalar: extreme("min"),
  FMINNM_scalar: extreme("min"),
  FCMP: simple((e, type) => compare(e, type, e.field("z") === 1)),
  FCCMP: {
    ...simple((e, type) => {
      const { f } = e;
      e.condition(e.field("cond"));
      const holds = f.if();
      compare(e, type, false);
      f.else(holds);
      e.aux(0);
      e.setNzcv();
      f.end(holds);
    }),
    aux: [(f) => f.nzcv],
  },
  FRINT: round,
} satisfies Record<string, Semantics>;
