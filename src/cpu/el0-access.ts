/** What EL1 lets EL0 do with system instructions, and the trap where it does not. */
import { type Encoding, SCTLR_EL1 } from "../arm/registers.ts";
import { EC, sysregIss } from "../arm/syndromes.ts";
import type { InstructionHost } from "./instruction-host.ts";
import type { VcpuState } from "./vcpu-state.ts";

/** Whether EL0 may do what a bit of SCTLR_EL1 allows it; EL1 may. */
export const allows = (state: VcpuState, bit: "UCI" | "UCT" | "DZE" | "UMA" | "nTWI" | "nTWE"): boolean =>
  state.el === 1 || SCTLR_EL1.is(state.get64("SCTLR_EL1"), bit);

/** ISS of a trapped MSR, MRS or SYS, whose fields the instruction has in another order. */
const systemAccess = (word: number): number => {
  const field = (low: number, bits: number): number => (word >>> low) & ((1 << bits) - 1);
  const encoding: Encoding = [field(19, 2), field(16, 3), field(12, 4), field(8, 4), field(5, 3)];
  return sysregIss({ encoding, rt: field(0, 5), isRead: field(21, 1) === 1 });
};

/** An access from EL0 that EL1 has not allowed is an exception to EL1. */
export const trap = (core: InstructionHost, word: number): void =>
  core.exceptions.synchronous(EC.sysreg, systemAccess(word));
