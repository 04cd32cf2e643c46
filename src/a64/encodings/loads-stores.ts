/** Arm ARM C4.1.94, Loads and Stores of general and SIMD&FP registers. Structures are in simd-loads-stores.ts. */
import { type Fields, type RowOptions, rows } from "../encoding.ts";

const base: RowOptions = { sp: ["Rn"] };
/** LDRS: to 32 bits (opc 3) from bytes and halfwords, to 64 (opc 2) from words, too. */
const signed: RowOptions = { sp: ["Rn"], undefined: (f) => f.size === 3 || (f.size === 2 && f.opc === 3) };
const registerOffset: RowOptions = { sp: ["Rn"], undefined: (f) => (f.option & 2) === 0 };
const signedOffset: RowOptions = {
  sp: ["Rn"],
  undefined: (f) => (f.option & 2) === 0 || f.size === 3 || (f.size === 2 && f.opc === 3),
};
/** opc<1> is bit 2 of the size, which ends at 16 bytes. */
const tooWide = (f: Fields): boolean => f.opc >> 1 === 1 && f.size !== 0;
const vector: RowOptions = { sp: ["Rn"], undefined: tooWide };
const vectorOffset: RowOptions = { sp: ["Rn"], undefined: (f) => (f.option & 2) === 0 || tooWide(f) };
const pair: RowOptions = { sp: ["Rn"], undefined: (f) => (f.opc & 1) === 1 };
const vectorPair: RowOptions = { sp: ["Rn"], undefined: (f) => f.opc === 3 };
const hint: RowOptions = { sp: ["Rn"], dynamic: ["prfop", "option", "S"] };

export const LOADS_STORES = rows("Loads and stores", {
  LDR_literal: ["opc:2 011 0 00 imm19:19 Rt:5", { undefined: (f) => f.opc > 1 }],
  LDRSW_literal: "10 011 0 00 imm19:19 Rt:5",
  PRFM_literal: ["11 011 0 00 imm19:19 prfop:5", hint],
  LDR_fp_literal: ["opc:2 011 1 00 imm19:19 Rt:5", { undefined: (f) => f.opc === 3 }],

  STNP: ["opc:2 101 0 000 0 imm7:7 Rt2:5 Rn:5 Rt:5", pair],
  LDNP: ["opc:2 101 0 000 1 imm7:7 Rt2:5 Rn:5 Rt:5", pair],
  STP_post: ["opc:2 101 0 001 0 imm7:7 Rt2:5 Rn:5 Rt:5", pair],
  LDP_post: ["opc:2 101 0 001 1 imm7:7 Rt2:5 Rn:5 Rt:5", pair],
  STP_offset: ["opc:2 101 0 010 0 imm7:7 Rt2:5 Rn:5 Rt:5", pair],
  LDP_offset: ["opc:2 101 0 010 1 imm7:7 Rt2:5 Rn:5 Rt:5", pair],
  STP_pre: ["opc:2 101 0 011 0 imm7:7 Rt2:5 Rn:5 Rt:5", pair],
  LDP_pre: ["opc:2 101 0 011 1 imm7:7 Rt2:5 Rn:5 Rt:5", pair],
  LDPSW_post: ["01 101 0 001 1 imm7:7 Rt2:5 Rn:5 Rt:5", base],
  LDPSW_offset: ["01 101 0 010 1 imm7:7 Rt2:5 Rn:5 Rt:5", base],
  LDPSW_pre: ["01 101 0 011 1 imm7:7 Rt2:5 Rn:5 Rt:5", base],
  STNP_fp: ["opc:2 101 1 000 0 imm7:7 Rt2:5 Rn:5 Rt:5", vectorPair],
  LDNP_fp: ["opc:2 101 1 000 1 imm7:7 Rt2:5 Rn:5 Rt:5", vectorPair],
  STP_fp_post: ["opc:2 101 1 001 0 imm7:7 Rt2:5 Rn:5 Rt:5", vectorPair],
  LDP_fp_post: ["opc:2 101 1 001 1 imm7:7 Rt2:5 Rn:5 Rt:5", vectorPair],
  STP_fp_offset: ["opc:2 101 1 010 0 imm7:7 Rt2:5 Rn:5 Rt:5", vectorPair],
  LDP_fp_offset: ["opc:2 101 1 010 1 imm7:7 Rt2:5 Rn:5 Rt:5", vectorPair],
  STP_fp_pre: ["opc:2 101 1 011 0 imm7:7 Rt2:5 Rn:5 Rt:5", vectorPair],
  LDP_fp_pre: ["opc:2 101 1 011 1 imm7:7 Rt2:5 Rn:5 Rt:5", vectorPair],

  STR_unscaled: ["size:2 111 0 00 00 0 imm9:9 00 Rn:5 Rt:5", base],
  LDR_unscaled: ["size:2 111 0 00 01 0 imm9:9 00 Rn:5 Rt:5", base],
  LDRS_unscaled: ["size:2 111 0 00 opc:2 0 imm9:9 00 Rn:5 Rt:5", { ...signed, undefined: notSigned(signed) }],
  PRFUM: ["11 111 0 00 10 0 imm9:9 00 Rn:5 prfop:5", hint],
  STR_post: ["size:2 111 0 00 00 0 imm9:9 01 Rn:5 Rt:5", base],
  LDR_post: ["size:2 111 0 00 01 0 imm9:9 01 Rn:5 Rt:5", base],
  LDRS_post: ["size:2 111 0 00 opc:2 0 imm9:9 01 Rn:5 Rt:5", { ...signed, undefined: notSigned(signed) }],
  STTR: ["size:2 111 0 00 00 0 imm9:9 10 Rn:5 Rt:5", base],
  LDTR: ["size:2 111 0 00 01 0 imm9:9 10 Rn:5 Rt:5", base],
  LDTRS: ["size:2 111 0 00 opc:2 0 imm9:9 10 Rn:5 Rt:5", { ...signed, undefined: notSigned(signed) }],
  STR_pre: ["size:2 111 0 00 00 0 imm9:9 11 Rn:5 Rt:5", base],
  LDR_pre: ["size:2 111 0 00 01 0 imm9:9 11 Rn:5 Rt:5", base],
  LDRS_pre: ["size:2 111 0 00 opc:2 0 imm9:9 11 Rn:5 Rt:5", { ...signed, undefined: notSigned(signed) }],
  STR_reg: ["size:2 111 0 00 00 1 Rm:5 option:3 S 10 Rn:5 Rt:5", registerOffset],
  LDR_reg: ["size:2 111 0 00 01 1 Rm:5 option:3 S 10 Rn:5 Rt:5", registerOffset],
  LDRS_reg: [
    "size:2 111 0 00 opc:2 1 Rm:5 option:3 S 10 Rn:5 Rt:5",
    { ...signedOffset, undefined: notSigned(signedOffset) },
  ],
  PRFM_reg: [
    "11 111 0 00 10 1 Rm:5 option:3 S 10 Rn:5 prfop:5",
    { ...hint, undefined: (f) => (f.option & 2) === 0 },
  ],
  STR_imm_unsigned: ["size:2 111 0 01 00 imm12:12 Rn:5 Rt:5", base],
  LDR_imm_unsigned: ["size:2 111 0 01 01 imm12:12 Rn:5 Rt:5", base],
  LDRS_imm_unsigned: [
    "size:2 111 0 01 opc:2 imm12:12 Rn:5 Rt:5",
    { ...signed, undefined: notSigned(signed) },
  ],
  PRFM_imm: ["11 111 0 01 10 imm12:12 Rn:5 prfop:5", hint],

  STR_fp_unscaled: ["size:2 111 1 00 opc:2 0 imm9:9 00 Rn:5 Rt:5", forStores(vector)],
  LDR_fp_unscaled: ["size:2 111 1 00 opc:2 0 imm9:9 00 Rn:5 Rt:5", forLoads(vector)],
  STR_fp_post: ["size:2 111 1 00 opc:2 0 imm9:9 01 Rn:5 Rt:5", forStores(vector)],
  LDR_fp_post: ["size:2 111 1 00 opc:2 0 imm9:9 01 Rn:5 Rt:5", forLoads(vector)],
  STR_fp_pre: ["size:2 111 1 00 opc:2 0 imm9:9 11 Rn:5 Rt:5", forStores(vector)],
  LDR_fp_pre: ["size:2 111 1 00 opc:2 0 imm9:9 11 Rn:5 Rt:5", forLoads(vector)],
  STR_fp_reg: ["size:2 111 1 00 opc:2 1 Rm:5 option:3 S 10 Rn:5 Rt:5", forStores(vectorOffset)],
  LDR_fp_reg: ["size:2 111 1 00 opc:2 1 Rm:5 option:3 S 10 Rn:5 Rt:5", forLoads(vectorOffset)],
  STR_fp_imm_unsigned: ["size:2 111 1 01 opc:2 imm12:12 Rn:5 Rt:5", forStores(vector)],
  LDR_fp_imm_unsigned: ["size:2 111 1 01 opc:2 imm12:12 Rn:5 Rt:5", forLoads(vector)],
});

/** opc 2 and 3 only. */
function notSigned(options: RowOptions): (f: Fields) => boolean {
  return (f) => f.opc < 2 || options.undefined!(f);
}

/** SIMD&FP: opc<0> says load or store. */
function forStores(options: RowOptions): RowOptions {
  return { ...options, undefined: (f) => (f.opc & 1) === 1 || options.undefined!(f) };
}

function forLoads(options: RowOptions): RowOptions {
  return { ...options, undefined: (f) => (f.opc & 1) === 0 || options.undefined!(f) };
}
