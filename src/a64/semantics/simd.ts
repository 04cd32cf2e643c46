/** Advanced SIMD on integers: on v128 where WebAssembly has the operation, else lane by lane. */
import type { Local } from "../../wasm/entities.ts";
import type { FunctionBody } from "../../wasm/function-body.ts";
import type { Emit, Fields, Semantics, Special } from "../emit.ts";
import { buildHalf, buildVector, lanesOf, loadFrom, loadLane, type Sign, withLocals } from "./lanes.ts";

const fp = (emit: (e: Emit) => void, more: Omit<Semantics, "emit"> = {}): Semantics => ({
  ...more,
  emit: (e) => {
    e.fpAccess();
    emit(e);
  },
});

/** Scalar encodings have no Q: one element of 64 bits. */
const qOf = (e: Emit): number => (e.has("Q") ? e.field("Q") : 0);
const sizeOf = (e: Emit): number => e.field("size");

type Shape = "i8x16" | "i16x8" | "i32x4" | "i64x2";
const SHAPES: readonly Shape[] = ["i8x16", "i16x8", "i32x4", "i64x2"];

/** Calls an operation of the shape by its name; says whether there is one. */
function vectorOp(f: FunctionBody, size: number, name: string): boolean {
  const shape = f[SHAPES[size]!] as unknown as Record<string, (() => void) | undefined>;
  const operation = shape[name];
  if (operation === undefined) return false;
  operation.call(shape);
  return true;
}

/** Takes two i64 (lanes, extended as `sign` says) in locals; pushes the result. */
type Scalar = (f: FunctionBody, a: Local<"i64">, b: Local<"i64">, size: number) => void;

const binary =
  (operation: "add" | "sub" | "mul" | "and" | "or" | "xor"): Scalar =>
  (f, a, b) => {
    f.local.get(a);
    f.local.get(b);
    f.i64[operation]();
  };

/** All ones where the comparison holds. */
const compare =
  (operation: "eq" | "gtS" | "gtU" | "geS" | "geU" | "leS" | "ltS"): Scalar =>
  (f, a, b) => {
    f.i64.const(0);
    f.local.get(a);
    f.local.get(b);
    f.i64[operation]();
    f.i64.extendI32U();
    f.i64.sub();
  };

const choose =
  (operation: "gtS" | "gtU" | "ltS" | "ltU"): Scalar =>
  (f, a, b) => {
    f.local.get(a);
    f.local.get(b);
    f.local.get(a);
    f.local.get(b);
    f.i64[operation]();
    f.select();
  };

const difference: Scalar = (f, a, b) => {
  f.local.get(a);
  f.local.get(b);
  f.i64.sub();
  f.local.get(b);
  f.local.get(a);
  f.i64.sub();
  f.local.get(a);
  f.local.get(b);
  f.i64.gtS();
  f.select();
};

/** (a + b + round) >> 1 or (a - b) >> 1, for elements below 64 bits. */
const halving =
  (operation: "add" | "sub", round: number): Scalar =>
  (f, a, b) => {
    f.local.get(a);
    f.local.get(b);
    f.i64[operation]();
    if (round > 0) {
      f.i64.const(round);
      f.i64.add();
    }
    f.i64.const(1);
    f.i64.shrS();
  };

/** USHL and SSHL: the lowest byte of b, signed, says how far and to which side. */
const shiftByRegister =
  (sign: Sign): Scalar =>
  (f, a, b, size) => {
    const by = f.local.take("i64");
    const bits = 8 << size;
    f.local.get(b);
    f.i64.extend8S();
    f.local.set(by);
    f.local.get(by);
    f.i64.const(bits);
    f.i64.geS();
    const far = f.if("i64");
    f.i64.const(0);
    f.else(far);
    f.local.get(by);
    f.i64.const(0);
    f.i64.geS();
    const left = f.if("i64");
    f.local.get(a);
    f.local.get(by);
    f.i64.shl();
    f.else(left);
    f.local.get(by);
    f.i64.const(-bits);
    f.i64.leS();
    const gone = f.if("i64");
    if (sign === "s") {
      f.local.get(a);
      f.i64.const(63);
      f.i64.shrS();
    } else f.i64.const(0);
    f.else(gone);
    f.local.get(a);
    f.i64.const(0);
    f.local.get(by);
    f.i64.sub();
    if (sign === "s") f.i64.shrS();
    else f.i64.shrU();
    f.end(gone);
    f.end(left);
    f.end(far);
    f.local.release(by);
  };

/** Three registers of one type, by lanes. */
function byLanes(sign: Sign, operation: Scalar, accumulate?: "add" | "sub"): (e: Emit) => void {
  return (e) => {
    const { f } = e;
    const size = sizeOf(e);
    const count = e.has("Q") ? lanesOf(size, qOf(e)) : 1;
    withLocals(f, 2, (a, b) =>
      buildVector(e, size, count, (i) => {
        if (accumulate !== undefined) loadLane(e, "Rd", size, i, sign);
        loadLane(e, "Rn", size, i, sign);
        f.local.set(a!);
        loadLane(e, "Rm", size, i, sign);
        f.local.set(b!);
        operation(f, a!, b!, size);
        if (accumulate !== undefined) f.i64[accumulate]();
      }),
    );
  };
}

/** A v128 operation of that name if the shape has it, else by lanes. */
function same(name: string, sign: Sign, operation: Scalar): Semantics {
  return fp((e) => {
    const { f } = e;
    const size = sizeOf(e);
    const shape = f[SHAPES[size]!] as unknown as Record<string, unknown>;
    if (shape[name] === undefined) {
      byLanes(sign, operation)(e);
      return;
    }
    e.getV("Rn");
    e.getV("Rm");
    vectorOp(f, size, name);
    e.setVector("Rd", qOf(e));
  });
}

const lanewise = (sign: Sign, operation: Scalar, accumulate?: "add" | "sub"): Semantics =>
  fp(byLanes(sign, operation, accumulate));

/** Saturation with FPSR.QC is in simd-saturating.ts; here is what cannot saturate. */
function bitwise(operation: (e: Emit) => void): Semantics {
  return fp((e) => {
    operation(e);
    e.setVector("Rd", qOf(e));
  });
}

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

/** Pairs of neighbours, first of Rn and then of Rm. */
function pairwise(sign: Sign, operation: Scalar): Semantics {
  return fp((e) => {
    const { f } = e;
    const size = sizeOf(e);
    const count = lanesOf(size, qOf(e));
    withLocals(f, 2, (a, b) =>
      buildVector(e, size, count, (i) => {
        const field = i < count / 2 ? "Rn" : "Rm";
        const lane = 2 * (i % (count / 2));
        loadLane(e, field, size, lane, sign);
        f.local.set(a!);
        loadLane(e, field, size, lane + 1, sign);
        f.local.set(b!);
        operation(f, a!, b!, size);
      }),
    );
  });
}

/** One operand, by lanes. */
function unary(sign: Sign, operation: (f: FunctionBody, a: Local<"i64">, size: number) => void): Semantics {
  return fp((e) => {
    const { f } = e;
    const size = sizeOf(e);
    const count = e.has("Q") ? lanesOf(size, qOf(e)) : 1;
    withLocals(f, 1, (a) =>
      buildVector(e, size, count, (i) => {
        loadLane(e, "Rn", size, i, sign);
        f.local.set(a!);
        operation(f, a!, size);
      }),
    );
  });
}

const compareZero = (operation: "eq" | "gtS" | "geS" | "leS" | "ltS"): Semantics =>
  unary("s", (f, a) => {
    f.i64.const(0);
    f.local.get(a);
    f.i64.const(0);
    f.i64[operation]();
    f.i64.extendI32U();
    f.i64.sub();
  });

/** REV16, REV32, REV64: elements within containers. */
function reverse(containerLog2: number): Semantics {
  return fp((e) => {
    const size = sizeOf(e);
    const q = qOf(e);
    const within = (1 << (containerLog2 - size)) - 1;
    buildVector(e, size, lanesOf(size, q), (i) => loadLane(e, "Rn", size, i ^ within, "u"));
  });
}

function clz(f: FunctionBody, a: Local<"i64">, size: number): void {
  f.local.get(a);
  f.i64.clz();
  f.i64.const(64 - (8 << size));
  f.i64.sub();
}

function addLongPairwise(sign: Sign): Semantics {
  return fp((e) => {
    const size = sizeOf(e);
    buildVector(e, size + 1, lanesOf(size + 1, qOf(e)), (i) => {
      loadLane(e, "Rn", size, 2 * i, sign);
      loadLane(e, "Rn", size, 2 * i + 1, sign);
      e.f.i64.add();
    });
  });
}

/** Reduces all lanes to one, of `long` more bits. */
function across(sign: Sign, operation: Scalar, long = 0): Semantics {
  return fp((e) => {
    const { f } = e;
    const size = sizeOf(e);
    withLocals(f, 2, (a, b) =>
      buildVector(e, size + long, 1, () => {
        loadLane(e, "Rn", size, 0, sign);
        for (let i = 1; i < lanesOf(size, qOf(e)); i++) {
          f.local.set(a!);
          loadLane(e, "Rn", size, i, sign);
          f.local.set(b!);
          operation(f, a!, b!, size);
        }
      }),
    );
  });
}

/** Long and wide forms: elements twice as wide; Q = 1 takes the upper halves of narrow operands. */
function long(sign: Sign, operation: Scalar, form: "long" | "wide", accumulate?: "add" | "sub"): Semantics {
  return fp((e) => {
    const { f } = e;
    const size = sizeOf(e);
    const count = lanesOf(size, 0);
    const upper = qOf(e) * count;
    withLocals(f, 2, (a, b) =>
      buildVector(e, size + 1, count, (i) => {
        if (accumulate !== undefined) loadLane(e, "Rd", size + 1, i, sign);
        if (form === "wide") loadLane(e, "Rn", size + 1, i, sign);
        else loadLane(e, "Rn", size, i + upper, sign);
        f.local.set(a!);
        loadLane(e, "Rm", size, i + upper, sign);
        f.local.set(b!);
        operation(f, a!, b!, size);
        if (accumulate !== undefined) f.i64[accumulate]();
      }),
    );
  });
}

/** The upper halves of sums and differences. */
function highNarrow(operation: "add" | "sub", round: boolean): Semantics {
  return fp((e) => {
    const { f } = e;
    const size = sizeOf(e);
    const bits = 8 << size;
    buildHalf(e, size, qOf(e), (i) => {
      loadLane(e, "Rn", size + 1, i, "u");
      loadLane(e, "Rm", size + 1, i, "u");
      f.i64[operation]();
      if (round) {
        f.i64.constBigInt(1n << BigInt(bits - 1));
        f.i64.add();
      }
      f.i64.const(bits);
      f.i64.shrU();
    });
  });
}

const narrowing: Semantics = fp((e) => {
  buildHalf(e, sizeOf(e), qOf(e), (i) => loadLane(e, "Rn", sizeOf(e) + 1, i, "u"));
});

/** SHLL: widens and shifts by the element's size. */
const shiftLongBySize: Semantics = fp((e) => {
  const { f } = e;
  const size = sizeOf(e);
  const count = lanesOf(size, 0);
  buildVector(e, size + 1, count, (i) => {
    loadLane(e, "Rn", size, i + qOf(e) * count, "u");
    f.i64.const(8 << size);
    f.i64.shl();
  });
});

// ---- Shifts by an immediate ----

const immediateSize = (e: Emit): number => 31 - Math.clz32(e.field("immh"));
const rightShift = (f: Fields): number => 2 * (8 << (31 - Math.clz32(f.immh))) - (f.immh * 8 + f.immb);
const leftShift = (f: Fields): number => f.immh * 8 + f.immb - (8 << (31 - Math.clz32(f.immh)));

/** Takes an i64; pushes it shifted right by aux 0, which may be 64. */
function shiftRight(e: Emit, sign: Sign): void {
  const { f } = e;
  // In two steps: WebAssembly takes amounts modulo 64.
  for (const part of [1, 2]) {
    e.aux(0);
    if (part === 1) {
      f.i32.const(1);
      f.i32.shrU();
    } else {
      e.aux(0);
      f.i32.const(1);
      f.i32.shrU();
      f.i32.sub();
    }
    f.i64.extendI32U();
    if (sign === "s") f.i64.shrS();
    else f.i64.shrU();
  }
}

function shiftRightImmediate(sign: Sign, round: boolean, accumulate: boolean): Semantics {
  return fp(
    (e) => {
      const { f } = e;
      const size = immediateSize(e);
      withLocals(f, 1, (a) =>
        buildVector(e, size, e.has("Q") ? lanesOf(size, qOf(e)) : 1, (i) => {
          if (accumulate) loadLane(e, "Rd", size, i, sign);
          loadLane(e, "Rn", size, i, sign);
          if (round) {
            // The bit below the result's lowest: (x >> n) + (x >> (n - 1) & 1).
            f.local.tee(a!);
            shiftRight(e, sign);
            f.local.get(a!);
            e.aux(0);
            f.i32.const(1);
            f.i32.sub();
            f.i64.extendI32U();
            f.i64.shrU();
            f.i64.const(1);
            f.i64.and();
            f.i64.add();
          } else shiftRight(e, sign);
          if (accumulate) f.i64.add();
        }),
      );
    },
    { aux: [rightShift] },
  );
}

/** Takes an i64; pushes it shifted left by aux 0. */
function shiftLeft(e: Emit): void {
  e.aux(0);
  e.f.i64.extendI32U();
  e.f.i64.shl();
}

const shl: Semantics = fp(
  (e) => {
    const size = immediateSize(e);
    buildVector(e, size, e.has("Q") ? lanesOf(size, qOf(e)) : 1, (i) => {
      loadLane(e, "Rn", size, i, "u");
      shiftLeft(e);
    });
  },
  { aux: [leftShift] },
);

/** SRI and SLI: what the shift leaves empty keeps the destination's bits. */
function shiftInsert(left: boolean): Semantics {
  return fp(
    (e) => {
      const { f } = e;
      const size = immediateSize(e);
      const shift = () => (left ? shiftLeft(e) : shiftRight(e, "u"));
      const ones = (1n << BigInt(8 << size)) - 1n;
      buildVector(e, size, lanesOf(size, qOf(e)), (i) => {
        loadLane(e, "Rn", size, i, "u");
        shift();
        f.i64.constBigInt(ones);
        shift();
        f.i64.const(-1);
        f.i64.xor();
        loadLane(e, "Rd", size, i, "u");
        f.i64.and();
        f.i64.or();
      });
    },
    { aux: [left ? leftShift : rightShift] },
  );
}

function shiftNarrow(round: boolean): Semantics {
  return fp(
    (e) => {
      const { f } = e;
      const size = immediateSize(e);
      buildHalf(e, size, qOf(e), (i) => {
        loadLane(e, "Rn", size + 1, i, "u");
        if (round) {
          f.i64.const(1);
          e.aux(0);
          f.i32.const(1);
          f.i32.sub();
          f.i64.extendI32U();
          f.i64.shl();
          f.i64.add();
        }
        shiftRight(e, "u");
      });
    },
    { aux: [rightShift] },
  );
}

function shiftLong(sign: Sign): Semantics {
  return fp(
    (e) => {
      const size = immediateSize(e);
      const count = lanesOf(size, 0);
      const upper = qOf(e) * count;
      // Lanes are written to a value of their own: Rd may be Rn.
      buildVector(e, size + 1, count, (i) => {
        loadLane(e, "Rn", size, i + upper, sign);
        shiftLeft(e);
      });
    },
    { aux: [leftShift] },
  );
}

// ---- Copies and permutes ----

const ESIZE: Special = {
  name: "esize",
  values: 4,
  of: (f) => Math.max(0, Math.log2(f.imm5 & -f.imm5 & 15)),
};
const indexOf = (f: Fields): number => f.imm5 >> (Math.max(0, Math.log2(f.imm5 & -f.imm5 & 15)) + 1);

/** Pushes the element of a register that a small operand names, as an i64. */
function pushElement(e: Emit, field: string, size: number, index: 0 | 1, sign: Sign): void {
  const { f } = e;
  const at = e.vAddress(field);
  e.aux(index);
  f.i32.const(size);
  f.i32.shl();
  f.i32.add();
  loadFrom(f, size, sign, at);
}

/** Takes an i64; pushes a vector of it. */
function splat(f: FunctionBody, size: number): void {
  if (size < 3) f.i32.wrapI64();
  f[SHAPES[size]!].splat();
}

const copy = (emit: (e: Emit, size: number) => void): Semantics =>
  fp((e) => emit(e, e.field("esize")), { special: [ESIZE], aux: [indexOf] });

/** Writes an i64 into an element of Rd that a small operand names. */
function insertElement(e: Emit, size: number, value: () => void): void {
  const { f } = e;
  const at = f.local.take("i32");
  withLocals(f, 1, (element) => {
    value();
    f.local.set(element!);
    const offset = e.vAddress("Rd");
    e.aux(0);
    f.i32.const(size);
    f.i32.shl();
    f.i32.add();
    f.local.tee(at);
    f.local.get(element!);
    const { i64 } = f;
    [i64.store8, i64.store16, i64.store32, i64.store][size]!.call(i64, offset);
  });
  f.local.release(at);
}

function permute(
  source: (i: number, count: number) => readonly [field: "Rn" | "Rm", lane: number],
): Semantics {
  return fp((e) => {
    const size = sizeOf(e);
    const count = lanesOf(size, qOf(e));
    buildVector(e, size, count, (i) => {
      const [field, lane] = source(i, count);
      loadLane(e, field, size, lane, "u");
    });
  });
}

const zip =
  (part: 0 | 1) =>
  (i: number, count: number): readonly ["Rn" | "Rm", number] => [
    (i & 1) === 0 ? "Rn" : "Rm",
    (i >> 1) + part * (count / 2),
  ];
const uzp =
  (part: 0 | 1) =>
  (i: number, count: number): readonly ["Rn" | "Rm", number] => [
    i < count / 2 ? "Rn" : "Rm",
    2 * (i % (count / 2)) + part,
  ];
const trn =
  (part: 0 | 1) =>
  (i: number): readonly ["Rn" | "Rm", number] => [(i & 1) === 0 ? "Rn" : "Rm", (i & ~1) + part];

const ext: Semantics = fp(
  (e) => {
    const { f } = e;
    const q = qOf(e);
    const bytes = 8 << q;
    buildVector(e, 0, bytes, (i) => {
      // Byte i + index of Rm:Rn.
      const index = f.local.take("i32");
      e.aux(0);
      f.i32.const(i);
      f.i32.add();
      f.local.tee(index);
      f.i32.const(bytes);
      f.i32.ltU();
      const low = f.if("i64");
      const n = e.vAddress("Rn");
      f.local.get(index);
      f.i32.add();
      f.i64.load8U(n);
      f.else(low);
      const m = e.vAddress("Rm");
      f.local.get(index);
      f.i32.const(bytes);
      f.i32.sub();
      f.i32.add();
      f.i64.load8U(m);
      f.end(low);
      f.local.release(index);
    });
  },
  { aux: [(f) => f.imm4] },
);

/** TBL and TBX: bytes of up to four registers; TBX keeps what lies outside. */
function table(keep: boolean): Semantics {
  return fp((e) => {
    const { f } = e;
    const q = qOf(e);
    const result = f.local.take("v128");
    const indices = f.local.take("v128");
    e.getV("Rm");
    f.local.set(indices);
    f.v128.const(0, 0, 0, 0);
    f.local.set(result);
    const registers = e.field("len") + 1;
    for (let i = 0; i < registers; i++) {
      // swizzle gives 0 for indices from 16 on; subtraction makes those below wrap around.
      e.getV("Rn", i);
      f.local.get(indices);
      f.i32.const(16 * i);
      f.i8x16.splat();
      f.i8x16.sub();
      f.i8x16.swizzle();
      f.local.get(result);
      f.v128.or();
      f.local.set(result);
    }
    if (keep) {
      e.getV("Rd");
      f.local.get(result);
      f.local.get(indices);
      f.i32.const(16 * registers);
      f.i8x16.splat();
      f.i8x16.geU();
      f.v128.bitselect();
    } else f.local.get(result);
    e.setVector("Rd", q);
    f.local.release(result);
    f.local.release(indices);
  });
}

// ---- Immediates ----

const imm8Of = (f: Fields): number =>
  (f.a << 7) | (f.b << 6) | (f.c << 5) | (f.d << 4) | (f.e << 3) | (f.f << 2) | (f.g << 1) | f.h;

const repeat = (value: bigint, bits: number): bigint => {
  let out = 0n;
  for (let at = 0; at < 64; at += bits) out |= value << BigInt(at);
  return out;
};

/** AdvSIMDExpandImm. */
function expandImmediate(f: Fields): bigint {
  const imm8 = BigInt(imm8Of(f));
  const { cmode, op } = f;
  switch (cmode >> 1) {
    case 0:
    case 1:
    case 2:
    case 3:
      return repeat(imm8 << BigInt(8 * (cmode >> 1)), 32);
    case 4:
    case 5:
      return repeat(imm8 << BigInt(8 * ((cmode >> 1) & 1)), 16);
    case 6:
      return repeat((cmode & 1) === 0 ? (imm8 << 8n) | 0xffn : (imm8 << 16n) | 0xffffn, 32);
  }
  if ((cmode & 1) === 0 && op === 0) return repeat(imm8, 8);
  if ((cmode & 1) === 0) {
    let out = 0n;
    for (let i = 0n; i < 8n; i++) if (((imm8 >> i) & 1n) === 1n) out |= 0xffn << (8n * i);
    return out;
  }
  const sign = imm8 >> 7n;
  const b = (imm8 >> 6n) & 1n;
  const rest = imm8 & 0x3fn;
  if (op === 0)
    return repeat((sign << 31n) | ((b ^ 1n) << 30n) | ((b === 1n ? 0x1fn : 0n) << 25n) | (rest << 19n), 32);
  return (sign << 63n) | ((b ^ 1n) << 62n) | ((b === 1n ? 0xffn : 0n) << 54n) | (rest << 48n);
}

/** MOVI, MVNI, ORR, BIC and FMOV: cmode and op say which. */
const immediates: Semantics = fp(
  (e) => {
    const { f } = e;
    const cmode = e.field("cmode");
    const op = e.field("op");
    const combines = cmode < 12 && (cmode & 1) === 1;
    const inverts = op === 1 && cmode < 14;
    if (combines) e.getV("Rd");
    e.imm();
    f.i64x2.splat();
    if (inverts && !combines) f.v128.not();
    if (combines) {
      if (op === 0) f.v128.or();
      else f.v128.andnot();
    }
    e.setVector("Rd", qOf(e));
  },
  { imm: expandImmediate },
);

const shiftSame = (sign: Sign): Semantics => lanewise(sign, shiftByRegister(sign));

export const SIMD_INTEGER = {
  SHADD: lanewise("s", halving("add", 0)),
  UHADD: lanewise("u", halving("add", 0)),
  SRHADD: lanewise("s", halving("add", 1)),
  URHADD: lanewise("u", halving("add", 1)),
  SHSUB: lanewise("s", halving("sub", 0)),
  UHSUB: lanewise("u", halving("sub", 0)),
  CMGT_vector: same("gtS", "s", compare("gtS")),
  CMHI_vector: same("gtU", "u", compare("gtU")),
  CMGE_vector: same("geS", "s", compare("geS")),
  CMHS_vector: same("geU", "u", compare("geU")),
  CMEQ_vector: same("eq", "u", compare("eq")),
  CMTST_vector: lanewise("u", (f, a, b) => {
    f.i64.const(0);
    f.local.get(a);
    f.local.get(b);
    f.i64.and();
    f.i64.const(0);
    f.i64.ne();
    f.i64.extendI32U();
    f.i64.sub();
  }),
  SSHL_vector: shiftSame("s"),
  USHL_vector: shiftSame("u"),
  SMAX: same("maxS", "s", choose("gtS")),
  UMAX: same("maxU", "u", choose("gtU")),
  SMIN: same("minS", "s", choose("ltS")),
  UMIN: same("minU", "u", choose("ltU")),
  SABD: lanewise("s", difference),
  UABD: lanewise("u", difference),
  SABA: lanewise("s", difference, "add"),
  UABA: lanewise("u", difference, "add"),
  ADD_vector: same("add", "u", binary("add")),
  SUB_vector: same("sub", "u", binary("sub")),
  MUL_vector: same("mul", "u", binary("mul")),
  MLA_vector: lanewise("u", binary("mul"), "add"),
  MLS_vector: lanewise("u", binary("mul"), "sub"),
  SMAXP: pairwise("s", choose("gtS")),
  UMAXP: pairwise("u", choose("gtU")),
  SMINP: pairwise("s", choose("ltS")),
  UMINP: pairwise("u", choose("ltU")),
  ADDP_vector: pairwise("u", binary("add")),
  AND_vector: logic("and"),
  BIC_vector: logic("andnot"),
  ORR_vector: logic("or"),
  ORN_vector: logic("or", true),
  EOR_vector: logic("xor"),
  BSL: insertBits("Rn", "Rm", "Rd"),
  BIT: insertBits("Rn", "Rd", "Rm"),
  BIF: insertBits("Rd", "Rn", "Rm"),
  ADD_scalar: lanewise("u", binary("add")),
  SUB_scalar: lanewise("u", binary("sub")),
  CMGT_scalar: lanewise("s", compare("gtS")),
  CMHI_scalar: lanewise("u", compare("gtU")),
  CMGE_scalar: lanewise("s", compare("geS")),
  CMHS_scalar: lanewise("u", compare("geU")),
  CMTST_scalar: lanewise("u", (f, a, b) => {
    f.i64.const(0);
    f.local.get(a);
    f.local.get(b);
    f.i64.and();
    f.i64.const(0);
    f.i64.ne();
    f.i64.extendI32U();
    f.i64.sub();
  }),
  CMEQ_scalar: lanewise("u", compare("eq")),
  SSHL_scalar: shiftSame("s"),
  USHL_scalar: shiftSame("u"),
  ADDP_scalar: fp((e) => {
    loadLane(e, "Rn", 3, 0, "u");
    loadLane(e, "Rn", 3, 1, "u");
    e.f.i64.add();
    e.setD("Rd");
  }),
  REV64: reverse(3),
  REV32_vector: reverse(2),
  REV16_vector: reverse(1),
  SADDLP: addLongPairwise("s"),
  UADDLP: addLongPairwise("u"),
  CLZ_vector: unary("u", clz),
  CLS_vector: unary("s", (f, a, size) => {
    // Leading bits that equal the sign, without it.
    f.local.get(a);
    f.local.get(a);
    f.i64.const(63);
    f.i64.shrS();
    f.i64.xor();
    f.i64.clz();
    f.i64.const(65 - (8 << size));
    f.i64.sub();
  }),
  CNT: fp((e) => {
    e.getV("Rn");
    e.f.i8x16.popcnt();
    e.setVector("Rd", qOf(e));
  }),
  NOT: fp((e) => {
    e.getV("Rn");
    e.f.v128.not();
    e.setVector("Rd", qOf(e));
  }),
  RBIT_vector: fp((e) => {
    const { f } = e;
    withLocals(f, 1, (a) =>
      buildVector(e, 0, lanesOf(0, qOf(e)), (i) => {
        loadLane(e, "Rn", 0, i, "u");
        f.local.set(a!);
        for (let bit = 0; bit < 8; bit++) {
          f.local.get(a!);
          f.i64.const(bit);
          f.i64.shrU();
          f.i64.const(1);
          f.i64.and();
          f.i64.const(7 - bit);
          f.i64.shl();
          if (bit > 0) f.i64.or();
        }
      }),
    );
  }),
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
  ABS_vector: fp((e) => {
    e.getV("Rn");
    e.f[SHAPES[sizeOf(e)]!].abs();
    e.setVector("Rd", qOf(e));
  }),
  NEG_vector: fp((e) => {
    e.getV("Rn");
    e.f[SHAPES[sizeOf(e)]!].neg();
    e.setVector("Rd", qOf(e));
  }),
  XTN: narrowing,
  SHLL: shiftLongBySize,
  ADDV: across("u", binary("add")),
  SMAXV: across("s", choose("gtS")),
  UMAXV: across("u", choose("gtU")),
  SMINV: across("s", choose("ltS")),
  UMINV: across("u", choose("ltU")),
  SADDLV: across("s", binary("add"), 1),
  UADDLV: across("u", binary("add"), 1),
  SADDL: long("s", binary("add"), "long"),
  UADDL: long("u", binary("add"), "long"),
  SADDW: long("s", binary("add"), "wide"),
  UADDW: long("u", binary("add"), "wide"),
  SSUBL: long("s", binary("sub"), "long"),
  USUBL: long("u", binary("sub"), "long"),
  SSUBW: long("s", binary("sub"), "wide"),
  USUBW: long("u", binary("sub"), "wide"),
  ADDHN: highNarrow("add", false),
  RADDHN: highNarrow("add", true),
  SUBHN: highNarrow("sub", false),
  RSUBHN: highNarrow("sub", true),
  SABAL: long("s", difference, "long", "add"),
  UABAL: long("u", difference, "long", "add"),
  SABDL: long("s", difference, "long"),
  UABDL: long("u", difference, "long"),
  SMLAL: long("s", binary("mul"), "long", "add"),
  UMLAL: long("u", binary("mul"), "long", "add"),
  SMLSL: long("s", binary("mul"), "long", "sub"),
  UMLSL: long("u", binary("mul"), "long", "sub"),
  SMULL: long("s", binary("mul"), "long"),
  UMULL: long("u", binary("mul"), "long"),
  SSHR: shiftRightImmediate("s", false, false),
  USHR: shiftRightImmediate("u", false, false),
  SSRA: shiftRightImmediate("s", false, true),
  USRA: shiftRightImmediate("u", false, true),
  SRSHR: shiftRightImmediate("s", true, false),
  URSHR: shiftRightImmediate("u", true, false),
  SHL: shl,
  SRI: shiftInsert(false),
  SLI: shiftInsert(true),
  SHRN: shiftNarrow(false),
  RSHRN: shiftNarrow(true),
  SSHLL: shiftLong("s"),
  USHLL: shiftLong("u"),
  SSHR_scalar: shiftRightImmediate("s", false, false),
  USHR_scalar: shiftRightImmediate("u", false, false),
  SHL_scalar: shl,
  DUP_element: copy((e, size) => {
    pushElement(e, "Rn", size, 0, "u");
    splat(e.f, size);
    e.setVector("Rd", qOf(e));
  }),
  DUP_element_scalar: copy((e, size) => {
    pushElement(e, "Rn", size, 0, "u");
    e.setD("Rd");
  }),
  DUP_general: copy((e, size) => {
    e.getX("Rn");
    splat(e.f, size);
    e.setVector("Rd", qOf(e));
  }),
  SMOV: copy((e, size) => {
    pushElement(e, "Rn", size, 0, "s");
    if (e.field("Q") === 0) {
      e.f.i64.const(0xffff_ffff);
      e.f.i64.and();
    }
    e.setX("Rd");
  }),
  UMOV: copy((e, size) => {
    pushElement(e, "Rn", size, 0, "u");
    e.setX("Rd");
  }),
  INS_general: copy((e, size) => insertElement(e, size, () => e.getX("Rn"))),
  INS_element: fp(
    (e) => {
      const size = e.field("esize");
      insertElement(e, size, () => pushElement(e, "Rn", size, 1, "u"));
    },
    {
      special: [ESIZE],
      aux: [indexOf, (f) => f.imm4 >> Math.max(0, Math.log2(f.imm5 & -f.imm5 & 15))],
    },
  ),
  EXT: ext,
  UZP1: permute(uzp(0)),
  UZP2: permute(uzp(1)),
  ZIP1: permute(zip(0)),
  ZIP2: permute(zip(1)),
  TRN1: permute(trn(0)),
  TRN2: permute(trn(1)),
  TBL: table(false),
  TBX: table(true),
  MOVI_etc: immediates,
} satisfies Record<string, Semantics>;
