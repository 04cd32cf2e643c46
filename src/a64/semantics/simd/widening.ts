/** Advanced SIMD on integers: results with lanes of twice or half the size. */
import type { Emit, Semantics } from "../../emit.ts";
import { polynomial } from "./arithmetic.ts";
import { lanesOf, type Sign } from "./lanes.ts";
import {
  BY_ELEMENT,
  bitsOf,
  bytesOfLanes,
  integerOp,
  integerShape,
  isScalar,
  isUpper,
  keep,
  longResult,
  operand,
  range,
  result,
  secondOperand,
  shiftBy,
  simd,
  splat,
  takeOperand,
  type V,
  zeros,
} from "./vectors.ts";

const sizeOf = (e: Emit): number => e.field("size");
const SHAPES = ["I8x16", "I16x8", "I32x4"] as const;
const half = (e: Emit): "Low" | "High" => (isUpper(e) ? "High" : "Low");

/** Takes a vector; pushes a half of its lanes (of `size`) in lanes of twice the size. */
export function extend(e: Emit, size: number, sign: Sign): void {
  integerOp(e.f, size + 1, `extend${half(e)}${SHAPES[size]}${sign.toUpperCase()}`);
}

/** Pushes products of a half of the lanes of two vectors in locals. */
export const multiplyLong =
  (sign: Sign): Long =>
  (e, size, a, b) => {
    e.f.local.get(a);
    e.f.local.get(b);
    integerOp(e.f, size + 1, `extmul${half(e)}${SHAPES[size]}${sign.toUpperCase()}`);
  };

/** Pushes a vector with lanes of twice the size from halves of two vectors in locals. */
export type Long = (e: Emit, size: number, a: V, b: V) => void;

const addLong =
  (sign: Sign, how: "add" | "sub"): Long =>
  (e, size, a, b) => {
    for (const value of [a, b]) {
      e.f.local.get(value);
      extend(e, size, sign);
    }
    integerShape(e.f, size + 1)[how]();
  };

/** Differences fit into the wider lanes with their sign. */
const differenceLong =
  (sign: Sign): Long =>
  (e, size, a, b) => {
    addLong(sign, "sub")(e, size, a, b);
    integerShape(e.f, size + 1).abs();
  };

/** Adds what an operation gives to Rd, or takes it away. */
const accumulateLong =
  (operation: Long, how: "add" | "sub"): Long =>
  (e, size, a, b) => {
    e.getV("Rd");
    operation(e, size, a, b);
    integerShape(e.f, size + 1)[how]();
  };

export const long = (operation: Long, byElement = false): Semantics =>
  simd(
    (e) => {
      const size = sizeOf(e);
      const a = takeOperand(e, "Rn", size);
      const b = secondOperand(e, size, byElement);
      operation(e, size, a, b);
      longResult(e, size);
      e.f.local.release(a);
      e.f.local.release(b);
    },
    byElement ? BY_ELEMENT : {},
  );

const wide = (sign: Sign, how: "add" | "sub"): Semantics =>
  simd((e) => {
    const size = sizeOf(e);
    e.getV("Rn");
    operand(e, "Rm", size);
    extend(e, size, sign);
    integerShape(e.f, size + 1)[how]();
    e.setV("Rd");
  });

/** SHLL: widens, and shifts by the element's size. */
const shiftLongBySize: Semantics = simd((e) => {
  const size = sizeOf(e);
  operand(e, "Rn", size);
  extend(e, size, "u");
  shiftBy(e.f, size + 1, "shl", bitsOf(size));
  e.setV("Rd");
});

/**
 * Takes a vector with lanes of twice the size; writes their low (or high) halves to Rd: with Q = 1 to its upper half, while
 * the lower stays. A scalar has one lane.
 */
export function narrowResult(e: Emit, size: number, part: 0 | 1 = 0): void {
  const { f } = e;
  if (isScalar(e)) {
    result(e, size);
    return;
  }
  const count = lanesOf(size, 0);
  const narrowed = bytesOfLanes(
    size,
    range(count).map((i) => 2 * i + part),
  );
  const from = keep(f);
  if (isUpper(e)) {
    e.getV("Rd");
    f.local.get(from);
    f.i8x16.shuffle([...range(8), ...narrowed.map((byte) => 16 + byte)]);
  } else {
    f.local.get(from);
    zeros(f);
    f.i8x16.shuffle([...narrowed, ...range(8).map(() => 16)]);
  }
  e.setV("Rd");
  f.local.release(from);
}

/** The upper halves of sums and differences. */
const highNarrow = (how: "add" | "sub", round: boolean): Semantics =>
  simd((e) => {
    const { f } = e;
    const size = sizeOf(e);
    e.getV("Rn");
    e.getV("Rm");
    integerShape(f, size + 1)[how]();
    if (round) {
      splat(f, size + 1, 1n << BigInt(bitsOf(size) - 1));
      integerShape(f, size + 1).add();
    }
    narrowResult(e, size, 1);
  });

/** Products of bytes in halfwords. */
const polynomialLong: Semantics = simd((e) => {
  const { f } = e;
  const [a, b] = ["Rn", "Rm"].map((field) => {
    operand(e, field, 0);
    extend(e, 0, "u");
    return keep(f);
  }) as [V, V];
  polynomial(e, 1, a, b);
  e.setV("Rd");
  f.local.release(a);
  f.local.release(b);
});

export const SIMD_WIDENING = {
  SADDL: long(addLong("s", "add")),
  UADDL: long(addLong("u", "add")),
  SADDW: wide("s", "add"),
  UADDW: wide("u", "add"),
  SSUBL: long(addLong("s", "sub")),
  USUBL: long(addLong("u", "sub")),
  SSUBW: wide("s", "sub"),
  USUBW: wide("u", "sub"),
  SABAL: long(accumulateLong(differenceLong("s"), "add")),
  UABAL: long(accumulateLong(differenceLong("u"), "add")),
  SABDL: long(differenceLong("s")),
  UABDL: long(differenceLong("u")),
  SMLAL: long(accumulateLong(multiplyLong("s"), "add")),
  UMLAL: long(accumulateLong(multiplyLong("u"), "add")),
  SMLSL: long(accumulateLong(multiplyLong("s"), "sub")),
  UMLSL: long(accumulateLong(multiplyLong("u"), "sub")),
  SMULL: long(multiplyLong("s")),
  UMULL: long(multiplyLong("u")),
  SMLAL_element: long(accumulateLong(multiplyLong("s"), "add"), true),
  UMLAL_element: long(accumulateLong(multiplyLong("u"), "add"), true),
  SMLSL_element: long(accumulateLong(multiplyLong("s"), "sub"), true),
  UMLSL_element: long(accumulateLong(multiplyLong("u"), "sub"), true),
  SMULL_element: long(multiplyLong("s"), true),
  UMULL_element: long(multiplyLong("u"), true),
  PMULL: polynomialLong,
  SHLL: shiftLongBySize,
  XTN: simd((e) => {
    e.getV("Rn");
    narrowResult(e, sizeOf(e));
  }),
  ADDHN: highNarrow("add", false),
  RADDHN: highNarrow("add", true),
  SUBHN: highNarrow("sub", false),
  RSUBHN: highNarrow("sub", true),
} satisfies Record<string, Semantics>;
