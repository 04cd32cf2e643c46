/**
 * Floating-point arithmetic on WebAssembly's f32, f64 and v128 for the cases in which these do what the Arm ARM says: rounding
 * to nearest, no flush to zero, FPSR.IXC set already (so that it need not be known whether a result is exact), and
 * operands and results far from NaN, infinity, zero and denormals. All else is left to exact arithmetic in TypeScript.
 */
import type { Local } from "../../wasm/entities.ts";
import type { Emit, Semantics } from "../emit.ts";
import { LEAVE } from "../state.ts";

/** FPCR.FZ and FPCR.RMode. */
const FPCR_SPECIAL = 0x01c0_0000;
const FPSR_IXC = 0x10;

type Type = "f32" | "f64";
/** ftype: 0 is single, 1 double; sz likewise. Others do not get here. */
const typeOf = (value: number): Type => (value === 1 ? "f64" : "f32");

/**
 * Leaves for exact arithmetic unless FPCR asks for nothing special.
 * @param inexact whether the result may be inexact
 */
function plain(e: Emit, inexact: boolean): void {
  const { f } = e;
  e.get32("FPCR");
  f.i32.const(FPCR_SPECIAL);
  f.i32.and();
  if (inexact) {
    e.get32("FPSR");
    f.i32.const(FPSR_IXC);
    f.i32.and();
    f.i32.eqz();
    f.i32.or();
  }
  e.leaveIf(LEAVE.SYSTEM);
}

function load(e: Emit, type: Type, field: string): void {
  e.f[type].load(e.vAddress(field));
}

/** Takes a value of the type in a local; writes it to Rd, the rest of which becomes zero. */
function store(e: Emit, type: Type, value: Local<Type>): void {
  const { f } = e;
  if (type === "f64") {
    f.local.get(value as Local<"f64">);
    f.i64.reinterpretF64();
  } else {
    f.local.get(value as Local<"f32">);
    f.i32.reinterpretF32();
    f.i64.extendI32U();
  }
  e.setD("Rd");
}

/**
 * Leaves for exact arithmetic unless a result is normal and not the least of them: then no operand was a NaN or an infinity
 * that matters, and nothing but IXC can have been flagged.
 */
function checkNormal(e: Emit, type: Type, value: Local<Type>): void {
  const { f } = e;
  if (type === "f64") {
    f.local.get(value as Local<"f64">);
    f.i64.reinterpretF64();
    f.i64.const(52);
    f.i64.shrU();
    f.i32.wrapI64();
    f.i32.const(0x7ff);
  } else {
    f.local.get(value as Local<"f32">);
    f.i32.reinterpretF32();
    f.i32.const(23);
    f.i32.shrU();
    f.i32.const(0xff);
  }
  f.i32.and();
  f.i32.const(2);
  f.i32.sub();
  f.i32.const(type === "f64" ? 0x7fd : 0xfd);
  f.i32.geU();
  e.leaveIf(LEAVE.SYSTEM);
}

/** An operation whose result says whether it could be done here. */
function arithmetic(operation: (e: Emit, type: Type) => void): Semantics {
  return {
    emit: (e) => {
      const { f } = e;
      e.fpAccess();
      plain(e, true);
      const type = typeOf(e.field("ftype"));
      const result = f.local.take(type);
      operation(e, type);
      f.local.set(result);
      checkNormal(e, type, result);
      store(e, type, result);
      f.local.release(result);
    },
  };
}

const binary = (name: "add" | "sub" | "mul" | "div"): Semantics =>
  arithmetic((e, type) => {
    load(e, type, "Rn");
    load(e, type, "Rm");
    e.f[type][name]();
  });

/** Biased exponents of doubles from 2^-400 to 2^400: products of two and their errors stay far from the ends. */
const MIDDLE = { least: 1023 - 400, count: 801 } as const;
/** Veltkamp's constant for halving a double's fraction. */
const SPLITTER = 2 ** 27 + 1;

type F64 = Local<"f64">;

/** Pushes 1 if a double is zero (where that is allowed) or its exponent is a middle one. */
function isMiddle(e: Emit, value: F64, orZero: boolean): void {
  const { f } = e;
  f.local.get(value);
  f.i64.reinterpretF64();
  f.i64.const(52);
  f.i64.shrU();
  f.i32.wrapI64();
  f.i32.const(0x7ff);
  f.i32.and();
  f.i32.const(MIDDLE.least);
  f.i32.sub();
  f.i32.const(MIDDLE.count);
  f.i32.ltU();
  if (!orZero) return;
  f.local.get(value);
  f.f64.const(0);
  f.f64.eq();
  f.i32.or();
}

/** Knuth's two-sum: sum = a + b rounded, error = what is lost, exactly. */
function twoSum(e: Emit, a: F64, b: F64, sum: F64, error: F64): void {
  const { f } = e;
  const t = f.local.take("f64");
  f.local.get(a);
  f.local.get(b);
  f.f64.add();
  f.local.set(sum);
  f.local.get(sum);
  f.local.get(a);
  f.f64.sub();
  f.local.set(t);
  // (a - (sum - t)) + (b - t)
  f.local.get(a);
  f.local.get(sum);
  f.local.get(t);
  f.f64.sub();
  f.f64.sub();
  f.local.get(b);
  f.local.get(t);
  f.f64.sub();
  f.f64.add();
  f.local.set(error);
  f.local.release(t);
}

/** Dekker's two-product: product = a * b rounded, error = what is lost, exactly. */
function twoProduct(e: Emit, a: F64, b: F64, product: F64, error: F64): void {
  const { f } = e;
  const parts = [a, b].map((value) => {
    const high = f.local.take("f64");
    const low = f.local.take("f64");
    f.local.get(value);
    f.f64.const(SPLITTER);
    f.f64.mul();
    f.local.tee(high);
    f.local.get(high);
    f.local.get(value);
    f.f64.sub();
    f.f64.sub();
    f.local.set(high);
    f.local.get(value);
    f.local.get(high);
    f.f64.sub();
    f.local.set(low);
    return { high, low };
  });
  const [x, y] = parts as [{ high: F64; low: F64 }, { high: F64; low: F64 }];
  f.local.get(a);
  f.local.get(b);
  f.f64.mul();
  f.local.set(product);
  const multiply = (p: F64, q: F64): void => {
    f.local.get(p);
    f.local.get(q);
    f.f64.mul();
  };
  multiply(x.high, y.high);
  f.local.get(product);
  f.f64.sub();
  multiply(x.high, y.low);
  f.f64.add();
  multiply(x.low, y.high);
  f.f64.add();
  multiply(x.low, y.low);
  f.f64.add();
  f.local.set(error);
  for (const { high, low } of parts) {
    f.local.release(high);
    f.local.release(low);
  }
}

/** Makes a sum the one that rounding to odd would give: its last bit is set if anything was lost. */
function toOdd(e: Emit, sum: F64, error: F64): void {
  const { f } = e;
  const bits = f.local.take("i64");
  f.local.get(sum);
  f.i64.reinterpretF64();
  f.local.tee(bits);
  f.i64.const(1);
  f.i64.and();
  f.i64.eqz();
  f.local.get(error);
  f.f64.const(0);
  f.f64.ne();
  f.i32.and();
  const even = f.if();
  // Away from zero where what was lost has the sum's sign, else towards it.
  f.local.get(bits);
  f.i64.const(1);
  f.i64.const(-1);
  f.local.get(error);
  f.f64.const(0);
  f.f64.gt();
  f.local.get(sum);
  f.f64.const(0);
  f.f64.gt();
  f.i32.eq();
  f.select();
  f.i64.add();
  f.f64.reinterpretI64();
  f.local.set(sum);
  f.end(even);
  f.local.release(bits);
}

/**
 * Fused multiply-add, which WebAssembly has not. Doubles: Boldo and Melquiond, "Emulation of FMA and correctly rounded sums"
 * (IEEE Transactions on Computers 57, 2008), whose last sum but one rounds to odd. Singles have exact products as doubles.
 */
const multiplyAdd: Semantics = {
  emit: (e) => {
    const { f } = e;
    e.fpAccess();
    plain(e, true);
    const type = typeOf(e.field("ftype"));
    const take = (): F64 => f.local.take("f64");
    const [a, b, c, high, low, sum, error] = Array.from({ length: 7 }, take) as [
      F64,
      F64,
      F64,
      F64,
      F64,
      F64,
      F64,
    ];
    const read = (field: string, into: F64, negated: boolean): void => {
      load(e, type, field);
      if (type === "f32") f.f64.promoteF32();
      if (negated) f.f64.neg();
      f.local.set(into);
    };
    // FMADD, FMSUB, FNMADD, FNMSUB: o1 negates the addend, o0 != o1 the product.
    read("Rn", a, e.field("o0") !== e.field("o1"));
    read("Rm", b, false);
    read("Ra", c, e.field("o1") === 1);
    isMiddle(e, a, false);
    isMiddle(e, b, false);
    f.i32.and();
    isMiddle(e, c, true);
    f.i32.and();
    f.i32.eqz();
    e.leaveIf(LEAVE.SYSTEM);
    if (type === "f32") {
      f.local.get(a);
      f.local.get(b);
      f.f64.mul();
      f.local.set(high);
      twoSum(e, high, c, sum, error);
      toOdd(e, sum, error);
      const single = f.local.take("f32");
      f.local.get(sum);
      f.f32.demoteF64();
      f.local.set(single);
      checkNormal(e, "f32", single);
      store(e, "f32", single);
      f.local.release(single);
    } else {
      twoProduct(e, a, b, high, low);
      // a and b are free now.
      twoSum(e, c, low, a, b);
      twoSum(e, high, a, low, c);
      twoSum(e, b, c, sum, error);
      toOdd(e, sum, error);
      f.local.get(low);
      f.local.get(sum);
      f.f64.add();
      f.local.set(sum);
      checkNormal(e, "f64", sum);
      store(e, "f64", sum);
    }
    for (const local of [a, b, c, high, low, sum, error]) f.local.release(local);
  },
};

/** Takes two values; pushes their order for `flags`, or leaves where there is none. */
function compare(e: Emit, type: Type, zero: boolean): void {
  const { f } = e;
  const a = f.local.take(type);
  const b = f.local.take(type);
  load(e, type, "Rn");
  f.local.set(a);
  if (zero) f[type].const(0);
  else load(e, type, "Rm");
  f.local.set(b);
  // Unordered: some is a NaN.
  for (const value of [a, b]) {
    f.local.get(value);
    f.local.get(value);
    f[type].ne();
  }
  f.i32.or();
  e.leaveIf(LEAVE.SYSTEM);
  const less = f.local.take("i32");
  f.local.get(a);
  f.local.get(b);
  f[type].lt();
  f.local.set(less);
  // N is less, Z equal, C not less, V unordered.
  f.i64.const(0);
  f.local.get(less);
  f.i64.extendI32U();
  f.i64.sub();
  e.set64("NF");
  f.local.get(a);
  f.local.get(b);
  f[type].ne();
  f.i64.extendI32U();
  e.set64("ZF");
  f.local.get(less);
  f.i32.eqz();
  e.set32("CF");
  f.i64.const(0);
  e.set64("VF");
  f.local.release(less);
  f.local.release(a);
  f.local.release(b);
}

/** Integers come out inexact at worst, never special but for zero, which is exact. */
const fromInteger: Semantics = {
  emit: (e) => {
    const { f } = e;
    e.fpAccess();
    plain(e, true);
    const type = typeOf(e.field("ftype"));
    const wide = e.field("sf") === 1;
    const unsigned = e.field("U") === 1;
    const result = f.local.take(type);
    e.getR("Rn", wide);
    if (wide) f[type][unsigned ? "convertI64U" : "convertI64S"]();
    else f[type][unsigned ? "convertI32U" : "convertI32S"]();
    f.local.set(result);
    store(e, type, result);
    f.local.release(result);
  },
};

/** Rounded first by the mode that the encoding names; what is out of range or no number is left to exact arithmetic. */
const toInteger: Semantics = {
  emit: (e) => {
    const { f } = e;
    e.fpAccess();
    plain(e, true);
    const type = typeOf(e.field("ftype"));
    const wide = e.field("sf") === 1;
    const unsigned = e.field("U") === 1;
    const value = f.local.take(type);
    load(e, type, "Rn");
    f[type][(["nearest", "ceil", "floor", "trunc"] as const)[e.field("rmode")]!]();
    f.local.tee(value);
    const bits = wide ? 64 : 32;
    // Below 2^bits (signed: 2^(bits - 1)), and at least 0 (signed: the least integer). NaN is neither.
    f[type].const(2 ** (unsigned ? bits : bits - 1));
    f[type].lt();
    f.local.get(value);
    f[type].const(unsigned ? 0 : -(2 ** (bits - 1)));
    f[type].ge();
    f.i32.and();
    f.i32.eqz();
    e.leaveIf(LEAVE.SYSTEM);
    f.local.get(value);
    const name = `trunc${type === "f64" ? "F64" : "F32"}${unsigned ? "U" : "S"}` as const;
    if (wide) f.i64[name]();
    else f.i32[name]();
    e.setR("Rd", wide);
    f.local.release(value);
  },
};

const convert: Semantics = {
  emit: (e) => {
    const { f } = e;
    e.fpAccess();
    const from = e.field("ftype");
    const to = e.field("opc");
    if (from > 1 || to > 1) {
      e.leave(LEAVE.SYSTEM);
      return;
    }
    plain(e, to === 0);
    if (to === 1) {
      // Exact for all but NaNs.
      const value = f.local.take("f32");
      const result = f.local.take("f64");
      load(e, "f32", "Rn");
      f.local.tee(value);
      f.local.get(value);
      f.f32.ne();
      e.leaveIf(LEAVE.SYSTEM);
      f.local.get(value);
      f.f64.promoteF32();
      f.local.set(result);
      store(e, "f64", result);
      f.local.release(value);
      f.local.release(result);
      return;
    }
    const result = f.local.take("f32");
    load(e, "f64", "Rn");
    f.f32.demoteF64();
    f.local.set(result);
    checkNormal(e, "f32", result);
    store(e, "f32", result);
    f.local.release(result);
  },
};

/** FRINTN, P, M and Z flag nothing but for signalling NaNs; the others go by FPCR, ties away, or flag what is lost. */
const round: Semantics = {
  emit: (e) => {
    const { f } = e;
    e.fpAccess();
    const name = (["nearest", "ceil", "floor", "trunc"] as const)[e.field("rmode3")];
    if (name === undefined) {
      e.leave(LEAVE.SYSTEM);
      return;
    }
    plain(e, false);
    const type = typeOf(e.field("ftype"));
    const value = f.local.take(type);
    load(e, type, "Rn");
    f.local.tee(value);
    f.local.get(value);
    f[type].ne();
    e.leaveIf(LEAVE.SYSTEM);
    f.local.get(value);
    f[type][name]();
    f.local.set(value);
    store(e, type, value);
    f.local.release(value);
  },
};

/** Every lane of a vector as `checkNormal` has it. */
function checkLanes(e: Emit, type: Type, q: number, value: Local<"v128">): void {
  const { f } = e;
  const [shape, shift, least, count] =
    type === "f64" ? (["i64x2", 52, 0x7fd, 0x7ff] as const) : (["i32x4", 23, 0xfd, 0xff] as const);
  // Exponents less 2, in lanes of 32 bits: a double's lie in the upper halves.
  f.local.get(value);
  f.i32.const(type === "f64" ? 20 : shift);
  f.i32x4.shrU();
  f.i32.const(count);
  f.i32x4.splat();
  f.v128.and();
  f.i32.const(2);
  f.i32x4.splat();
  f.i32x4.sub();
  f.i32.const(least);
  f.i32x4.splat();
  f.i32x4.geU();
  // Of which these count.
  const lanes = shape === "i64x2" ? [0, -1, 0, -1] : q === 1 ? [-1, -1, -1, -1] : [-1, -1, 0, 0];
  f.v128.const(lanes[0]!, lanes[1]!, lanes[2]!, lanes[3]!);
  f.v128.and();
  f.v128.anyTrue();
  e.leaveIf(LEAVE.SYSTEM);
}

/** Three vectors. */
const vector = (name: "add" | "sub" | "mul" | "div"): Semantics => ({
  emit: (e) => {
    const { f } = e;
    e.fpAccess();
    plain(e, true);
    const type = typeOf(e.field("sz"));
    const q = e.field("Q");
    const result = f.local.take("v128");
    e.getV("Rn");
    e.getV("Rm");
    f[type === "f64" ? "f64x2" : "f32x4"][name]();
    f.local.tee(result);
    f.local.set(result);
    checkLanes(e, type, q, result);
    f.local.get(result);
    e.setVector("Rd", q);
    f.local.release(result);
  },
});

/** FABS and FNEG of vectors: bits, whatever they mean. */
const signs = (operation: "abs" | "neg"): Semantics => ({
  emit: (e) => {
    e.fpAccess();
    e.getV("Rn");
    e.f[e.field("sz") === 1 ? "f64x2" : "f32x4"][operation]();
    e.setVector("Rd", e.field("Q"));
  },
});

export const FLOATING_POINT_ARITHMETIC = {
  FADD_scalar: binary("add"),
  FSUB_scalar: binary("sub"),
  FMUL_scalar: binary("mul"),
  FDIV_scalar: binary("div"),
  FSQRT_scalar: arithmetic((e, type) => {
    load(e, type, "Rn");
    e.f[type].sqrt();
  }),
  FCMP: {
    emit: (e) => {
      e.fpAccess();
      plain(e, false);
      compare(e, typeOf(e.field("ftype")), e.field("z") === 1);
    },
  },
  FMADD: multiplyAdd,
  CVTF_from_int: fromInteger,
  FCVT_to_int: toInteger,
  FCVT: convert,
  FRINT: round,
  FADD: vector("add"),
  FSUB: vector("sub"),
  FMUL: vector("mul"),
  FDIV: vector("div"),
  FABS: signs("abs"),
  FNEG: signs("neg"),
} satisfies Record<string, Semantics>;
