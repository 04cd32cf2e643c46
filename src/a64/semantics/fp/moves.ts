/** Scalar floating point that computes nothing: moves, selections and signs; and what is always left to TypeScript. */
import type { Emit, Fields, Semantics } from "../../emit.ts";
import { LEAVE } from "../../state.ts";
import { simd } from "../simd/vectors.ts";

const isDouble = (e: Emit): boolean => e.field("ftype") === 1;

/** Bits of the operand changed by a mask. */
const signOf = (operation: "and" | "xor"): Semantics =>
  simd((e) => {
    const { f } = e;
    e.getD("Rn");
    const sign = isDouble(e) ? 1n << 63n : 1n << 31n;
    f.i64.constBigInt(operation === "xor" ? sign : isDouble(e) ? sign - 1n : 0x7fff_ffffn);
    f.i64[operation]();
    if (!isDouble(e)) {
      f.i64.const(0xffff_ffff);
      f.i64.and();
    }
    e.setD("Rd");
  });

const move = (e: Emit, field: string): void => {
  if (isDouble(e)) e.getD(field);
  else {
    e.getS(field);
    e.f.i64.extendI32U();
  }
};

/** VFPExpandImm, of the double and of the single. */
function expandImmediate(f: Fields): bigint {
  const imm = BigInt(f.imm8);
  const sign = imm >> 7n;
  const b = (imm >> 6n) & 1n;
  const rest = imm & 0x3fn;
  if (f.ftype === 1)
    return (sign << 63n) | ((b ^ 1n) << 62n) | ((b === 1n ? 0xffn : 0n) << 54n) | (rest << 48n);
  return (sign << 31n) | ((b ^ 1n) << 30n) | ((b === 1n ? 0x1fn : 0n) << 25n) | (rest << 19n);
}

/** Exact arithmetic in TypeScript, cpu/fp-instructions.ts. */
export const exact: Semantics = simd((e) => e.leave(LEAVE.SYSTEM), { unfixed: true });

export const SCALAR_MOVES = {
  FMOV_register: simd((e) => {
    move(e, "Rn");
    e.setD("Rd");
  }),
  FABS_scalar: signOf("and"),
  FNEG_scalar: signOf("xor"),
  FCSEL: simd((e) => {
    move(e, "Rn");
    move(e, "Rm");
    e.condition(e.field("cond"));
    e.f.select();
    e.setD("Rd");
  }),
  FMOV_imm: simd(
    (e) => {
      e.imm();
      e.setD("Rd");
    },
    { imm: expandImmediate },
  ),
  FMOV_to_general: simd((e) => {
    if (e.field("sf") === 1) e.getD("Rn");
    else {
      e.getS("Rn");
      e.f.i64.extendI32U();
    }
    e.setX("Rd");
  }),
  FMOV_from_general: simd((e) => {
    if (e.field("sf") === 1) e.getX("Rn");
    else {
      e.getW("Rn");
      e.f.i64.extendI32U();
    }
    e.setD("Rd");
  }),
  FMOV_top_to_general: simd((e) => {
    e.f.i64.load(e.vAddress("Rn") + 8);
    e.setX("Rd");
  }),
  FMOV_top_from_general: simd((e) => {
    e.getV("Rd");
    e.getX("Rn");
    e.f.i64x2.replaceLane(1);
    e.setV("Rd");
  }),
} satisfies Record<string, Semantics>;
