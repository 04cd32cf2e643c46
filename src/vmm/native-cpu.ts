/**
 * A CPU of bare metal: no EL2, no stage 2, nothing trapped and nothing charged but what the guest executes. What KVM does for
 * a vCPU that no hardware would (PSCI, and the frames and registers of devices) firmware and hardware do here.
 */
import { MDCR_EL2, PMBSR_EL1 } from "../arm/registers.ts";
import { compileSpeTraps } from "../arm/spe-traps.ts";
import type { Pfn } from "../common/address.ts";
import { BrokenInvariant } from "../common/errors.ts";
import { Timeline, type TimelineState } from "../common/timeline.ts";
import type { CostTable } from "../host/costs.ts";
import type { Frames } from "../host/frames.ts";
import type { VmDevices } from "../kvm/devices.ts";
import {
  aloneTurn,
  type CodeCore,
  type CoreHardware,
  type Exit,
  type GuestCore,
  type Turn,
} from "../kvm/guest-core.ts";
import { answerHypercall, PSCI_RESULT } from "../kvm/psci.ts";
import { GroundTruth } from "../kvm/spe/ground-truth.ts";
import { emulateSysReg, findSysReg, type SpeRegisters } from "../kvm/sys-regs.ts";
import type { VcpuGuest } from "../kvm/vcpu.ts";
import { VcpuGic } from "../kvm/vgic.ts";
import { stage2Config } from "../mmu/config.ts";
import type { TableMemory } from "../mmu/table-memory.ts";
import type { Bus } from "./machine.ts";
import { AGAIN, OVER, RUNS, type TurnEnd } from "./scheduler.ts";

const STAGE2_OFF = stage2Config({ VTCR_EL2: 0n, VTTBR_EL2: 0n, HCR_EL2: 0n });
const NO_TRAPS = compileSpeTraps({ MDCR_EL2: MDCR_EL2.with(0n, { E2PB: 3 }), fgt: false });
/** After so much that ends a core's run the host may look at something else. */
const MOST_EXITS = 256;
const NEVER: TurnEnd = { kind: "waits", untilNs: Number.POSITIVE_INFINITY };

/** SPE's registers are the SPU's own here: none traps. */
const NO_SPE: SpeRegisters = {
  read: () => undefined,
  write: () => ({ kind: "undefined" }),
};

/** What a CPU sits in. */
export interface NativeBoard {
  readonly frames: Frames;
  readonly memory: TableMemory<Pfn>;
  readonly cpus: readonly NativeCpu[];
  readonly bus: Bus | undefined;
  readonly kick: (cpu: number, atNs: number) => void;
  /** PMBLIMITR_EL1.E of a CPU was written, and is `on` now. */
  readonly wroteEnable: (cpu: number, on: boolean) => void;
  /** PSCI's SYSTEM_OFF and SYSTEM_RESET. */
  readonly end: (how: "off" | "reset") => void;
  /** The instant of what happens now. */
  readonly nowNs: () => number;
}

export interface NativeCpuOptions {
  readonly guest: VcpuGuest;
  readonly costs: CostTable;
  readonly irqLatencyNs: number;
  readonly seed: number;
}

export interface NativeCpuState {
  readonly off: boolean;
  readonly timeline: TimelineState;
}

export class NativeCpu {
  readonly index: number;
  readonly timeline: Timeline;
  readonly turn: Turn = aloneTurn();
  readonly truth: GroundTruth;
  readonly core: GuestCore;
  /** There is no hypervisor. */
  readonly otherNs = 0;
  readonly #board: NativeBoard;
  /** What only a core has that executes code, and its GIC, timers and PMU. */
  readonly #code: { readonly core: CodeCore; readonly devices: VmDevices } | undefined;
  #off: boolean;

  constructor(index: number, board: NativeBoard, options: NativeCpuOptions) {
    this.index = index;
    this.#board = board;
    const { guest } = options;
    this.#off = guest.devices !== undefined && guest.startsOff;
    this.timeline = new Timeline(`cpu ${index}`);
    this.truth = new GroundTruth(options.seed + index);
    const hardware: CoreHardware = {
      vcpu: index,
      timeline: this.timeline,
      turn: this.turn,
      costs: options.costs,
      frames: board.frames,
      stage2: STAGE2_OFF,
      physical: board.memory,
      ownBuffer: () => {
        throw new BrokenInvariant("a buffer of EL2's on bare metal");
      },
      wires: guest.devices?.wires[index] ?? new VcpuGic(),
      traps: () => NO_TRAPS,
      bareMetal: true,
      irqLatencyNs: options.irqLatencyNs,
      truth: this.truth,
      guestView: () => {
        const { spu } = this.core;
        if (!spu.bufferEnable) return "off";
        return PMBSR_EL1.is(spu.read("PMBSR_EL1"), "S") ? "full" : "on";
      },
      untrappedEnable: (on) => board.wroteEnable(index, on),
      untrappedStatus: () => undefined,
      onRecordPage: undefined,
      kick: board.kick,
    };
    if (guest.devices === undefined) this.core = guest.core(hardware);
    else {
      const core = guest.core(hardware);
      this.core = core;
      this.#code = { core, devices: guest.devices };
    }
  }

  /** The instant that it has reached, within a run of its core as well. */
  get nowNs(): number {
    return this.#code?.core.nowNs ?? this.timeline.nowNs;
  }

  get isOff(): boolean {
    return this.#off;
  }

  /** PSCI CPU_ON. */
  switchOn(entry: bigint, contextId: bigint, atNs: number): void {
    this.#off = false;
    this.#code?.core.powerOn(entry, contextId);
    this.#board.kick(this.index, atNs);
  }

  /** Executes until its turn is over, or it waits. */
  run(): TurnEnd {
    if (this.#off) return NEVER;
    for (let exits = 0; exits < MOST_EXITS; exits++) {
      if (this.timeline.nowNs >= this.turn.untilNs) return RUNS;
      const end = this.#answer(this.core.run(this.turn.untilNs));
      if (end !== undefined) return end;
    }
    return AGAIN;
  }

  restore({ off, timeline }: NativeCpuState): void {
    this.#off = off;
    this.timeline.restore(timeline);
  }

  #answer(exit: Exit): TurnEnd | undefined {
    switch (exit.kind) {
      case "deadline":
        return undefined;
      case "yield":
        return RUNS;
      case "busy":
        return AGAIN;
      case "wfi": {
        const lines = this.#code?.devices.lines(this.index) ?? 0;
        return lines !== 0 ? undefined : { kind: "waits", untilNs: exit.untilNs };
      }
      case "wfe":
        return { kind: "waits", untilNs: exit.untilNs };
      case "shutdown":
        return OVER;
      case "hvc":
        return this.#firmware();
      case "smc":
        this.core.regs.write(0, PSCI_RESULT.notSupported);
        return undefined;
      case "sysreg":
        return this.#sysreg(exit);
      case "mmio":
        return this.#mmio(exit);
      case "stage2-fault":
      case "other":
      case "pmbirq":
        throw new BrokenInvariant(`an exit to a hypervisor (${exit.kind}) on bare metal`);
    }
  }

  /** A register that hardware has and the core leaves to whoever stands for it: the PMU's. */
  #sysreg(exit: Extract<Exit, { kind: "sysreg" }>): undefined {
    const row = findSysReg(exit.encoding);
    if (row?.unit !== "pmu" || this.#code === undefined)
      throw new BrokenInvariant(`a trapped access to ${exit.encoding} on bare metal`);
    const { core, devices } = this.#code;
    const units = { spe: NO_SPE, pmu: devices.pmus[this.index] };
    if (emulateSysReg(row, units, core.regs, core.level(), exit).kind !== "done") core.injectUndefined();
  }

  #mmio(exit: Extract<Exit, { kind: "mmio" }>): undefined {
    if (this.#code === undefined) throw new BrokenInvariant("a model's access to a device");
    const { core, devices } = this.#code;
    const { ipa, bytes, write, data } = exit;
    const { bus, nowNs } = this.#board;
    const value = devices.access(exit) ?? bus?.access(ipa, bytes, write, data, nowNs()) ?? 0n;
    if (!write) core.completeRead(value);
  }

  /** PSCI, by HVC as the device tree says. The core has moved past it. */
  #firmware(): TurnEnd | undefined {
    const { cpus, end } = this.#board;
    const { nowNs } = this.timeline;
    switch (answerHypercall(this.core.regs, cpus, nowNs)) {
      case "returns":
        return undefined;
      case "cpu-off":
        this.#off = true;
        return NEVER;
      case "cpu-suspend":
        return {
          kind: "waits",
          untilNs: this.#code?.devices.nextEventNs(this.index, nowNs) ?? Number.POSITIVE_INFINITY,
        };
      case "system-off":
        end("off");
        return RUNS;
      case "system-reset":
        end("reset");
        return RUNS;
    }
  }
}
