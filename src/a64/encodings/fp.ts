/** Arm ARM C4.1.96, scalar floating point. ftype: 0 single, 1 double, 3 half, which only FCVT knows without FEAT_FP16. */
import { type RowOptions, rows } from "../encoding.ts";

const arithmetic: RowOptions = { undefined: (f) => f.ftype > 1 };
const compare: RowOptions = { dynamic: ["nzcv"], undefined: (f) => f.ftype > 1 };
const fixed: RowOptions = {
  dynamic: ["scale"],
  undefined: (f) => f.ftype > 1 || (f.sf === 0 && f.scale < 32),
};

export const FLOATING_POINT = rows("Floating point", {
  FMOV_register: ["000 11110 ftype:2 1 000000 10000 Rn:5 Rd:5", arithmetic],
  FABS_scalar: ["000 11110 ftype:2 1 000001 10000 Rn:5 Rd:5", arithmetic],
  FNEG_scalar: ["000 11110 ftype:2 1 000010 10000 Rn:5 Rd:5", arithmetic],
  FSQRT_scalar: ["000 11110 ftype:2 1 000011 10000 Rn:5 Rd:5", arithmetic],
  FCVT: [
    "000 11110 ftype:2 1 0001 opc:2 10000 Rn:5 Rd:5",
    { undefined: (f) => f.ftype === 2 || f.opc === 2 || f.opc === f.ftype },
  ],
  FRINT: [
    "000 11110 ftype:2 1 001 rmode3:3 10000 Rn:5 Rd:5",
    { undefined: (f) => f.ftype > 1 || f.rmode3 === 5 },
  ],
  FMUL_scalar: ["000 11110 ftype:2 1 Rm:5 0000 10 Rn:5 Rd:5", arithmetic],
  FDIV_scalar: ["000 11110 ftype:2 1 Rm:5 0001 10 Rn:5 Rd:5", arithmetic],
  FADD_scalar: ["000 11110 ftype:2 1 Rm:5 0010 10 Rn:5 Rd:5", arithmetic],
  FSUB_scalar: ["000 11110 ftype:2 1 Rm:5 0011 10 Rn:5 Rd:5", arithmetic],
  FMAX_scalar: ["000 11110 ftype:2 1 Rm:5 0100 10 Rn:5 Rd:5", arithmetic],
  FMIN_scalar: ["000 11110 ftype:2 1 Rm:5 0101 10 Rn:5 Rd:5", arithmetic],
  FMAXNM_scalar: ["000 11110 ftype:2 1 Rm:5 0110 10 Rn:5 Rd:5", arithmetic],
  FMINNM_scalar: ["000 11110 ftype:2 1 Rm:5 0111 10 Rn:5 Rd:5", arithmetic],
  FNMUL_scalar: ["000 11110 ftype:2 1 Rm:5 1000 10 Rn:5 Rd:5", arithmetic],
  FCMP: ["000 11110 ftype:2 1 Rm:5 00 1000 Rn:5 e z 000", arithmetic],
  FCCMP: ["000 11110 ftype:2 1 Rm:5 cond:4 01 Rn:5 e nzcv:4", compare],
  FCSEL: ["000 11110 ftype:2 1 Rm:5 cond:4 11 Rn:5 Rd:5", arithmetic],
  FMOV_imm: ["000 11110 ftype:2 1 imm8:8 100 00000 Rd:5", arithmetic],
  FMADD: ["000 11111 ftype:2 o1 Rm:5 o0 Ra:5 Rn:5 Rd:5", arithmetic],
  FMOV_to_general: ["sf 00 11110 0 ft 1 00 110 000000 Rn:5 Rd:5", { undefined: (f) => f.sf !== f.ft }],
  FMOV_from_general: ["sf 00 11110 0 ft 1 00 111 000000 Rn:5 Rd:5", { undefined: (f) => f.sf !== f.ft }],
  FMOV_top_to_general: "1 00 11110 10 1 01 110 000000 Rn:5 Rd:5",
  FMOV_top_from_general: "1 00 11110 10 1 01 111 000000 Rn:5 Rd:5",
  FCVT_to_int: ["sf 00 11110 ftype:2 1 rmode:2 00 U 000000 Rn:5 Rd:5", arithmetic],
  FCVTA_to_int: ["sf 00 11110 ftype:2 1 00 10 U 000000 Rn:5 Rd:5", arithmetic],
  CVTF_from_int: ["sf 00 11110 ftype:2 1 00 01 U 000000 Rn:5 Rd:5", arithmetic],
  FCVTZ_to_fixed: ["sf 00 11110 ftype:2 0 11 00 U scale:6 Rn:5 Rd:5", fixed],
  CVTF_from_fixed: ["sf 00 11110 ftype:2 0 00 01 U scale:6 Rn:5 Rd:5", fixed],
});
