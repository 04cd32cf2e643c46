/** Arm ARM C4.1.96, Advanced SIMD: saturating and polynomial arithmetic, accumulation of pairs, and operands by element. */
import { type Fields, type RowOptions, rows } from "../encoding.ts";

const whole: RowOptions = { undefined: (f) => f.size === 3 && f.Q === 0 };
const narrow: RowOptions = { undefined: (f) => f.size === 3 };
const doublesOnly: RowOptions = { undefined: (f) => f.size !== 3 };
const halvesAndWords: RowOptions = { undefined: (f) => f.size === 0 || f.size === 3 };
const rdm: RowOptions = { ...halvesAndWords, feature: "RDM" };
/** H and L, with M in Rm, are an index: not for handlers of their own. */
const element: RowOptions = { ...halvesAndWords, dynamic: ["H", "L"] };
const rdmElement: RowOptions = { ...element, feature: "RDM" };
const shift: RowOptions = { dynamic: ["immh"], undefined: (f) => f.immh === 0 || (f.immh >= 8 && f.Q === 0) };
const shiftNarrow: RowOptions = { dynamic: ["immh"], undefined: (f) => f.immh === 0 || f.immh >= 8 };
const shiftScalar: RowOptions = { dynamic: ["immh"], undefined: (f) => f.immh < 8 };
const shiftScalarAny: RowOptions = { dynamic: ["immh"], undefined: (f) => f.immh === 0 };

export const SIMD_SATURATING = rows("Advanced SIMD saturating", {
  // Three registers of the same type.
  SQADD: ["0 Q 0 01110 size:2 1 Rm:5 00001 1 Rn:5 Rd:5", whole],
  UQADD: ["0 Q 1 01110 size:2 1 Rm:5 00001 1 Rn:5 Rd:5", whole],
  SQSUB: ["0 Q 0 01110 size:2 1 Rm:5 00101 1 Rn:5 Rd:5", whole],
  UQSUB: ["0 Q 1 01110 size:2 1 Rm:5 00101 1 Rn:5 Rd:5", whole],
  SQSHL: ["0 Q 0 01110 size:2 1 Rm:5 01001 1 Rn:5 Rd:5", whole],
  UQSHL: ["0 Q 1 01110 size:2 1 Rm:5 01001 1 Rn:5 Rd:5", whole],
  SRSHL: ["0 Q 0 01110 size:2 1 Rm:5 01010 1 Rn:5 Rd:5", whole],
  URSHL: ["0 Q 1 01110 size:2 1 Rm:5 01010 1 Rn:5 Rd:5", whole],
  SQRSHL: ["0 Q 0 01110 size:2 1 Rm:5 01011 1 Rn:5 Rd:5", whole],
  UQRSHL: ["0 Q 1 01110 size:2 1 Rm:5 01011 1 Rn:5 Rd:5", whole],
  SQDMULH: ["0 Q 0 01110 size:2 1 Rm:5 10110 1 Rn:5 Rd:5", halvesAndWords],
  SQRDMULH: ["0 Q 1 01110 size:2 1 Rm:5 10110 1 Rn:5 Rd:5", halvesAndWords],
  SQRDMLAH: ["0 Q 1 01110 size:2 0 Rm:5 1 0000 1 Rn:5 Rd:5", rdm],
  SQRDMLSH: ["0 Q 1 01110 size:2 0 Rm:5 1 0001 1 Rn:5 Rd:5", rdm],
  PMUL: "0 Q 1 01110 00 1 Rm:5 10011 1 Rn:5 Rd:5",
  SQADD_scalar: "01 0 11110 size:2 1 Rm:5 00001 1 Rn:5 Rd:5",
  UQADD_scalar: "01 1 11110 size:2 1 Rm:5 00001 1 Rn:5 Rd:5",
  SQSUB_scalar: "01 0 11110 size:2 1 Rm:5 00101 1 Rn:5 Rd:5",
  UQSUB_scalar: "01 1 11110 size:2 1 Rm:5 00101 1 Rn:5 Rd:5",
  SQSHL_scalar: "01 0 11110 size:2 1 Rm:5 01001 1 Rn:5 Rd:5",
  UQSHL_scalar: "01 1 11110 size:2 1 Rm:5 01001 1 Rn:5 Rd:5",
  SRSHL_scalar: ["01 0 11110 size:2 1 Rm:5 01010 1 Rn:5 Rd:5", doublesOnly],
  URSHL_scalar: ["01 1 11110 size:2 1 Rm:5 01010 1 Rn:5 Rd:5", doublesOnly],
  SQRSHL_scalar: "01 0 11110 size:2 1 Rm:5 01011 1 Rn:5 Rd:5",
  UQRSHL_scalar: "01 1 11110 size:2 1 Rm:5 01011 1 Rn:5 Rd:5",
  SQDMULH_scalar: ["01 0 11110 size:2 1 Rm:5 10110 1 Rn:5 Rd:5", halvesAndWords],
  SQRDMULH_scalar: ["01 1 11110 size:2 1 Rm:5 10110 1 Rn:5 Rd:5", halvesAndWords],
  SQRDMLAH_scalar: ["01 1 11110 size:2 0 Rm:5 1 0000 1 Rn:5 Rd:5", rdm],
  SQRDMLSH_scalar: ["01 1 11110 size:2 0 Rm:5 1 0001 1 Rn:5 Rd:5", rdm],
  // Two registers.
  SADALP: ["0 Q 0 01110 size:2 10000 00110 10 Rn:5 Rd:5", narrow],
  UADALP: ["0 Q 1 01110 size:2 10000 00110 10 Rn:5 Rd:5", narrow],
  SUQADD: ["0 Q 0 01110 size:2 10000 00011 10 Rn:5 Rd:5", whole],
  USQADD: ["0 Q 1 01110 size:2 10000 00011 10 Rn:5 Rd:5", whole],
  SQABS: ["0 Q 0 01110 size:2 10000 00111 10 Rn:5 Rd:5", whole],
  SQNEG: ["0 Q 1 01110 size:2 10000 00111 10 Rn:5 Rd:5", whole],
  SQXTUN: ["0 Q 1 01110 size:2 10000 10010 10 Rn:5 Rd:5", narrow],
  SQXTN: ["0 Q 0 01110 size:2 10000 10100 10 Rn:5 Rd:5", narrow],
  UQXTN: ["0 Q 1 01110 size:2 10000 10100 10 Rn:5 Rd:5", narrow],
  URECPE: "0 Q 0 01110 10 10000 11100 10 Rn:5 Rd:5",
  URSQRTE: "0 Q 1 01110 10 10000 11100 10 Rn:5 Rd:5",
  SUQADD_scalar: "01 0 11110 size:2 10000 00011 10 Rn:5 Rd:5",
  USQADD_scalar: "01 1 11110 size:2 10000 00011 10 Rn:5 Rd:5",
  SQABS_scalar: "01 0 11110 size:2 10000 00111 10 Rn:5 Rd:5",
  SQNEG_scalar: "01 1 11110 size:2 10000 00111 10 Rn:5 Rd:5",
  ABS_scalar: ["01 0 11110 size:2 10000 01011 10 Rn:5 Rd:5", doublesOnly],
  NEG_scalar: ["01 1 11110 size:2 10000 01011 10 Rn:5 Rd:5", doublesOnly],
  SQXTUN_scalar: ["01 1 11110 size:2 10000 10010 10 Rn:5 Rd:5", narrow],
  SQXTN_scalar: ["01 0 11110 size:2 10000 10100 10 Rn:5 Rd:5", narrow],
  UQXTN_scalar: ["01 1 11110 size:2 10000 10100 10 Rn:5 Rd:5", narrow],
  // Three registers of different types.
  SQDMLAL: ["0 Q 0 01110 size:2 1 Rm:5 1001 00 Rn:5 Rd:5", halvesAndWords],
  SQDMLSL: ["0 Q 0 01110 size:2 1 Rm:5 1011 00 Rn:5 Rd:5", halvesAndWords],
  SQDMULL: ["0 Q 0 01110 size:2 1 Rm:5 1101 00 Rn:5 Rd:5", halvesAndWords],
  PMULL: "0 Q 0 01110 00 1 Rm:5 1110 00 Rn:5 Rd:5",
  SQDMLAL_scalar: ["01 0 11110 size:2 1 Rm:5 1001 00 Rn:5 Rd:5", halvesAndWords],
  SQDMLSL_scalar: ["01 0 11110 size:2 1 Rm:5 1011 00 Rn:5 Rd:5", halvesAndWords],
  SQDMULL_scalar: ["01 0 11110 size:2 1 Rm:5 1101 00 Rn:5 Rd:5", halvesAndWords],
  // Shifts by an immediate.
  SRSRA: ["0 Q 0 011110 immh:4 immb:3 00110 1 Rn:5 Rd:5", shift],
  URSRA: ["0 Q 1 011110 immh:4 immb:3 00110 1 Rn:5 Rd:5", shift],
  SQSHLU: ["0 Q 1 011110 immh:4 immb:3 01100 1 Rn:5 Rd:5", shift],
  SQSHL_imm: ["0 Q 0 011110 immh:4 immb:3 01110 1 Rn:5 Rd:5", shift],
  UQSHL_imm: ["0 Q 1 011110 immh:4 immb:3 01110 1 Rn:5 Rd:5", shift],
  SQSHRUN: ["0 Q 1 011110 immh:4 immb:3 10000 1 Rn:5 Rd:5", shiftNarrow],
  SQRSHRUN: ["0 Q 1 011110 immh:4 immb:3 10001 1 Rn:5 Rd:5", shiftNarrow],
  SQSHRN: ["0 Q 0 011110 immh:4 immb:3 10010 1 Rn:5 Rd:5", shiftNarrow],
  UQSHRN: ["0 Q 1 011110 immh:4 immb:3 10010 1 Rn:5 Rd:5", shiftNarrow],
  SQRSHRN: ["0 Q 0 011110 immh:4 immb:3 10011 1 Rn:5 Rd:5", shiftNarrow],
  UQRSHRN: ["0 Q 1 011110 immh:4 immb:3 10011 1 Rn:5 Rd:5", shiftNarrow],
  SSRA_scalar: ["01 0 111110 immh:4 immb:3 00010 1 Rn:5 Rd:5", shiftScalar],
  USRA_scalar: ["01 1 111110 immh:4 immb:3 00010 1 Rn:5 Rd:5", shiftScalar],
  SRSHR_scalar: ["01 0 111110 immh:4 immb:3 00100 1 Rn:5 Rd:5", shiftScalar],
  URSHR_scalar: ["01 1 111110 immh:4 immb:3 00100 1 Rn:5 Rd:5", shiftScalar],
  SRSRA_scalar: ["01 0 111110 immh:4 immb:3 00110 1 Rn:5 Rd:5", shiftScalar],
  URSRA_scalar: ["01 1 111110 immh:4 immb:3 00110 1 Rn:5 Rd:5", shiftScalar],
  SRI_scalar: ["01 1 111110 immh:4 immb:3 01000 1 Rn:5 Rd:5", shiftScalar],
  SLI_scalar: ["01 1 111110 immh:4 immb:3 01010 1 Rn:5 Rd:5", shiftScalar],
  SQSHLU_scalar: ["01 1 111110 immh:4 immb:3 01100 1 Rn:5 Rd:5", shiftScalarAny],
  SQSHL_imm_scalar: ["01 0 111110 immh:4 immb:3 01110 1 Rn:5 Rd:5", shiftScalarAny],
  UQSHL_imm_scalar: ["01 1 111110 immh:4 immb:3 01110 1 Rn:5 Rd:5", shiftScalarAny],
  SQSHRUN_scalar: ["01 1 111110 immh:4 immb:3 10000 1 Rn:5 Rd:5", shiftNarrow],
  SQRSHRUN_scalar: ["01 1 111110 immh:4 immb:3 10001 1 Rn:5 Rd:5", shiftNarrow],
  SQSHRN_scalar: ["01 0 111110 immh:4 immb:3 10010 1 Rn:5 Rd:5", shiftNarrow],
  UQSHRN_scalar: ["01 1 111110 immh:4 immb:3 10010 1 Rn:5 Rd:5", shiftNarrow],
  SQRSHRN_scalar: ["01 0 111110 immh:4 immb:3 10011 1 Rn:5 Rd:5", shiftNarrow],
  UQRSHRN_scalar: ["01 1 111110 immh:4 immb:3 10011 1 Rn:5 Rd:5", shiftNarrow],
  // By element: H, L and for halfwords M are its index; Rm of a halfword is below 16.
  MLA_element: ["0 Q 1 01111 size:2 L Rm:5 0000 H 0 Rn:5 Rd:5", element],
  MLS_element: ["0 Q 1 01111 size:2 L Rm:5 0100 H 0 Rn:5 Rd:5", element],
  MUL_element: ["0 Q 0 01111 size:2 L Rm:5 1000 H 0 Rn:5 Rd:5", element],
  SMLAL_element: ["0 Q 0 01111 size:2 L Rm:5 0010 H 0 Rn:5 Rd:5", element],
  UMLAL_element: ["0 Q 1 01111 size:2 L Rm:5 0010 H 0 Rn:5 Rd:5", element],
  SMLSL_element: ["0 Q 0 01111 size:2 L Rm:5 0110 H 0 Rn:5 Rd:5", element],
  UMLSL_element: ["0 Q 1 01111 size:2 L Rm:5 0110 H 0 Rn:5 Rd:5", element],
  SMULL_element: ["0 Q 0 01111 size:2 L Rm:5 1010 H 0 Rn:5 Rd:5", element],
  UMULL_element: ["0 Q 1 01111 size:2 L Rm:5 1010 H 0 Rn:5 Rd:5", element],
  SQDMLAL_element: ["0 Q 0 01111 size:2 L Rm:5 0011 H 0 Rn:5 Rd:5", element],
  SQDMLSL_element: ["0 Q 0 01111 size:2 L Rm:5 0111 H 0 Rn:5 Rd:5", element],
  SQDMULL_element: ["0 Q 0 01111 size:2 L Rm:5 1011 H 0 Rn:5 Rd:5", element],
  SQDMULH_element: ["0 Q 0 01111 size:2 L Rm:5 1100 H 0 Rn:5 Rd:5", element],
  SQRDMULH_element: ["0 Q 0 01111 size:2 L Rm:5 1101 H 0 Rn:5 Rd:5", element],
  SQRDMLAH_element: ["0 Q 1 01111 size:2 L Rm:5 1101 H 0 Rn:5 Rd:5", rdmElement],
  SQRDMLSH_element: ["0 Q 1 01111 size:2 L Rm:5 1111 H 0 Rn:5 Rd:5", rdmElement],
  SQDMLAL_element_scalar: ["01 0 11111 size:2 L Rm:5 0011 H 0 Rn:5 Rd:5", element],
  SQDMLSL_element_scalar: ["01 0 11111 size:2 L Rm:5 0111 H 0 Rn:5 Rd:5", element],
  SQDMULL_element_scalar: ["01 0 11111 size:2 L Rm:5 1011 H 0 Rn:5 Rd:5", element],
  SQDMULH_element_scalar: ["01 0 11111 size:2 L Rm:5 1100 H 0 Rn:5 Rd:5", element],
  SQRDMULH_element_scalar: ["01 0 11111 size:2 L Rm:5 1101 H 0 Rn:5 Rd:5", element],
  SQRDMLAH_element_scalar: ["01 1 11111 size:2 L Rm:5 1101 H 0 Rn:5 Rd:5", rdmElement],
  SQRDMLSH_element_scalar: ["01 1 11111 size:2 L Rm:5 1111 H 0 Rn:5 Rd:5", rdmElement],
});

/** The register and the index of an operand by element; `size` is log2 of its bytes. */
export function elementOf(f: Fields, size: number): { readonly register: number; readonly index: number } {
  if (size === 1) return { register: f.Rm & 15, index: (f.H << 2) | (f.L << 1) | (f.Rm >> 4) };
  return size === 2 ? { register: f.Rm, index: (f.H << 1) | f.L } : { register: f.Rm, index: f.H };
}
