/** Scalar conversions between formats, and to and from integers. */
import type { Local } from "../../../wasm/entities.ts";
import type { Emit, Semantics } from "../../emit.ts";
import { LEAVE } from "../../state.ts";
import {
  isZero,
  leaveIfAnyFlushed,
  leaveIfNan,
  leaveUnlessNormal,
  noteInexact,
  plain,
  type Scalar,
  scalarOf,
} from "./checks.ts";
import { type IntegerRounding, roundToInteger, store, takeScalar } from "./scalar.ts";

/** An integer's format. */
interface Integer {
  readonly wide: boolean;
  readonly unsigned: boolean;
}

const integerOf = (e: Emit): Integer => ({ wide: e.field("sf") === 1, unsigned: e.field("U") === 1 });

/** Takes an integer; pushes the number nearest to it. */
export function convertInteger(e: Emit, type: Scalar, { wide, unsigned }: Integer): void {
  const { f } = e;
  if (wide) f[type][unsigned ? "convertI64U" : "convertI64S"]();
  else f[type][unsigned ? "convertI32U" : "convertI32S"]();
}

/** Takes a number that is an integer of the format; pushes that. */
export function truncate(e: Emit, type: Scalar, { wide, unsigned }: Integer): void {
  const name = `trunc${type === "f64" ? "F64" : "F32"}${unsigned ? "U" : "S"}` as const;
  if (wide) e.f.i64[name]();
  else e.f.i32[name]();
}

const endOf = ({ wide, unsigned }: Integer): number => 2 ** ((wide ? 64 : 32) - (unsigned ? 0 : 1));

/** Leaves unless a number is below the format's end and not below its least integer. A NaN is neither. */
export function leaveUnlessFits(e: Emit, type: Scalar, value: Local, format: Integer): void {
  const { f } = e;
  f.local.get(value);
  f[type].const(endOf(format));
  f[type].lt();
  f.local.get(value);
  f[type].const(format.unsigned ? 0 : -endOf(format));
  f[type].ge();
  f.i32.and();
  f.i32.eqz();
  e.leaveIf(LEAVE.SYSTEM);
}

/** Pushes 1 if a number is not the integer that it was converted from. */
export function integerDiffers(e: Emit, type: Scalar, number: Local, integer: Local, format: Integer): void {
  const { f } = e;
  // Rounded up to the end: no integer of the format.
  f.local.get(number);
  f[type].const(endOf(format));
  f[type].ge();
  f.local.get(number);
  const name = `truncSat${type === "f64" ? "F64" : "F32"}${format.unsigned ? "U" : "S"}` as const;
  if (format.wide) f.i64[name]();
  else f.i32[name]();
  f.local.get(integer);
  if (format.wide) f.i64.ne();
  else f.i32.ne();
  f.i32.or();
}

/** Inexact at worst, never special. */
const fromInteger: Semantics = {
  emit: (e) => {
    const { f } = e;
    e.fpAccess();
    plain(e);
    const type = scalarOf(e.field("ftype"));
    const format = integerOf(e);
    e.getR("Rn", format.wide);
    const integer = f.local.take(format.wide ? "i64" : "i32");
    f.local.tee(integer);
    convertInteger(e, type, format);
    const number = f.local.take(type);
    f.local.set(number);
    noteInexact(e, () => integerDiffers(e, type, number, integer, format));
    store(e, type, number);
    f.local.release(integer);
    f.local.release(number);
  },
};

const toInteger = (roundingOf: (e: Emit) => IntegerRounding): Semantics => ({
  emit: (e) => {
    const { f } = e;
    e.fpAccess();
    plain(e);
    const type = scalarOf(e.field("ftype"));
    const format = integerOf(e);
    const value = takeScalar(e, type, "Rn");
    const whole = f.local.take(type);
    roundToInteger(e, type, value, roundingOf(e));
    f.local.set(whole);
    leaveUnlessFits(e, type, whole, format);
    leaveIfAnyFlushed(e, type, value);
    noteInexact(e, () => {
      f.local.get(whole);
      f.local.get(value);
      f[type].ne();
    });
    f.local.get(whole);
    truncate(e, type, format);
    e.setR("Rd", format.wide);
    f.local.release(value);
    f.local.release(whole);
  },
});

const RMODES = ["nearest", "ceil", "floor", "trunc"] as const;

/** Between singles and doubles. Halves leave. */
const convert: Semantics = {
  emit: (e) => {
    const { f } = e;
    e.fpAccess();
    const [from, to] = [e.field("ftype"), e.field("opc")];
    if (from > 1 || to > 1) {
      e.leave(LEAVE.SYSTEM);
      return;
    }
    plain(e);
    if (to === 1) {
      // Exact for all but NaNs.
      const single = takeScalar(e, "f32", "Rn");
      leaveIfNan(e, "f32", single);
      leaveIfAnyFlushed(e, "f32", single);
      f.local.get(single);
      f.f64.promoteF32();
      const double = f.local.take("f64");
      f.local.set(double);
      store(e, "f64", double);
      f.local.release(single);
      f.local.release(double);
      return;
    }
    const double = takeScalar(e, "f64", "Rn");
    leaveIfAnyFlushed(e, "f64", double);
    f.local.get(double);
    f.f32.demoteF64();
    const single = f.local.take("f32");
    f.local.set(single);
    leaveUnlessNormal(e, "f32", single, () => isZero(e, "f64", double));
    noteInexact(e, () => {
      f.local.get(single);
      f.f64.promoteF32();
      f.local.get(double);
      f.f64.ne();
    });
    store(e, "f32", single);
    f.local.release(double);
    f.local.release(single);
  },
};

export const SCALAR_CONVERSIONS = {
  CVTF_from_int: fromInteger,
  FCVT_to_int: toInteger((e) => RMODES[e.field("rmode")]!),
  FCVTA_to_int: toInteger(() => "away"),
  FCVT: convert,
} satisfies Record<string, Semantics>;
