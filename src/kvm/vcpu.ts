/**
 * One vCPU: KVM_RUN's loop over a core. Costs of exits are charged here; what the exit asks for is done by spe/ and
 * stage 2. A vCPU's time without SPE (WFI, other exits) is not KVM's SPE's doing and costs nothing here.
 */
import type { Encoding } from "../arm/registers.ts";
import { BrokenInvariant } from "../common/errors.ts";
import { Timeline, type TimelineState } from "../common/timeline.ts";
import { CodeExits, type PsciVcpu } from "./code-exits.ts";
import type { ExitReason } from "./exit-reasons.ts";
import type { CoreHardware, Exit, GuestCore, Turn } from "./guest-core.ts";
import { GuestStops, type GuestStopsState } from "./guest-stops.ts";
import { type KvmExit, OFF } from "./kvm-exit.ts";
import type { Pmu } from "./pmu.ts";
import { PolicyTimers, type PolicyTimersState } from "./policy-timers.ts";
import { Preemptions, type PreemptionsState } from "./preemptions.ts";
import { GroundTruth, type GroundTruthState } from "./spe/ground-truth.ts";
import type { SpeOwner } from "./spe/owner.ts";
import { VcpuSpe, type VcpuSpeState } from "./spe/vcpu-spe.ts";
import type { VmSpe } from "./spe/vm-spe.ts";
import { emulateSysReg, findSysReg, type SysReg, type SysRegUnits } from "./sys-regs.ts";
import type { VcpuOptions } from "./vcpu-options.ts";
import { VcpuGic } from "./vgic.ts";
import type { Vm } from "./vm.ts";
import type { PpiWires } from "./wires.ts";

export type { CodeCoreFactory, CoreFactory, VcpuGuest } from "./vcpu-options.ts";

const QUANTUM: KvmExit = { kind: "quantum" };
const AGAIN: KvmExit = { kind: "again" };
/** Ends of a core's run that leave the guest no trace. */
const NO_EXITS: ReadonlySet<Exit["kind"]> = new Set(["deadline", "yield"]);
/** After so many exits the host may look at something else: with a profile in which they are free, nothing ends a turn. */
const MOST_EXITS = 256;

/** What a vCPU is beside its core. */
export interface SavedVcpu {
  readonly off: boolean;
  readonly loaded: boolean;
  readonly stops: GuestStopsState;
  readonly timeline: TimelineState;
  readonly timers: PolicyTimersState;
  readonly preemptions: PreemptionsState;
  readonly otherNs: number;
  /** "never" is Infinity. */
  readonly waitsUntilNs: number | "never";
  /** The level of the virtual PMBIRQ. */
  readonly pmbirq: boolean;
  readonly truth: GroundTruthState;
  readonly spe: VcpuSpeState;
}

export class Vcpu implements SpeOwner, SysRegUnits, PsciVcpu {
  readonly vm: Vm;
  readonly index: number;
  readonly timeline: Timeline;
  readonly truth: GroundTruth;
  readonly core: GuestCore;
  readonly spe: VcpuSpe;
  readonly pmu: Pmu | undefined;
  /** Its private interrupts. */
  readonly wires: PpiWires;
  /** INTID of the virtual PMBIRQ. */
  readonly pmbirq: number;
  readonly #vmSpe: VmSpe;
  readonly #kick: (vcpu: number, atNs: number) => void;
  readonly #turn: Turn;
  readonly #timers = new PolicyTimers();
  readonly #preemptions = new Preemptions();
  /** What the hypervisor did for exits that have nothing to do with SPE: such as a guest makes that has none. */
  otherNs = 0;
  #loaded = false;
  /** Its guest has nothing to do before this instant (WFI, WFE), unless it is woken. */
  #waitsUntilNs = 0;
  /** Its core has not left the guest: the host has looked at something else, and the same run goes on. */
  #inGuest = false;
  readonly #code: CodeExits | undefined;
  readonly #stops: GuestStops;
  #off: boolean;

  constructor(vmSpe: VmSpe, options: VcpuOptions) {
    const { vm } = vmSpe;
    this.vm = vm;
    this.#vmSpe = vmSpe;
    this.index = options.index;
    this.timeline = new Timeline(`vcpu ${this.index}`);
    this.#stops = new GuestStops(this.timeline, vmSpe.statistics);
    this.truth = new GroundTruth(options.seed + this.index);
    const { trace } = vm;
    if (trace !== undefined)
      this.timeline.onCharge = (kind, startNs, endNs) => {
        if (kind === "guestRun" || kind === "idle") return;
        trace({
          atNs: startNs,
          vcpu: this.index,
          what: "charge",
          name: kind,
          detail: { ns: endNs - startNs },
        });
      };
    this.pmbirq = options.attributes.irq;
    this.pmu = options.devices?.pmus[this.index];
    this.wires = options.devices?.wires[this.index] ?? new VcpuGic();
    this.#kick = options.kick;
    this.#turn = options.turn;
    this.#off = options.devices === undefined ? false : options.startsOff;
    const { frames } = vm.mm;
    const onRecordPage = options.onRecordPage;
    const hardware: CoreHardware = {
      vcpu: this.index,
      timeline: this.timeline,
      turn: options.turn,
      costs: vm.costs,
      frames,
      stage2: vm.stage2.config,
      physical: {
        page: (page, access) => (access.write ? frames.writable(page) : frames.read(page)),
        wrote: (page) => frames.wrote(page),
      },
      ownBuffer: (page) => this.spe.ownFrame(page),
      wires: this.wires,
      traps: () => this.spe.traps,
      bareMetal: false,
      irqLatencyNs: options.irqLatencyNs,
      truth: this.truth,
      guestView: () => this.spe.guestView(),
      untrappedEnable: (on) => this.spe.untrappedEnable(on),
      untrappedStatus: () => this.spe.untrappedStatus(),
      onRecordPage: onRecordPage === undefined ? undefined : (ipn, frame) => onRecordPage(ipn, frame),
      kick: options.kick,
    };
    if (options.devices === undefined) this.core = options.core(hardware);
    else {
      const core = options.core(hardware);
      this.core = core;
      this.#code = new CodeExits({
        core,
        devices: options.devices,
        vcpu: this,
        all: options.all,
        timeline: this.timeline,
        costs: vm.costs,
      });
    }
    this.core.spu.pe.el2 = true;
    vm.onTlbi((first, pages) => this.core.invalidateTlb(first, pages));
    this.spe = new VcpuSpe(vmSpe, this, {
      maxBufferBytes: options.attributes.maxBufferBytes,
      traps: vmSpe.policy.trapsBuffer,
      executesCode: options.devices !== undefined,
    });
  }

  line(high: boolean): void {
    if (this.wires.setLevel(this.pmbirq, high)) this.timeline.charge("irq", this.vm.costs.injectIrq);
  }

  armTimer(atNs: number, tag: string): void {
    this.#timers.arm(atNs, tag);
  }

  preempt(atNs: number, ns: number): void {
    this.#preemptions.add(atNs, ns);
  }

  /** The instant that it has reached, within a run of its core as well. */
  get nowNs(): number {
    return this.#code === undefined ? this.timeline.nowNs : this.#code.core.nowNs;
  }

  /** The next instant at which this vCPU has a timer to serve. */
  get nextTimerNs(): number {
    return this.#timers.nextNs;
  }

  /** The next instant at which something is to be done for it that its guest knows nothing of: a timer's or its worker's. */
  get nextServedNs(): number {
    return Math.min(this.nextTimerNs, this.#nextWorkNs);
  }

  /** When its worker begins with what it has to do next, on another CPU. */
  get #nextWorkNs(): number {
    return this.#vmSpe.workers.nextNs(this.index);
  }

  /** KVM_RUN until something needs user space, or its turn is over. */
  run(): KvmExit {
    const { timeline, core, spe } = this;
    const { events } = this.#vmSpe;
    const turn = this.#turn;
    if (this.#off) {
      // The host's timers go off all the same.
      this.serveHost();
      return OFF;
    }
    if (!this.#loaded) {
      this.#loaded = true;
      spe.policy.load();
    }
    for (let exits = 0; exits < MOST_EXITS; exits++) {
      if (!this.#inGuest) {
        do this.serveHost();
        while (this.#gaveWay());
        if (this.#waitsOn()) return { kind: "idle", untilNs: this.#waitsUntilNs };
        if (timeline.nowNs >= turn.untilNs) return QUANTUM;
        this.#stops.resumed(spe.accounts.coldStop);
        spe.accounts.coldStop = false;
        spe.enter();
      }
      const exit = core.run(Math.min(turn.untilNs, this.#nextHostNs, this.#nextWorkNs));
      this.#inGuest = exit.kind === "busy";
      if (this.#inGuest) return AGAIN;
      if (exit.kind === "stage2-fault") this.#vmSpe.onFault?.(this.index, exit.ipn, exit.write);
      spe.leave();
      this.#stops.stopped();
      events.enter();
      // The end of a turn is not a real exit.
      if (!NO_EXITS.has(exit.kind) || this.#nextHostNs <= timeline.nowNs) spe.copyOut(timeline);
      // An exit is of SPE that a guest without it would not make; the end of a turn counts as one, and costs nothing.
      const row = exit.kind === "sysreg" ? emulated(exit.encoding) : undefined;
      const isOfSpe = exit.kind === "pmbirq" || exit.kind === "deadline" || row?.unit === "spe";
      const arrivedNs = timeline.nowNs;
      this.#arrived(exit, row);
      if (!isOfSpe) this.otherNs += timeline.nowNs - arrivedNs;
      // A guest that is gone is told of nothing.
      const event = exit.kind === "shutdown" ? undefined : this.#bufferEvent();
      const handledNs = timeline.nowNs;
      const result = event ?? this.#handle(exit, row);
      if (!isOfSpe) this.otherNs += timeline.nowNs - handledNs;
      events.leave();
      if (result !== undefined) return result;
    }
    return AGAIN;
  }

  /** What `restore` takes, but for its core, and its devices where it has any. */
  save(): SavedVcpu {
    return {
      off: this.#off,
      loaded: this.#loaded,
      stops: this.#stops.save(),
      timeline: this.timeline.save(),
      timers: this.#timers.save(),
      preemptions: this.#preemptions.save(),
      otherNs: this.otherNs,
      waitsUntilNs: this.#waitsUntilNs === Number.POSITIVE_INFINITY ? "never" : this.#waitsUntilNs,
      pmbirq: this.wires.level(this.pmbirq),
      truth: this.truth.save(),
      spe: this.spe.save(),
    };
  }

  restore(state: SavedVcpu): void {
    this.#loaded = state.loaded;
    this.#off = state.off;
    this.#stops.restore(state.stops);
    this.timeline.restore(state.timeline);
    this.#timers.restore(state.timers);
    this.#preemptions.restore(state.preemptions);
    this.otherNs = state.otherNs;
    this.#waitsUntilNs = state.waitsUntilNs === "never" ? Number.POSITIVE_INFINITY : state.waitsUntilNs;
    this.truth.restore(state.truth);
    this.spe.restore(state.spe);
    this.wires.setLevel(this.pmbirq, state.pmbirq);
  }

  /** Something has happened, or does so at an instant, for which its guest goes on that waits. */
  wake(atNs: number): void {
    this.#waitsUntilNs = Math.min(this.#waitsUntilNs, atNs);
  }

  /** What the host does for itself meanwhile does not wake the guest. */
  #waitsOn(): boolean {
    const isWaiting = this.timeline.nowNs < this.#waitsUntilNs && !this.wires.isSignalled;
    if (isWaiting) this.#stops.stopped();
    else this.#waitsUntilNs = 0;
    return isWaiting;
  }

  /** Lets time pass without the guest, until `atNs`. */
  idleUntil(atNs: number): void {
    const before = this.timeline.nowNs;
    this.timeline.skipTo("idle", atNs);
    this.#preemptions.idled(before, this.timeline.nowNs);
    this.#stops.idled(this.timeline.nowNs - before);
  }

  /** The next instant at which the host takes this vCPU out of the guest. */
  get #nextHostNs(): number {
    return Math.min(this.nextTimerNs, this.#preemptions.nextNs);
  }

  /**
   * Host work that is due has the CPU: the scheduler's doing, and no stop by what KVM does for this vCPU.
   * @returns whether there was any
   */
  #gaveWay(): boolean {
    const ns = this.#preemptions.take(this.timeline.nowNs);
    this.timeline.charge("steal", ns);
    this.#stops.idled(ns);
    return ns > 0;
  }

  /** What an exit is called in reports and costs by itself. An access to a device comes before its costs. */
  #arrived(exit: Exit, row: SysReg | undefined): void {
    const { timeline } = this;
    const { costs } = this.vm;
    switch (exit.kind) {
      case "deadline":
        // The host takes the vCPU out of the guest, for a timer or for other work on its CPU.
        if (this.#nextHostNs > timeline.nowNs) return;
        this.#exit(this.nextTimerNs > timeline.nowNs ? "preempted" : "host timer");
        break;
      case "pmbirq":
        this.#exit("PMBIRQ");
        timeline.charge("exit", costs.exit);
        timeline.charge("irq", costs.maintenanceIrq);
        return;
      case "hvc":
        this.#exit("HVC");
        break;
      case "smc":
        this.#exit("SMC");
        break;
      case "mmio":
        this.#exit("MMIO");
        return;
      case "stage2-fault":
        this.#exit("DABT");
        break;
      case "sysreg": {
        const { exits } = row ?? emulated(exit.encoding);
        this.#exit(exit.isRead ? exits.read : exits.write);
        break;
      }
      case "yield":
      case "busy":
      case "wfe":
      case "wfi":
      case "other":
      case "shutdown":
        return;
    }
    timeline.charge("exit", costs.exit);
  }

  /** What an exit asks for. */
  #handle(exit: Exit, row: SysReg | undefined): KvmExit | undefined {
    const { timeline, vm } = this;
    switch (exit.kind) {
      case "deadline":
      case "pmbirq":
        return undefined;
      case "yield":
        return QUANTUM;
      case "busy":
        return AGAIN;
      case "wfe":
        return this.#wait(exit.untilNs);
      case "wfi":
        return this.wires.isSignalled ? undefined : this.#wait(exit.untilNs);
      case "other":
        timeline.charge("exit", exit.ns);
        return undefined;
      case "shutdown":
        this.#put();
        return { kind: "shutdown" };
      case "hvc":
        if (this.#code !== undefined) return this.#code.hypercall();
        this.core.regs.skipInstruction();
        return undefined;
      case "smc":
        return this.#ofCode(exit).smc();
      case "mmio":
        return this.#ofCode(exit).mmio(exit);
      case "stage2-fault": {
        const outcome = vm.stage2.fault(exit.ipn, exit.write, timeline);
        if (outcome.kind !== "done")
          throw new BrokenInvariant(`a CPU access to page ${exit.ipn} with no memory behind it`);
        return undefined;
      }
      case "sysreg":
        return this.#sysreg(exit, row ?? emulated(exit.encoding));
    }
  }

  #wait(untilNs: number): KvmExit {
    this.#waitsUntilNs = untilNs;
    return { kind: "idle", untilNs };
  }

  /** "rlimit": the same access comes again. */
  #sysreg(exit: Extract<Exit, { kind: "sysreg" }>, row: SysReg): KvmExit | undefined {
    const level = this.#code === undefined ? 1 : this.#code.core.level();
    const outcome = emulateSysReg(row, this, this.core.regs, level, exit);
    switch (outcome.kind) {
      case "done":
        return undefined;
      case "rlimit":
        return this.#rlimit(outcome.byBytes);
      case "undefined":
        return this.#undefined(row);
    }
  }

  /** The trapped access is UNDEFINED to the guest (kvm_inject_undefined). A model makes no such access. */
  #undefined({ name }: SysReg): undefined {
    if (this.#code === undefined) throw new BrokenInvariant(`an UNDEFINED access to ${name}`);
    this.#code.core.injectUndefined();
  }

  #ofCode({ kind }: Exit): CodeExits {
    if (this.#code === undefined) throw new BrokenInvariant(`a model's ${kind} exit`);
    return this.#code;
  }

  get isOff(): boolean {
    return this.#off;
  }

  switchOn(entry: bigint, contextId: bigint, atNs: number): void {
    this.#off = false;
    this.#code?.core.powerOn(entry, contextId);
    this.spe.reset();
    this.#kick(this.index, atNs);
  }

  switchOff(): void {
    this.#off = true;
  }

  /** User space has carried an `mmio` exit out; `value` is what a load got. */
  answered(exit: Extract<KvmExit, { kind: "mmio" }>, value: bigint): void {
    const { nowNs } = this.timeline;
    this.#ofCode(exit).answered(exit, value);
    this.otherNs += this.timeline.nowNs - nowNs;
  }

  /** Deals with a profiling buffer management event of the run that has ended, if there was one. */
  #bufferEvent(): KvmExit | undefined {
    const outcome = this.spe.handleManagementEvent();
    return outcome.kind === "rlimit" ? this.#rlimit(outcome.byBytes) : undefined;
  }

  #rlimit(byBytes: number): KvmExit {
    this.#exit("KVM_EXIT_RLIMIT");
    this.timeline.charge("exit", this.vm.costs.userExit);
    this.#put();
    return { kind: "rlimit", byBytes };
  }

  #put(): void {
    this.#loaded = false;
    this.spe.policy.put();
  }

  #exit(reason: ExitReason): void {
    this.#vmSpe.statistics.exit(reason);
    this.vm.trace?.({ atNs: this.timeline.nowNs, vcpu: this.index, what: "exit", name: reason });
    this.spe.policy.exited(reason);
  }

  /** Does what the host has to do for it by now: on its worker, and for each timer that is due. */
  serveHost(): void {
    this.spe.policy.background();
    this.#serveTimers();
  }

  #serveTimers(): void {
    for (;;) {
      const tag = this.#timers.take(this.timeline.nowNs);
      if (tag === undefined) return;
      this.timeline.charge("irq", this.vm.costs.timerIrq);
      this.spe.policy.timer(tag);
    }
  }
}

/** The row of a register that traps: KVM asks for no trap that it does not emulate. */
function emulated(encoding: Encoding): SysReg {
  const row = findSysReg(encoding);
  if (row === undefined) throw new BrokenInvariant(`a trapped access to ${encoding}, which nobody emulates`);
  return row;
}
