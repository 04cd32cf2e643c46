/** What random cases leave out, and why: each entry quotes what allows it, or what checks it instead. */
import type { Fields, Row } from "../../src/a64/encoding.ts";
import { SIGNAL } from "./format.ts";

const BY_NAME: Readonly<Record<string, string>> = {
  SVC: "would be a system call of Linux; test/payload takes it",
  HVC: "UNDEFINED at EL0; test/payload and the boot take it at EL1",
  SMC: "UNDEFINED at EL0; at EL1 PSCI over HVC is what a guest has",
  HLT: "semihosting in QEMU; here and under KVM UNDEFINED",
  ERET: "UNDEFINED at EL0; test/payload takes it",
  DRPS: "UNDEFINED outside of Debug state",
  DCPS1: "UNDEFINED outside of Debug state",
  DCPS2: "UNDEFINED outside of Debug state",
  DCPS3: "UNDEFINED outside of Debug state",
  SYSL: "IMPLEMENTATION DEFINED: nothing of it is implemented",
  MSR_imm: "EL1's PSTATE fields: test/payload sets them",
};

/** Why a row has no random cases. */
export const exclusionOf = (row: Row): string | undefined => BY_NAME[row.name];

/** CONSTRAINED UNPREDICTABLE (Arm ARM K1.2): choices that QEMU and this machine are free to make differently. */
export function isUnpredictable(row: Row, f: Fields): boolean {
  const { name } = row;
  const fp = name.includes("_fp_") || row.group.startsWith("Advanced SIMD");
  // HINT: WFE and WFI wait here (test/payload), and in a Linux program of QEMU's do nothing.
  if (name === "HINT") return f.CRm === 0 && (f.op2 === 2 || f.op2 === 3);
  // K1.2.2 ff.: a load or store with writeback whose base is transferred too.
  if (/_(pre|post)$/.test(name) && !fp && f.Rn !== 31 && (f.Rn === f.Rt || f.Rn === f.Rt2)) return true;
  // A load of a pair into one register.
  if (/^LD(N?P|PSW|X?P|AXP)(_|$)/.test(name) && f.Rt === f.Rt2) return true;
  // A store-exclusive whose status goes into a register that it stores or takes for its base.
  if (/^STL?X[RP]$/.test(name) && (f.Rs === f.Rt || f.Rs === f.Rt2 || (f.Rs === f.Rn && f.Rn !== 31)))
    return true;
  return false;
}

/**
 * Answers that may differ: QEMU's and this machine's are both allowed, or QEMU's is known not to be hardware's.
 * @param ours the signal here
 * @param theirs the signal on QEMU
 * @param isFirst whether the instruction is the first of its case
 */
export function mayDiffer(row: Row, f: Fields, ours: number, theirs: number, isFirst: boolean): boolean {
  // AArch64.ExclusiveMonitorsPass: "It is IMPLEMENTATION DEFINED whether the detection of memory aborts happens before or
  // after the check on the local Exclusives monitor." QEMU looks at the monitor first.
  if (/^STL?X[RP]$/.test(row.name))
    return (ours === SIGNAL.BUS || ours === SIGNAL.SEGV) && theirs === SIGNAL.TRAP;
  // IC IVAU and DC by VA of an address without translation: a translation fault (AArch64.IC, AArch64.DC); in a Linux program of
  // QEMU's they are NOPs, and what follows is executed. test/payload-faults.test.ts has them.
  if (row.name === "SYS" && [5, 10, 11, 14].includes(f.CRm)) return ours === SIGNAL.SEGV;
  // DC ZVA that faults: for a Linux program QEMU zeroes by a memset of its own (HELPER(dc_zva)), and where that faults it knows
  // the PC that it has stored last, which may be that of an instruction before it.
  if (row.name === "SYS" && f.CRm === 4 && !isFirst) return ours === SIGNAL.SEGV && theirs === SIGNAL.SEGV;
  return false;
}
