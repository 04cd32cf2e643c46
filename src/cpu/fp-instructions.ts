/** Floating point and SIMD that WebAssembly leaves to TypeScript: exact results and FPSR's flags from a64/fp/. */

import { type Fields, fieldsOf, type Row } from "../a64/encoding.ts";
import {
  fixedToFp,
  formatOf,
  fpAdd,
  fpCompare,
  fpConvert,
  fpDiv,
  fpMaxMin,
  fpMul,
  fpMulAdd,
  fpNeg,
  fpRoundInt,
  fpSqrt,
  fpSub,
  fpToFixed,
} from "../a64/fp/arithmetic.ts";
import { type FpEnv, ROUND, type Rounding, roundingOf } from "../a64/fp/format.ts";
import { simdFpInstruction } from "./simd-fp.ts";
import type { VcpuState } from "./vcpu-state.ts";

/** FRINT*: N, P, M, Z, A; X and I take FPCR's mode, X flags what is lost. */
const FRINT_MODES: readonly (Rounding | undefined)[] = [
  ROUND.tiesEven,
  ROUND.plusInfinity,
  ROUND.minusInfinity,
  ROUND.zero,
  ROUND.tiesAway,
];
const FRINT_X = 6;

/**
 * Executes one of these instructions, but for PC.
 * @param holds whether a condition holds, for FCCMP
 * @returns whether it is one of them
 */
export function executeFp(
  row: Row,
  word: number,
  state: VcpuState,
  holds: (cond: number) => boolean,
): boolean {
  const f = fieldsOf(row, word);
  const env: FpEnv = { fpcr: state.get32("FPCR"), fpsr: state.get32("FPSR") };
  const vector = simdFpInstruction(row.name);
  if (row.group.startsWith("Advanced SIMD") && vector !== undefined) vector({ f, state, env });
  else if (!execute(row.name, f, state, env, holds)) return false;
  state.set32("FPSR", env.fpsr);
  return true;
}

function execute(
  name: string,
  f: Fields,
  state: VcpuState,
  env: FpEnv,
  holds: (cond: number) => boolean,
): boolean {
  const format = formatOf(f.ftype);
  const operand = (n: number): bigint => BigInt.asUintN(format.bits, state.d(n));
  const result = (bits: bigint): boolean => {
    state.setD(f.Rd, bits);
    return true;
  };
  const n = () => operand(f.Rn);
  const m = () => operand(f.Rm);
  const general = f.sf === 1 ? 64 : 32;
  switch (name) {
    case "FADD_scalar":
      return result(fpAdd(format, n(), m(), env));
    case "FSUB_scalar":
      return result(fpSub(format, n(), m(), env));
    case "FMUL_scalar":
      return result(fpMul(format, n(), m(), env));
    case "FNMUL_scalar":
      return result(fpNeg(format, fpMul(format, n(), m(), env)));
    case "FDIV_scalar":
      return result(fpDiv(format, n(), m(), env));
    case "FSQRT_scalar":
      return result(fpSqrt(format, n(), env));
    case "FMAX_scalar":
      return result(fpMaxMin(format, n(), m(), true, false, env));
    case "FMIN_scalar":
      return result(fpMaxMin(format, n(), m(), false, false, env));
    case "FMAXNM_scalar":
      return result(fpMaxMin(format, n(), m(), true, true, env));
    case "FMINNM_scalar":
      return result(fpMaxMin(format, n(), m(), false, true, env));
    case "FMADD": {
      // o1 negates the addend, and o0 != o1 the product: FMADD, FMSUB, FNMADD, FNMSUB.
      const addend = operand(f.Ra);
      const factor = f.o0 !== f.o1 ? fpNeg(format, n()) : n();
      return result(fpMulAdd(format, f.o1 === 1 ? fpNeg(format, addend) : addend, factor, m(), env));
    }
    case "FCVT":
      return result(fpConvert(formatOf(f.opc), format, n(), env));
    case "FRINT":
      return result(
        fpRoundInt(format, n(), FRINT_MODES[f.rmode3] ?? roundingOf(env), f.rmode3 === FRINT_X, env),
      );
    case "FCMP":
      state.nzcv = fpCompare(format, n(), f.z === 1 ? 0n : m(), f.e === 1, env) << 28;
      return true;
    case "FCCMP":
      state.nzcv = (holds(f.cond) ? fpCompare(format, n(), m(), f.e === 1, env) : f.nzcv) << 28;
      return true;
    case "FCVT_to_int":
      state.setX(f.Rd, fpToFixed(format, n(), general, 0, f.U === 1, f.rmode as Rounding, env));
      return true;
    case "FCVTA_to_int":
      state.setX(f.Rd, fpToFixed(format, n(), general, 0, f.U === 1, ROUND.tiesAway, env));
      return true;
    case "FCVTZ_to_fixed":
      state.setX(f.Rd, fpToFixed(format, n(), general, 64 - f.scale, f.U === 1, ROUND.zero, env));
      return true;
    case "CVTF_from_int":
      return result(fixedToFp(format, state.x(f.Rn), general, 0, f.U === 1, env));
    case "CVTF_from_fixed":
      return result(fixedToFp(format, state.x(f.Rn), general, 64 - f.scale, f.U === 1, env));
    default:
      return false;
  }
}
