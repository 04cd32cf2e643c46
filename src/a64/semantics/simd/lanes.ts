/** Vectors lane by lane: for operations that WebAssembly's v128 does not have. */
import type { Local } from "../../../wasm/entities.ts";
import type { FunctionBody } from "../../../wasm/function-body.ts";
import type { Emit } from "../../emit.ts";

export type Sign = "s" | "u";

export const lanesOf = (size: number, q: number): number => (8 << q) >> size;

/** Pushes a lane of a register as an i64, extended. */
export function loadLane(e: Emit, field: string, size: number, lane: number, sign: Sign): void {
  const at = e.vAddress(field) + (lane << size);
  loadFrom(e.f, size, sign, at);
}

/** Takes an i32 address; pushes 2^size bytes from there as an i64, extended. */
export function loadFrom(f: FunctionBody, size: number, sign: Sign, at: number): void {
  const { i64 } = f;
  if (sign === "s") [i64.load8S, i64.load16S, i64.load32S, i64.load][size]!.call(i64, at);
  else [i64.load8U, i64.load16U, i64.load32U, i64.load][size]!.call(i64, at);
}

/** Takes an i32 address and an i64; stores its low 2^size bytes. */
export function storeTo(f: FunctionBody, size: number, at: number): void {
  const { i64 } = f;
  [i64.store8, i64.store16, i64.store32, i64.store][size]!.call(i64, at);
}

/** Takes a v128 and an i64; replaces a lane. */
export function replaceLane(f: FunctionBody, size: number, lane: number): void {
  if (size < 3) f.i32.wrapI64();
  const shape = [f.i8x16, f.i16x8, f.i32x4, f.i64x2][size]!;
  shape.replaceLane(lane);
}

/**
 * Builds a vector of `count` lanes and writes it to Rd; the lanes above become zero.
 * @param lane pushes lane i as an i64, of which the low bits count
 */
export function buildVector(
  e: Emit,
  size: number,
  count: number,
  lane: (i: number) => void,
  field = "Rd",
): void {
  const { f } = e;
  f.v128.const(0, 0, 0, 0);
  for (let i = 0; i < count; i++) {
    lane(i);
    replaceLane(f, size, i);
  }
  e.setV(field);
}

/** Runs `body` with locals that are given back after it. */
export function withLocals(f: FunctionBody, count: number, body: (...locals: Local<"i64">[]) => void): void {
  const locals = Array.from({ length: count }, () => f.local.take("i64"));
  body(...locals);
  for (const local of locals) f.local.release(local);
}
