/**
 * What WebAssembly's numeric instructions compute, on bit patterns as BigInt and without WebAssembly: WebAssembly
 * Core Specification 2.0, section 4.3. Scalar instructions and the lanes of vectors share it.
 */

/** The result's bits; undefined is a trap. With `nan`, lanes of that width hold floats whose NaN may be any. */
export interface Expected {
  readonly bits: bigint | undefined;
  readonly nan?: 32 | 64;
}

const view = new DataView(new ArrayBuffer(8));

function floatOf(bits: bigint, width: number): number {
  if (width === 32) {
    view.setUint32(0, Number(bits));
    return view.getFloat32(0);
  }
  view.setBigUint64(0, bits);
  return view.getFloat64(0);
}

export function bitsOf(value: number, width: number): bigint {
  if (width === 32) {
    view.setFloat32(0, value);
    return BigInt(view.getUint32(0));
  }
  view.setFloat64(0, value);
  return view.getBigUint64(0);
}

const signed = (x: bigint, width: number): bigint => BigInt.asIntN(width, x);
const wrapped = (x: bigint, width: number): bigint => BigInt.asUintN(width, x);
const clamp = (x: bigint, low: bigint, high: bigint): bigint => (x < low ? low : x > high ? high : x);
const saturated = (x: bigint, width: number, isSigned: boolean): bigint => {
  const half = 1n << BigInt(width - 1);
  return wrapped(isSigned ? clamp(x, -half, half - 1n) : clamp(x, 0n, 2n * half - 1n), width);
};
const bits = (x: bigint, width: number): string => x.toString(2).padStart(width, "0");

/** A signed or unsigned comparison or undefined. */
function compared(op: string, a: bigint | number, b: bigint | number): boolean | undefined {
  switch (op) {
    case "eq":
      return a === b;
    case "ne":
      return a !== b;
    case "lt":
      return a < b;
    case "gt":
      return a > b;
    case "le":
      return a <= b;
    case "ge":
      return a >= b;
  }
  return undefined;
}

/** An integer comparison; undefined if `op` is none. */
function integerCompare(op: string, width: number, a: bigint, b: bigint): boolean | undefined {
  const [name = "", sign] = op.split("_");
  return sign === "s" ? compared(name, signed(a, width), signed(b, width)) : compared(name, a, b);
}

function integerBinary(op: string, width: number, a: bigint, b: bigint): bigint | undefined {
  const sa = signed(a, width);
  const sb = signed(b, width);
  const shift = b % BigInt(width);
  const w = BigInt(width);
  switch (op) {
    case "add":
      return wrapped(a + b, width);
    case "sub":
      return wrapped(a - b, width);
    case "mul":
      return wrapped(a * b, width);
    case "div_s":
      return b === 0n || sa / sb === 1n << (w - 1n) ? undefined : wrapped(sa / sb, width);
    case "div_u":
      return b === 0n ? undefined : a / b;
    case "rem_s":
      return b === 0n ? undefined : wrapped(sa % sb, width);
    case "rem_u":
      return b === 0n ? undefined : a % b;
    case "and":
      return a & b;
    case "or":
      return a | b;
    case "xor":
      return a ^ b;
    case "andnot":
      return a & wrapped(~b, width);
    case "shl":
      return wrapped(a << shift, width);
    case "shr_s":
      return wrapped(sa >> shift, width);
    case "shr_u":
      return a >> shift;
    case "rotl":
      return wrapped((a << shift) | (a >> (w - shift)), width);
    case "rotr":
      return wrapped((a >> shift) | (a << (w - shift)), width);
    case "min_s":
      return sa < sb ? a : b;
    case "min_u":
      return a < b ? a : b;
    case "max_s":
      return sa > sb ? a : b;
    case "max_u":
      return a > b ? a : b;
    case "add_sat_s":
      return saturated(sa + sb, width, true);
    case "add_sat_u":
      return saturated(a + b, width, false);
    case "sub_sat_s":
      return saturated(sa - sb, width, true);
    case "sub_sat_u":
      return saturated(a - b, width, false);
    case "avgr_u":
      return (a + b + 1n) / 2n;
    case "q15mulr_sat_s":
      return saturated((sa * sb + 0x4000n) >> 15n, width, true);
  }
  throw new Error(`no reference for ${op}`);
}

function integerUnary(op: string, width: number, a: bigint): bigint {
  switch (op) {
    case "clz":
      return BigInt(a === 0n ? width : bits(a, width).indexOf("1"));
    case "ctz":
      return BigInt(a === 0n ? width : width - 1 - bits(a, width).lastIndexOf("1"));
    case "popcnt":
      return BigInt([...bits(a, width)].filter((bit) => bit === "1").length);
    case "abs":
      return wrapped(signed(a, width) < 0n ? -a : a, width);
    case "neg":
      return wrapped(-a, width);
    case "not":
      return wrapped(~a, width);
    case "extend8_s":
      return wrapped(signed(a, 8), width);
    case "extend16_s":
      return wrapped(signed(a, 16), width);
    case "extend32_s":
      return wrapped(signed(a, 32), width);
  }
  throw new Error(`no reference for ${op}`);
}

function nearest(x: number): number {
  if (!Number.isFinite(x) || Math.abs(x) >= 2 ** 52) return x;
  const low = Math.floor(x);
  const rest = x - low;
  const whole = rest < 0.5 || (rest === 0.5 && low % 2 === 0) ? low : low + 1;
  return whole === 0 && (x < 0 || Object.is(x, -0)) ? -0 : whole;
}

/** Arithmetic of doubles; single results are its rounding, which is exact for each of these operations. */
function floatBinary(op: string, a: number, b: number): number {
  switch (op) {
    case "add":
      return a + b;
    case "sub":
      return a - b;
    case "mul":
      return a * b;
    case "div":
      return a / b;
    case "min":
      return Math.min(a, b);
    case "max":
      return Math.max(a, b);
    case "pmin":
      // biome-ignore lint/complexity/useMathMinMax: Math.min treats NaN and zeros in another way.
      return b < a ? b : a;
    case "pmax":
      // biome-ignore lint/complexity/useMathMinMax: Math.max treats NaN and zeros in another way.
      return a < b ? b : a;
  }
  throw new Error(`no reference for ${op}`);
}

function floatUnary(op: string, a: number): number {
  switch (op) {
    case "ceil":
      return Math.ceil(a);
    case "floor":
      return Math.floor(a);
    case "trunc":
      return Math.trunc(a);
    case "nearest":
      return nearest(a);
    case "sqrt":
      return Math.sqrt(a);
  }
  throw new Error(`no reference for ${op}`);
}

/** The single that is nearest to an integer, ties to even; through a double it could be rounded twice. */
function singleOf(value: bigint): number {
  const size = value < 0n ? -value : value;
  const excess = BigInt(Math.max(0, size.toString(2).length - 24));
  const unit = 1n << excess;
  const low = (size / unit) * unit;
  const rest = 2n * (size - low);
  const up = rest > unit || (rest === unit && (low / unit) % 2n === 1n);
  const rounded = Number(up ? low + unit : low);
  return value < 0n ? -rounded : rounded;
}

/** A float as an integer; undefined if it has no such value, or the nearest one with `saturates`. */
function truncated(x: number, width: number, isSigned: boolean, saturates: boolean): bigint | undefined {
  if (Number.isNaN(x)) return saturates ? 0n : undefined;
  const whole = Number.isFinite(x) ? BigInt(Math.trunc(x)) : x > 0 ? 1n << 100n : -(1n << 100n);
  const fit = saturated(whole, width, isSigned);
  return saturates || whole === (isSigned ? signed(fit, width) : fit) ? fit : undefined;
}

/** One lane, or a scalar: `kind` is i or f, `width` its bits. Flags come as booleans. */
function single(kind: string, width: number, op: string, a: bigint, b: bigint): bigint | boolean | undefined {
  if (kind === "i") {
    const flag = integerCompare(op, width, a, b);
    if (flag !== undefined) return flag;
    const unary = /^(clz|ctz|popcnt|abs|neg|not|extend\d+_s)$/.test(op);
    return unary ? integerUnary(op, width, a) : integerBinary(op, width, a, b);
  }
  const top = 1n << BigInt(width - 1);
  if (op === "abs") return a & (top - 1n);
  if (op === "neg") return a ^ top;
  if (op === "copysign") return (a & (top - 1n)) | (b & top);
  const [x, y] = [floatOf(a, width), floatOf(b, width)];
  const flag = compared(op, x, y);
  if (flag !== undefined) return flag;
  const unary = /^(ceil|floor|trunc|nearest|sqrt)$/.test(op);
  return bitsOf(unary ? floatUnary(op, x) : floatBinary(op, x, y), width);
}

const BIT_EXACT = /^(abs|neg|copysign)$/;

function scalar(type: string, op: string, a: bigint, b: bigint): Expected {
  const kind = type[0]!;
  const width = Number(type.slice(1));
  const from = /_([if])(\d+)/.exec(op);
  if (op === "eqz") return { bits: a === 0n ? 1n : 0n };
  if (op === "wrap_i64") return { bits: wrapped(a, 32) };
  if (op.startsWith("reinterpret")) return { bits: a };
  if (op.startsWith("extend_i32")) return { bits: op.endsWith("s") ? wrapped(signed(a, 32), 64) : a };
  if (op.startsWith("trunc_")) {
    const value = floatOf(a, Number(from?.[2]));
    return { bits: truncated(value, width, op.endsWith("s"), op.includes("sat")) };
  }
  if (op.startsWith("convert")) {
    const value = op.endsWith("s") ? signed(a, Number(from?.[2])) : a;
    return { bits: bitsOf(width === 32 ? singleOf(value) : Number(value), width) };
  }
  if (op.startsWith("demote") || op.startsWith("promote")) {
    return { bits: bitsOf(floatOf(a, Number(from?.[2])), width), nan: width === 32 ? 32 : 64 };
  }
  const result = single(kind, width, op, a, b);
  if (typeof result === "boolean") return { bits: result ? 1n : 0n };
  return kind === "f" && !BIT_EXACT.test(op)
    ? { bits: result, nan: width === 32 ? 32 : 64 }
    : { bits: result };
}

/** The lanes of a vector, lowest first. */
export const lanesOf = (x: bigint, width: number): bigint[] =>
  Array.from({ length: 128 / width }, (_, i) => wrapped(x >> BigInt(i * width), width));

const vectorOf = (lanes: readonly bigint[], width: number): bigint =>
  lanes.reduce((all, lane, i) => all | (lane << BigInt(i * width)), 0n);

const ALL = (width: number): bigint => (1n << BigInt(width)) - 1n;

/** Instructions that change the width of lanes; undefined if this is none. */
function widened(width: number, op: string, a: bigint, b: bigint): bigint | undefined {
  const half = width / 2;
  const value = (x: bigint): bigint => (op.endsWith("_s") ? signed(x, half) : x);
  const part = (x: bigint): bigint[] => {
    const lanes = lanesOf(x, half);
    return (op.includes("high") ? lanes.slice(lanes.length / 2) : lanes.slice(0, lanes.length / 2)).map(
      value,
    );
  };
  const built = (lanes: readonly bigint[]): bigint =>
    vectorOf(
      lanes.map((lane) => wrapped(lane, width)),
      width,
    );
  const pairs = (lanes: readonly bigint[]): bigint[] =>
    Array.from({ length: lanes.length / 2 }, (_, i) => lanes[2 * i]! + lanes[2 * i + 1]!);
  if (op.startsWith("extend_")) return built(part(a));
  if (op.startsWith("extmul_")) return built(part(a).map((lane, i) => lane * part(b)[i]!));
  if (op.startsWith("extadd_")) return built(pairs(lanesOf(a, half).map(value)));
  if (op.startsWith("dot_")) {
    const right = lanesOf(b, half).map(value);
    return built(pairs(lanesOf(a, half).map((lane, i) => value(lane) * right[i]!)));
  }
  if (op.startsWith("narrow_")) {
    const lanes = [...lanesOf(a, width * 2), ...lanesOf(b, width * 2)];
    return vectorOf(
      lanes.map((lane) => saturated(signed(lane, width * 2), width, op.endsWith("_s"))),
      width,
    );
  }
  return undefined;
}

function vectorConversion(width: number, op: string, a: bigint): Expected | undefined {
  const isSigned = /_s(_zero)?$/.test(op);
  const from = op.includes("64x2") ? 64 : 32;
  const count = op.includes("low") || op.includes("zero") ? 2 : 4;
  const lanes = lanesOf(a, from).slice(0, count);
  if (op.startsWith("trunc_sat")) {
    const whole = lanes.map((lane) => truncated(floatOf(lane, from), 32, isSigned, true) ?? 0n);
    return { bits: vectorOf(whole, 32) };
  }
  if (op.startsWith("convert")) {
    const values = lanes.map((lane) => (isSigned ? signed(lane, 32) : lane));
    return {
      bits: vectorOf(
        values.map((value) => bitsOf(width === 32 ? singleOf(value) : Number(value), width)),
        width,
      ),
    };
  }
  if (op.startsWith("demote") || op.startsWith("promote")) {
    const moved = lanes.map((lane) => bitsOf(floatOf(lane, from), width));
    return { bits: vectorOf(moved, width), nan: width === 32 ? 32 : 64 };
  }
  return undefined;
}

function vector(shape: string, op: string, operands: readonly bigint[], lane: number): Expected {
  const [a = 0n, b = 0n, c = 0n] = operands;
  const kind = shape[0]!;
  const width = kind === "v" ? 128 : Number(shape.slice(1).split("x")[0]);
  if (op === "any_true") return { bits: a === 0n ? 0n : 1n };
  if (op === "bitselect") return { bits: (a & c) | (b & (ALL(128) ^ c)) };
  const lanes = lanesOf(a, width);
  if (op === "all_true") return { bits: lanes.every((x) => x !== 0n) ? 1n : 0n };
  if (op === "bitmask")
    return {
      bits: vectorOf(
        lanes.map((x) => x >> BigInt(width - 1)),
        1,
      ),
    };
  if (op === "splat") return { bits: vectorOf(Array(128 / width).fill(wrapped(a, width)), width) };
  if (op === "swizzle") {
    return {
      bits: vectorOf(
        lanesOf(b, 8).map((index) => lanes[Number(index)] ?? 0n),
        8,
      ),
    };
  }
  if (op.startsWith("extract_lane")) {
    const x = lanes[lane]!;
    return { bits: op.endsWith("_s") ? wrapped(signed(x, width), 32) : x };
  }
  if (op === "replace_lane") return { bits: vectorOf(lanes.with(lane, wrapped(b, width)), width) };
  const converted = vectorConversion(width, op, a);
  if (converted !== undefined) return converted;
  const wide = widened(width, op, a, b);
  if (wide !== undefined) return { bits: wide };
  const shift = /^sh[lr]/.test(op);
  const right = lanesOf(b, width);
  const results = lanes.map((x, i) => {
    const result = single(kind === "v" ? "i" : kind, width, op, x, shift ? b : right[i]!);
    return typeof result === "boolean" ? (result ? ALL(width) : 0n) : result!;
  });
  const whole = vectorOf(results, width);
  return kind === "f" && !BIT_EXACT.test(op) ? { bits: whole, nan: width === 32 ? 32 : 64 } : { bits: whole };
}

/** The result of an instruction without access to memory; `lane` is its immediate. */
export function reference(name: string, operands: readonly bigint[], lane = 0): Expected {
  const [space = "", op = ""] = name.split(".");
  if (/x|v/.test(space)) return vector(space, op, operands, lane);
  return scalar(space, op, operands[0] ?? 0n, operands[1] ?? 0n);
}

/** Replaces each NaN by one and the same. */
export function withoutNans(value: bigint, width: 32 | 64, total: number): bigint {
  const canonical = bitsOf(Number.NaN, width);
  return Array.from({ length: total / width }, (_, i) => wrapped(value >> BigInt(i * width), width)).reduce(
    (all, lane, i) => all | ((Number.isNaN(floatOf(lane, width)) ? canonical : lane) << BigInt(i * width)),
    0n,
  );
}

/** What a load leaves that finds `bytes` of memory (little-endian); `lane` and `old` are for loads of one lane. */
export function loaded(name: string, found: bigint, accessBytes: number, lane = 0, old = 0n): bigint {
  const [space = "", op = ""] = name.split(".");
  const width = accessBytes * 8;
  const parts = /^load(\d+)x(\d+)_([su])$/.exec(op);
  if (parts !== null) {
    const narrow = Number(parts[1]);
    const lanes = lanesOf(found, narrow).slice(0, Number(parts[2]));
    return vectorOf(
      lanes.map((x) => (parts[3] === "s" ? wrapped(signed(x, narrow), 2 * narrow) : x)),
      2 * narrow,
    );
  }
  if (op.endsWith("splat")) return vectorOf(Array(128 / width).fill(found), width);
  if (op.endsWith("lane")) return vectorOf(lanesOf(old, width).with(lane, found), width);
  if (op.endsWith("_s")) return wrapped(signed(found, width), Number(space.slice(1)));
  return found;
}
