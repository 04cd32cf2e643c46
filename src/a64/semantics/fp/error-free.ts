/**
 * Error-free transformations: what an operation loses in rounding, as a number. Of scalars and of lanes alike.
 */
import type { Local } from "../../../wasm/entities.ts";
import type { FunctionBody } from "../../../wasm/function-body.ts";

/** One number, or the lanes of a vector. */
export type Floats = "f32" | "f64" | "f32x4" | "f64x2";

const takeFloats = (f: FunctionBody, kind: Floats): Local =>
  f.local.take(kind === "f32" || kind === "f64" ? kind : "v128");

export function constant(f: FunctionBody, kind: Floats, value: number): void {
  switch (kind) {
    case "f32":
    case "f64":
      f[kind].const(value);
      return;
    case "f32x4":
      f.f32.const(value);
      f.f32x4.splat();
      return;
    case "f64x2":
      f.f64.const(value);
      f.f64x2.splat();
  }
}

/** Knuth's two-sum: sum = a + b rounded, error = what is lost, exactly. The four locals differ. */
export function twoSum(f: FunctionBody, kind: Floats, a: Local, b: Local, sum: Local, error: Local): void {
  const t = takeFloats(f, kind);
  f.local.get(a);
  f.local.get(b);
  f[kind].add();
  f.local.set(sum);
  sumError(f, kind, a, b, sum, t);
  f.local.set(error);
  f.local.release(t);
}

/** Pushes what a sum a + b has lost; `t` is overwritten. */
function sumError(f: FunctionBody, kind: Floats, a: Local, b: Local, sum: Local, t: Local): void {
  f.local.get(sum);
  f.local.get(a);
  f[kind].sub();
  f.local.set(t);
  // (a - (sum - t)) + (b - t)
  f.local.get(a);
  f.local.get(sum);
  f.local.get(t);
  f[kind].sub();
  f[kind].sub();
  f.local.get(b);
  f.local.get(t);
  f[kind].sub();
  f[kind].add();
}

/** Pushes what the sum (or difference) of a and b, which lies in `sum`, has lost. */
export function lostInSum(
  f: FunctionBody,
  kind: Floats,
  a: Local,
  b: Local,
  sum: Local,
  how: "add" | "sub",
): void {
  const [addend, t] = [takeFloats(f, kind), takeFloats(f, kind)] as const;
  f.local.get(b);
  if (how === "sub") f[kind].neg();
  f.local.set(addend);
  sumError(f, kind, a, addend, sum, t);
  f.local.release(addend);
  f.local.release(t);
}

/** Veltkamp's constant for halving a double's fraction. */
const SPLITTER = 2 ** 27 + 1;

/**
 * Dekker's two-product: product = a * b rounded, error = what is lost, exactly, as long as exponents are middle ones. The four
 * locals differ.
 */
export function twoProduct(
  f: FunctionBody,
  kind: "f64" | "f64x2",
  a: Local,
  b: Local,
  product: Local,
  error: Local,
): void {
  const parts = [a, b].map((value) => {
    const high = takeFloats(f, kind);
    const low = takeFloats(f, kind);
    f.local.get(value);
    constant(f, kind, SPLITTER);
    f[kind].mul();
    f.local.tee(high);
    f.local.get(high);
    f.local.get(value);
    f[kind].sub();
    f[kind].sub();
    f.local.set(high);
    f.local.get(value);
    f.local.get(high);
    f[kind].sub();
    f.local.set(low);
    return { high, low };
  });
  const [x, y] = parts as [{ high: Local; low: Local }, { high: Local; low: Local }];
  f.local.get(a);
  f.local.get(b);
  f[kind].mul();
  f.local.set(product);
  const multiply = (p: Local, q: Local): void => {
    f.local.get(p);
    f.local.get(q);
    f[kind].mul();
  };
  multiply(x.high, y.high);
  f.local.get(product);
  f[kind].sub();
  multiply(x.high, y.low);
  f[kind].add();
  multiply(x.low, y.high);
  f[kind].add();
  multiply(x.low, y.low);
  f[kind].add();
  f.local.set(error);
  for (const { high, low } of parts) {
    f.local.release(high);
    f.local.release(low);
  }
}
