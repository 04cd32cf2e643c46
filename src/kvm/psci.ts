/**
 * PSCI 1.1 over HVC, as KVM answers it (Arm DEN 0022; arch/arm64/kvm/psci.c), and the SMCCC calls around it. Firmware does so
 * where there is no hypervisor.
 */
import { mpidrOf } from "./devices.ts";
import type { CoreRegisters } from "./guest-core.ts";

const FN = {
  version: 0x8400_0000,
  cpuSuspend32: 0x8400_0001,
  cpuOff: 0x8400_0002,
  cpuOn32: 0x8400_0003,
  affinityInfo32: 0x8400_0004,
  migrateInfoType: 0x8400_0006,
  systemOff: 0x8400_0008,
  systemReset: 0x8400_0009,
  features: 0x8400_000a,
  systemReset2: 0x8400_0012,
  cpuSuspend64: 0xc400_0001,
  cpuOn64: 0xc400_0003,
  affinityInfo64: 0xc400_0004,
  systemReset2Long: 0xc400_0012,
  smcccVersion: 0x8000_0000,
  smcccArchFeatures: 0x8000_0001,
} as const;

export const PSCI_RESULT = {
  success: 0n,
  notSupported: -1n,
  invalidParameters: -2n,
  alreadyOn: -4n,
} as const;

const PSCI_VERSION = 0x1_0001n;
const SMCCC_VERSION = 0x1_0001n;
/** The trusted OS needs no migration, as there is none. */
const NO_TRUSTED_OS = 2n;

/** What AFFINITY_INFO says of what there is. */
const AFFINITY_LEVEL = { on: 0n, off: 1n } as const;

/** What a hypercall asks for. */
export type Hypercall =
  | { readonly kind: "return"; readonly value: bigint }
  | { readonly kind: "cpu-on"; readonly mpidr: bigint; readonly entry: bigint; readonly contextId: bigint }
  | { readonly kind: "affinity-info"; readonly mpidr: bigint; readonly level: number }
  | { readonly kind: "cpu-off" }
  /** Standby: as WFI, then success. */
  | { readonly kind: "cpu-suspend" }
  | { readonly kind: "system-off" }
  | { readonly kind: "system-reset" };

/** What PSCI_FEATURES says yes to: all but the calls that are SMCCC's own, of which it has the version. */
const FEATURES: ReadonlySet<number> = new Set(Object.values(FN).filter((fn) => fn !== FN.smcccArchFeatures));
/** Affinities 3 to 0 in MPIDR_EL1; other bits name no vCPU (kvm_psci_valid_affinity). */
const AFFINITY = 0xff_00ff_ffffn;
const MOST_AFFINITY_LEVEL = 3n;
const LOW = 0xffff_ffffn;
/** Bit 30 of a function's number: its arguments have 64 bits. */
const LONG = 1 << 30;
/** SYSTEM_RESET2's types: the architecture's one, and from here on the vendor's. */
const WARM_RESET = 0n;
const VENDOR_RESETS = 0x8000_0000n;

/** Whether an MPIDR_EL1 has the affinities of another from a level on. */
const isOfAffinity = (mpidr: bigint, target: bigint, level: number): boolean =>
  ((mpidr ^ target) & AFFINITY) >> BigInt(8 * level) === 0n;

/**
 * AFFINITY_INFO: whether any vCPU is on of those whose affinities from a level on are the target's
 * (kvm_psci_vcpu_affinity_info).
 */
export function affinityInfo(
  vcpus: readonly { readonly mpidr: bigint; readonly off: boolean }[],
  target: bigint,
  level: number,
): bigint {
  const named = vcpus.filter(({ mpidr }) => isOfAffinity(mpidr, target, level));
  if (named.length === 0) return PSCI_RESULT.invalidParameters;
  return named.every(({ off }) => off) ? AFFINITY_LEVEL.off : AFFINITY_LEVEL.on;
}

/** Reads a hypercall from X0 to X3. */
export function hypercall(x0: bigint, x1: bigint, x2: bigint, x3: bigint): Hypercall {
  const done = (value: bigint): Hypercall => ({ kind: "return", value });
  const fn = Number(x0 & LOW);
  const [first, second, third] = [x1, x2, x3].map((x) => ((fn & LONG) !== 0 ? x : x & LOW)) as [
    bigint,
    bigint,
    bigint,
  ];
  switch (fn) {
    case FN.version:
      return done(PSCI_VERSION);
    case FN.features:
      return done(FEATURES.has(Number(x1 & LOW)) ? PSCI_RESULT.success : PSCI_RESULT.notSupported);
    case FN.migrateInfoType:
      return done(NO_TRUSTED_OS);
    case FN.cpuOn32:
    case FN.cpuOn64:
      if ((first & ~AFFINITY) !== 0n) return done(PSCI_RESULT.invalidParameters);
      return { kind: "cpu-on", mpidr: first, entry: second, contextId: third };
    case FN.affinityInfo32:
    case FN.affinityInfo64:
      if ((first & ~AFFINITY) !== 0n || second > MOST_AFFINITY_LEVEL)
        return done(PSCI_RESULT.invalidParameters);
      return { kind: "affinity-info", mpidr: first, level: Number(second) };
    case FN.cpuOff:
      return { kind: "cpu-off" };
    case FN.cpuSuspend32:
    case FN.cpuSuspend64:
      return { kind: "cpu-suspend" };
    case FN.systemOff:
      return { kind: "system-off" };
    case FN.systemReset:
      return { kind: "system-reset" };
    case FN.systemReset2:
    case FN.systemReset2Long: {
      const type = first & LOW;
      if (type > WARM_RESET && type < VENDOR_RESETS) return done(PSCI_RESULT.invalidParameters);
      return { kind: "system-reset" };
    }
    case FN.smcccVersion:
      return done(SMCCC_VERSION);
    default:
      // No workaround is offered: SMCCC_ARCH_FEATURES says so for each.
      return done(PSCI_RESULT.notSupported);
  }
}

/** A CPU that can be switched on and off. */
export interface PsciCpu {
  readonly index: number;
  readonly isOff: boolean;
  /** From reset at an address, X0 as the caller wants it, at the caller's instant. */
  switchOn(entry: bigint, contextId: bigint, atNs: number): void;
}

/** What is left to do once a call is answered: nothing, or what ends the caller's run. */
export type PsciOutcome = "returns" | "cpu-off" | "cpu-suspend" | "system-off" | "system-reset";

/** Carries out the hypercall in a CPU's registers at an instant: the answer is in X0, where it returns. */
export function answerHypercall(regs: CoreRegisters, cpus: readonly PsciCpu[], nowNs: number): PsciOutcome {
  const asked = hypercall(regs.read(0), regs.read(1), regs.read(2), regs.read(3));
  const returns = (value: bigint): PsciOutcome => {
    regs.write(0, value);
    return "returns";
  };
  switch (asked.kind) {
    case "return":
      return returns(asked.value);
    case "cpu-on": {
      const target = cpus.find(({ index }) => isOfAffinity(mpidrOf(index), asked.mpidr, 0));
      if (target === undefined) return returns(PSCI_RESULT.invalidParameters);
      if (!target.isOff) return returns(PSCI_RESULT.alreadyOn);
      target.switchOn(asked.entry, asked.contextId, nowNs);
      return returns(PSCI_RESULT.success);
    }
    case "affinity-info": {
      const all = cpus.map(({ index, isOff }) => ({ mpidr: mpidrOf(index), off: isOff }));
      return returns(affinityInfo(all, asked.mpidr, asked.level));
    }
    case "cpu-suspend":
      regs.write(0, PSCI_RESULT.success);
      return "cpu-suspend";
    case "cpu-off":
    case "system-off":
    case "system-reset":
      return asked.kind;
  }
}
