/**
 * What this core says it is: an Armv8.2-A core without half-precision arithmetic. Fields as in Arm DDI 0601. CSV3 and E0PD
 * keep Linux from isolating its page tables (arch/arm64/kernel/cpufeature.c), which the SPE driver insists on.
 */
import { type Encoding, SYSREG, type SysregName } from "../arm/registers.ts";

const at = (low: number, value: number): bigint => BigInt(value) << BigInt(low);
const all = (...fields: bigint[]): bigint => fields.reduce((a, b) => a | b, 0n);

/** Implementer 'A' with a part number of no product: Linux applies no workarounds. */
const MIDR = all(at(24, 0x41), at(16, 0xf), at(4, 0xfff));

const ID: readonly (readonly [name: SysregName, value: bigint])[] = [
  ["MIDR_EL1", MIDR],
  ["REVIDR_EL1", 0n],
  // EL0 and EL1 in AArch64 only; FP and AdvSIMD without half precision; GIC system registers; CSV2 and CSV3.
  ["ID_AA64PFR0_EL1", all(at(0, 1), at(4, 1), at(8, 1), at(24, 1), at(56, 1), at(60, 1))],
  ["ID_AA64PFR1_EL1", 0n],
  ["ID_AA64ZFR0_EL1", 0n],
  ["ID_AA64SMFR0_EL1", 0n],
  // Debug v8, PMUv3 for v8.1, six breakpoints, four watchpoints, two context-aware.
  ["ID_AA64DFR0_EL1", all(at(0, 6), at(8, 4), at(12, 5), at(20, 3), at(28, 1))],
  ["ID_AA64DFR1_EL1", 0n],
  ["ID_AA64AFR0_EL1", 0n],
  ["ID_AA64AFR1_EL1", 0n],
  // AES with PMULL, SHA1, SHA256, CRC32, the LSE atomics, and the rounding doubling multiplications.
  ["ID_AA64ISAR0_EL1", all(at(4, 2), at(8, 1), at(12, 1), at(16, 1), at(20, 2), at(28, 1))],
  // DC CVAP.
  ["ID_AA64ISAR1_EL1", at(0, 1)],
  ["ID_AA64ISAR2_EL1", 0n],
  // 48-bit addresses, 16-bit ASIDs, all granules.
  ["ID_AA64MMFR0_EL1", all(at(0, 5), at(4, 2), at(20, 1), at(24, 0), at(28, 0))],
  // Access flag and dirty state by hardware, hierarchical permission disables, LORegions, PAN with AT S1E1RP.
  ["ID_AA64MMFR1_EL1", all(at(0, 2), at(12, 1), at(16, 1), at(20, 2))],
  // UAO, and E0PD.
  ["ID_AA64MMFR2_EL1", all(at(0, 1), at(4, 1), at(60, 1))],
  // Instruction and data lines of 64 bytes; cleaning and invalidating to the point of unification is needed.
  ["CTR_EL0", all(at(31, 1), at(24, 4), at(20, 4), at(16, 4), at(14, 3), at(0, 4))],
  // DC ZVA zeroes 64 bytes.
  ["DCZID_EL0", 4n],
  // Two levels of cache, unified from the second on.
  ["CLIDR_EL1", all(at(0, 3), at(3, 4), at(21, 1), at(24, 2), at(27, 1))],
  ["AIDR_EL1", 0n],
];

/** Registers that are constants, by encoding. */
export const ID_REGISTERS: ReadonlyMap<number, bigint> = new Map(
  ID.map(([name, value]) => [SYSREG[name], value]),
);

/** Whether an encoding lies in the space of ID registers, of which what is not allocated reads as zero. */
export const isIdSpace = ([op0, op1, crn, crm]: Encoding): boolean =>
  op0 === 3 && op1 === 0 && crn === 0 && crm >= 1 && crm <= 7;

/** CCSIDR_EL1 by CSSELR_EL1: 64 KiB of 4 ways, and 1 MiB of 16 ways, lines of 64 bytes. */
export const cacheSize = (level: number): bigint =>
  level === 0 || level === 1
    ? all(at(0, 2), at(3, 3), at(13, 255))
    : level === 2
      ? all(at(0, 2), at(3, 15), at(13, 1023))
      : 0n;
