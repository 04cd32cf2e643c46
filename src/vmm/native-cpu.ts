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
import { aloneTurn, type Exit, type GuestCore, type Turn } from "../kvm/guest-core.ts";
import { answerHypercall, PSCI_RESULT } from "../kvm/psci.ts";
import { GroundTruth } from "../kvm/spe/ground-truth.ts";
import type { CoreFactory } from "../kvm/vcpu.ts";
import { stage2Config } from "../mmu/config.ts";
import type { TableMemory } from "../mmu/table-memory.ts";
import type { Bus } from "./machine.ts";
import { AGAIN, OVER, RUNS, type TurnEnd } from "./scheduler.ts";

const STAGE2_OFF = stage2Config({ VTCR_EL2: 0n, VTTBR_EL2: 0n, HCR_EL2: 0n });
const NO_TRAPS = compileSpeTraps({ MDCR_EL2: MDCR_EL2.with(0n, { E2PB: 3 }), fgt: false });
/** After so much that ends a core's run the host may look at something else. */
const MOST_EXITS = 256;
const NEVER: TurnEnd = { kind: "waits", untilNs: Number.POSITIVE_INFINITY };

/** What a CPU sits in. */
export interface NativeBoard {
  readonly frames: Frames;
  readonly memory: TableMemory<Pfn>;
  readonly cpus: readonly NativeCpu[];
  /** GIC, timers and PMU, for cores that execute code. */
  readonly devices: VmDevices | undefined;
  readonly bus: Bus | undefined;
  readonly kick: (cpu: number, atNs: number) => void;
  /** PSCI's SYSTEM_OFF and SYSTEM_RESET. */
  readonly end: (how: "off" | "reset") => void;
  /** The instant of what happens now. */
  readonly nowNs: () => number;
}

export interface NativeCpuOptions {
  readonly core: CoreFactory;
  readonly costs: CostTable;
  readonly irqLatencyNs: number;
  readonly seed: number;
  /** Off until another CPU's CPU_ON. */
  readonly startsOff: boolean;
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
  readonly #board: NativeBoard;
  #off: boolean;

  constructor(index: number, board: NativeBoard, options: NativeCpuOptions) {
    this.index = index;
    this.#board = board;
    this.#off = options.startsOff;
    this.timeline = new Timeline(`cpu ${index}`);
    this.truth = new GroundTruth(options.seed + index);
    this.core = options.core({
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
      traps: () => NO_TRAPS,
      bareMetal: true,
      irqLatencyNs: options.irqLatencyNs,
      truth: this.truth,
      guestView: () => {
        const { spu } = this.core;
        if (!spu.bufferEnable) return "off";
        return PMBSR_EL1.is(spu.read("PMBSR_EL1"), "S") ? "full" : "on";
      },
      untrappedEnable: () => undefined,
      onRecordPage: undefined,
      kick: board.kick,
    });
  }

  /** The instant that it has reached, within a run of its core as well. */
  get nowNs(): number {
    return this.core.nowNs ?? this.timeline.nowNs;
  }

  get isOff(): boolean {
    return this.#off;
  }

  /** PSCI CPU_ON. */
  switchOn(entry: bigint, contextId: bigint, atNs: number): void {
    this.#off = false;
    this.core.powerOn?.(entry, contextId);
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
    const { core } = this;
    const { devices, bus } = this.#board;
    switch (exit.kind) {
      case "deadline":
        return undefined;
      case "yield":
        return RUNS;
      case "busy":
        return AGAIN;
      case "wfi":
        return (devices?.lines(this.index) ?? 0) !== 0 ? undefined : { kind: "waits", untilNs: exit.untilNs };
      case "wfe":
        return { kind: "waits", untilNs: exit.untilNs };
      case "shutdown":
        return OVER;
      case "hvc":
        return this.#firmware();
      case "smc":
        core.regs.write(0, PSCI_RESULT.notSupported);
        return undefined;
      case "pmu":
        return devices?.accessPmu(this.index, core, exit);
      case "mmio": {
        const { ipa, bytes, write, data } = exit;
        const value =
          devices?.access(exit) ?? bus?.access(ipa, bytes, write, data, this.#board.nowNs()) ?? 0n;
        if (!write) core.completeRead?.(value);
        return undefined;
      }
      case "sysreg":
      case "stage2-fault":
      case "pmbirq":
        throw new BrokenInvariant(`an exit to a hypervisor (${exit.kind}) on bare metal`);
    }
  }

  /** PSCI, by HVC as the device tree says. The core has moved past it. */
  #firmware(): TurnEnd | undefined {
    const { cpus, devices, end } = this.#board;
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
          untilNs: devices?.nextEventNs(this.index, nowNs) ?? Number.POSITIVE_INFINITY,
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
