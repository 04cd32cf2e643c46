/** Arm ARM C4.1.93, Branches, Exception Generating and System instructions. */
import { rows } from "../encoding.ts";

const system = { dynamic: ["op1", "CRn", "CRm", "op2", "o0"] };

export const BRANCHES_AND_SYSTEM = rows("Branches, exceptions, system", {
  B: "0 00101 imm26:26",
  BL: "1 00101 imm26:26",
  B_cond: "0101010 0 imm19:19 0 cond:4",
  CBZ: "sf 011010 0 imm19:19 Rt:5",
  CBNZ: "sf 011010 1 imm19:19 Rt:5",
  TBZ: ["b5 011011 0 b40:5 imm14:14 Rt:5", { dynamic: ["b5", "b40"] }],
  TBNZ: ["b5 011011 1 b40:5 imm14:14 Rt:5", { dynamic: ["b5", "b40"] }],
  BR: "1101011 0 0 00 11111 000000 Rn:5 00000",
  BLR: "1101011 0 0 01 11111 000000 Rn:5 00000",
  RET: "1101011 0 0 10 11111 000000 Rn:5 00000",
  ERET: "1101011 0100 11111 000000 11111 00000",
  DRPS: "1101011 0101 11111 000000 11111 00000",
  SVC: "11010100 000 imm16:16 000 01",
  HVC: "11010100 000 imm16:16 000 10",
  SMC: "11010100 000 imm16:16 000 11",
  BRK: "11010100 001 imm16:16 000 00",
  HLT: "11010100 010 imm16:16 000 00",
  DCPS1: "11010100 101 imm16:16 000 01",
  DCPS2: "11010100 101 imm16:16 000 10",
  DCPS3: "11010100 101 imm16:16 000 11",
  MSR_imm: ["1101010100 0 00 op1:3 0100 CRm:4 op2:3 11111", system],
  HINT: ["1101010100 0 00 011 0010 CRm:4 op2:3 11111", system],
  CLREX: ["1101010100 0 00 011 0011 CRm:4 010 11111", system],
  DSB: ["1101010100 0 00 011 0011 CRm:4 100 11111", system],
  DMB: ["1101010100 0 00 011 0011 CRm:4 101 11111", system],
  ISB: ["1101010100 0 00 011 0011 CRm:4 110 11111", system],
  SYS: ["1101010100 0 01 op1:3 CRn:4 CRm:4 op2:3 Rt:5", system],
  SYSL: ["1101010100 1 01 op1:3 CRn:4 CRm:4 op2:3 Rt:5", system],
  MSR_reg: ["1101010100 0 1 o0 op1:3 CRn:4 CRm:4 op2:3 Rt:5", system],
  MRS: ["1101010100 1 1 o0 op1:3 CRn:4 CRm:4 op2:3 Rt:5", system],
});
