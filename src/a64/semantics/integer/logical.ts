/** Logical operations on general registers, moves of immediates, and bit fields. */
import type { Emit, Fields, Semantics } from "../../emit.ts";
import { bitMask, decodeBitMasks } from "../bit-masks.ts";
import { amount, immediate, invert, is64, type Operand, ops, shifted } from "./operands.ts";

type Logical = "and" | "or" | "xor";

function logical(op: Logical, inverts: boolean, flags: boolean, operand: Operand): (e: Emit) => void {
  return (e) => {
    const wide = is64(e);
    const o = ops(e, wide);
    e.getR("Rn", wide);
    operand(e, wide);
    if (inverts) invert(e, wide);
    o[op]();
    if (flags) e.logicFlags(wide);
    e.setR("Rd", wide);
  };
}

const logicalImmediate = (op: Logical, flags = false): Semantics => ({
  imm: bitMask,
  emit: logical(op, false, flags, immediate),
  inline: true,
});
const logicalShifted = (op: Logical, inverts: boolean, flags = false): Semantics => ({
  aux: [(f) => f.imm6],
  emit: logical(op, inverts, flags, shifted),
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
  amount(e, wide);
  ops(e, wide).rotr();
}

function maskOf(e: Emit): void {
  const wide = is64(e);
  immediate(e, wide);
  ops(e, wide).and();
}

const bfm: Semantics = {
  imm: ubfm.imm!,
  aux: ubfm.aux!,
  emit: (e) => {
    const wide = is64(e);
    const o = ops(e, wide);
    // (d ^ rotated) & mask ^ d takes the masked bits of `rotated` and the others of d.
    rotated(e, "Rn");
    e.getR("Rd", wide);
    o.xor();
    maskOf(e);
    e.getR("Rd", wide);
    o.xor();
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
    amount(e, wide);
    ops(e, wide).shl();
    amount(e, wide, 1);
    ops(e, wide).shrS();
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
    const o = ops(e, wide);
    e.getR("Rm", wide);
    amount(e, wide);
    o.shrU();
    // Rn << (size - lsb), in two steps since a shift by the size would be none.
    e.getR("Rn", wide);
    o.const(1);
    o.shl();
    o.const(wide ? 63 : 31);
    amount(e, wide);
    o.sub();
    o.shl();
    o.or();
    e.setR("Rd", wide);
  },
};

export const LOGICAL_AND_BIT_FIELDS = {
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
  AND_shift: logicalShifted("and", false),
  BIC_shift: logicalShifted("and", true),
  ORR_shift: logicalShifted("or", false),
  ORN_shift: logicalShifted("or", true),
  EOR_shift: logicalShifted("xor", false),
  EON_shift: logicalShifted("xor", true),
  ANDS_shift: logicalShifted("and", false, true),
  BICS_shift: logicalShifted("and", true, true),
} satisfies Record<string, Semantics>;
