/** Arm ARM C4.1.95, Data Processing - Register. */
import { type Fields, type RowOptions, rows } from "../encoding.ts";

const shifted = { undefined: (f: Fields) => f.sf === 0 && f.imm6 >= 32 };
const addShifted = { undefined: (f: Fields) => f.shift === 3 || (f.sf === 0 && f.imm6 >= 32) };
const extended = (...sp: string[]): RowOptions => ({ sp, undefined: (f) => f.imm3 > 4 });
const compare = { dynamic: ["nzcv"] };
const crc: RowOptions = { feature: "CRC32", undefined: (f) => (f.sf === 1) !== (f.sz === 3) };

export const DATA_PROCESSING_REGISTER = rows("Data processing - register", {
  AND_shift: ["sf 00 01010 shift:2 0 Rm:5 imm6:6 Rn:5 Rd:5", shifted],
  BIC_shift: ["sf 00 01010 shift:2 1 Rm:5 imm6:6 Rn:5 Rd:5", shifted],
  ORR_shift: ["sf 01 01010 shift:2 0 Rm:5 imm6:6 Rn:5 Rd:5", shifted],
  ORN_shift: ["sf 01 01010 shift:2 1 Rm:5 imm6:6 Rn:5 Rd:5", shifted],
  EOR_shift: ["sf 10 01010 shift:2 0 Rm:5 imm6:6 Rn:5 Rd:5", shifted],
  EON_shift: ["sf 10 01010 shift:2 1 Rm:5 imm6:6 Rn:5 Rd:5", shifted],
  ANDS_shift: ["sf 11 01010 shift:2 0 Rm:5 imm6:6 Rn:5 Rd:5", shifted],
  BICS_shift: ["sf 11 01010 shift:2 1 Rm:5 imm6:6 Rn:5 Rd:5", shifted],
  ADD_shift: ["sf 00 01011 shift:2 0 Rm:5 imm6:6 Rn:5 Rd:5", addShifted],
  ADDS_shift: ["sf 01 01011 shift:2 0 Rm:5 imm6:6 Rn:5 Rd:5", addShifted],
  SUB_shift: ["sf 10 01011 shift:2 0 Rm:5 imm6:6 Rn:5 Rd:5", addShifted],
  SUBS_shift: ["sf 11 01011 shift:2 0 Rm:5 imm6:6 Rn:5 Rd:5", addShifted],
  ADD_ext: ["sf 00 01011 00 1 Rm:5 option:3 imm3:3 Rn:5 Rd:5", extended("Rn", "Rd")],
  ADDS_ext: ["sf 01 01011 00 1 Rm:5 option:3 imm3:3 Rn:5 Rd:5", extended("Rn")],
  SUB_ext: ["sf 10 01011 00 1 Rm:5 option:3 imm3:3 Rn:5 Rd:5", extended("Rn", "Rd")],
  SUBS_ext: ["sf 11 01011 00 1 Rm:5 option:3 imm3:3 Rn:5 Rd:5", extended("Rn")],
  ADC: "sf 00 11010000 Rm:5 000000 Rn:5 Rd:5",
  ADCS: "sf 01 11010000 Rm:5 000000 Rn:5 Rd:5",
  SBC: "sf 10 11010000 Rm:5 000000 Rn:5 Rd:5",
  SBCS: "sf 11 11010000 Rm:5 000000 Rn:5 Rd:5",
  CCMN_reg: ["sf 01 11010010 Rm:5 cond:4 0 0 Rn:5 0 nzcv:4", compare],
  CCMP_reg: ["sf 11 11010010 Rm:5 cond:4 0 0 Rn:5 0 nzcv:4", compare],
  CCMN_imm: ["sf 01 11010010 imm5:5 cond:4 1 0 Rn:5 0 nzcv:4", compare],
  CCMP_imm: ["sf 11 11010010 imm5:5 cond:4 1 0 Rn:5 0 nzcv:4", compare],
  CSEL: "sf 00 11010100 Rm:5 cond:4 00 Rn:5 Rd:5",
  CSINC: "sf 00 11010100 Rm:5 cond:4 01 Rn:5 Rd:5",
  CSINV: "sf 10 11010100 Rm:5 cond:4 00 Rn:5 Rd:5",
  CSNEG: "sf 10 11010100 Rm:5 cond:4 01 Rn:5 Rd:5",
  MADD: "sf 00 11011 000 Rm:5 0 Ra:5 Rn:5 Rd:5",
  MSUB: "sf 00 11011 000 Rm:5 1 Ra:5 Rn:5 Rd:5",
  SMADDL: "1 00 11011 001 Rm:5 0 Ra:5 Rn:5 Rd:5",
  SMSUBL: "1 00 11011 001 Rm:5 1 Ra:5 Rn:5 Rd:5",
  SMULH: "1 00 11011 010 Rm:5 0 xxxxx Rn:5 Rd:5",
  UMADDL: "1 00 11011 101 Rm:5 0 Ra:5 Rn:5 Rd:5",
  UMSUBL: "1 00 11011 101 Rm:5 1 Ra:5 Rn:5 Rd:5",
  UMULH: "1 00 11011 110 Rm:5 0 xxxxx Rn:5 Rd:5",
  UDIV: "sf 00 11010110 Rm:5 000010 Rn:5 Rd:5",
  SDIV: "sf 00 11010110 Rm:5 000011 Rn:5 Rd:5",
  LSLV: "sf 00 11010110 Rm:5 001000 Rn:5 Rd:5",
  LSRV: "sf 00 11010110 Rm:5 001001 Rn:5 Rd:5",
  ASRV: "sf 00 11010110 Rm:5 001010 Rn:5 Rd:5",
  RORV: "sf 00 11010110 Rm:5 001011 Rn:5 Rd:5",
  CRC32: ["sf 00 11010110 Rm:5 010 0 sz:2 Rn:5 Rd:5", crc],
  CRC32C: ["sf 00 11010110 Rm:5 010 1 sz:2 Rn:5 Rd:5", crc],
  RBIT: "sf 10 11010110 00000 000000 Rn:5 Rd:5",
  REV16: "sf 10 11010110 00000 000001 Rn:5 Rd:5",
  // With sf = 0 this opcode is REV of a W register.
  REV32: ["sf 10 11010110 00000 000010 Rn:5 Rd:5", {}],
  REV: ["1 10 11010110 00000 000011 Rn:5 Rd:5", {}],
  CLZ: "sf 10 11010110 00000 000100 Rn:5 Rd:5",
  CLS: "sf 10 11010110 00000 000101 Rn:5 Rd:5",
});
