/**
 * What KVM itself gives the vCPUs of a machine beside memory: GIC, timers and PMU. Wires of the board's devices end here.
 */
import type { Encoding } from "../arm/registers.ts";
import { affinityOf, Gic, type GicState, isSgiRegister } from "./gic/gic.ts";
import { GicWires } from "./gic/wires.ts";
import type { Exit } from "./guest-core.ts";
import { PMU_INTID, Pmu, type PmuState } from "./pmu.ts";
import { isPmuRegister } from "./sys-regs.ts";
import { PHYSICAL_TIMER_INTID, Timers, type TimersState, VIRTUAL_TIMER_INTID } from "./timers.ts";

/** MPIDR_EL1 of a vCPU: bit 31 is RES1. */
export const mpidrOf = (vcpu: number): bigint => 0x8000_0000n | BigInt(affinityOf(vcpu));

/** The memory-mapped frames of the GIC, by IPA. */
export interface GicFrames {
  readonly distributor: number;
  readonly redistributors: number;
}

const DISTRIBUTOR_BYTES = 0x1_0000;
const REDISTRIBUTOR_BYTES = 0x2_0000;

export interface DevicesOptions {
  readonly vcpus: number;
  readonly spis: number;
  readonly frames: GicFrames;
  /** A vCPU's interrupt inputs may have risen: wake it if it sleeps. */
  readonly onLineChange: (vcpu: number) => void;
}

export interface DevicesState {
  readonly gic: GicState;
  readonly timers: readonly TimersState[];
  readonly pmus: readonly PmuState[];
}

export class VmDevices {
  readonly gic: Gic;
  readonly timers: readonly Timers[];
  readonly pmus: readonly Pmu[];
  /** The PPIs of each vCPU. */
  readonly wires: readonly GicWires[];
  readonly #frames: GicFrames;

  constructor(options: DevicesOptions) {
    this.gic = new Gic(options);
    this.timers = Array.from({ length: options.vcpus }, () => new Timers());
    this.pmus = Array.from({ length: options.vcpus }, () => new Pmu());
    this.wires = Array.from({ length: options.vcpus }, (_, vcpu) => new GicWires(this.gic, vcpu));
    this.#frames = options.frames;
  }

  save(): DevicesState {
    return {
      gic: this.gic.save(),
      timers: this.timers.map((timers) => timers.save()),
      pmus: this.pmus.map((pmu) => pmu.save()),
    };
  }

  restore({ gic, timers, pmus }: DevicesState): void {
    this.gic.restore(gic);
    timers.forEach((state, i) => {
      this.timers[i]!.restore(state);
    });
    pmus.forEach((state, i) => {
      this.pmus[i]!.restore(state);
    });
  }

  /** A vCPU is switched on: its timers and PMU are as at reset (kvm_reset_vcpu). The GIC is not the vCPU's. */
  reset(vcpu: number): void {
    this.timers[vcpu]!.reset();
    this.pmus[vcpu]!.reset();
  }

  /** Whether an access to a system register is seen by others, or sees their time: counters, timers, the PMU, SGIs. */
  tellsTime(encoding: Encoding): boolean {
    const [op0, op1, crn] = encoding;
    return (op0 === 3 && op1 === 3 && crn === 14) || isPmuRegister(encoding) || isSgiRegister(encoding);
  }

  /** A system register that KVM holds; undefined: none of its. */
  readRegister(vcpu: number, encoding: Encoding, nowNs: number): bigint | undefined {
    return this.timers[vcpu]!.read(encoding, nowNs) ?? this.gic.readIcc(vcpu, encoding);
  }

  writeRegister(vcpu: number, encoding: Encoding, value: bigint, nowNs: number): boolean {
    if (this.timers[vcpu]!.write(encoding, value, nowNs)) {
      this.update(vcpu, nowNs);
      return true;
    }
    return this.gic.writeIcc(vcpu, encoding, value);
  }

  /** Brings the lines of timers and PMU to the GIC. */
  update(vcpu: number, nowNs: number): void {
    const { virtual, physical } = this.timers[vcpu]!.lines(nowNs);
    const wires = this.wires[vcpu]!;
    wires.setLevel(VIRTUAL_TIMER_INTID, virtual);
    wires.setLevel(PHYSICAL_TIMER_INTID, physical);
    wires.setLevel(PMU_INTID, this.pmus[vcpu]!.line);
  }

  /** The interrupt inputs as bits of DAIF: IRQ is bit 7, FIQ bit 6. */
  lines(vcpu: number): number {
    return (this.gic.signals(vcpu, 1) ? 0x80 : 0) | (this.gic.signals(vcpu, 0) ? 0x40 : 0);
  }

  /** When a line of this vCPU rises by itself. */
  nextEventNs(vcpu: number, nowNs: number): number {
    return this.timers[vcpu]!.nextEventNs(nowNs);
  }

  /** Whether an IPA is one of KVM's own frames. */
  holds(ipa: number): boolean {
    const { distributor, redistributors } = this.#frames;
    return (
      (ipa >= distributor && ipa < distributor + DISTRIBUTOR_BYTES) ||
      (ipa >= redistributors && ipa < redistributors + this.timers.length * REDISTRIBUTOR_BYTES)
    );
  }

  /** Carries out an access to one of these frames: the value of a load, or 0. Undefined: it is none of them. */
  access({ ipa, bytes, write, data }: Extract<Exit, { kind: "mmio" }>): bigint | undefined {
    if (!this.holds(ipa)) return undefined;
    if (!write) return this.read(ipa, bytes);
    this.write(ipa, bytes, data);
    return 0n;
  }

  read(ipa: number, bytes: number): bigint {
    const { distributor, redistributors } = this.#frames;
    if (ipa < distributor + DISTRIBUTOR_BYTES && ipa >= distributor)
      return this.gic.readDistributor(ipa - distributor, bytes);
    const at = ipa - redistributors;
    return this.gic.readRedistributor(Math.floor(at / REDISTRIBUTOR_BYTES), at % REDISTRIBUTOR_BYTES, bytes);
  }

  write(ipa: number, bytes: number, data: bigint): void {
    const { distributor, redistributors } = this.#frames;
    if (ipa < distributor + DISTRIBUTOR_BYTES && ipa >= distributor) {
      this.gic.writeDistributor(ipa - distributor, bytes, data);
      return;
    }
    const at = ipa - redistributors;
    this.gic.writeRedistributor(Math.floor(at / REDISTRIBUTOR_BYTES), at % REDISTRIBUTOR_BYTES, bytes, data);
  }
}
