/** Advanced SIMD that moves lanes: copies, permutes, table look-ups, and immediates. */
import type { Emit, Fields, Semantics, Special } from "../../emit.ts";
import { lanesOf, loadFrom, type Sign, storeTo } from "./lanes.ts";
import { bytesOfLanes, integerShape, keep, range, simd, zeros } from "./vectors.ts";

const qOf = (e: Emit): 0 | 1 => (e.field("Q") === 1 ? 1 : 0);

/** imm5 names an element's size by its lowest set bit, and its index above that. */
const sizeIn = (imm5: number): number => Math.max(0, Math.log2(imm5 & -imm5 & 15));
const ESIZE: Special = { name: "esize", values: 4, of: (f) => sizeIn(f.imm5) };
const indexOf = (f: Fields): number => f.imm5 >> (sizeIn(f.imm5) + 1);

/** Pushes the address of an element of a register that a small operand names; what it returns is to be added. */
function elementAddress(e: Emit, field: string, size: number, index: 0 | 1): number {
  const { f } = e;
  const at = e.vAddress(field);
  e.aux(index);
  f.i32.const(size);
  f.i32.shl();
  f.i32.add();
  return at;
}

/** Pushes such an element as an i64. */
function pushElement(e: Emit, field: string, size: number, index: 0 | 1, sign: Sign): void {
  const at = elementAddress(e, field, size, index);
  loadFrom(e.f, size, sign, at);
}

/** Takes an i64; writes a vector of it to Rd. */
function splatTo(e: Emit, size: number): void {
  if (size < 3) e.f.i32.wrapI64();
  integerShape(e.f, size).splat();
  e.setVector("Rd", qOf(e));
}

const copy = (emit: (e: Emit, size: number) => void): Semantics =>
  simd((e) => emit(e, e.field("esize")), { special: [ESIZE], aux: [indexOf] });

/** Writes an i64 into an element of Rd that a small operand names. */
function insertElement(e: Emit, size: number, value: () => void): void {
  const { f } = e;
  const element = f.local.take("i64");
  value();
  f.local.set(element);
  const at = elementAddress(e, "Rd", size, 0);
  f.local.get(element);
  storeTo(f, size, at);
  f.local.release(element);
}

/**
 * Lanes out of two registers.
 * @param source where lane i of `count` comes from: 0 to count - 1 are lanes of Rn, from `count` on those of Rm
 */
const permute = (source: (i: number, count: number) => number): Semantics =>
  simd((e) => {
    const size = e.field("size");
    const count = lanesOf(size, qOf(e));
    const whole = lanesOf(size, 1);
    e.getV("Rn");
    e.getV("Rm");
    const lanes = range(whole).map((i) => {
      const lane = source(i % count, count);
      return lane < count ? lane : lane - count + whole;
    });
    e.f.i8x16.shuffle(bytesOfLanes(size, lanes));
    e.setVector("Rd", qOf(e));
  });

const zip = (part: 0 | 1) =>
  permute((i, count) => (i >> 1) + (part * count) / 2 + ((i & 1) === 0 ? 0 : count));
const uzp = (part: 0 | 1) => permute((i) => 2 * i + part);
const trn = (part: 0 | 1) => permute((i, count) => (i & ~1) + part + ((i & 1) === 0 ? 0 : count));

/** Pushes the bytes 0 to 15 plus an i32 that `from` pushes. */
function bytesFrom(e: Emit, from: () => void): void {
  const { f } = e;
  f.v128.const(0x0302_0100, 0x0706_0504, 0x0b0a_0908, 0x0f0e_0d0c);
  from();
  f.i8x16.splat();
  f.i8x16.add();
}

/** Bytes of Rm:Rn from an index on. Where swizzle is given an index from 16 on, it gives zero. */
const ext: Semantics = simd(
  (e) => {
    const { f } = e;
    if (qOf(e) === 0) {
      e.getV("Rn");
      e.getV("Rm");
      f.i8x16.shuffle([...range(8), ...range(8).map((i) => 16 + i)]);
      bytesFrom(e, () => e.aux(0));
      f.i8x16.swizzle();
    } else {
      e.getV("Rn");
      bytesFrom(e, () => e.aux(0));
      f.i8x16.swizzle();
      e.getV("Rm");
      bytesFrom(e, () => {
        e.aux(0);
        f.i32.const(16);
        f.i32.sub();
      });
      f.i8x16.swizzle();
      f.v128.or();
    }
    e.setVector("Rd", qOf(e));
  },
  { aux: [(f) => f.imm4] },
);

/** TBL and TBX: bytes of up to four registers; TBX keeps what lies outside. */
const table = (keeps: boolean): Semantics =>
  simd((e) => {
    const { f } = e;
    const indices = f.local.take("v128");
    e.getV("Rm");
    f.local.set(indices);
    zeros(f);
    const registers = e.field("len") + 1;
    for (let i = 0; i < registers; i++) {
      // swizzle gives 0 for indices from 16 on; subtraction makes those below wrap around.
      e.getV("Rn", i);
      f.local.get(indices);
      f.i32.const(16 * i);
      f.i8x16.splat();
      f.i8x16.sub();
      f.i8x16.swizzle();
      f.v128.or();
    }
    if (keeps) {
      const found = keep(f);
      e.getV("Rd");
      f.local.get(found);
      f.local.get(indices);
      f.i32.const(16 * registers);
      f.i8x16.splat();
      f.i8x16.geU();
      f.v128.bitselect();
      f.local.release(found);
    }
    e.setVector("Rd", qOf(e));
    f.local.release(indices);
  });

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
const immediates: Semantics = simd(
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

export const SIMD_PERMUTES = {
  DUP_element: copy((e, size) => {
    pushElement(e, "Rn", size, 0, "u");
    splatTo(e, size);
  }),
  DUP_element_scalar: copy((e, size) => {
    pushElement(e, "Rn", size, 0, "u");
    e.setD("Rd");
  }),
  DUP_general: copy((e, size) => {
    e.getX("Rn");
    splatTo(e, size);
  }),
  SMOV: copy((e, size) => {
    pushElement(e, "Rn", size, 0, "s");
    if (qOf(e) === 0) {
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
  INS_element: simd(
    (e) => {
      const size = e.field("esize");
      insertElement(e, size, () => pushElement(e, "Rn", size, 1, "u"));
    },
    { special: [ESIZE], aux: [indexOf, (f) => f.imm4 >> sizeIn(f.imm5)] },
  ),
  EXT: ext,
  UZP1: uzp(0),
  UZP2: uzp(1),
  ZIP1: zip(0),
  ZIP2: zip(1),
  TRN1: trn(0),
  TRN2: trn(1),
  TBL: table(false),
  TBX: table(true),
  MOVI_etc: immediates,
} satisfies Record<string, Semantics>;
