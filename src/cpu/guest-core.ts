/** A core that executes A64, as KVM runs it: its time, its exits, its place among the other vCPUs. */
import type { Ipn } from "../common/address.ts";
import { PAGE_BYTES } from "../common/address.ts";
import type { VmDevices } from "../kvm/devices.ts";
import { mpidrOf } from "../kvm/devices.ts";
import type { CoreCounters, CoreHardware, CoreRegisters, Exit, GuestCore } from "../kvm/guest-core.ts";
import { isPmuRegister, type Pmu } from "../kvm/pmu.ts";
import type { Stage1Regime } from "../mmu/config.ts";
import { Spu } from "../spe/spu.ts";
import { Core, type CoreCode, type CoreState } from "./core.ts";
import type { Broadcast } from "./platform.ts";

/** How fast the core is: instructions a nanosecond, one a cycle at 2 GHz. */
export const INSTRUCTIONS_PER_NS = 2;
/** A run is at most this long, so that V8 can replace its code by better code. */
const LONGEST_RUN = 500_000;

/** The cores of a machine: TLBI, IC and SEV reach them all. */
export class CoreGroup {
  readonly cores: CpuGuestCore[] = [];

  broadcast(what: Broadcast): void {
    switch (what.kind) {
      case "instructions":
        this.cores[0]?.core.code.memory.dropRecords();
        return;
      case "tlb":
        for (const { core } of this.cores) core.space.forget(what.what);
        return;
      case "event":
        for (const { core } of this.cores) core.state.set32("EVENT", 1);
        return;
    }
  }
}

export interface GuestCoreState {
  readonly core: CoreState;
  readonly charged: number;
}

export class CpuGuestCore implements GuestCore {
  readonly core: Core;
  readonly spu: Spu;
  readonly regs: CoreRegisters;
  readonly #hardware: CoreHardware;
  readonly #devices: VmDevices;
  readonly #pmu: Pmu;
  /** Instructions whose time is on the timeline; the remainder of a nanosecond waits. */
  #charged = 0;

  constructor(
    hardware: CoreHardware,
    devices: VmDevices,
    code: CoreCode,
    group: CoreGroup,
    isMemory: (page: Ipn) => boolean,
  ) {
    this.#hardware = hardware;
    this.#devices = devices;
    const { vcpu } = hardware;
    this.core = new Core(vcpu, code, {
      stage2: hardware.stage2,
      physical: hardware.physical,
      contentOf: (frame) => hardware.frames.writable(frame),
      isMemory,
      mpidr: mpidrOf(vcpu),
      isPmu: isPmuRegister,
      readRegister: (encoding) => devices.readRegister(vcpu, encoding, this.nowNs),
      writeRegister: (encoding, value) => {
        const known = devices.writeRegister(vcpu, encoding, value, this.nowNs);
        // A timer may be due earlier now, or an interrupt may be taken: look again.
        if (known) this.core.exitWith({ kind: "budget" });
        return known;
      },
      broadcast: (what) => group.broadcast(what),
    });
    // There is no SPE on this core yet: ID_AA64DFR0_EL1.PMSVer is 0 and its registers are UNDEFINED.
    this.spu = new Spu({
      memory: { write: () => undefined },
      random: () => 0,
      counter: () => 0,
      storeRecords: false,
    });
    const { state } = this.core;
    this.regs = {
      read: (rt) => state.x(rt),
      write: (rt, value) => state.setX(rt, value),
      skipInstruction: () => {
        state.pc += 4n;
        // What was emulated counts as stepped.
        state.set32("SS", 0);
      },
    };
    this.#pmu = devices.pmus[vcpu]!;
    this.#pmu.attach(() => ({
      instructions: this.core.executedByLevel,
      exceptionsTaken: this.core.exceptions.taken,
      exceptionReturns: this.core.exceptions.returns,
    }));
    group.cores.push(this);
  }

  /** The vCPU's time, with what it has executed since it was last charged. */
  get nowNs(): number {
    return (
      this.#hardware.timeline.nowNs + Math.floor((this.core.executed - this.#charged) / INSTRUCTIONS_PER_NS)
    );
  }

  run(untilNs: number): Exit {
    const { timeline, vcpu } = this.#hardware;
    // Entering the guest is an exception return: the monitor is clear.
    this.core.state.set32("MONITOR_SET", 0);
    const devices = this.#devices;
    for (;;) {
      const now = timeline.nowNs;
      devices.update(vcpu, now);
      this.core.setInterrupts(devices.lines(vcpu));
      if (now >= untilNs) return { kind: "deadline" };
      const deadline = Math.min(untilNs, devices.nextEventNs(vcpu, now));
      const pending = this.core.executed - this.#charged;
      const budget = Math.min(
        LONGEST_RUN,
        this.#pmu.instructionsToOverflow(),
        Math.max(1, (deadline - now) * INSTRUCTIONS_PER_NS - pending),
      );
      const exit = this.core.run(budget);
      this.#charge();
      switch (exit.kind) {
        case "budget":
          continue;
        case "wfi":
          devices.update(vcpu, timeline.nowNs);
          if (devices.lines(vcpu) !== 0) continue;
          return { kind: "wfi", untilNs: devices.nextEventNs(vcpu, timeline.nowNs) };
        case "wfe":
          return { kind: "wfe" };
        case "hvc":
          return { kind: "hvc", imm: exit.imm };
        case "smc":
          return { kind: "smc", imm: exit.imm };
        case "stage2-fault":
          return { kind: "stage2-fault", ipn: Math.floor(exit.ipa / PAGE_BYTES) as Ipn, write: exit.write };
        case "mmio":
        case "pmu":
          return exit;
      }
    }
  }

  save(frameAt: (hostPage: number) => number): GuestCoreState {
    return { core: this.core.save(frameAt), charged: this.#charged };
  }

  restore({ core, charged }: GuestCoreState, pageOf: (frame: number) => number): void {
    this.core.restore(core, pageOf);
    this.#charged = charged;
  }

  #charge(): void {
    const ns = Math.floor((this.core.executed - this.#charged) / INSTRUCTIONS_PER_NS);
    this.#charged += ns * INSTRUCTIONS_PER_NS;
    this.#hardware.timeline.charge("guestRun", ns);
  }

  level(): 0 | 1 {
    return this.core.state.el;
  }

  injectUndefined(): void {
    this.core.exceptions.undefinedInstruction();
  }

  completeRead(data: bigint): void {
    this.core.completeRead(data);
  }

  /** CPU_ON: from reset at an address, X0 as the caller wants it. */
  powerOn(entry: bigint, contextId: bigint): void {
    this.core.reset();
    this.#devices.reset(this.#hardware.vcpu);
    this.core.state.pc = entry;
    this.core.state.setX(0, contextId);
  }

  stage1(): Stage1Regime {
    return this.core.space.regime;
  }

  setVirq(): void {
    // The GIC is asked at every run.
  }

  invalidateTlb(): void {
    this.core.space.flush();
  }

  counters(): CoreCounters {
    const { executed } = this.core;
    return {
      instructions: executed,
      cycles: executed,
      taskCycles: executed,
      taskNs: this.nowNs,
      contextSwitches: 0,
    };
  }
}
