/** Sums, differences and comparisons of general registers, and selections by their outcome. */
import type { Local } from "../../../wasm/entities.ts";
import type { Emit, Fields, Semantics } from "../../emit.ts";
import { extended, immediate, invert, is64, type Operand, ops, shifted, typeOf } from "./operands.ts";

/** ADD, ADDS, SUB, SUBS: AddWithCarry without a carry coming in. */
function addSub(subtract: boolean, flags: boolean, operand: Operand): (e: Emit) => void {
  return (e) => {
    const wide = is64(e);
    const { f } = e;
    e.getR("Rn", wide);
    if (!flags) {
      operand(e, wide);
      const o = ops(e, wide);
      if (subtract) o.sub();
      else o.add();
      e.setR("Rd", wide);
      return;
    }
    const type = typeOf(wide);
    const a = f.local.take(type);
    const b = f.local.take(type);
    f.local.set(a);
    operand(e, wide);
    f.local.set(b);
    addFlags(e, wide, subtract, a, b);
    f.local.release(a);
    f.local.release(b);
  };
}

/** Sets NZCV from a + b or a - b and writes the result to Rd (unless it has no such field). */
function addFlags(e: Emit, wide: boolean, subtract: boolean, a: Local, b: Local, result = true): void {
  const { f } = e;
  const o = ops(e, wide);
  const r = f.local.take(typeOf(wide));
  f.local.get(a);
  f.local.get(b);
  if (subtract) o.sub();
  else o.add();
  f.local.set(r);
  e.setFlags({ kind: subtract ? "subtract" : "add", a, b, r, wide });
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
    const o = ops(e, wide);
    const type = typeOf(wide);
    const a = f.local.take(type);
    const b = f.local.take(type);
    const r = f.local.take(type);
    e.getR("Rn", wide);
    f.local.set(a);
    e.getR("Rm", wide);
    if (subtract) invert(e, wide);
    f.local.set(b);
    f.local.get(a);
    f.local.get(b);
    o.add();
    e.carry();
    if (wide) f.i64.extendI32U();
    o.add();
    f.local.set(r);
    if (flags) e.setFlags({ kind: "add-with-carry", a, b, r, wide });
    f.local.get(r);
    e.setR("Rd", wide);
    f.local.release(a);
    f.local.release(b);
    f.local.release(r);
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

/** CCMN, CCMP: compares where the condition holds, else takes the flags from the instruction. */
function conditionalCompare(subtract: boolean, operand: Operand): (e: Emit) => void {
  return (e) => {
    const wide = is64(e);
    const { f } = e;
    const type = typeOf(wide);
    e.condition(e.field("cond"));
    const holds = f.if();
    const a = f.local.take(type);
    const b = f.local.take(type);
    e.getR("Rn", wide);
    f.local.set(a);
    operand(e, wide);
    f.local.set(b);
    addFlags(e, wide, subtract, a, b, false);
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

function plusOne(e: Emit, wide: boolean): void {
  ops(e, wide).const(1);
  ops(e, wide).add();
}

export const ADD_AND_COMPARE = {
  ADD_imm: addImmediate(false, false),
  ADDS_imm: addImmediate(false, true),
  SUB_imm: addImmediate(true, false),
  SUBS_imm: addImmediate(true, true),
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
} satisfies Record<string, Semantics>;
