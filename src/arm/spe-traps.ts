/**
 * Which EL1 accesses to SPE's registers trap to EL2. The order of checks is that of the register pages (Arm DDI
 * 0601): fine-grained traps, then MDCR_EL2 (E2PB for the buffer, TPMS for sampling). There is no EL3 here, and NV2
 * redirection is left out.
 */
import { type RegisterName, registerByName, type SpeRegisterName } from "./registers.ts";
import {
  HDFGRTR_EL2,
  HDFGRTR2_EL2,
  HDFGWTR_EL2,
  HDFGWTR2_EL2,
  HFGITR_EL2,
  MDCR_EL2,
} from "./registers-system.ts";

/** The registers that decide. Those left out are zero. */
export interface SpeTrapControls {
  readonly MDCR_EL2: bigint;
  readonly HDFGRTR_EL2?: bigint;
  readonly HDFGWTR_EL2?: bigint;
  readonly HDFGRTR2_EL2?: bigint;
  readonly HDFGWTR2_EL2?: bigint;
  readonly HFGITR_EL2?: bigint;
  /** FEAT_FGT: without it the HDFG*_EL2 and HFGITR_EL2 registers do not exist and trap nothing. */
  readonly fgt: boolean;
  /** FEAT_FGT2: the same for the HDFG*2_EL2 registers. */
  readonly fgt2?: boolean;
}

/** Which control sends an access to EL2. */
export type SpeTrapReason = "fine-grained" | "MDCR_EL2.E2PB" | "MDCR_EL2.TPMS";

const POSITIVE = [
  "PMBLIMITR_EL1",
  "PMBPTR_EL1",
  "PMBSR_EL1",
  "PMSCR_EL1",
  "PMSEVFR_EL1",
  "PMSFCR_EL1",
  "PMSICR_EL1",
  "PMSIRR_EL1",
  "PMSLATFR_EL1",
] as const;
const BUFFER: readonly string[] = ["PMBLIMITR_EL1", "PMBPTR_EL1", "PMBSR_EL1"];

/** The EL1 registers of SPE to which these traps apply. */
export type TrappableSpeRegister = Exclude<SpeRegisterName, "PMSCR_EL2" | "PMSCR_EL12">;

const TRAPPABLE: readonly TrappableSpeRegister[] = [
  ...POSITIVE,
  "PMSNEVFR_EL1",
  "PMSIDR_EL1",
  "PMSDSFR_EL1",
  "PMBMAR_EL1",
  "PMBIDR_EL1",
];

/**
 * Whether an EL1 access to an SPE register traps to EL2, and by which control; undefined: it does not. Evaluates the
 * control registers: use compileSpeTraps where the same controls are asked about many times.
 */
export function sysregTrap(
  name: TrappableSpeRegister,
  isWrite: boolean,
  controls: SpeTrapControls,
): SpeTrapReason | undefined {
  if (isFineGrained(name, isWrite, controls)) return "fine-grained";
  // PMBIDR_EL1 is not an access to the buffer's state: E2PB leaves it alone, so it reads P = 1 instead.
  if (BUFFER.includes(name))
    return (MDCR_EL2.num(controls.MDCR_EL2, "E2PB") & 1) === 0 ? "MDCR_EL2.E2PB" : undefined;
  if (name.startsWith("PMS")) return MDCR_EL2.is(controls.MDCR_EL2, "TPMS") ? "MDCR_EL2.TPMS" : undefined;
  return undefined;
}

function isFineGrained(name: TrappableSpeRegister, isWrite: boolean, controls: SpeTrapControls): boolean {
  const first = isWrite ? (controls.HDFGWTR_EL2 ?? 0n) : (controls.HDFGRTR_EL2 ?? 0n);
  const second = isWrite ? (controls.HDFGWTR2_EL2 ?? 0n) : (controls.HDFGRTR2_EL2 ?? 0n);
  switch (name) {
    case "PMBIDR_EL1":
    case "PMSIDR_EL1":
      return controls.fgt && !isWrite && HDFGRTR_EL2.is(first, name);
    case "PMSNEVFR_EL1":
      return controls.fgt && !(isWrite ? HDFGWTR_EL2 : HDFGRTR_EL2).is(first, "nPMSNEVFR_EL1");
    case "PMSDSFR_EL1":
      return (controls.fgt2 ?? false) && !(isWrite ? HDFGWTR2_EL2 : HDFGRTR2_EL2).is(second, "nPMSDSFR_EL1");
    case "PMBMAR_EL1":
      return (controls.fgt2 ?? false) && !(isWrite ? HDFGWTR2_EL2 : HDFGRTR2_EL2).is(second, "nPMBMAR_EL1");
    default:
      return controls.fgt && (isWrite ? HDFGWTR_EL2 : HDFGRTR_EL2).is(first, name);
  }
}

/** The verdicts of one trap configuration, ready for repeated use. */
export interface CompiledSpeTraps {
  /** Whether the access traps; false for registers that are not SPE's. */
  traps(name: RegisterName, isWrite: boolean): boolean;
  /** The same with the control that decides. */
  reason(name: RegisterName, isWrite: boolean): SpeTrapReason | undefined;
  /** Whether PSB CSYNC traps. */
  readonly psbCsync: boolean;
}

/** Evaluates a trap configuration once. */
export function compileSpeTraps(controls: SpeTrapControls): CompiledSpeTraps {
  const reads = new Map<string, SpeTrapReason>();
  const writes = new Map<string, SpeTrapReason>();
  for (const name of TRAPPABLE) {
    const read = sysregTrap(name, false, controls);
    if (read !== undefined) reads.set(name, read);
    if (registerByName(name).access === "RO") continue; // a write is UNDEFINED, whatever the traps say
    const write = sysregTrap(name, true, controls);
    if (write !== undefined) writes.set(name, write);
  }
  return {
    traps: (name, isWrite) => (isWrite ? writes : reads).has(name),
    reason: (name, isWrite) => (isWrite ? writes : reads).get(name),
    psbCsync: controls.fgt && HFGITR_EL2.is(controls.HFGITR_EL2 ?? 0n, "PSBCSYNC"),
  };
}
