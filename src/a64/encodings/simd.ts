/** Arm ARM C4.1.96, Advanced SIMD: integer and permuting encodings. */
import { type Fields, type RowOptions, rows } from "../encoding.ts";

/** 64-bit elements need a full register. */
const whole: RowOptions = { undefined: (f) => f.size === 3 && f.Q === 0 };
const noDoubles: RowOptions = { undefined: (f) => f.size === 3 };
const bytesOnly: RowOptions = { undefined: (f) => f.size !== 0 };
const doublesOnly: RowOptions = { undefined: (f) => f.size !== 3 };
/** Long and narrow forms have elements of at most 32 bits on their narrow side. */
const narrow = noDoubles;

/** imm5 names the element's size by its lowest set bit. */
const elementSize = (f: Fields): number => Math.log2(f.imm5 & -f.imm5 & 15);
const element = (most: number, options: RowOptions = {}): RowOptions => ({
  ...options,
  undefined: (f) => (f.imm5 & 15) === 0 || elementSize(f) > most || options.undefined?.(f) === true,
});

export const SIMD = rows("Advanced SIMD", {
  // Three registers of the same type.
  SHADD: ["0 Q 0 01110 size:2 1 Rm:5 00000 1 Rn:5 Rd:5", noDoubles],
  UHADD: ["0 Q 1 01110 size:2 1 Rm:5 00000 1 Rn:5 Rd:5", noDoubles],
  SRHADD: ["0 Q 0 01110 size:2 1 Rm:5 00010 1 Rn:5 Rd:5", noDoubles],
  URHADD: ["0 Q 1 01110 size:2 1 Rm:5 00010 1 Rn:5 Rd:5", noDoubles],
  SHSUB: ["0 Q 0 01110 size:2 1 Rm:5 00100 1 Rn:5 Rd:5", noDoubles],
  UHSUB: ["0 Q 1 01110 size:2 1 Rm:5 00100 1 Rn:5 Rd:5", noDoubles],
  CMGT_vector: ["0 Q 0 01110 size:2 1 Rm:5 00110 1 Rn:5 Rd:5", whole],
  CMHI_vector: ["0 Q 1 01110 size:2 1 Rm:5 00110 1 Rn:5 Rd:5", whole],
  CMGE_vector: ["0 Q 0 01110 size:2 1 Rm:5 00111 1 Rn:5 Rd:5", whole],
  CMHS_vector: ["0 Q 1 01110 size:2 1 Rm:5 00111 1 Rn:5 Rd:5", whole],
  SSHL_vector: ["0 Q 0 01110 size:2 1 Rm:5 01000 1 Rn:5 Rd:5", whole],
  USHL_vector: ["0 Q 1 01110 size:2 1 Rm:5 01000 1 Rn:5 Rd:5", whole],
  SMAX: ["0 Q 0 01110 size:2 1 Rm:5 01100 1 Rn:5 Rd:5", noDoubles],
  UMAX: ["0 Q 1 01110 size:2 1 Rm:5 01100 1 Rn:5 Rd:5", noDoubles],
  SMIN: ["0 Q 0 01110 size:2 1 Rm:5 01101 1 Rn:5 Rd:5", noDoubles],
  UMIN: ["0 Q 1 01110 size:2 1 Rm:5 01101 1 Rn:5 Rd:5", noDoubles],
  SABD: ["0 Q 0 01110 size:2 1 Rm:5 01110 1 Rn:5 Rd:5", noDoubles],
  UABD: ["0 Q 1 01110 size:2 1 Rm:5 01110 1 Rn:5 Rd:5", noDoubles],
  SABA: ["0 Q 0 01110 size:2 1 Rm:5 01111 1 Rn:5 Rd:5", noDoubles],
  UABA: ["0 Q 1 01110 size:2 1 Rm:5 01111 1 Rn:5 Rd:5", noDoubles],
  ADD_vector: ["0 Q 0 01110 size:2 1 Rm:5 10000 1 Rn:5 Rd:5", whole],
  SUB_vector: ["0 Q 1 01110 size:2 1 Rm:5 10000 1 Rn:5 Rd:5", whole],
  CMTST_vector: ["0 Q 0 01110 size:2 1 Rm:5 10001 1 Rn:5 Rd:5", whole],
  CMEQ_vector: ["0 Q 1 01110 size:2 1 Rm:5 10001 1 Rn:5 Rd:5", whole],
  MLA_vector: ["0 Q 0 01110 size:2 1 Rm:5 10010 1 Rn:5 Rd:5", noDoubles],
  MLS_vector: ["0 Q 1 01110 size:2 1 Rm:5 10010 1 Rn:5 Rd:5", noDoubles],
  MUL_vector: ["0 Q 0 01110 size:2 1 Rm:5 10011 1 Rn:5 Rd:5", noDoubles],
  SMAXP: ["0 Q 0 01110 size:2 1 Rm:5 10100 1 Rn:5 Rd:5", noDoubles],
  UMAXP: ["0 Q 1 01110 size:2 1 Rm:5 10100 1 Rn:5 Rd:5", noDoubles],
  SMINP: ["0 Q 0 01110 size:2 1 Rm:5 10101 1 Rn:5 Rd:5", noDoubles],
  UMINP: ["0 Q 1 01110 size:2 1 Rm:5 10101 1 Rn:5 Rd:5", noDoubles],
  ADDP_vector: ["0 Q 0 01110 size:2 1 Rm:5 10111 1 Rn:5 Rd:5", whole],
  AND_vector: "0 Q 0 01110 00 1 Rm:5 00011 1 Rn:5 Rd:5",
  BIC_vector: "0 Q 0 01110 01 1 Rm:5 00011 1 Rn:5 Rd:5",
  ORR_vector: "0 Q 0 01110 10 1 Rm:5 00011 1 Rn:5 Rd:5",
  ORN_vector: "0 Q 0 01110 11 1 Rm:5 00011 1 Rn:5 Rd:5",
  EOR_vector: "0 Q 1 01110 00 1 Rm:5 00011 1 Rn:5 Rd:5",
  BSL: "0 Q 1 01110 01 1 Rm:5 00011 1 Rn:5 Rd:5",
  BIT: "0 Q 1 01110 10 1 Rm:5 00011 1 Rn:5 Rd:5",
  BIF: "0 Q 1 01110 11 1 Rm:5 00011 1 Rn:5 Rd:5",
  // The scalar ones of them.
  ADD_scalar: ["01 0 11110 size:2 1 Rm:5 10000 1 Rn:5 Rd:5", doublesOnly],
  SUB_scalar: ["01 1 11110 size:2 1 Rm:5 10000 1 Rn:5 Rd:5", doublesOnly],
  CMGT_scalar: ["01 0 11110 size:2 1 Rm:5 00110 1 Rn:5 Rd:5", doublesOnly],
  CMHI_scalar: ["01 1 11110 size:2 1 Rm:5 00110 1 Rn:5 Rd:5", doublesOnly],
  CMGE_scalar: ["01 0 11110 size:2 1 Rm:5 00111 1 Rn:5 Rd:5", doublesOnly],
  CMHS_scalar: ["01 1 11110 size:2 1 Rm:5 00111 1 Rn:5 Rd:5", doublesOnly],
  CMTST_scalar: ["01 0 11110 size:2 1 Rm:5 10001 1 Rn:5 Rd:5", doublesOnly],
  CMEQ_scalar: ["01 1 11110 size:2 1 Rm:5 10001 1 Rn:5 Rd:5", doublesOnly],
  SSHL_scalar: ["01 0 11110 size:2 1 Rm:5 01000 1 Rn:5 Rd:5", doublesOnly],
  USHL_scalar: ["01 1 11110 size:2 1 Rm:5 01000 1 Rn:5 Rd:5", doublesOnly],
  ADDP_scalar: ["01 0 11110 size:2 11000 11011 10 Rn:5 Rd:5", doublesOnly],
  // Two registers.
  REV64: ["0 Q 0 01110 size:2 10000 00000 10 Rn:5 Rd:5", noDoubles],
  REV16_vector: ["0 Q 0 01110 size:2 10000 00001 10 Rn:5 Rd:5", bytesOnly],
  REV32_vector: ["0 Q 1 01110 size:2 10000 00000 10 Rn:5 Rd:5", { undefined: (f) => f.size > 1 }],
  SADDLP: ["0 Q 0 01110 size:2 10000 00010 10 Rn:5 Rd:5", noDoubles],
  UADDLP: ["0 Q 1 01110 size:2 10000 00010 10 Rn:5 Rd:5", noDoubles],
  CLS_vector: ["0 Q 0 01110 size:2 10000 00100 10 Rn:5 Rd:5", noDoubles],
  CLZ_vector: ["0 Q 1 01110 size:2 10000 00100 10 Rn:5 Rd:5", noDoubles],
  CNT: ["0 Q 0 01110 size:2 10000 00101 10 Rn:5 Rd:5", bytesOnly],
  NOT: "0 Q 1 01110 00 10000 00101 10 Rn:5 Rd:5",
  RBIT_vector: "0 Q 1 01110 01 10000 00101 10 Rn:5 Rd:5",
  CMGT_zero: ["0 Q 0 01110 size:2 10000 01000 10 Rn:5 Rd:5", whole],
  CMGE_zero: ["0 Q 1 01110 size:2 10000 01000 10 Rn:5 Rd:5", whole],
  CMEQ_zero: ["0 Q 0 01110 size:2 10000 01001 10 Rn:5 Rd:5", whole],
  CMLE_zero: ["0 Q 1 01110 size:2 10000 01001 10 Rn:5 Rd:5", whole],
  CMLT_zero: ["0 Q 0 01110 size:2 10000 01010 10 Rn:5 Rd:5", whole],
  CMGT_zero_scalar: ["01 0 11110 size:2 10000 01000 10 Rn:5 Rd:5", doublesOnly],
  CMGE_zero_scalar: ["01 1 11110 size:2 10000 01000 10 Rn:5 Rd:5", doublesOnly],
  CMEQ_zero_scalar: ["01 0 11110 size:2 10000 01001 10 Rn:5 Rd:5", doublesOnly],
  CMLE_zero_scalar: ["01 1 11110 size:2 10000 01001 10 Rn:5 Rd:5", doublesOnly],
  CMLT_zero_scalar: ["01 0 11110 size:2 10000 01010 10 Rn:5 Rd:5", doublesOnly],
  ABS_vector: ["0 Q 0 01110 size:2 10000 01011 10 Rn:5 Rd:5", whole],
  NEG_vector: ["0 Q 1 01110 size:2 10000 01011 10 Rn:5 Rd:5", whole],
  XTN: ["0 Q 0 01110 size:2 10000 10010 10 Rn:5 Rd:5", narrow],
  SHLL: ["0 Q 1 01110 size:2 10000 10011 10 Rn:5 Rd:5", narrow],
  // Across lanes.
  ADDV: ["0 Q 0 01110 size:2 11000 11011 10 Rn:5 Rd:5", { undefined: acrossTooFew }],
  SMAXV: ["0 Q 0 01110 size:2 11000 01010 10 Rn:5 Rd:5", { undefined: acrossTooFew }],
  UMAXV: ["0 Q 1 01110 size:2 11000 01010 10 Rn:5 Rd:5", { undefined: acrossTooFew }],
  SMINV: ["0 Q 0 01110 size:2 11000 11010 10 Rn:5 Rd:5", { undefined: acrossTooFew }],
  UMINV: ["0 Q 1 01110 size:2 11000 11010 10 Rn:5 Rd:5", { undefined: acrossTooFew }],
  SADDLV: ["0 Q 0 01110 size:2 11000 00011 10 Rn:5 Rd:5", { undefined: acrossTooFew }],
  UADDLV: ["0 Q 1 01110 size:2 11000 00011 10 Rn:5 Rd:5", { undefined: acrossTooFew }],
  // Three registers of different types.
  SADDL: ["0 Q 0 01110 size:2 1 Rm:5 0000 00 Rn:5 Rd:5", narrow],
  UADDL: ["0 Q 1 01110 size:2 1 Rm:5 0000 00 Rn:5 Rd:5", narrow],
  SADDW: ["0 Q 0 01110 size:2 1 Rm:5 0001 00 Rn:5 Rd:5", narrow],
  UADDW: ["0 Q 1 01110 size:2 1 Rm:5 0001 00 Rn:5 Rd:5", narrow],
  SSUBL: ["0 Q 0 01110 size:2 1 Rm:5 0010 00 Rn:5 Rd:5", narrow],
  USUBL: ["0 Q 1 01110 size:2 1 Rm:5 0010 00 Rn:5 Rd:5", narrow],
  SSUBW: ["0 Q 0 01110 size:2 1 Rm:5 0011 00 Rn:5 Rd:5", narrow],
  USUBW: ["0 Q 1 01110 size:2 1 Rm:5 0011 00 Rn:5 Rd:5", narrow],
  ADDHN: ["0 Q 0 01110 size:2 1 Rm:5 0100 00 Rn:5 Rd:5", narrow],
  RADDHN: ["0 Q 1 01110 size:2 1 Rm:5 0100 00 Rn:5 Rd:5", narrow],
  SUBHN: ["0 Q 0 01110 size:2 1 Rm:5 0110 00 Rn:5 Rd:5", narrow],
  RSUBHN: ["0 Q 1 01110 size:2 1 Rm:5 0110 00 Rn:5 Rd:5", narrow],
  SABAL: ["0 Q 0 01110 size:2 1 Rm:5 0101 00 Rn:5 Rd:5", narrow],
  UABAL: ["0 Q 1 01110 size:2 1 Rm:5 0101 00 Rn:5 Rd:5", narrow],
  SABDL: ["0 Q 0 01110 size:2 1 Rm:5 0111 00 Rn:5 Rd:5", narrow],
  UABDL: ["0 Q 1 01110 size:2 1 Rm:5 0111 00 Rn:5 Rd:5", narrow],
  SMLAL: ["0 Q 0 01110 size:2 1 Rm:5 1000 00 Rn:5 Rd:5", narrow],
  UMLAL: ["0 Q 1 01110 size:2 1 Rm:5 1000 00 Rn:5 Rd:5", narrow],
  SMLSL: ["0 Q 0 01110 size:2 1 Rm:5 1010 00 Rn:5 Rd:5", narrow],
  UMLSL: ["0 Q 1 01110 size:2 1 Rm:5 1010 00 Rn:5 Rd:5", narrow],
  SMULL: ["0 Q 0 01110 size:2 1 Rm:5 1100 00 Rn:5 Rd:5", narrow],
  UMULL: ["0 Q 1 01110 size:2 1 Rm:5 1100 00 Rn:5 Rd:5", narrow],
  // Shifts by an immediate; immh names the element's size by its highest set bit.
  SSHR: ["0 Q 0 011110 immh:4 immb:3 00000 1 Rn:5 Rd:5", shiftOf()],
  USHR: ["0 Q 1 011110 immh:4 immb:3 00000 1 Rn:5 Rd:5", shiftOf()],
  SSRA: ["0 Q 0 011110 immh:4 immb:3 00010 1 Rn:5 Rd:5", shiftOf()],
  USRA: ["0 Q 1 011110 immh:4 immb:3 00010 1 Rn:5 Rd:5", shiftOf()],
  SRSHR: ["0 Q 0 011110 immh:4 immb:3 00100 1 Rn:5 Rd:5", shiftOf()],
  URSHR: ["0 Q 1 011110 immh:4 immb:3 00100 1 Rn:5 Rd:5", shiftOf()],
  SHL: ["0 Q 0 011110 immh:4 immb:3 01010 1 Rn:5 Rd:5", shiftOf()],
  SRI: ["0 Q 1 011110 immh:4 immb:3 01000 1 Rn:5 Rd:5", shiftOf()],
  SLI: ["0 Q 1 011110 immh:4 immb:3 01010 1 Rn:5 Rd:5", shiftOf()],
  SHRN: ["0 Q 0 011110 immh:4 immb:3 10000 1 Rn:5 Rd:5", shiftLong()],
  RSHRN: ["0 Q 0 011110 immh:4 immb:3 10001 1 Rn:5 Rd:5", shiftLong()],
  SSHLL: ["0 Q 0 011110 immh:4 immb:3 10100 1 Rn:5 Rd:5", shiftLong()],
  USHLL: ["0 Q 1 011110 immh:4 immb:3 10100 1 Rn:5 Rd:5", shiftLong()],
  SSHR_scalar: ["01 0 111110 immh:4 immb:3 00000 1 Rn:5 Rd:5", shiftScalar()],
  USHR_scalar: ["01 1 111110 immh:4 immb:3 00000 1 Rn:5 Rd:5", shiftScalar()],
  SHL_scalar: ["01 0 111110 immh:4 immb:3 01010 1 Rn:5 Rd:5", shiftScalar()],
  // Copies.
  DUP_element: [
    "0 Q 0 01110000 imm5:5 0 0000 1 Rn:5 Rd:5",
    element(3, { undefined: (f) => (f.imm5 & 15) === 8 && f.Q === 0 }),
  ],
  DUP_element_scalar: ["01 0 11110000 imm5:5 0 0000 1 Rn:5 Rd:5", element(3)],
  DUP_general: [
    "0 Q 0 01110000 imm5:5 0 0001 1 Rn:5 Rd:5",
    element(3, { undefined: (f) => (f.imm5 & 15) === 8 && f.Q === 0 }),
  ],
  SMOV: [
    "0 Q 0 01110000 imm5:5 0 0101 1 Rn:5 Rd:5",
    element(2, { undefined: (f) => (f.imm5 & 7) === 4 && f.Q === 0 }),
  ],
  UMOV: [
    "0 Q 0 01110000 imm5:5 0 0111 1 Rn:5 Rd:5",
    element(3, { undefined: (f) => ((f.imm5 & 15) === 8) !== (f.Q === 1) }),
  ],
  INS_general: ["0 1 0 01110000 imm5:5 0 0011 1 Rn:5 Rd:5", element(3)],
  INS_element: ["0 1 1 01110000 imm5:5 0 imm4:4 1 Rn:5 Rd:5", element(3)],
  // Permutes and tables.
  EXT: ["0 Q 1 01110 00 0 Rm:5 0 imm4:4 0 Rn:5 Rd:5", { undefined: (f) => f.Q === 0 && f.imm4 > 7 }],
  UZP1: ["0 Q 0 01110 size:2 0 Rm:5 0 001 10 Rn:5 Rd:5", whole],
  TRN1: ["0 Q 0 01110 size:2 0 Rm:5 0 010 10 Rn:5 Rd:5", whole],
  ZIP1: ["0 Q 0 01110 size:2 0 Rm:5 0 011 10 Rn:5 Rd:5", whole],
  UZP2: ["0 Q 0 01110 size:2 0 Rm:5 0 101 10 Rn:5 Rd:5", whole],
  TRN2: ["0 Q 0 01110 size:2 0 Rm:5 0 110 10 Rn:5 Rd:5", whole],
  ZIP2: ["0 Q 0 01110 size:2 0 Rm:5 0 111 10 Rn:5 Rd:5", whole],
  TBL: "0 Q 0 01110000 Rm:5 0 len:2 0 00 Rn:5 Rd:5",
  TBX: "0 Q 0 01110000 Rm:5 0 len:2 1 00 Rn:5 Rd:5",
  // Immediates. What cmode, op and o2 select is in the semantics; FMOV with half precision is not there.
  MOVI_etc: [
    "0 Q op 0111100000 a b c cmode:4 0 1 d e f g h Rd:5",
    {
      dynamic: ["a", "b", "c", "d", "e", "f", "g", "h"],
      undefined: (f) => f.cmode === 15 && f.op === 1 && f.Q === 0,
    },
  ],
});

/** Fewer than four lanes cannot be reduced, but for two words... which is not allocated either. */
function acrossTooFew(f: Fields): boolean {
  return f.size === 3 || (f.size === 2 && f.Q === 0);
}

/** immh is not zero (that is an immediate), and 64-bit elements need a full register. */
function shiftOf(): RowOptions {
  return { dynamic: ["immh"], undefined: (f) => f.immh === 0 || (f.immh >= 8 && f.Q === 0) };
}

function shiftLong(): RowOptions {
  return { dynamic: ["immh"], undefined: (f) => f.immh === 0 || f.immh >= 8 };
}

function shiftScalar(): RowOptions {
  return { dynamic: ["immh"], undefined: (f) => f.immh < 8 };
}
