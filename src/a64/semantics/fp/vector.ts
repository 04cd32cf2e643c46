/**
 * Floating point on vectors, and on scalars as Advanced SIMD has them. Estimates, halves, fixed point and conversions that
 * round to odd are left to TypeScript.
 */
import type { Emit, Semantics } from "../../emit.ts";
import { everyOther, fold } from "../simd/reductions.ts";
import {
  asScalars,
  byElement,
  keep,
  loadSplat,
  result,
  secondOperand,
  takeOperand,
  tee,
  type V,
} from "../simd/vectors.ts";
import { needsInexactFlag, noteInexact } from "./checks.ts";
import { constant, lostInSum, twoProduct } from "./error-free.ts";
import {
  exponentWithin,
  type Lanes,
  lanesOfField,
  leaveIfAnyNan,
  leaveIfLanesFlushed,
  leaveUnlessAll,
  leaveUnlessWithin,
  onLanes,
  promote,
  RANGE,
  roundLanes,
  zeroLanes,
} from "./lanes.ts";
import type { IntegerRounding } from "./scalar.ts";

/** Takes nothing; pushes what comes of two vectors in locals, or leaves. */
type Binary = (e: Emit, lanes: Lanes, a: V, b: V) => void;

const same = (operation: Binary, isElement = false): Semantics =>
  onLanes(
    (e, lanes, size) => {
      const a = takeOperand(e, "Rn", size);
      const b = secondOperand(e, size, isElement);
      operation(e, lanes, a, b);
      result(e, size);
      e.f.local.release(a);
      e.f.local.release(b);
    },
    isElement ? byElement((f) => 2 + f.sz) : {},
  );

/** Pairs of neighbours: of two vectors, or of the lowest two lanes of one. */
const pairwise = (operation: Binary): Semantics =>
  onLanes((e, lanes, size) => {
    const { f } = e;
    const [even, odd] = ([0, 1] as const).map((part) => {
      if (e.has("Q")) everyOther(e, size, part);
      else {
        const at = e.vAddress("Rn");
        loadSplat(f, size, at + (part << size));
      }
      return keep(f);
    }) as [V, V];
    operation(e, lanes, even, odd);
    result(e, size);
    f.local.release(even);
    f.local.release(odd);
  });

const addition =
  (how: "add" | "sub"): Binary =>
  (e, lanes, a, b) => {
    const { f } = e;
    f.local.get(a);
    f.local.get(b);
    f[lanes][how]();
    const sum = keep(f);
    leaveUnlessWithin(e, lanes, sum, RANGE.finite[lanes]);
    leaveIfLanesFlushed(e, lanes, a, b, sum);
    noteInexact(e, () => {
      lostInSum(f, lanes, a, b, sum, how);
      constant(f, lanes, 0);
      f[lanes].ne();
      f.v128.anyTrue();
    });
    f.local.get(sum);
    f.local.release(sum);
  };

const differenceMagnitude: Binary = (e, lanes, a, b) => {
  addition("sub")(e, lanes, a, b);
  e.f[lanes].abs();
};

/** Pushes 1 if a product of lanes is not exact; leaves where that is hard to tell. */
function productIsInexact(e: Emit, lanes: Lanes, a: V, b: V, product: V): void {
  const { f } = e;
  if (lanes === "f32x4") {
    for (const part of ["low", "high"] as const) {
      promote(f, a, part);
      promote(f, b, part);
      f.f64x2.mul();
      promote(f, product, part);
      f.f64x2.ne();
    }
    f.v128.or();
    f.v128.anyTrue();
    return;
  }
  for (const value of [a, b]) {
    exponentWithin(f, lanes, value, RANGE.middle.f64x2);
    zeroLanes(f, lanes, value);
    f.v128.or();
    leaveUnlessAll(e, lanes);
  }
  const [again, error] = [f.local.take("v128"), f.local.take("v128")];
  twoProduct(f, lanes, a, b, again, error);
  f.local.get(error);
  constant(f, lanes, 0);
  f.f64x2.ne();
  f.v128.anyTrue();
  f.local.release(again);
  f.local.release(error);
}

const multiplication: Binary = (e, lanes, a, b) => {
  const { f } = e;
  leaveIfLanesFlushed(e, lanes, a, b);
  f.local.get(a);
  f.local.get(b);
  f[lanes].mul();
  const product = keep(f);
  leaveUnlessWithin(e, lanes, product, RANGE.normal[lanes], () => {
    zeroLanes(f, lanes, product);
    zeroLanes(f, lanes, a);
    zeroLanes(f, lanes, b);
    f.v128.or();
    f.v128.and();
  });
  noteInexact(e, () => productIsInexact(e, lanes, a, b, product));
  f.local.get(product);
  f.local.release(product);
};

const division: Binary = (e, lanes, a, b) => {
  const { f } = e;
  needsInexactFlag(e);
  leaveIfLanesFlushed(e, lanes, a, b);
  f.local.get(a);
  f.local.get(b);
  f[lanes].div();
  const quotient = tee(f);
  leaveUnlessWithin(e, lanes, quotient, RANGE.normal[lanes], () => {
    zeroLanes(f, lanes, quotient);
    zeroLanes(f, lanes, a);
    f.v128.and();
  });
  f.local.release(quotient);
};

/** Of numbers only: see scalar.ts. */
const extreme =
  (name: "max" | "min"): Binary =>
  (e, lanes, a, b) => {
    leaveIfAnyNan(e, lanes, a, b);
    leaveIfLanesFlushed(e, lanes, a, b);
    e.f.local.get(a);
    e.f.local.get(b);
    e.f[lanes][name]();
  };

type Comparison = "eq" | "ge" | "gt" | "le" | "lt";

const comparison =
  (name: Comparison, ofMagnitudes = false): Binary =>
  (e, lanes, a, b) => {
    leaveIfAnyNan(e, lanes, a, b);
    leaveIfLanesFlushed(e, lanes, a, b);
    for (const value of [a, b]) {
      e.f.local.get(value);
      if (ofMagnitudes) e.f[lanes].abs();
    }
    e.f[lanes][name]();
  };

const unary = (operation: (e: Emit, lanes: Lanes, a: V) => void): Semantics =>
  onLanes((e, lanes, size) => {
    const a = takeOperand(e, "Rn", size);
    operation(e, lanes, a);
    result(e, size);
    e.f.local.release(a);
  });

const compareZero = (name: Comparison): Semantics =>
  unary((e, lanes, a) => {
    leaveIfAnyNan(e, lanes, a);
    leaveIfLanesFlushed(e, lanes, a);
    e.f.local.get(a);
    constant(e.f, lanes, 0);
    e.f[lanes][name]();
  });

const squareRoot: Semantics = unary((e, lanes, a) => {
  const { f } = e;
  needsInexactFlag(e);
  leaveIfLanesFlushed(e, lanes, a);
  f.local.get(a);
  f[lanes].sqrt();
  const root = tee(f);
  leaveUnlessWithin(e, lanes, root, RANGE.normal[lanes], () => zeroLanes(f, lanes, root));
  f.local.release(root);
});

const round = (how: IntegerRounding, flags = false): Semantics =>
  unary((e, lanes, a) => {
    const { f } = e;
    leaveIfAnyNan(e, lanes, a);
    leaveIfLanesFlushed(e, lanes, a);
    roundLanes(e, lanes, a, how);
    const whole = tee(f);
    if (flags)
      noteInexact(e, () => {
        f.local.get(whole);
        f.local.get(a);
        f[lanes].ne();
        f.v128.anyTrue();
      });
    f.local.release(whole);
  });

/** All four lanes to one. */
const across = (name: "max" | "min"): Semantics =>
  onLanes((e) => {
    const { f } = e;
    e.getV("Rn");
    const a = tee(f);
    leaveIfAnyNan(e, "f32x4", a);
    leaveIfLanesFlushed(e, "f32x4", a);
    fold(e, 2, 4, (_, __, x, y) => {
      f.local.get(x);
      f.local.get(y);
      f.f32x4[name]();
    });
    result(e, 2);
    f.local.release(a);
  });

/** FABS and FNEG: bits, whatever they mean. */
const signs = (operation: "abs" | "neg"): Semantics => ({
  emit: (e) => {
    e.fpAccess();
    e.getV("Rn");
    e.f[lanesOfField(e.field("sz"))][operation]();
    e.setVector("Rd", e.field("Q"));
  },
});

/** Vectors, and scalars that do the same to one lane. */
const BOTH = {
  FABD: same(differenceMagnitude),
  FMULX: same(multiplication),
  FCMEQ: same(comparison("eq")),
  FCMGE: same(comparison("ge")),
  FCMGT: same(comparison("gt")),
  FACGE: same(comparison("ge", true)),
  FACGT: same(comparison("gt", true)),
  FMUL_element: same(multiplication, true),
  FMULX_element: same(multiplication, true),
  FCMGT_zero: compareZero("gt"),
  FCMGE_zero: compareZero("ge"),
  FCMEQ_zero: compareZero("eq"),
  FCMLE_zero: compareZero("le"),
  FCMLT_zero: compareZero("lt"),
  FADDP: pairwise(addition("add")),
  FMAXP: pairwise(extreme("max")),
  FMINP: pairwise(extreme("min")),
  FMAXNMP: pairwise(extreme("max")),
  FMINNMP: pairwise(extreme("min")),
} satisfies Record<string, Semantics>;

export const VECTOR_ARITHMETIC = {
  ...BOTH,
  ...asScalars(BOTH),
  FADD: same(addition("add")),
  FSUB: same(addition("sub")),
  FMUL: same(multiplication),
  FDIV: same(division),
  FMAX: same(extreme("max")),
  FMIN: same(extreme("min")),
  FMAXNM: same(extreme("max")),
  FMINNM: same(extreme("min")),
  FMAXV: across("max"),
  FMINV: across("min"),
  FMAXNMV: across("max"),
  FMINNMV: across("min"),
  FSQRT: squareRoot,
  FRINTN: round("nearest"),
  FRINTP: round("ceil"),
  FRINTM: round("floor"),
  FRINTZ: round("trunc"),
  FRINTA: round("away"),
  FRINTX: round("nearest", true),
  FRINTI: round("nearest"),
  FABS: signs("abs"),
  FNEG: signs("neg"),
};
