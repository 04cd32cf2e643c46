/**
 * When WebAssembly's floating point does what the Arm ARM says: rounding to nearest, no denormals that are to be flushed, and
 * numbers far enough from NaN, infinity and denormals that nothing but inexactness has to be flagged. All else leaves for exact
 * arithmetic in TypeScript (cpu/fp-instructions.ts), which starts the instruction anew.
 */
import type { Local } from "../../../wasm/entities.ts";
import type { Emit } from "../../emit.ts";
import { LEAVE } from "../../state.ts";

const FPCR_FZ = 1 << 24;
const FPCR_RMODE = 3 << 22;
const FPSR_IXC = 0x10;

export type Scalar = "f32" | "f64";
/** ftype: 0 is single, 1 double; sz likewise. Others do not get here. */
export const scalarOf = (field: number): Scalar => (field === 1 ? "f64" : "f32");

/** Leaves unless results are rounded to the nearest number. */
export function plain(e: Emit): void {
  e.get32("FPCR");
  e.f.i32.const(FPCR_RMODE);
  e.f.i32.and();
  e.leaveIf(LEAVE.SYSTEM);
}

/**
 * Leaves if there is a denormal, and FPCR.FZ says that they are flushed to zero.
 * @param denormal pushes an i32 that says whether there is one
 */
export function leaveIfFlushed(e: Emit, denormal: () => void): void {
  const { f } = e;
  e.get32("FPCR");
  f.i32.const(FPCR_FZ);
  f.i32.and();
  const flushes = f.if();
  denormal();
  e.leaveIf(LEAVE.SYSTEM);
  f.end(flushes);
}

/** As leaveIfFlushed, for numbers in locals: operands of an operation, and a result that may be tiny. */
export function leaveIfAnyFlushed(e: Emit, type: Scalar, ...values: readonly Local[]): void {
  const { f } = e;
  leaveIfFlushed(e, () => {
    values.forEach((value, i) => {
      // Between zero and the least normal number: their bits are in that order.
      f.local.get(value);
      f[type].abs();
      if (type === "f64") {
        f.i64.reinterpretF64();
        f.i64.const(1);
        f.i64.sub();
        f.i64.const(2 ** 52 - 1);
        f.i64.ltU();
      } else {
        f.i32.reinterpretF32();
        f.i32.const(1);
        f.i32.sub();
        f.i32.const(2 ** 23 - 1);
        f.i32.ltU();
      }
      if (i > 0) f.i32.or();
    });
  });
}

/**
 * Sets FPSR.IXC if it is clear and something was lost.
 * @param lost pushes an i32 that says so; it may leave if it cannot tell
 */
export function noteInexact(e: Emit, lost: () => void): void {
  const { f } = e;
  const flagged = () => {
    e.get32("FPSR");
    f.i32.const(FPSR_IXC);
    f.i32.and();
    f.i32.eqz();
  };
  flagged();
  const clear = f.if();
  lost();
  const inexact = f.if();
  e.get32("FPSR");
  f.i32.const(FPSR_IXC);
  f.i32.or();
  e.set32("FPSR");
  f.end(inexact);
  f.end(clear);
}

/** Leaves if FPSR.IXC is clear: where it is not worth while to find out whether a result is exact. */
export const needsInexactFlag = (e: Emit): void => noteInexact(e, () => e.leave(LEAVE.SYSTEM));

/** Where a format's exponent lies, and the one of infinities and NaNs. */
export const EXPONENT = {
  f32: { shift: 23, mask: 0xff },
  f64: { shift: 52, mask: 0x7ff },
} as const;

/** Pushes the biased exponent of a number. */
export function exponent(e: Emit, type: Scalar, value: Local): void {
  const { f } = e;
  const { shift, mask } = EXPONENT[type];
  f.local.get(value);
  if (type === "f64") {
    f.i64.reinterpretF64();
    f.i64.const(shift);
    f.i64.shrU();
    f.i32.wrapI64();
  } else {
    f.i32.reinterpretF32();
    f.i32.const(shift);
    f.i32.shrU();
  }
  f.i32.const(mask);
  f.i32.and();
}

/** Leaves if a result is a NaN or infinite. */
export function leaveUnlessFinite(e: Emit, type: Scalar, value: Local): void {
  exponent(e, type, value);
  e.f.i32.const(EXPONENT[type].mask);
  e.f.i32.eq();
  e.leaveIf(LEAVE.SYSTEM);
}

/**
 * Leaves unless a result is normal and not the least of them: then no operand was a NaN or an infinity that matters, and
 * nothing but IXC can have been flagged.
 * @param orZero pushes an i32 that says whether the result is a zero that operands explain
 */
export function leaveUnlessNormal(e: Emit, type: Scalar, value: Local, orZero?: () => void): void {
  const { f } = e;
  exponent(e, type, value);
  f.i32.const(2);
  f.i32.sub();
  f.i32.const(EXPONENT[type].mask - 2);
  f.i32.geU();
  if (orZero === undefined) {
    e.leaveIf(LEAVE.SYSTEM);
    return;
  }
  const special = f.if();
  orZero();
  f.i32.eqz();
  e.leaveIf(LEAVE.SYSTEM);
  f.end(special);
}

/** Pushes 1 if a number is zero. */
export function isZero(e: Emit, type: Scalar, value: Local): void {
  e.f.local.get(value);
  e.f[type].const(0);
  e.f[type].eq();
}

/** Leaves if a number is a NaN. */
export function leaveIfNan(e: Emit, type: Scalar, ...values: readonly Local[]): void {
  const { f } = e;
  values.forEach((value, i) => {
    f.local.get(value);
    f.local.get(value);
    f[type].ne();
    if (i > 0) f.i32.or();
  });
  e.leaveIf(LEAVE.SYSTEM);
}
