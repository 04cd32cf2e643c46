/** Variable shifts of general registers, bits backwards, counts of leading bits, and CRC32. */
import type { Emit, Semantics } from "../../emit.ts";
import { is64, ops, type SHIFTS, typeOf } from "./operands.ts";

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
  const value = f.local.take(typeOf(wide));
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
    const value = f.local.take(typeOf(wide));
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

export const BIT_OPERATIONS = {
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
