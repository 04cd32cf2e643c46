/** Saturating, rounding and polynomial SIMD arithmetic, and integer operands by element, in exact integers. */
import { elementOf, type SIMD_SATURATING } from "../a64/encodings/simd-saturating.ts";
import { unsignedRecipEstimate, unsignedRsqrtEstimate } from "../a64/fp/estimates.ts";
import type { FpEnv } from "../a64/fp/format.ts";
import {
  countOf,
  type Execute,
  isScalar,
  type Lanes,
  lane,
  saturate,
  writeAll,
  writeNarrow,
} from "./simd-lanes.ts";

/** How a lane's bits are read. */
type Sign = "s" | "u";
const as = (sign: Sign, bits: number, value: bigint): bigint =>
  sign === "s" ? BigInt.asIntN(bits, value) : BigInt.asUintN(bits, value);

/** Two lanes, and what Rd holds, as integers; the result is cut to the lane. */
type Binary = (a: bigint, b: bigint, bits: number, env: FpEnv, d: bigint) => bigint;

const same =
  (sign: Sign, operation: Binary): Execute =>
  (x) => {
    const { f, env } = x;
    const { size } = f;
    const bits = 8 << size;
    const read = (n: number, i: number) => as(sign, bits, lane(x, n, size, i));
    writeAll(
      x,
      size,
      Array.from({ length: countOf(f, size) }, (_, i) =>
        operation(read(f.Rn, i), read(f.Rm, i), bits, env, read(f.Rd, i)),
      ),
    );
  };

const unary = (
  sign: Sign,
  operation: (a: bigint, bits: number, env: FpEnv, d: bigint) => bigint,
  dSign = sign,
): Execute => {
  return (x) => {
    const { f, env } = x;
    const { size } = f;
    const bits = 8 << size;
    writeAll(
      x,
      size,
      Array.from({ length: countOf(f, size) }, (_, i) =>
        operation(as(sign, bits, lane(x, f.Rn, size, i)), bits, env, as(dSign, bits, lane(x, f.Rd, size, i))),
      ),
    );
  };
};

/** A shift by a signed amount, to the right where it is negative. */
function shifted(value: bigint, by: number, round: boolean): bigint {
  if (by >= 0) return value << BigInt(by);
  const n = BigInt(-by);
  return (value + (round ? 1n << (n - 1n) : 0n)) >> n;
}

const shiftByRegister = (sign: Sign, round: boolean, saturates: boolean): Execute =>
  same(sign, (a, b, bits, env) => {
    const result = shifted(a, Number(BigInt.asIntN(8, b)), round);
    return saturates ? saturate(result, bits, sign === "s", env) : result;
  });

/** Twice the product's upper half. */
const doublingHigh =
  (round: boolean): Binary =>
  (a, b, bits, env) =>
    saturate((2n * a * b + (round ? 1n << BigInt(bits - 1) : 0n)) >> BigInt(bits), bits, true, env);

const doublingHighAccumulate =
  (subtract: boolean): Binary =>
  (a, b, bits, env, d) => {
    const product = 2n * a * b;
    const sum = (d << BigInt(bits)) + (subtract ? -product : product) + (1n << BigInt(bits - 1));
    return saturate(sum >> BigInt(bits), bits, true, env);
  };

function polynomialProduct(a: bigint, b: bigint): bigint {
  let result = 0n;
  for (let i = 0n; b >> i !== 0n; i++) if (((b >> i) & 1n) === 1n) result ^= a << i;
  return result;
}

/** A long product of a lane of Rn and one of Rm; `d` is Rd's lane, of twice the bits. */
type Long = (a: bigint, b: bigint, bits: number, env: FpEnv, d: bigint) => bigint;

const doublingLong =
  (accumulate: -1 | 0 | 1): Long =>
  (a, b, bits, env, d) => {
    const product = BigInt.asIntN(2 * bits, saturate(2n * a * b, 2 * bits, true, env));
    if (accumulate === 0) return product;
    return saturate(d + (accumulate === 1 ? product : -product), 2 * bits, true, env);
  };

const multiplyLong =
  (accumulate: -1 | 0 | 1): Long =>
  (a, b, _bits, _env, d) =>
    accumulate === 0 ? a * b : d + BigInt(accumulate) * a * b;

/** Long forms: Q = 1 takes the upper half of Rn (and of Rm, if that is a vector). */
function long(sign: Sign, operation: Long, byElement: boolean): Execute {
  return (x) => {
    const { f, env } = x;
    const { size } = f;
    const bits = 8 << size;
    const count = isScalar(f) ? 1 : 8 >> size;
    const upper = isScalar(f) ? 0 : f.Q * count;
    const element = byElement ? elementOf(f, size) : undefined;
    const read = (n: number, i: number) => as(sign, bits, lane(x, n, size, i));
    writeAll(
      x,
      size + 1,
      Array.from({ length: count }, (_, i) =>
        operation(
          read(f.Rn, i + upper),
          element === undefined ? read(f.Rm, i + upper) : read(element.register, element.index),
          bits,
          env,
          as(sign, 2 * bits, lane(x, f.Rd, size + 1, i)),
        ),
      ),
    );
  };
}

const byElement =
  (sign: Sign, operation: Binary): Execute =>
  (x) => {
    const { f, env } = x;
    const { size } = f;
    const bits = 8 << size;
    const { register, index } = elementOf(f, size);
    const read = (n: number, i: number) => as(sign, bits, lane(x, n, size, i));
    const factor = read(register, index);
    writeAll(
      x,
      size,
      Array.from({ length: countOf(f, size) }, (_, i) =>
        operation(read(f.Rn, i), factor, bits, env, read(f.Rd, i)),
      ),
    );
  };

/** Lanes of twice the size, narrowed. */
function narrow(sign: Sign, operation: (a: bigint, bits: number, env: FpEnv) => bigint): Execute {
  return (x) => narrowFrom(x, x.f.size, sign, operation);
}

function narrowFrom(
  x: Lanes,
  size: number,
  sign: Sign,
  operation: (a: bigint, bits: number, env: FpEnv) => bigint,
): void {
  const bits = 8 << size;
  const count = isScalar(x.f) ? 1 : 8 >> size;
  writeNarrow(
    x,
    size,
    Array.from({ length: count }, (_, i) =>
      operation(as(sign, 2 * bits, lane(x, x.f.Rn, size + 1, i)), bits, x.env),
    ),
  );
}

const sizeOfShift = (immh: number): number => 31 - Math.clz32(immh);

/** Shifts by an immediate; `by` is negative to the right. */
function shiftImmediate(
  sign: Sign,
  direction: "left" | "right",
  operation: (a: bigint, by: number, bits: number, env: FpEnv, d: bigint) => bigint,
): Execute {
  return (x) => {
    const { f, env } = x;
    const size = sizeOfShift(f.immh);
    const bits = 8 << size;
    const amount = f.immh * 8 + f.immb;
    const by = direction === "left" ? amount - bits : amount - 2 * bits;
    writeAll(
      x,
      size,
      Array.from({ length: countOf(f, size) }, (_, i) =>
        operation(
          as(sign, bits, lane(x, f.Rn, size, i)),
          by,
          bits,
          env,
          as(sign, bits, lane(x, f.Rd, size, i)),
        ),
      ),
    );
  };
}

const shiftNarrow =
  (from: Sign, to: Sign, round: boolean): Execute =>
  (x) => {
    const { f } = x;
    const size = sizeOfShift(f.immh);
    const by = f.immh * 8 + f.immb - 2 * (8 << size);
    narrowFrom(x, size, from, (a, bits, env) => saturate(shifted(a, by, round), bits, to === "s", env));
  };

const pairsLong =
  (sign: Sign): Execute =>
  (x) => {
    const { f } = x;
    const { size } = f;
    const bits = 8 << size;
    writeAll(
      x,
      size + 1,
      Array.from(
        { length: countOf(f, size + 1) },
        (_, i) =>
          lane(x, f.Rd, size + 1, i) +
          as(sign, bits, lane(x, f.Rn, size, 2 * i)) +
          as(sign, bits, lane(x, f.Rn, size, 2 * i + 1)),
      ),
    );
  };

const estimate =
  (operation: (bits: number) => number): Execute =>
  (x) =>
    writeAll(
      x,
      2,
      Array.from({ length: countOf(x.f, 2) }, (_, i) => BigInt(operation(Number(lane(x, x.f.Rn, 2, i))))),
    );

const add: Binary = (a, b) => a + b;
const saturating = (sign: Sign, operation: Binary): Execute =>
  same(sign, (a, b, bits, env, d) => saturate(operation(a, b, bits, env, d), bits, sign === "s", env));
const multiplyAdd = (a: bigint, b: bigint, _bits: number, _env: FpEnv, d: bigint): bigint => d + a * b;
const multiplySub = (a: bigint, b: bigint, _bits: number, _env: FpEnv, d: bigint): bigint => d - a * b;
const magnitude = (a: bigint): bigint => (a < 0n ? -a : a);

type Name = keyof typeof SIMD_SATURATING;
type Vector = Exclude<Name, `${string}_scalar`>;

const VECTORS: Readonly<Partial<Record<Vector, Execute>>> = {
  SQADD: saturating("s", add),
  UQADD: saturating("u", add),
  SQSUB: saturating("s", (a, b) => a - b),
  UQSUB: saturating("u", (a, b) => a - b),
  SQSHL: shiftByRegister("s", false, true),
  UQSHL: shiftByRegister("u", false, true),
  SRSHL: shiftByRegister("s", true, false),
  URSHL: shiftByRegister("u", true, false),
  SQRSHL: shiftByRegister("s", true, true),
  UQRSHL: shiftByRegister("u", true, true),
  SQDMULH: same("s", doublingHigh(false)),
  SQRDMULH: same("s", doublingHigh(true)),
  SQRDMLAH: same("s", doublingHighAccumulate(false)),
  SQRDMLSH: same("s", doublingHighAccumulate(true)),
  SADALP: pairsLong("s"),
  UADALP: pairsLong("u"),
  SUQADD: unary("u", (a, bits, env, d) => saturate(d + a, bits, true, env), "s"),
  USQADD: unary("s", (a, bits, env, d) => saturate(d + a, bits, false, env), "u"),
  SQABS: unary("s", (a, bits, env) => saturate(magnitude(a), bits, true, env)),
  SQNEG: unary("s", (a, bits, env) => saturate(-a, bits, true, env)),
  SQXTUN: narrow("s", (a, bits, env) => saturate(a, bits, false, env)),
  SQXTN: narrow("s", (a, bits, env) => saturate(a, bits, true, env)),
  UQXTN: narrow("u", (a, bits, env) => saturate(a, bits, false, env)),
  URECPE: estimate(unsignedRecipEstimate),
  URSQRTE: estimate(unsignedRsqrtEstimate),
  SQDMLAL: long("s", doublingLong(1), false),
  SQDMLSL: long("s", doublingLong(-1), false),
  SQDMULL: long("s", doublingLong(0), false),
  SRSRA: shiftImmediate("s", "right", (a, by, _bits, _env, d) => d + shifted(a, by, true)),
  URSRA: shiftImmediate("u", "right", (a, by, _bits, _env, d) => d + shifted(a, by, true)),
  SQSHLU: shiftImmediate("s", "left", (a, by, bits, env) => saturate(a << BigInt(by), bits, false, env)),
  SQSHL_imm: shiftImmediate("s", "left", (a, by, bits, env) => saturate(a << BigInt(by), bits, true, env)),
  UQSHL_imm: shiftImmediate("u", "left", (a, by, bits, env) => saturate(a << BigInt(by), bits, false, env)),
  SQSHRUN: shiftNarrow("s", "u", false),
  SQRSHRUN: shiftNarrow("s", "u", true),
  SQSHRN: shiftNarrow("s", "s", false),
  UQSHRN: shiftNarrow("u", "u", false),
  SQRSHRN: shiftNarrow("s", "s", true),
  UQRSHRN: shiftNarrow("u", "u", true),
  MLA_element: byElement("u", multiplyAdd),
  MLS_element: byElement("u", multiplySub),
  MUL_element: byElement("u", (a, b) => a * b),
  SMLAL_element: long("s", multiplyLong(1), true),
  UMLAL_element: long("u", multiplyLong(1), true),
  SMLSL_element: long("s", multiplyLong(-1), true),
  UMLSL_element: long("u", multiplyLong(-1), true),
  SMULL_element: long("s", multiplyLong(0), true),
  UMULL_element: long("u", multiplyLong(0), true),
  SQDMLAL_element: long("s", doublingLong(1), true),
  SQDMLSL_element: long("s", doublingLong(-1), true),
  SQDMULL_element: long("s", doublingLong(0), true),
  SQDMULH_element: byElement("s", doublingHigh(false)),
  SQRDMULH_element: byElement("s", doublingHigh(true)),
  SQRDMLAH_element: byElement("s", doublingHighAccumulate(false)),
  SQRDMLSH_element: byElement("s", doublingHighAccumulate(true)),
};

/** PMUL and PMULL have lanes of bytes, and no size. */
const bytes =
  (execute: Execute): Execute =>
  (x) =>
    execute({ ...x, f: { ...x.f, size: 0 } });

const OTHERS: Readonly<Partial<Record<Name, Execute>>> = {
  PMUL: bytes(same("u", polynomialProduct)),
  PMULL: bytes(long("u", polynomialProduct, false)),
  ABS_scalar: unary("s", magnitude),
  NEG_scalar: unary("s", (a) => -a),
  SSRA_scalar: shiftImmediate("s", "right", (a, by, _bits, _env, d) => d + shifted(a, by, false)),
  USRA_scalar: shiftImmediate("u", "right", (a, by, _bits, _env, d) => d + shifted(a, by, false)),
  SRSHR_scalar: shiftImmediate("s", "right", (a, by) => shifted(a, by, true)),
  URSHR_scalar: shiftImmediate("u", "right", (a, by) => shifted(a, by, true)),
  SRI_scalar: shiftImmediate("u", "right", (a, by, bits, _env, d) => {
    const kept = (1n << BigInt(bits)) - (1n << BigInt(bits + by));
    return shifted(a, by, false) | (d & kept);
  }),
  SLI_scalar: shiftImmediate(
    "u",
    "left",
    (a, by, _bits, _env, d) => (a << BigInt(by)) | (d & ((1n << BigInt(by)) - 1n)),
  ),
};

/** What these instructions do, by their rows' names; scalars do what vectors do to one lane. */
export const saturatingInstruction = (name: string): Execute | undefined =>
  OTHERS[name as Name] ?? VECTORS[name.replace(/_scalar$/, "") as Vector];
