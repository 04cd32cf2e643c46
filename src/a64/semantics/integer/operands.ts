/** What data processing on general registers has in common: widths, and second operands. */
import type { Emit } from "../../emit.ts";

/** Encodings without sf are 64-bit. */
export const is64 = (e: Emit): boolean => !e.has("sf") || e.field("sf") === 1;

/** The operations of a width. */
export const ops = (e: Emit, wide: boolean) => (wide ? e.f.i64 : e.f.i32);
export const typeOf = (wide: boolean) => (wide ? "i64" : "i32");

/** Pushes a small operand, as wide as what it is to shift. */
export function amount(e: Emit, wide: boolean, index: 0 | 1 = 0): void {
  e.aux(index);
  if (wide) e.f.i64.extendI32U();
}

export type Operand = (e: Emit, wide: boolean) => void;

/** Pushes the second operand of the immediate forms. */
export const immediate: Operand = (e, wide) => (wide ? e.imm() : e.imm32());

export const SHIFTS = ["shl", "shrU", "shrS", "rotr"] as const;

/** Pushes Rm shifted by a constant. */
export const shifted: Operand = (e, wide) => {
  e.getR("Rm", wide);
  amount(e, wide);
  ops(e, wide)[SHIFTS[e.field("shift")]!]();
};

/** Pushes Rm extended and shifted left (ExtendReg). */
export const extended: Operand = (e, wide) => {
  extendRegister(e, e.field("option"), wide);
  amount(e, wide);
  ops(e, wide).shl();
};

/** Takes an i64 or i32; inverts its bits. */
export function invert(e: Emit, wide: boolean): void {
  ops(e, wide).const(-1);
  ops(e, wide).xor();
}

/** Pushes X[Rm] or W[Rm], extended as `option` says. */
function extendRegister(e: Emit, option: number, wide: boolean): void {
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
