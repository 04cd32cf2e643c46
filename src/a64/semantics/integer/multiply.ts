/** Products and quotients of general registers. */
import type { Semantics } from "../../emit.ts";
import { is64, ops, typeOf } from "./operands.ts";

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
      const divisor = f.local.take(typeOf(wide));
      e.getR("Rm", wide);
      f.local.tee(divisor);
      o.eqz();
      const zero = f.if(typeOf(wide));
      o.const(0);
      f.else(zero);
      if (signed) {
        // The least number by -1 is itself; WebAssembly traps there.
        f.local.get(divisor);
        o.const(-1);
        o.eq();
        const minusOne = f.if(typeOf(wide));
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

export const MULTIPLY_AND_DIVIDE = {
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
} satisfies Record<string, Semantics>;
