/** Data processing on general registers. */
import type { Emit, Fields, Semantics } from "../emit.ts";
import { STATE } from "../state.ts";
import { bitMask, decodeBitMasks } from "./bit-masks.ts";

/** Encodings without sf are 64-bit. */
const is64 = (e: Emit): boolean => !e.has("sf") || e.field("sf") === 1;

/** Takes an i64 or i32 result and sets N and Z from it. */
function setNzOf(e: Emit, wide: boolean): void {
  if (!wide) e.f.i64.extendI32S();
  e.setNz();
}

type Operand = (e: Emit, wide: boolean) => void;

/** Pushes the second operand of the immediate forms: `imm12`, shifted. */
const immediate: Operand = (e, wide) => (wide ? e.imm() : e.imm32());

const SHIFTS = ["shl", "shrU", "shrS", "rotr"] as const;

/** Pushes Rm shifted by a constant. */
const shifted: Operand = (e, wide) => {
  e.getR("Rm", wide);
  e.aux(0);
  const shift = SHIFTS[e.field("shift")]!;
  if (wide) {
    e.f.i64.extendI32U();
    e.f.i64[shift]();
  } else e.f.i32[shift]();
};

/** Pushes Rm extended and shifted left (ExtendReg). */
const extended: Operand = (e, wide) => {
  extendRegister(e, e.field("option"), wide);
  e.aux(0);
  if (wide) {
    e.f.i64.extendI32U();
    e.f.i64.shl();
  } else e.f.i32.shl();
};

/** Pushes X[Rm] or W[Rm], extended as `option` says. */
export function extendRegister(e: Emit, option: number, wide: boolean): void {
  const { f } = e;
  if (!wide) {
    e.getW("Rm");
    if (option === 0) mask32(e, 0xff);
    else if (option === 1) mask32(e, 0xffff);
    else if (option === 4) f.i32.extend8S();
    else if (option === 5) f.i32.extend16S();
    return;
  }
  e.getX("Rm");
  if (option < 3) {
    f.i64.const([0xff, 0xffff, 0xffff_ffff][option]!);
    f.i64.and();
  } else if (option === 4) f.i64.extend8S();
  else if (option === 5) f.i64.extend16S();
  else if (option === 6) f.i64.extend32S();
}

function mask32(e: Emit, mask: number): void {
  e.f.i32.const(mask);
  e.f.i32.and();
}

/** ADD, ADDS, SUB, SUBS: AddWithCarry without a carry coming in. */
function addSub(subtract: boolean, flags: boolean, operand: Operand): (e: Emit) => void {
  return (e) => {
    const wide = is64(e);
    const { f } = e;
    e.getR("Rn", wide);
    if (!flags) {
      operand(e, wide);
      const ops = wide ? f.i64 : f.i32;
      if (subtract) ops.sub();
      else ops.add();
      e.setR("Rd", wide);
      return;
    }
    const type = wide ? "i64" : "i32";
    const a = f.local.take(type);
    const b = f.local.take(type);
    f.local.set(a);
    operand(e, wide);
    f.local.set(b);
    addFlags(
      e,
      wide,
      subtract,
      () => f.local.get(a),
      () => f.local.get(b),
    );
    f.local.release(a);
    f.local.release(b);
  };
}

/** Sets NZCV from a + b or a - b and writes the result to Rd (unless it has no such field). */
function addFlags(
  e: Emit,
  wide: boolean,
  subtract: boolean,
  a: () => void,
  b: () => void,
  result = true,
): void {
  const { f } = e;
  const ops = wide ? f.i64 : f.i32;
  const r = f.local.take(wide ? "i64" : "i32");
  a();
  b();
  if (subtract) ops.sub();
  else ops.add();
  f.local.set(r);
  f.local.get(r);
  setNzOf(e, wide);
  f.local.get(e.cpu);
  if (subtract) {
    a();
    b();
    ops.geU();
  } else {
    f.local.get(r);
    a();
    ops.ltU();
  }
  f.i32.store(STATE.CF);
  f.local.get(e.cpu);
  a();
  b();
  ops.xor();
  a();
  f.local.get(r);
  ops.xor();
  if (subtract) ops.and();
  else {
    // (a ^ r) & ~(a ^ b), the operands being (a ^ b) and (a ^ r).
    ops.and();
    a();
    f.local.get(r);
    ops.xor();
    ops.xor();
  }
  if (!wide) f.i64.extendI32S();
  f.i64.store(STATE.VF);
  if (result) {
    f.local.get(r);
    e.setR("Rd", wide);
  }
  f.local.release(r);
}

/** ADC, ADCS, SBC, SBCS. */
function addCarry(subtract: boolean, flags: boolean): (e: Emit) => void {
  return (e) => {
    const wide = is64(e);
    const { f } = e;
    const ops = wide ? f.i64 : f.i32;
    const type = wide ? "i64" : "i32";
    const a = f.local.take(type);
    const b = f.local.take(type);
    const r = f.local.take(type);
    e.getR("Rn", wide);
    f.local.set(a);
    e.getR("Rm", wide);
    if (subtract) {
      ops.const(-1);
      ops.xor();
    }
    f.local.set(b);
    f.local.get(a);
    f.local.get(b);
    ops.add();
    e.get32("CF");
    if (wide) f.i64.extendI32U();
    ops.add();
    f.local.set(r);
    if (flags) {
      // The carry in decides where result and operand are equal.
      f.local.get(e.cpu);
      f.local.get(r);
      f.local.get(a);
      ops.ltU();
      f.local.get(r);
      f.local.get(a);
      ops.eq();
      e.get32("CF");
      f.i32.and();
      f.i32.or();
      f.i32.store(STATE.CF);
      f.local.get(r);
      setNzOf(e, wide);
      f.local.get(e.cpu);
      f.local.get(a);
      f.local.get(r);
      ops.xor();
      f.local.get(b);
      f.local.get(r);
      ops.xor();
      ops.and();
      if (!wide) f.i64.extendI32S();
      f.i64.store(STATE.VF);
    }
    f.local.get(r);
    e.setR("Rd", wide);
    f.local.release(a);
    f.local.release(b);
    f.local.release(r);
  };
}

type Logical = "and" | "or" | "xor";

function logical(op: Logical, invert: boolean, flags: boolean, operand: Operand): (e: Emit) => void {
  return (e) => {
    const wide = is64(e);
    const { f } = e;
    const ops = wide ? f.i64 : f.i32;
    e.getR("Rn", wide);
    operand(e, wide);
    if (invert) {
      ops.const(-1);
      ops.xor();
    }
    ops[op]();
    if (flags) {
      const r = f.local.take(wide ? "i64" : "i32");
      f.local.tee(r);
      setNzOf(e, wide);
      e.const32("CF", 0);
      f.local.get(e.cpu);
      f.i64.const(0);
      f.i64.store(STATE.VF);
      f.local.get(r);
      f.local.release(r);
    }
    e.setR("Rd", wide);
  };
}

const shiftedImm12 = (f: Fields): number => f.imm12 * (f.sh === 1 ? 4096 : 1);

const addImmediate = (subtract: boolean, flags: boolean): Semantics => ({
  imm: shiftedImm12,
  emit: addSub(subtract, flags, immediate),
  inline: true,
});
const addShifted = (subtract: boolean, flags: boolean): Semantics => ({
  aux: [(f) => f.imm6],
  emit: addSub(subtract, flags, shifted),
  inline: true,
});
const addExtended = (subtract: boolean, flags: boolean): Semantics => ({
  aux: [(f) => f.imm3],
  emit: addSub(subtract, flags, extended),
});
const logicalImmediate = (op: Logical, flags = false): Semantics => ({
  imm: bitMask,
  emit: logical(op, false, flags, immediate),
  inline: true,
});
const logicalShifted = (op: Logical, invert: boolean, flags = false): Semantics => ({
  aux: [(f) => f.imm6],
  emit: logical(op, invert, flags, shifted),
  inline: true,
});

/** UBFM: rotate, then keep the bits of the mask. */
const ubfm: Semantics = {
  imm: (f) => {
    const { wmask, tmask } = decodeBitMasks(f);
    return wmask & tmask;
  },
  aux: [(f) => f.immr],
  inline: true,
  emit: (e) => {
    rotated(e, "Rn");
    maskOf(e);
    e.setR("Rd", is64(e));
  },
};

/** Pushes the register rotated right by aux 0. */
function rotated(e: Emit, field: string): void {
  const wide = is64(e);
  e.getR(field, wide);
  e.aux(0);
  if (wide) {
    e.f.i64.extendI32U();
    e.f.i64.rotr();
  } else e.f.i32.rotr();
}

function maskOf(e: Emit): void {
  const wide = is64(e);
  immediate(e, wide);
  if (wide) e.f.i64.and();
  else e.f.i32.and();
}

const bfm: Semantics = {
  imm: ubfm.imm!,
  aux: ubfm.aux!,
  emit: (e) => {
    const wide = is64(e);
    const ops = wide ? e.f.i64 : e.f.i32;
    // (d ^ rotated) & mask ^ d takes the masked bits of `rotated` and the others of d.
    rotated(e, "Rn");
    e.getR("Rd", wide);
    ops.xor();
    maskOf(e);
    e.getR("Rd", wide);
    ops.xor();
    e.setR("Rd", wide);
  },
};

/**
 * SBFM as two shifts: the field's top bit goes to the register's top, and comes down arithmetically to where the field
 * shall begin.
 */
const sbfm: Semantics = {
  aux: [
    (f) => (f.sf === 1 ? 63 : 31) - f.imms,
    (f) => {
      const top = f.sf === 1 ? 63 : 31;
      // imms < immr: the field moves up to width - immr.
      return f.imms >= f.immr ? top - f.imms + f.immr : top - f.imms - (top + 1 - f.immr);
    },
  ],
  emit: (e) => {
    const wide = is64(e);
    e.getR("Rn", wide);
    e.aux(0);
    if (wide) {
      e.f.i64.extendI32U();
      e.f.i64.shl();
    } else e.f.i32.shl();
    e.aux(1);
    if (wide) {
      e.f.i64.extendI32U();
      e.f.i64.shrS();
    } else e.f.i32.shrS();
    e.setR("Rd", wide);
  },
  inline: true,
};

const moveWide = (e: Emit): void => {
  e.imm();
  e.setX("Rd");
};

const movedWide = (f: Fields): bigint => BigInt(f.imm16) << BigInt(16 * f.hw);

const extr: Semantics = {
  aux: [(f) => f.imms],
  emit: (e) => {
    const wide = is64(e);
    const { f } = e;
    const ops = wide ? f.i64 : f.i32;
    const amount = () => {
      e.aux(0);
      if (wide) f.i64.extendI32U();
    };
    e.getR("Rm", wide);
    amount();
    ops.shrU();
    // Rn << (size - lsb), in two steps since a shift by the size would be none.
    e.getR("Rn", wide);
    ops.const(1);
    ops.shl();
    ops.const(wide ? 63 : 31);
    amount();
    ops.sub();
    ops.shl();
    ops.or();
    e.setR("Rd", wide);
  },
};

/** CCMN, CCMP: compares where the condition holds, else takes the flags from the instruction. */
function conditionalCompare(subtract: boolean, operand: Operand): (e: Emit) => void {
  return (e) => {
    const wide = is64(e);
    const { f } = e;
    const type = wide ? "i64" : "i32";
    e.condition(e.field("cond"));
    const holds = f.if();
    const a = f.local.take(type);
    const b = f.local.take(type);
    e.getR("Rn", wide);
    f.local.set(a);
    operand(e, wide);
    f.local.set(b);
    addFlags(
      e,
      wide,
      subtract,
      () => f.local.get(a),
      () => f.local.get(b),
      false,
    );
    f.local.release(a);
    f.local.release(b);
    f.else(holds);
    e.aux(0);
    e.setNzcv();
    f.end(holds);
  };
}

const compareImmediate = (subtract: boolean): Semantics => ({
  imm: (f) => f.imm5,
  aux: [(f) => f.nzcv],
  emit: conditionalCompare(subtract, immediate),
  inline: true,
});
const compareRegister = (subtract: boolean): Semantics => ({
  aux: [(f) => f.nzcv],
  emit: conditionalCompare(subtract, (e, wide) => e.getR("Rm", wide)),
  inline: true,
});

function conditionalSelect(other: (e: Emit, wide: boolean) => void): Semantics {
  return {
    inline: true,
    emit: (e) => {
      const wide = is64(e);
      e.getR("Rn", wide);
      e.getR("Rm", wide);
      other(e, wide);
      e.condition(e.field("cond"));
      e.f.select();
      e.setR("Rd", wide);
    },
  };
}

const ops = (e: Emit, wide: boolean) => (wide ? e.f.i64 : e.f.i32);

function plusOne(e: Emit, wide: boolean): void {
  ops(e, wide).const(1);
  ops(e, wide).add();
}

function invert(e: Emit, wide: boolean): void {
  ops(e, wide).const(-1);
  ops(e, wide).xor();
}

function multiplyAdd(subtract: boolean): Semantics {
  return {
    inline: true,
    emit: (e) => {
      const wide = is64(e);
      e.getR("Ra", wide);
      e.getR("Rn", wide);
      e.getR("Rm", wide);
      ops(e, wide).mul();
      if (subtract) ops(e, wide).sub();
      else ops(e, wide).add();
      e.setR("Rd", wide);
    },
  };
}

function multiplyAddLong(signed: boolean, subtract: boolean): Semantics {
  return {
    emit: (e) => {
      const { f } = e;
      e.getX("Ra");
      for (const field of ["Rn", "Rm"]) {
        e.getW(field);
        if (signed) f.i64.extendI32S();
        else f.i64.extendI32U();
      }
      f.i64.mul();
      if (subtract) f.i64.sub();
      else f.i64.add();
      e.setX("Rd");
    },
  };
}

/** The upper half of a 128-bit product, from four products of halves. */
function multiplyHigh(signed: boolean): Semantics {
  return {
    emit: (e) => {
      const { f } = e;
      const a = f.local.take("i64");
      const b = f.local.take("i64");
      const low = f.local.take("i64");
      const middle = f.local.take("i64");
      e.getX("Rn");
      f.local.set(a);
      e.getX("Rm");
      f.local.set(b);
      const half = (value: typeof a, high: boolean) => {
        f.local.get(value);
        if (high) {
          f.i64.const(32);
          f.i64.shrU();
        } else {
          f.i64.const(0xffff_ffff);
          f.i64.and();
        }
      };
      const product = (aHigh: boolean, bHigh: boolean) => {
        half(a, aHigh);
        half(b, bHigh);
        f.i64.mul();
      };
      // low = a0 * b0 >> 32 + a1 * b0: no carry is lost, since (2^32 - 1)^2 + 2^32 - 1 fits.
      product(false, false);
      f.i64.const(32);
      f.i64.shrU();
      product(true, false);
      f.i64.add();
      f.local.set(low);
      product(false, true);
      half(low, false);
      f.i64.add();
      f.local.set(middle);
      product(true, true);
      half(low, true);
      f.i64.add();
      half(middle, true);
      f.i64.add();
      if (signed) {
        // Signed operands: each negative one has counted the other 2^64 times too often.
        for (const [negative, other] of [
          [a, b],
          [b, a],
        ] as const) {
          f.local.get(negative);
          f.i64.const(63);
          f.i64.shrS();
          f.local.get(other);
          f.i64.and();
          f.i64.sub();
        }
      }
      e.setX("Rd");
      for (const local of [a, b, low, middle]) f.local.release(local);
    },
  };
}

function divide(signed: boolean): Semantics {
  return {
    emit: (e) => {
      const wide = is64(e);
      const { f } = e;
      const o = ops(e, wide);
      const divisor = f.local.take(wide ? "i64" : "i32");
      e.getR("Rm", wide);
      f.local.tee(divisor);
      o.eqz();
      const zero = f.if(wide ? "i64" : "i32");
      o.const(0);
      f.else(zero);
      if (signed) {
        // The least number by -1 is itself; WebAssembly traps there.
        f.local.get(divisor);
        o.const(-1);
        o.eq();
        const minusOne = f.if(wide ? "i64" : "i32");
        o.const(0);
        e.getR("Rn", wide);
        o.sub();
        f.else(minusOne);
        e.getR("Rn", wide);
        f.local.get(divisor);
        o.divS();
        f.end(minusOne);
      } else {
        e.getR("Rn", wide);
        f.local.get(divisor);
        o.divU();
      }
      f.end(zero);
      e.setR("Rd", wide);
      f.local.release(divisor);
    },
  };
}

/** LSLV and the like: WebAssembly takes shift amounts modulo the size, as A64 does. */
const shiftVariable = (shift: (typeof SHIFTS)[number]): Semantics => ({
  inline: true,
  emit: (e) => {
    const wide = is64(e);
    e.getR("Rn", wide);
    e.getR("Rm", wide);
    ops(e, wide)[shift]();
    e.setR("Rd", wide);
  },
});

/** Swaps neighbouring groups of `bits` bits: x = (x >> bits & mask) | (x & mask) << bits. */
function swapGroups(e: Emit, wide: boolean, bits: number, mask: bigint): void {
  const { f } = e;
  const o = ops(e, wide);
  const value = f.local.take(wide ? "i64" : "i32");
  const pushMask = () => {
    if (wide) f.i64.constBigInt(mask);
    else f.i32.const(Number(mask & 0xffff_ffffn));
  };
  f.local.tee(value);
  o.const(bits);
  o.shrU();
  pushMask();
  o.and();
  f.local.get(value);
  pushMask();
  o.and();
  o.const(bits);
  o.shl();
  o.or();
  f.local.release(value);
}

const GROUPS: readonly (readonly [number, bigint])[] = [
  [1, 0x5555_5555_5555_5555n],
  [2, 0x3333_3333_3333_3333n],
  [4, 0x0f0f_0f0f_0f0f_0f0fn],
  [8, 0x00ff_00ff_00ff_00ffn],
  [16, 0x0000_ffff_0000_ffffn],
];

/** Swaps groups of `from` bits and more, below `containerBits`. */
function reverse(fromBits: number, container: (wide: boolean) => number): Semantics {
  return {
    emit: (e) => {
      const wide = is64(e);
      e.getR("Rn", wide);
      const limit = container(wide);
      for (const [bits, mask] of GROUPS)
        if (bits >= fromBits && bits < limit) swapGroups(e, wide, bits, mask);
      if (limit === 64) {
        e.f.i64.const(32);
        e.f.i64.rotr();
      }
      e.setR("Rd", wide);
    },
  };
}

const clz: Semantics = {
  emit: (e) => {
    const wide = is64(e);
    e.getR("Rn", wide);
    ops(e, wide).clz();
    e.setR("Rd", wide);
  },
};

/** CLS: the bits after the first that equal it. */
const cls: Semantics = {
  emit: (e) => {
    const wide = is64(e);
    const { f } = e;
    const o = ops(e, wide);
    const value = f.local.take(wide ? "i64" : "i32");
    e.getR("Rn", wide);
    f.local.tee(value);
    f.local.get(value);
    o.const(wide ? 63 : 31);
    o.shrS();
    o.xor();
    // The first bit is zero now: shifted out, a one behind all of them bounds the count.
    o.const(1);
    o.shl();
    o.const(1);
    o.or();
    o.clz();
    e.setR("Rd", wide);
    f.local.release(value);
  },
};

/** CRC32 by bits: `polynomial` is bit-reversed, as the data is. */
function crc32(polynomial: number): Semantics {
  return {
    emit: (e) => {
      const { f } = e;
      const crc = f.local.take("i32");
      const data = f.local.take("i64");
      const bitsLeft = f.local.take("i32");
      const size = e.field("sz");
      e.getW("Rn");
      f.local.set(crc);
      e.getX("Rm");
      f.local.set(data);
      f.i32.const(8 << size);
      f.local.set(bitsLeft);
      const loop = f.loop();
      f.local.get(crc);
      f.i32.const(1);
      f.i32.shrU();
      f.i32.const(polynomial);
      f.i32.const(0);
      f.local.get(crc);
      f.local.get(data);
      f.i32.wrapI64();
      f.i32.xor();
      f.i32.const(1);
      f.i32.and();
      f.select();
      f.i32.xor();
      f.local.set(crc);
      f.local.get(data);
      f.i64.const(1);
      f.i64.shrU();
      f.local.set(data);
      f.local.get(bitsLeft);
      f.i32.const(1);
      f.i32.sub();
      f.local.tee(bitsLeft);
      f.brIf(loop);
      f.end(loop);
      f.local.get(crc);
      e.setW("Rd");
      f.local.release(crc);
      f.local.release(data);
      f.local.release(bitsLeft);
    },
  };
}

export const INTEGER = {
  ADD_imm: addImmediate(false, false),
  ADDS_imm: addImmediate(false, true),
  SUB_imm: addImmediate(true, false),
  SUBS_imm: addImmediate(true, true),
  AND_imm: logicalImmediate("and"),
  ORR_imm: logicalImmediate("or"),
  EOR_imm: logicalImmediate("xor"),
  ANDS_imm: logicalImmediate("and", true),
  MOVZ: { imm: movedWide, emit: moveWide, inline: true },
  MOVN: {
    imm: (f) => ~movedWide(f) & (f.sf === 1 ? 0xffff_ffff_ffff_ffffn : 0xffff_ffffn),
    emit: moveWide,
    inline: true,
  },
  MOVK: {
    imm: movedWide,
    aux: [(f) => 16 * f.hw],
    inline: true,
    emit: (e) => {
      const { f } = e;
      if (is64(e)) e.getX("Rd");
      else {
        e.getW("Rd");
        f.i64.extendI32U();
      }
      f.i64.const(0xffff);
      e.aux(0);
      f.i64.extendI32U();
      f.i64.shl();
      f.i64.const(-1);
      f.i64.xor();
      f.i64.and();
      e.imm();
      f.i64.or();
      e.setX("Rd");
    },
  },
  SBFM: sbfm,
  BFM: bfm,
  UBFM: ubfm,
  EXTR: extr,
  ADD_shift: addShifted(false, false),
  ADDS_shift: addShifted(false, true),
  SUB_shift: addShifted(true, false),
  SUBS_shift: addShifted(true, true),
  ADD_ext: addExtended(false, false),
  ADDS_ext: addExtended(false, true),
  SUB_ext: addExtended(true, false),
  SUBS_ext: addExtended(true, true),
  ADC: { emit: addCarry(false, false) },
  ADCS: { emit: addCarry(false, true) },
  SBC: { emit: addCarry(true, false) },
  SBCS: { emit: addCarry(true, true) },
  AND_shift: logicalShifted("and", false),
  BIC_shift: logicalShifted("and", true),
  ORR_shift: logicalShifted("or", false),
  ORN_shift: logicalShifted("or", true),
  EOR_shift: logicalShifted("xor", false),
  EON_shift: logicalShifted("xor", true),
  ANDS_shift: logicalShifted("and", false, true),
  BICS_shift: logicalShifted("and", true, true),
  CCMN_imm: compareImmediate(false),
  CCMP_imm: compareImmediate(true),
  CCMN_reg: compareRegister(false),
  CCMP_reg: compareRegister(true),
  CSEL: conditionalSelect(() => {}),
  CSINC: conditionalSelect(plusOne),
  CSINV: conditionalSelect(invert),
  CSNEG: conditionalSelect((e, wide) => {
    invert(e, wide);
    plusOne(e, wide);
  }),
  MADD: multiplyAdd(false),
  MSUB: multiplyAdd(true),
  SMADDL: multiplyAddLong(true, false),
  SMSUBL: multiplyAddLong(true, true),
  UMADDL: multiplyAddLong(false, false),
  UMSUBL: multiplyAddLong(false, true),
  SMULH: multiplyHigh(true),
  UMULH: multiplyHigh(false),
  UDIV: divide(false),
  SDIV: divide(true),
  LSLV: shiftVariable("shl"),
  LSRV: shiftVariable("shrU"),
  ASRV: shiftVariable("shrS"),
  RORV: shiftVariable("rotr"),
  RBIT: reverse(1, (wide) => (wide ? 64 : 32)),
  REV16: reverse(8, () => 16),
  REV32: reverse(8, () => 32),
  REV: reverse(8, (wide) => (wide ? 64 : 32)),
  CLZ: clz,
  CLS: cls,
  CRC32: crc32(0xedb8_8320),
  CRC32C: crc32(0x82f6_3b78),
} satisfies Record<string, Semantics>;
