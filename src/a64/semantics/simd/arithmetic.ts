/** Advanced SIMD on integers: lane by lane between registers of one type. */
import type { Emit, Semantics } from "../../emit.ts";
import type { Sign } from "./lanes.ts";
import {
  BY_ELEMENT,
  belowUnsigned,
  integerOp,
  integerShape,
  operand,
  result,
  secondOperand,
  shiftBy,
  shiftRightName,
  simd,
  sizeOf,
  splat,
  takeOperand,
  type V,
  zeros,
} from "./vectors.ts";

/** Takes nothing; pushes what comes of two vectors in locals. */
export type Binary = (e: Emit, size: number, a: V, b: V) => void;

/** Three registers of one type; or two, and an element of a third. */
export const same = (operation: Binary, isElement = false): Semantics =>
  simd(
    (e) => {
      const size = sizeOf(e);
      const a = takeOperand(e, "Rn", size);
      const b = secondOperand(e, size, isElement);
      operation(e, size, a, b);
      result(e, size);
      e.f.local.release(a);
      e.f.local.release(b);
    },
    isElement ? BY_ELEMENT : {},
  );

/** An operation that each shape has by this name. */
export const plain =
  (name: string): Binary =>
  ({ f }, size, a, b) => {
    f.local.get(a);
    f.local.get(b);
    integerOp(f, size, name);
  };

/** WebAssembly multiplies no bytes: even and odd ones apart, as halfwords. */
const multiply: Binary = ({ f }, size, a, b) => {
  if (size > 0) {
    f.local.get(a);
    f.local.get(b);
    integerOp(f, size, "mul");
    return;
  }
  for (const odd of [false, true]) {
    for (const value of [a, b]) {
      f.local.get(value);
      if (odd) shiftBy(f, 1, "shrU", 8);
    }
    f.i16x8.mul();
    if (odd) shiftBy(f, 1, "shl", 8);
    else {
      splat(f, 1, 0xffn);
      f.v128.and();
    }
  }
  f.v128.or();
};

/** Adds what an operation gives to Rd, or takes it away. */
const accumulate =
  (operation: Binary, how: "add" | "sub"): Binary =>
  (e, size, a, b) => {
    operand(e, "Rd", size);
    operation(e, size, a, b);
    integerShape(e.f, size)[how]();
  };

/** a >= b and a > b as unsigned integers: WebAssembly has neither for lanes of 64 bits. */
const compareUnsigned =
  (name: "geU" | "gtU"): Binary =>
  ({ f }, size, a, b) => {
    if (name === "gtU") belowUnsigned(f, size, b, a);
    else {
      belowUnsigned(f, size, a, b);
      f.v128.not();
    }
  };

const test: Binary = ({ f }, size, a, b) => {
  f.local.get(a);
  f.local.get(b);
  f.v128.and();
  zeros(f);
  integerOp(f, size, "ne");
};

const difference =
  (sign: Sign): Binary =>
  (e, size, a, b) => {
    plain(sign === "s" ? "maxS" : "maxU")(e, size, a, b);
    plain(sign === "s" ? "minS" : "minU")(e, size, a, b);
    integerShape(e.f, size).sub();
  };

/**
 * (a + b) >> 1, (a + b + 1) >> 1 and (a - b) >> 1 of unbounded integers. They follow from a + b = 2(a & b) + (a ^ b)
 * = 2(a | b) - (a ^ b) and a - b = (a ^ b) - 2(~a & b).
 */
const halving =
  (sign: Sign, what: "add" | "round" | "sub"): Binary =>
  ({ f }, size, a, b) => {
    const half = () => {
      f.local.get(a);
      f.local.get(b);
      f.v128.xor();
      shiftBy(f, size, shiftRightName(sign), 1);
    };
    const both = (name: "and" | "or") => {
      f.local.get(a);
      f.local.get(b);
      f.v128[name]();
    };
    if (what === "sub") {
      half();
      f.local.get(b);
      f.local.get(a);
      f.v128.andnot();
      integerShape(f, size).sub();
    } else if (what === "round") {
      both("or");
      half();
      integerShape(f, size).sub();
    } else {
      both("and");
      half();
      integerShape(f, size).add();
    }
  };

/** One operand. */
const unary = (operation: (e: Emit, size: number, a: V) => void): Semantics =>
  simd((e) => {
    const size = sizeOf(e);
    const a = takeOperand(e, "Rn", size);
    operation(e, size, a);
    result(e, size);
    e.f.local.release(a);
  });

const compareZero = (name: "eq" | "gtS" | "geS" | "leS" | "ltS"): Semantics =>
  unary(({ f }, size, a) => {
    f.local.get(a);
    zeros(f);
    integerOp(f, size, name);
  });

/** An operation that each shape has by this name. */
const plainUnary = (name: "abs" | "neg"): Semantics =>
  unary(({ f }, size, a) => {
    f.local.get(a);
    integerShape(f, size)[name]();
  });

/** A polynomial product over {0, 1}: bits of b choose shifted copies of a. Lanes hold it whole, or its low part. */
export const polynomial: Binary = ({ f }, size, a, b) => {
  const bits = 8 << size;
  zeros(f);
  for (let i = 0; i < 8; i++) {
    f.local.get(a);
    shiftBy(f, size, "shl", i);
    f.local.get(b);
    shiftBy(f, size, "shl", bits - 1 - i);
    shiftBy(f, size, "shrS", bits - 1);
    f.v128.and();
    f.v128.xor();
  }
};

export const SIMD_ARITHMETIC = {
  SHADD: same(halving("s", "add")),
  UHADD: same(halving("u", "add")),
  SRHADD: same(halving("s", "round")),
  URHADD: same(halving("u", "round")),
  SHSUB: same(halving("s", "sub")),
  UHSUB: same(halving("u", "sub")),
  CMGT_vector: same(plain("gtS")),
  CMHI_vector: same(compareUnsigned("gtU")),
  CMGE_vector: same(plain("geS")),
  CMHS_vector: same(compareUnsigned("geU")),
  CMEQ_vector: same(plain("eq")),
  CMTST_vector: same(test),
  SMAX: same(plain("maxS")),
  UMAX: same(plain("maxU")),
  SMIN: same(plain("minS")),
  UMIN: same(plain("minU")),
  SABD: same(difference("s")),
  UABD: same(difference("u")),
  SABA: same(accumulate(difference("s"), "add")),
  UABA: same(accumulate(difference("u"), "add")),
  ADD_vector: same(plain("add")),
  SUB_vector: same(plain("sub")),
  MUL_vector: same(multiply),
  MLA_vector: same(accumulate(multiply, "add")),
  MLS_vector: same(accumulate(multiply, "sub")),
  MUL_element: same(multiply, true),
  MLA_element: same(accumulate(multiply, "add"), true),
  MLS_element: same(accumulate(multiply, "sub"), true),
  PMUL: simd((e) => {
    const a = takeOperand(e, "Rn", 0);
    const b = takeOperand(e, "Rm", 0);
    polynomial(e, 0, a, b);
    result(e, 0);
    e.f.local.release(a);
    e.f.local.release(b);
  }),
  ADD_scalar: same(plain("add")),
  SUB_scalar: same(plain("sub")),
  CMGT_scalar: same(plain("gtS")),
  CMHI_scalar: same(compareUnsigned("gtU")),
  CMGE_scalar: same(plain("geS")),
  CMHS_scalar: same(compareUnsigned("geU")),
  CMEQ_scalar: same(plain("eq")),
  CMTST_scalar: same(test),
  CMGT_zero: compareZero("gtS"),
  CMGE_zero: compareZero("geS"),
  CMEQ_zero: compareZero("eq"),
  CMLE_zero: compareZero("leS"),
  CMLT_zero: compareZero("ltS"),
  CMGT_zero_scalar: compareZero("gtS"),
  CMGE_zero_scalar: compareZero("geS"),
  CMEQ_zero_scalar: compareZero("eq"),
  CMLE_zero_scalar: compareZero("leS"),
  CMLT_zero_scalar: compareZero("ltS"),
  ABS_vector: plainUnary("abs"),
  NEG_vector: plainUnary("neg"),
  ABS_scalar: plainUnary("abs"),
  NEG_scalar: plainUnary("neg"),
} satisfies Record<string, Semantics>;
