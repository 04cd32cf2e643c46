/**
 * What a vCPU does for a core that executes code, beside what it does for any: hypercalls (PSCI and SMCCC), and accesses to
 * where no memory is.
 */
import type { Timeline } from "../common/timeline.ts";
import type { CostTable } from "../host/costs.ts";
import type { VmDevices } from "./devices.ts";
import type { CodeCore, Exit } from "./guest-core.ts";
import { type KvmExit, OFF } from "./kvm-exit.ts";
import { answerHypercall, PSCI_RESULT, type PsciCpu } from "./psci.ts";

/** A vCPU as PSCI switches it on and off. */
export interface PsciVcpu extends PsciCpu {
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
    const { nowNs } = this.#timeline;
    switch (answerHypercall(this.core.regs, this.#all, nowNs)) {
      case "returns":
        return undefined;
      case "cpu-off":
        this.#vcpu.switchOff();
        return OFF;
      case "cpu-suspend":
        return { kind: "idle", untilNs: this.#devices.nextEventNs(this.#vcpu.index, nowNs) };
      case "system-off":
        return { kind: "system-event", event: "off" };
      case "system-reset":
        return { kind: "system-event", event: "reset" };
    }
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
    const value = this.#devices.access(exit);
    if (value === undefined) return exit;
    if (!exit.write) this.core.completeRead(value);
    this.#timeline.charge("exit", this.#costs.exit);
    return undefined;
  }

  /** User space has carried an `mmio` exit out; `value` is what a load got. */
  answered({ write }: Pick<Mmio, "write">, value: bigint): void {
    this.#timeline.charge("exit", this.#costs.exit + this.#costs.userExit);
    if (!write) this.core.completeRead(value);
  }
}
