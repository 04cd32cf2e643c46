/** Arm ARM C4.1.92, Data Processing - Immediate. */
import { type Fields, rows } from "../encoding.ts";
import { elementLog2 } from "../semantics/bit-masks.ts";

/** A mask of all ones, or an element longer than the register, is reserved. */
function reservedBitMask(f: Fields): boolean {
  if (f.sf === 0 && f.N === 1) return true;
  const log2 = elementLog2(f.N, f.imms);
  if (log2 < 1) return true;
  const levels = 2 ** log2 - 1;
  return (f.imms & levels) === levels;
}

const addSub = { sp: ["Rn", "Rd"] };
const addSubFlags = { sp: ["Rn"] };
const logical = { sp: ["Rd"], dynamic: ["N"], undefined: reservedBitMask };
const logicalFlags = { dynamic: ["N"], undefined: reservedBitMask };
const bitfield = {
  undefined: (f: Fields) => f.sf !== f.N || (f.sf === 0 && (f.immr >= 32 || f.imms >= 32)),
};
const moveWide = { dynamic: ["hw"], undefined: (f: Fields) => f.sf === 0 && f.hw >= 2 };

export const DATA_PROCESSING_IMMEDIATE = rows("Data processing - immediate", {
  ADR: ["0 immlo:2 10000 immhi:19 Rd:5", {}],
  ADRP: ["1 immlo:2 10000 immhi:19 Rd:5", {}],
  ADD_imm: ["sf 0 0 100010 sh imm12:12 Rn:5 Rd:5", { ...addSub, dynamic: ["sh"] }],
  ADDS_imm: ["sf 0 1 100010 sh imm12:12 Rn:5 Rd:5", { ...addSubFlags, dynamic: ["sh"] }],
  SUB_imm: ["sf 1 0 100010 sh imm12:12 Rn:5 Rd:5", { ...addSub, dynamic: ["sh"] }],
  SUBS_imm: ["sf 1 1 100010 sh imm12:12 Rn:5 Rd:5", { ...addSubFlags, dynamic: ["sh"] }],
  AND_imm: ["sf 00 100100 N immr:6 imms:6 Rn:5 Rd:5", logical],
  ORR_imm: ["sf 01 100100 N immr:6 imms:6 Rn:5 Rd:5", logical],
  EOR_imm: ["sf 10 100100 N immr:6 imms:6 Rn:5 Rd:5", logical],
  ANDS_imm: ["sf 11 100100 N immr:6 imms:6 Rn:5 Rd:5", logicalFlags],
  MOVN: ["sf 00 100101 hw:2 imm16:16 Rd:5", moveWide],
  MOVZ: ["sf 10 100101 hw:2 imm16:16 Rd:5", moveWide],
  MOVK: ["sf 11 100101 hw:2 imm16:16 Rd:5", moveWide],
  SBFM: ["sf 00 100110 N immr:6 imms:6 Rn:5 Rd:5", bitfield],
  BFM: ["sf 01 100110 N immr:6 imms:6 Rn:5 Rd:5", bitfield],
  UBFM: ["sf 10 100110 N immr:6 imms:6 Rn:5 Rd:5", bitfield],
  EXTR: [
    "sf 00 100111 N 0 Rm:5 imms:6 Rn:5 Rd:5",
    { undefined: (f) => f.sf !== f.N || (f.sf === 0 && f.imms >= 32) },
  ],
});
