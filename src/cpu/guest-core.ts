/** A core that executes A64, as KVM runs it: its time, its exits, its place among the other vCPUs. */
import type { Ipn } from "../common/address.ts";
import { PAGE_BYTES } from "../common/address.ts";
import type { VmDevices } from "../kvm/devices.ts";
import { mpidrOf } from "../kvm/devices.ts";
import type { CodeCore, CoreCounters, CoreHardware, CoreRegisters, Exit } from "../kvm/guest-core.ts";
import type { Pmu } from "../kvm/pmu.ts";
import { isPmuRegister } from "../kvm/sys-regs.ts";
import { nextStreamEventNs } from "../kvm/timers.ts";
import { PMBIRQ_INTID } from "../kvm/wires.ts";
import type { Stage1Regime } from "../mmu/config.ts";
import { Spu } from "../spe/spu.ts";
import { Core, type CoreState } from "./core.ts";
import type { CoreCode } from "./execute/core-code.ts";
import { RESERVATION_GRANULE_BYTES } from "./implementation.ts";
import type { InstructionTrace } from "./instruction-trace.ts";
import type { Broadcast, TlbiTarget } from "./platform.ts";
import { Coherence } from "./spe/coherence.ts";
import { CoreSpe, type CoreSpeState, isSpeRegister } from "./spe/core-spe.ts";
import type { ExactProfile } from "./spe/exact-profile.ts";

/** What stands for a unit that is not there: nothing reaches it. */
const noSpu = (): Spu =>
  new Spu({ memory: { write: () => undefined }, random: () => 0, counter: () => 0, storeRecords: false });

/** A run is at most this long, so that V8 can replace its code by better code. */
const LONGEST_RUN = 500_000;

/**
 * The period of the host's event stream (Linux's is 10 kHz, ARCH_TIMER_EVT_STREAM_FREQ), which wakes a guest without one of its
 * own. A guest that has one is spared it, so that its waits are as long as it has asked for.
 */
const HOST_STREAM_NS = 100_000;

/** The cores of a machine: TLBI, IC, events and stores that somebody waits for reach them all. */
export class CoreGroup {
  readonly cores: CpuGuestCore[] = [];
  readonly coherence: Coherence;

  /** @param size how many cores there will be */
  constructor(size: number) {
    this.coherence = new Coherence(size);
  }

  broadcast(what: Broadcast, from: CpuGuestCore): void {
    switch (what.kind) {
      case "instructions":
        this.cores[0]?.core.code.memory.code.drop();
        return;
      case "tlb":
        for (const core of this.cores) core.forget(what.what);
        return;
      case "event":
        for (const core of this.cores) if (core !== from) core.event(from.nowNs);
        return;
    }
  }

  /** A core waits for a store to this page. */
  watch(page: number): void {
    for (const { core } of this.cores) core.space.tlbs.forgetStores(page);
  }

  isWatched(page: number): boolean {
    return this.cores.some(
      ({ waitsFor }) => waitsFor !== undefined && waitsFor - (waitsFor % PAGE_BYTES) === page,
    );
  }

  stored(at: number, bytes: number, from: CpuGuestCore): void {
    for (const core of this.cores) {
      const granule = core.waitsFor;
      if (
        core !== from &&
        granule !== undefined &&
        at < granule + RESERVATION_GRANULE_BYTES &&
        at + bytes > granule
      )
        core.event(from.nowNs);
    }
  }
}

export interface GuestCoreState {
  readonly core: CoreState;
  readonly charged: number;
  /** Where it waits in WFE: the frame and place of the granule that it had reserved, if any. */
  readonly waiting: { readonly granule: readonly [frame: number, offset: number] | null } | null;
  readonly streamedNs: number;
  readonly spe: CoreSpeState | undefined;
}

export class CpuGuestCore implements CodeCore {
  readonly core: Core;
  readonly spu: Spu;
  readonly regs: CoreRegisters;
  readonly #hardware: CoreHardware;
  readonly #devices: VmDevices;
  readonly #pmu: Pmu;
  readonly #spe: CoreSpe | undefined;
  readonly #group: CoreGroup;
  /** Asked before each access of the guest's to a register of its profiling unit: whether its turn ends there, nothing changed. */
  beforeSpe: (() => boolean) | undefined;
  /** Told whenever it has executed something, all of which is charged and counted. */
  onRan: (() => void) | undefined;
  readonly #cyclesPerNs: number;
  /** Cycles whose time is on the timeline; the remainder of a nanosecond waits. */
  #charged = 0;
  /** The host has looked at something else, and the guest knows nothing of it. */
  #goesOn = false;
  /** It waits in WFE, for a store to this granule among others. */
  #waiting = false;
  #waitsFor: number | undefined;
  /** Up to when the event stream's events are done with. */
  #streamedNs = 0;

  constructor(
    hardware: CoreHardware,
    devices: VmDevices,
    code: CoreCode,
    group: CoreGroup,
    {
      isMemory,
      seed,
      exactModels,
    }: {
      readonly isMemory: (page: Ipn) => boolean;
      readonly seed: number;
      readonly exactModels: boolean;
    },
  ) {
    this.#hardware = hardware;
    this.#devices = devices;
    this.#group = group;
    const { vcpu } = hardware;
    this.#cyclesPerNs = code.implementation.cyclesPerNs;
    this.core = new Core(vcpu, code, {
      stage2: hardware.stage2,
      physical: hardware.physical,
      contentOf: (frame) => hardware.frames.writable(frame),
      isMemory,
      mpidr: mpidrOf(vcpu),
      traps: (encoding, isRead) => isPmuRegister(encoding) || this.#spe?.traps(encoding, isRead) === true,
      readRegister: (encoding) =>
        this.#spe?.read(encoding) ?? devices.readRegister(vcpu, encoding, this.nowNs),
      writeRegister: (encoding, value) => {
        if (this.#spe?.write(encoding, value) === true) return true;
        const known = devices.writeRegister(vcpu, encoding, value, this.nowNs);
        // A timer may be due earlier now, or an interrupt may be taken: look again.
        if (known) this.core.exitWith({ kind: "budget" });
        return known;
      },
      broadcast: (what) => group.broadcast(what, this),
      isAhead: () => this.nowNs > hardware.turn.horizonNs,
      mustWait: (encoding) =>
        (this.nowNs > hardware.turn.horizonNs && devices.tellsTime(encoding)) ||
        (this.beforeSpe !== undefined && isSpeRegister(encoding) && this.beforeSpe()),
      streamed: () => this.#streamed(),
      isWatched: (page) => group.isWatched(page),
      stored: (at, bytes) => {
        group.stored(at, bytes, this);
        // Who was woken may be behind this one now.
        this.core.exitWith({ kind: "budget" });
      },
    });
    const { spe } = code.implementation;
    this.#spe =
      spe === undefined
        ? undefined
        : new CoreSpe(this.core, hardware, spe, {
            seed,
            coherence: group.coherence,
            exact: exactModels,
            nowNs: (cycles = 0) => this.#nsAfter(cycles),
            isAhead: (cycles) => this.#nsAfter(cycles) > hardware.turn.horizonNs,
          });
    this.spu = this.#spe?.spu ?? noSpu();
    const { state } = this.core;
    this.regs = {
      read: (rt) => state.x(rt),
      write: (rt, value) => state.setX(rt, value),
      skipInstruction: () => this.core.skip(),
    };
    this.#pmu = devices.pmus[vcpu]!;
    this.#pmu.attach(
      () => ({
        instructions: this.core.executedByLevel,
        cycles: this.core.cyclesByLevel,
        exceptionsTaken: this.core.exceptions.taken,
        exceptionReturns: this.core.exceptions.returns,
      }),
      this.#spe?.sampling.events,
    );
    group.cores.push(this);
  }

  /** Has an exact profile count what the guest believes to be profiled. */
  set exactProfile(profile: ExactProfile | undefined) {
    if (this.#spe !== undefined) this.#spe.sampling.exact = profile;
  }

  /** Has a trace see what is executed. */
  set trace(trace: InstructionTrace | undefined) {
    if (this.#spe !== undefined)
      this.#spe.sampling.trace = trace?.of(this.#hardware.vcpu, this.core.executed);
  }

  /** The vCPU's time, with what it has executed since it was last charged. */
  get nowNs(): number {
    return this.#nsAfter(0);
  }

  #nsAfter(cycles: number): number {
    const uncharged = this.core.cycles - this.#charged + cycles;
    return this.#hardware.timeline.nowNs + Math.floor(uncharged / this.#cyclesPerNs);
  }

  /** The granule, by its address in the linear memory, a store to which ends this core's WFE. */
  get waitsFor(): number | undefined {
    return this.#waitsFor;
  }

  /** TLBI. */
  forget(what: TlbiTarget): void {
    this.core.space.forget(what);
    this.#spe?.forgetTranslations();
  }

  /** SEV, or a store to what this core had reserved. */
  event(atNs: number): void {
    this.core.state.set32("EVENT", 1);
    if (!this.#waiting) return;
    this.#waitsFor = undefined;
    this.#hardware.kick(this.#hardware.vcpu, atNs);
  }

  run(untilNs: number): Exit {
    const { timeline, vcpu, turn } = this.#hardware;
    const { state } = this.core;
    const spe = this.#spe;
    if (!this.#goesOn) this.#resume();
    this.#goesOn = false;
    const devices = this.#devices;
    for (;;) {
      const now = timeline.nowNs;
      devices.update(vcpu, now);
      if (spe !== undefined && this.#managementIrq(spe, now)) return { kind: "pmbirq" };
      this.core.setInterrupts(devices.lines(vcpu));
      const endNs = Math.min(untilNs, turn.untilNs);
      if (now >= endNs) return { kind: "deadline" };
      const deadline = Math.min(endNs, devices.nextEventNs(vcpu, now), spe?.pmbirq.dueNs ?? Infinity);
      const pending = this.core.cycles - this.#charged;
      const budget = Math.min(
        LONGEST_RUN,
        this.#pmu.instructionsToOverflow(),
        Math.max(1, (deadline - now) * this.#cyclesPerNs - pending),
      );
      // Within the horizon's nanosecond nobody is behind.
      const horizon = (turn.horizonNs + 1) * this.#cyclesPerNs - 1;
      const exit = this.core.run(budget, now * this.#cyclesPerNs + pending, horizon);
      this.#charge();
      spe?.pauses();
      this.onRan?.();
      switch (exit.kind) {
        case "budget":
          continue;
        case "busy":
          this.#goesOn = true;
          return { kind: "busy" };
        case "ahead":
          return { kind: "yield" };
        case "wfi":
          devices.update(vcpu, timeline.nowNs);
          if (devices.lines(vcpu) !== 0) continue;
          return { kind: "wfi", untilNs: devices.nextEventNs(vcpu, timeline.nowNs) };
        case "wfe":
          devices.update(vcpu, timeline.nowNs);
          if ((devices.lines(vcpu) & ~state.get32("DAIF")) !== 0) continue;
          return { kind: "wfe", untilNs: this.#waitForEvent() };
        case "hvc":
          return { kind: "hvc", imm: exit.imm };
        case "smc":
          return { kind: "smc", imm: exit.imm };
        case "stage2-fault":
          return { kind: "stage2-fault", ipn: Math.floor(exit.ipa / PAGE_BYTES) as Ipn, write: exit.write };
        case "mmio":
          return exit;
        case "sysreg":
          return exit;
      }
    }
  }

  /**
   * The management interrupt at an instant: on bare metal it is a wire to the GIC, else an exit to the hypervisor.
   * @returns whether the hypervisor takes it now
   */
  #managementIrq({ pmbirq, spu }: CoreSpe, nowNs: number): boolean {
    const isDue = pmbirq.dueNs <= nowNs;
    if (isDue) pmbirq.take();
    const { bareMetal, wires } = this.#hardware;
    if (!bareMetal) return isDue;
    if (isDue || !spu.pmbirq) wires.setLevel(PMBIRQ_INTID, spu.pmbirq);
    return false;
  }

  /** The guest is entered: an exception return, by which the monitor becomes clear; that it does is an event. */
  #resume(): void {
    const { state } = this.core;
    this.#spe?.resumes();
    if (state.get32("MONITOR_SET") !== 0) state.set32("EVENT", 1);
    state.set32("MONITOR_SET", 0);
    if (!this.#waiting) return;
    this.#waiting = false;
    this.#waitsFor = undefined;
    // The WFE has had its event.
    state.set32("EVENT", 0);
    this.#streamedNs = this.#hardware.timeline.nowNs;
  }

  /** Waits in WFE. Returns the instant at which it is over at the latest. */
  #waitForEvent(): number {
    const { timeline, vcpu } = this.#hardware;
    const { state } = this.core;
    this.#waiting = true;
    if (state.get32("MONITOR_SET") !== 0) {
      const at = state.get32("MONITOR_ADDRESS");
      this.#waitsFor = at - (at % RESERVATION_GRANULE_BYTES);
      this.#group.watch(at - (at % PAGE_BYTES));
      state.set32("MONITOR_SET", 0);
    }
    const ownNs = nextStreamEventNs(state.get64("CNTKCTL_EL1"), timeline.nowNs);
    const streamNs = Number.isFinite(ownNs) ? ownNs : timeline.nowNs + HOST_STREAM_NS;
    return Math.min(streamNs, this.#devices.nextEventNs(vcpu, timeline.nowNs));
  }

  #streamed(): boolean {
    const sinceNs = this.#streamedNs;
    this.#streamedNs = this.nowNs;
    return nextStreamEventNs(this.core.state.get64("CNTKCTL_EL1"), sinceNs) <= this.#streamedNs;
  }

  save(frameAt: (hostPage: number) => number): GuestCoreState {
    const at = this.#waitsFor;
    const offset = (at ?? 0) % PAGE_BYTES;
    return {
      core: this.core.save(frameAt),
      charged: this.#charged,
      waiting: this.#waiting ? { granule: at === undefined ? null : [frameAt(at - offset), offset] } : null,
      streamedNs: this.#streamedNs,
      spe: this.#spe?.save(),
    };
  }

  restore(
    { core, charged, waiting, streamedNs, spe }: GuestCoreState,
    pageOf: (frame: number) => number,
  ): void {
    this.core.restore(core, pageOf);
    this.#charged = charged;
    this.#waiting = waiting !== null;
    const granule = waiting?.granule ?? null;
    this.#waitsFor = granule === null ? undefined : pageOf(granule[0]) + granule[1];
    this.#streamedNs = streamedNs;
    if (spe !== undefined) this.#spe?.restore(spe);
  }

  #charge(): void {
    const ns = Math.floor((this.core.cycles - this.#charged) / this.#cyclesPerNs);
    this.#charged += ns * this.#cyclesPerNs;
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
    this.#spe?.reset();
    this.#devices.reset(this.#hardware.vcpu);
    this.core.state.pc = entry;
    this.core.state.setX(0, contextId);
  }

  stage1(): Stage1Regime {
    return this.core.space.regime;
  }

  invalidateTlb(first: Ipn, pages: number): void {
    this.core.space.forgetIpns(first, pages);
    this.#spe?.invalidateByIpa(first, pages);
  }

  counters(): CoreCounters {
    const { executed, cycles } = this.core;
    return {
      instructions: executed,
      cycles,
      taskCycles: cycles,
      taskNs: this.nowNs,
      contextSwitches: 0,
    };
  }
}
