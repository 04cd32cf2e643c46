/** Advanced SIMD on integers: pairs of lanes, and all lanes to one. */
import type { Emit, Semantics } from "../../emit.ts";
import { type Binary, plain } from "./arithmetic.ts";
import { lanesOf, type Sign } from "./lanes.ts";
import {
  bytesOfLanes,
  hasIntegerOp,
  integerOp,
  integerShape,
  keep,
  range,
  rearrange,
  shiftBy,
  shiftRightName,
  simd,
  sizeOf,
  tee,
} from "./vectors.ts";

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

/** Takes a vector; pushes sums of neighbours in lanes of twice the size. */
function addNeighbours(e: Emit, size: number, sign: Sign): void {
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

export const SIMD_REDUCTIONS = {
  SMAXP: pairwise(plain("maxS")),
  UMAXP: pairwise(plain("maxU")),
  SMINP: pairwise(plain("minS")),
  UMINP: pairwise(plain("minU")),
  ADDP_vector: pairwise(plain("add")),
  SADDLP: addLongPairwise("s", false),
  UADDLP: addLongPairwise("u", false),
  SADALP: addLongPairwise("s", true),
  UADALP: addLongPairwise("u", true),
  ADDV: across(plain("add")),
  SMAXV: across(plain("maxS")),
  UMAXV: across(plain("maxU")),
  SMINV: across(plain("minS")),
  UMINV: across(plain("minU")),
  SADDLV: acrossLong("s"),
  UADDLV: acrossLong("u"),
  ADDP_scalar: simd((e) => {
    e.getV("Rn");
    fold(e, 3, 2, plain("add"));
    e.setV64("Rd");
  }),
} satisfies Record<string, Semantics>;
