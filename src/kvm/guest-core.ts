/**
 * How KVM sees whatever executes a guest: one core for each vCPU, run until something needs the hypervisor. cpu/
 * executes real code behind this interface, guest/ a model of the driver; kvm/ cannot tell them apart.
 */

import type { Encoding } from "../arm/registers.ts";
import type { CompiledSpeTraps } from "../arm/spe-traps.ts";
import type { Ipn, Pfn, Vpn } from "../common/address.ts";
import type { Timeline } from "../common/timeline.ts";
import type { CostTable } from "../host/costs.ts";
import type { Frames } from "../host/frames.ts";
import type { Stage1Regime, Stage2Config } from "../mmu/config.ts";
import type { TableMemory } from "../mmu/table-memory.ts";
import type { Spu } from "../spe/spu.ts";
import type { GroundTruth, GuestView } from "./spe/ground-truth.ts";
import type { PpiWires } from "./wires.ts";

/**
 * A vCPU's turn among the others, as vmm/scheduler.ts gives it. It shrinks while the vCPU runs: when it wakes another one.
 */
export interface Turn {
  /** The turn is over at this instant. */
  untilNs: number;
  /**
   * The last instant at which it may do what others can tell the time by (read a counter, send an interrupt, reach a device):
   * nobody is behind it then.
   */
  horizonNs: number;
}

/** A turn of somebody who is alone. */
export const aloneTurn = (): Turn => ({
  untilNs: Number.POSITIVE_INFINITY,
  horizonNs: Number.POSITIVE_INFINITY,
});

/** A load or store where no memory is; `data` is what a store stores. */
export interface MmioAccess {
  readonly kind: "mmio";
  readonly ipa: number;
  readonly bytes: number;
  readonly write: boolean;
  readonly data: bigint;
}

/** Why a core stopped running. */
export type Exit =
  | { readonly kind: "deadline" }
  /** Others go first: what comes next is beyond the horizon. Nothing has happened. */
  | { readonly kind: "yield" }
  /** No exit to the guest: the host has done a lot, and may look at something else before the same run goes on. */
  | { readonly kind: "busy" }
  /** Nothing to do before this instant; Infinity: until an interrupt or a kick. */
  | { readonly kind: "wfi"; readonly untilNs: number }
  /** A trapped MSR or MRS; `rt` holds the value of a write, and takes the value of a read. */
  | { readonly kind: "sysreg"; readonly encoding: Encoding; readonly isRead: boolean; readonly rt: number }
  /** A CPU access (not the SPU's) has no stage-2 translation that allows it. */
  | { readonly kind: "stage2-fault"; readonly ipn: Ipn; readonly write: boolean }
  /** The hardware's buffer management interrupt was taken. */
  | { readonly kind: "pmbirq" }
  | { readonly kind: "hvc"; readonly imm: number }
  | { readonly kind: "smc"; readonly imm: number }
  /** WFE, not trapped (HCR_EL2.TWE = 0): waits for an event, an interrupt, or the event stream at this instant. */
  | { readonly kind: "wfe"; readonly untilNs: number }
  /** A load or store where no memslot is. A store has happened; a load happens after `completeRead`. */
  | MmioAccess
  /** A replay only: its machine was out of the guest for so long, for an exit that SPE has nothing to do with. */
  | { readonly kind: "other"; readonly ns: number }
  /** The guest is done (PSCI SYSTEM_OFF). */
  | { readonly kind: "shutdown" };

/** A core's general registers, as far as trap handling needs them. */
export interface CoreRegisters {
  read(rt: number): bigint;
  write(rt: number, value: bigint): void;
  /** Moves PC past the trapped instruction; without it the next run executes it again. */
  skipInstruction(): void;
}

export interface GuestCore {
  /** Executes until an exit, at the latest when its timeline reaches `untilNs` or its turn's end. */
  run(untilNs: number): Exit;
  readonly regs: CoreRegisters;
  /** The profiling unit of this PE: the hardware's values. */
  readonly spu: Spu;
  /**
   * The EL1&0 translation regime of stage 1 as the guest's registers select it. The same value until one of them is
   * written.
   */
  stage1(): Stage1Regime;
  /** TLBI for pages [first, first + pages) of IPA space, and everything combined from them. */
  invalidateTlb(first: Ipn, pages: number): void;
  counters(): CoreCounters;
}

/** A core that executes code: what KVM asks of it beyond what a model needs. */
export interface CodeCore extends GuestCore {
  /** The instant that it has reached within a run, in whole ns; between runs its timeline's. */
  readonly nowNs: number;
  /** The exception level, for accesses that depend on it. */
  level(): 0 | 1;
  /** The trapped instruction is UNDEFINED to the guest (kvm_inject_undefined). */
  injectUndefined(): void;
  /** The value that a device gave to the load of the last `mmio` exit. */
  completeRead(data: bigint): void;
  /** PSCI CPU_ON: executes from `entry` with X0 = contextId at the next run. */
  powerOn(entry: bigint, contextId: bigint): void;
}

export interface CoreCounters {
  readonly instructions: number;
  readonly cycles: number;
  /** What `perf stat` in the guest counts for the measured tasks: cycles, and their time with every stop in it. */
  readonly taskCycles: number;
  readonly taskNs: number;
  readonly contextSwitches: number;
}

/** What the machine gives a core: its vCPU's time, memory behind stage 2, and the trap configuration. */
export interface CoreHardware {
  readonly vcpu: number;
  readonly timeline: Timeline;
  /** Its place among the other vCPUs, for now. */
  readonly turn: Turn;
  readonly costs: CostTable;
  /** Physical memory. */
  readonly frames: Frames;
  /** Stage 2 as VTCR_EL2 and VTTBR_EL2 select it. */
  readonly stage2: Stage2Config;
  /** Physical memory as the MMU's walks read it, stage-2 tables included. */
  readonly physical: TableMemory<Pfn>;
  /** EL2's translation of a page of the profiling buffer, for while MDCR_EL2.E2PB says that it belongs to EL2. */
  readonly ownBuffer: (page: Vpn) => Pfn;
  /** The vCPU's private interrupts, as KVM sets them. */
  readonly wires: PpiWires;
  /** What traps to EL2 at the moment. */
  readonly traps: () => CompiledSpeTraps;
  /** Bare metal: nothing traps, and PMBIRQ is the guest's own. */
  readonly bareMetal: boolean;
  /** From the SPU raising PMBIRQ to the exit (or, on bare metal, the guest's exception). */
  readonly irqLatencyNs: number;
  /** What really happens on this core, for the report: nothing in the machine may read it. */
  readonly truth: GroundTruth;
  /** What the guest believes, for the ground truth. */
  readonly guestView: () => GuestView;
  /** Told of untrapped writes that change PMBLIMITR_EL1.E, for statistics. */
  readonly untrappedEnable: (on: boolean) => void;
  /** Told of untrapped writes of PMBSR_EL1. */
  readonly untrappedStatus: () => void;
  /** Told of each guest page that the SPU is about to write to, before it does: for checks of invariants. */
  readonly onRecordPage: ((ipn: Ipn, frame: Pfn) => void) | undefined;
  /** Wakes another vCPU that sleeps in WFI or WFE: the model's stand-in for an IPI, and events. */
  readonly kick: (vcpu: number, atNs: number) => void;
}
