/** Advanced SIMD on integers: lane by lane between registers of one type, pairs of lanes, and all lanes to one. */
import type { Emit, Semantics } from "../../emit.ts";
import { buildVector, lanesOf, loadLane, type Sign, withLocals } from "./lanes.ts";
import {
  BY_ELEMENT,
  belowUnsigned,
  bytesOfLanes,
  hasIntegerOp,
  integerOp,
  integerShape,
  keep,
  operand,
  range,
  rearrange,
  result,
  secondOperand,
  shiftBy,
  shiftRightName,
  simd,
  splat,
  takeOperand,
  tee,
  type V,
  zeros,
} from "./vectors.ts";

const sizeOf = (e: Emit): number => e.field("size");

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
export const multiply: Binary = ({ f }, size, a, b) => {
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
export const accumulate =
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

/** Bits, whatever the lanes. */
const bitwise = (operation: (e: Emit) => void): Semantics =>
  simd((e) => {
    operation(e);
    e.setVector("Rd", e.field("Q"));
  });

const logic = (operation: "and" | "or" | "xor" | "andnot", invert = false): Semantics =>
  bitwise((e) => {
    e.getV("Rn");
    e.getV("Rm");
    if (invert) e.f.v128.not();
    e.f.v128[operation]();
  });

/** BSL, BIT, BIF: bits of one operand or another as a third one says. */
const insertBits = (one: string, other: string, mask: string, invert = false): Semantics =>
  bitwise((e) => {
    e.getV(one);
    e.getV(other);
    e.getV(mask);
    if (invert) e.f.v128.not();
    e.f.v128.bitselect();
  });

/**
 * Pushes the even or the odd lanes of Rn and Rm, Rn's first. If Q is 0 they are those of half registers, twice.
 */
export function everyOther(e: Emit, size: number, odd: 0 | 1): void {
  const { f } = e;
  const each = lanesOf(size, e.field("Q")) / 2;
  const inRegister = lanesOf(size, 1);
  const of = (register: number) => range(each).map((i) => register * inRegister + 2 * i + odd);
  const lanes = [...of(0), ...of(1)];
  e.getV("Rn");
  e.getV("Rm");
  f.i8x16.shuffle(bytesOfLanes(size, e.field("Q") === 1 ? lanes : [...lanes, ...lanes]));
}

/** Pairs of neighbours, first of Rn and then of Rm. */
const pairwise = (operation: Binary): Semantics =>
  simd((e) => {
    const { f } = e;
    const size = sizeOf(e);
    everyOther(e, size, 0);
    const even = keep(f);
    everyOther(e, size, 1);
    const odd = keep(f);
    operation(e, size, even, odd);
    e.setVector("Rd", e.field("Q"));
    f.local.release(even);
    f.local.release(odd);
  });

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

/** By lanes: leading zeros, which WebAssembly counts in integers only. */
const leadingZeros = (ofSigns: boolean): Semantics =>
  simd((e) => {
    const { f } = e;
    const size = sizeOf(e);
    withLocals(f, 1, (a) =>
      buildVector(e, size, lanesOf(size, e.field("Q")), (i) => {
        loadLane(e, "Rn", size, i, ofSigns ? "s" : "u");
        if (ofSigns) {
          // Leading bits that equal the sign, without it.
          f.local.tee(a!);
          f.local.get(a!);
          f.i64.const(63);
          f.i64.shrS();
          f.i64.xor();
        }
        f.i64.clz();
        f.i64.const((ofSigns ? 65 : 64) - (8 << size));
        f.i64.sub();
      }),
    );
  });

/** REV16, REV32, REV64: elements within containers. */
const reverse = (containerLog2: number): Semantics =>
  simd((e) => {
    const size = sizeOf(e);
    const within = (1 << (containerLog2 - size)) - 1;
    e.getV("Rn");
    rearrange(
      e.f,
      bytesOfLanes(
        size,
        range(16 >> size).map((i) => i ^ within),
      ),
    );
    e.setVector("Rd", e.field("Q"));
  });

/** The bits of each byte backwards, by nibbles. */
const reverseBits: Semantics = simd((e) => {
  const { f } = e;
  const backwards = (nibble: number): number =>
    ((nibble & 1) << 3) | ((nibble & 2) << 1) | ((nibble & 4) >> 1) | (nibble >> 3);
  const table = () => {
    const words = range(4).map((word) =>
      range(4).reduce((bits, i) => bits | (backwards(4 * word + i) << (8 * i)), 0),
    );
    f.v128.const(words[0]!, words[1]!, words[2]!, words[3]!);
  };
  e.getV("Rn");
  const a = keep(f);
  table();
  f.local.get(a);
  splat(f, 0, 15n);
  f.v128.and();
  f.i8x16.swizzle();
  shiftBy(f, 0, "shl", 4);
  table();
  f.local.get(a);
  shiftBy(f, 0, "shrU", 4);
  f.i8x16.swizzle();
  f.v128.or();
  e.setVector("Rd", e.field("Q"));
  f.local.release(a);
});

/** Takes a vector; pushes sums of neighbours in lanes of twice the size. */
export function addNeighbours(e: Emit, size: number, sign: Sign): void {
  const { f } = e;
  const name = `extaddPairwise${size === 0 ? "I8x16" : "I16x8"}${sign === "s" ? "S" : "U"}`;
  if (size < 2 && hasIntegerOp(f, size + 1, name)) {
    integerOp(f, size + 1, name);
    return;
  }
  const bits = 8 << size;
  const a = tee(f);
  shiftBy(f, size + 1, "shl", bits);
  shiftBy(f, size + 1, shiftRightName(sign), bits);
  f.local.get(a);
  shiftBy(f, size + 1, shiftRightName(sign), bits);
  integerShape(f, size + 1).add();
  f.local.release(a);
}

const addLongPairwise = (sign: Sign, accumulates: boolean): Semantics =>
  simd((e) => {
    const size = sizeOf(e);
    e.getV("Rn");
    addNeighbours(e, size, sign);
    if (accumulates) {
      e.getV("Rd");
      integerShape(e.f, size + 1).add();
    }
    e.setVector("Rd", e.field("Q"));
  });

/** Takes a vector; pushes one whose lowest lane is what comes of the lowest `count` lanes, by halves. */
export function fold(e: Emit, size: number, count: number, operation: Binary): void {
  const { f } = e;
  for (let half = count / 2; half >= 1; half /= 2) {
    const a = tee(f);
    // The upper half to the front; what follows does not count.
    rearrange(
      f,
      bytesOfLanes(
        size,
        range(16 >> size).map((i) => (i + half) % (16 >> size)),
      ),
    );
    const b = keep(f);
    operation(e, size, a, b);
    f.local.release(a);
    f.local.release(b);
  }
}

/** Takes a vector; writes its lowest lane to Rd. */
function lowest(e: Emit, size: number): void {
  const { f } = e;
  f.i64x2.extractLane(0);
  if (size < 3) {
    f.i64.constBigInt((1n << BigInt(8 << size)) - 1n);
    f.i64.and();
  }
  e.setD("Rd");
}

const across = (operation: Binary): Semantics =>
  simd((e) => {
    const size = sizeOf(e);
    e.getV("Rn");
    fold(e, size, lanesOf(size, e.field("Q")), operation);
    lowest(e, size);
  });

const acrossLong = (sign: Sign): Semantics =>
  simd((e) => {
    const size = sizeOf(e);
    e.getV("Rn");
    addNeighbours(e, size, sign);
    fold(e, size + 1, lanesOf(size, e.field("Q")) / 2, plain("add"));
    lowest(e, size + 1);
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
  SMAXP: pairwise(plain("maxS")),
  UMAXP: pairwise(plain("maxU")),
  SMINP: pairwise(plain("minS")),
  UMINP: pairwise(plain("minU")),
  ADDP_vector: pairwise(plain("add")),
  AND_vector: logic("and"),
  BIC_vector: logic("andnot"),
  ORR_vector: logic("or"),
  ORN_vector: logic("or", true),
  EOR_vector: logic("xor"),
  BSL: insertBits("Rn", "Rm", "Rd"),
  BIT: insertBits("Rn", "Rd", "Rm"),
  BIF: insertBits("Rd", "Rn", "Rm"),
  ADD_scalar: same(plain("add")),
  SUB_scalar: same(plain("sub")),
  CMGT_scalar: same(plain("gtS")),
  CMHI_scalar: same(compareUnsigned("gtU")),
  CMGE_scalar: same(plain("geS")),
  CMHS_scalar: same(compareUnsigned("geU")),
  CMEQ_scalar: same(plain("eq")),
  CMTST_scalar: same(test),
  ADDP_scalar: simd((e) => {
    e.getV("Rn");
    fold(e, 3, 2, plain("add"));
    e.setV64("Rd");
  }),
  REV64: reverse(3),
  REV32_vector: reverse(2),
  REV16_vector: reverse(1),
  SADDLP: addLongPairwise("s", false),
  UADDLP: addLongPairwise("u", false),
  SADALP: addLongPairwise("s", true),
  UADALP: addLongPairwise("u", true),
  CLZ_vector: leadingZeros(false),
  CLS_vector: leadingZeros(true),
  CNT: bitwise((e) => {
    e.getV("Rn");
    e.f.i8x16.popcnt();
  }),
  NOT: bitwise((e) => {
    e.getV("Rn");
    e.f.v128.not();
  }),
  RBIT_vector: reverseBits,
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
  ADDV: across(plain("add")),
  SMAXV: across(plain("maxS")),
  UMAXV: across(plain("maxU")),
  SMINV: across(plain("minS")),
  UMINV: across(plain("minU")),
  SADDLV: acrossLong("s"),
  UADDLV: acrossLong("u"),
} satisfies Record<string, Semantics>;
