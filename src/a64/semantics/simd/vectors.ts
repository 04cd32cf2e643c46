/**
 * Vectors on WebAssembly's v128: operands, results, and what every shape of lanes can do. `size` is log2 of a lane's bytes.
 */
import { BrokenInvariant } from "../../../common/errors.ts";
import type { Local } from "../../../wasm/entities.ts";
import type { FunctionBody } from "../../../wasm/function-body.ts";
import type { Emit, Fields, Semantics, SemanticsOptions } from "../../emit.ts";
import { elementOf } from "../../encodings/simd-saturating.ts";
import type { Sign } from "./lanes.ts";

export type V = Local<"v128">;

const SHAPES = ["i8x16", "i16x8", "i32x4", "i64x2"] as const;
export type Shape = (typeof SHAPES)[number] | "f32x4" | "f64x2";

export const integerShape = (f: FunctionBody, size: number) => f[SHAPES[size]!];
export const bitsOf = (size: number): number => 8 << size;

/** Semantics that begin with the check whether FP and SIMD instructions trap. */
export const simd = (emit: (e: Emit) => void, more: SemanticsOptions = {}): Semantics => ({
  ...more,
  emit: (e) => {
    e.fpAccess();
    emit(e);
  },
});

/** log2 of a lane's bytes. */
export const sizeOf = (e: Emit): number => e.field("size");

/** Scalar encodings have no Q: they are operations on the lowest lane. */
export const isScalar = (e: Emit): boolean => !e.has("Q");
/** Whether a long or narrow form is about the upper half of a register (the ones whose names end in 2). */
export const isUpper = (e: Emit): boolean => e.has("Q") && e.field("Q") === 1;

/** An operation of a shape by its name in the specification; `has` says whether there is one. */
function vectorOp(f: FunctionBody, shape: Shape, name: string): void {
  const operations = f[shape] as unknown as Record<string, (() => void) | undefined>;
  const operation = operations[name];
  if (operation === undefined) throw new BrokenInvariant(`WebAssembly has no ${shape}.${name}`);
  operation.call(operations);
}

export const integerOp = (f: FunctionBody, size: number, name: string): void =>
  vectorOp(f, SHAPES[size]!, name);
export const hasIntegerOp = (f: FunctionBody, size: number, name: string): boolean =>
  name in f[SHAPES[size]!];

/** Takes an address; pushes a vector whose lanes all are what lies there. */
export function loadSplat(f: FunctionBody, size: number, at: number): void {
  const { v128 } = f;
  [v128.load8Splat, v128.load16Splat, v128.load32Splat, v128.load64Splat][size]!.call(v128, at);
}

/**
 * Pushes a source register. What is less than a register is repeated, so that lanes beyond the operand do nothing that the
 * operand's own do not: saturate, or be NaNs.
 */
export function operand(e: Emit, field: string, size: number): void {
  const { f } = e;
  const at = e.vAddress(field);
  if (isScalar(e)) loadSplat(f, size, at);
  else if (e.field("Q") === 1) f.v128.load(at);
  else f.v128.load64Splat(at);
}

/** As operand, into a local that the caller releases. */
export function takeOperand(e: Emit, field: string, size: number): V {
  operand(e, field, size);
  const local = e.f.local.take("v128");
  e.f.local.set(local);
  return local;
}

/** Takes a vector; pushes it and keeps it in a local that the caller releases. */
export function tee(f: FunctionBody): V {
  const local = f.local.take("v128");
  f.local.tee(local);
  return local;
}

/** Takes a vector; pops it into a local that the caller releases. */
export function keep(f: FunctionBody): V {
  const local = f.local.take("v128");
  f.local.set(local);
  return local;
}

/** Takes a vector; writes as much of it to Rd as the encoding has, and zeros above. */
export function result(e: Emit, size: number): void {
  const { f } = e;
  if (!isScalar(e)) {
    e.setVector("Rd", e.field("Q"));
    return;
  }
  switch (size) {
    case 0:
      f.i8x16.extractLaneU(0);
      e.setS("Rd");
      return;
    case 1:
      f.i16x8.extractLaneU(0);
      e.setS("Rd");
      return;
    case 2:
      f.i32x4.extractLane(0);
      e.setS("Rd");
      return;
    default:
      e.setV64("Rd");
  }
}

/** Takes a vector of lanes of twice the size: all of Rd, or the lowest lane of a scalar. */
export function longResult(e: Emit, size: number): void {
  if (isScalar(e)) result(e, size + 1);
  else e.setV("Rd");
}

/** Pushes a vector whose lanes all have these bits. */
export function splat(f: FunctionBody, size: number, lane: bigint): void {
  const bits = bitsOf(size);
  let word = 0n;
  for (let at = 0; at < 64; at += bits) word |= BigInt.asUintN(bits, lane) << BigInt(at);
  const low = Number(word & 0xffff_ffffn);
  const high = Number(word >> 32n);
  f.v128.const(low, high, low, high);
}

export const zeros = (f: FunctionBody): void => f.v128.const(0, 0, 0, 0);
export const signBit = (size: number): bigint => 1n << BigInt(bitsOf(size) - 1);

/** Takes a vector; shifts its lanes by a constant. */
export function shiftBy(f: FunctionBody, size: number, name: "shl" | "shrS" | "shrU", by: number): void {
  f.i32.const(by);
  integerShape(f, size)[name]();
}

export const shiftRightName = (sign: Sign): "shrS" | "shrU" => (sign === "s" ? "shrS" : "shrU");

/** Takes a vector; every lane becomes its sign: all ones or all zeros. */
export const signs = (f: FunctionBody, size: number): void => shiftBy(f, size, "shrS", bitsOf(size) - 1);

/** Pushes all ones where a is below b as unsigned integers. */
export function belowUnsigned(f: FunctionBody, size: number, a: V, b: V): void {
  if (size < 3) {
    f.local.get(a);
    f.local.get(b);
    integerOp(f, size, "ltU");
    return;
  }
  for (const value of [a, b]) {
    f.local.get(value);
    splat(f, size, signBit(size));
    f.v128.xor();
  }
  f.i64x2.ltS();
}

/** Takes one vector; pushes its bytes in another order. */
export function rearrange(f: FunctionBody, bytes: readonly number[]): void {
  const value = tee(f);
  f.local.get(value);
  f.i8x16.shuffle(bytes);
  f.local.release(value);
}

/** The bytes of lanes, by lane: those from 16 bytes on belong to a second vector. */
export const bytesOfLanes = (size: number, lanes: readonly number[]): number[] =>
  lanes.flatMap((lane) => Array.from({ length: 1 << size }, (_, i) => (lane << size) + i));

export const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

/** Takes a vector that is all ones where a lane has saturated: FPSR.QC remembers it. */
export function noteSaturation(e: Emit): void {
  const { f } = e;
  f.v128.anyTrue();
  f.i32.const(27);
  f.i32.shl();
  e.get32("FPSR");
  f.i32.or();
  e.set32("FPSR");
}

/** What an instruction by element needs: the element's index, and the register that has it. */
export const byElement = (sizeOf: (f: Fields) => number) => ({
  aux: [
    (f: Fields): number => elementOf(f, sizeOf(f)).index,
    (f: Fields): number => elementOf(f, sizeOf(f)).register,
  ],
});
export const BY_ELEMENT = byElement((f) => f.size);

/** Pushes a vector of the element that an instruction by element names. */
const pushElementSplat = (e: Emit, size: number): void => loadSplat(e.f, size, e.elementAddress(size));

/** The second operand of two, in a local that the caller releases: a register, or an element in every lane. */
export function secondOperand(e: Emit, size: number, isElement: boolean): V {
  if (!isElement) return takeOperand(e, "Rm", size);
  pushElementSplat(e, size);
  return keep(e.f);
}

type Scalars<T> = { readonly [N in keyof T as `${N & string}_scalar`]: Semantics };

/** The scalar encodings of some vector ones: the same semantics, which ask whether there is a Q. */
export const asScalars = <T extends Readonly<Record<string, Semantics>>>(vectors: T): Scalars<T> =>
  Object.fromEntries(Object.entries(vectors).map(([name, what]) => [`${name}_scalar`, what])) as Scalars<T>;
