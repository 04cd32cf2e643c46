/**
 * What a vCPU does for a core that executes code, beside what it does for any: hypercalls (PSCI and SMCCC), and accesses to
 * where no memory is.
 */
import type { Timeline } from "../common/timeline.ts";
import type { CostTable } from "../host/costs.ts";
import { mpidrOf, type VmDevices } from "./devices.ts";
import type { CodeCore, Exit } from "./guest-core.ts";
import { type KvmExit, OFF } from "./kvm-exit.ts";
import { affinityInfo, hypercall, isOfAffinity, PSCI_RESULT } from "./psci.ts";

/** A vCPU as PSCI switches it on and off. */
export interface PsciVcpu {
  readonly index: number;
  readonly off: boolean;
  /** CPU_ON: executes from `entry` with X0 = contextId, from this instant. */
  switchOn(entry: bigint, contextId: bigint, atNs: number): void;
  switchOff(): void;
}

type Mmio = Extract<Exit, { kind: "mmio" }>;

export class CodeExits {
  readonly core: CodeCore;
  readonly #devices: VmDevices;
  readonly #vcpu: PsciVcpu;
  readonly #all: readonly PsciVcpu[];
  readonly #timeline: Timeline;
  readonly #costs: CostTable;

  /** @param options.all the vCPUs of the VM by number, this one among them: who PSCI can name */
  constructor(options: {
    readonly core: CodeCore;
    readonly devices: VmDevices;
    readonly vcpu: PsciVcpu;
    readonly all: readonly PsciVcpu[];
    readonly timeline: Timeline;
    readonly costs: CostTable;
  }) {
    this.core = options.core;
    this.#devices = options.devices;
    this.#vcpu = options.vcpu;
    this.#all = options.all;
    this.#timeline = options.timeline;
    this.#costs = options.costs;
  }

  /** PSCI and SMCCC (kvm_smccc_call_handler). The core has moved past the HVC. */
  hypercall(): KvmExit | undefined {
    const { regs } = this.core;
    const asked = hypercall(regs.read(0), regs.read(1), regs.read(2), regs.read(3));
    const done = (value: bigint): undefined => {
      regs.write(0, value);
    };
    switch (asked.kind) {
      case "return":
        return done(asked.value);
      case "cpu-on":
        return done(this.#cpuOn(asked.mpidr, asked.entry, asked.contextId));
      case "affinity-info": {
        const vcpus = this.#all.map(({ index, off }) => ({ mpidr: mpidrOf(index), off }));
        return done(affinityInfo(vcpus, asked.mpidr, asked.level));
      }
      case "cpu-off":
        this.#vcpu.switchOff();
        return OFF;
      case "cpu-suspend":
        done(PSCI_RESULT.success);
        return {
          kind: "idle",
          untilNs: this.#devices.nextEventNs(this.#vcpu.index, this.#timeline.nowNs),
        };
      case "system-off":
        return { kind: "system-event", event: "off" };
      case "system-reset":
        return { kind: "system-event", event: "reset" };
    }
  }

  #cpuOn(mpidr: bigint, entry: bigint, contextId: bigint): bigint {
    const target = this.#all.find(({ index }) => isOfAffinity(mpidrOf(index), mpidr, 0));
    if (target === undefined) return PSCI_RESULT.invalidParameters;
    if (!target.off) return PSCI_RESULT.alreadyOn;
    target.switchOn(entry, contextId, this.#timeline.nowNs);
    return PSCI_RESULT.success;
  }

  /** KVM does not pass an SMC on: it is the unknown function. */
  smc(): undefined {
    this.core.regs.write(0, PSCI_RESULT.notSupported);
  }

  /**
   * The GIC's frames are KVM's own; other devices are user space's. The device is reached at the instant of the instruction,
   * which is within the vCPU's horizon; what the exit costs comes after.
   */
  mmio(exit: Mmio): KvmExit | undefined {
    const devices = this.#devices;
    if (!devices.holds(exit.ipa)) return exit;
    if (exit.write) devices.write(exit.ipa, exit.bytes, exit.data);
    else this.core.completeRead(devices.read(exit.ipa, exit.bytes));
    this.#timeline.charge("exit", this.#costs.exit);
    return undefined;
  }

  /** User space has carried an `mmio` exit out; `value` is what a load got. */
  answered({ write }: Pick<Mmio, "write">, value: bigint): void {
    this.#timeline.charge("exit", this.#costs.exit + this.#costs.userExit);
    if (!write) this.core.completeRead(value);
  }
}
