/**
 * One vCPU: KVM_RUN's loop over a core. Costs of exits are charged here; what the exit asks for is done by spe/ and
 * stage 2. A vCPU's time without SPE (WFI, other exits) is not KVM's SPE's doing and costs nothing here.
 */
import { REGISTERS } from "../arm/registers.ts";
import type { Ipn } from "../common/address.ts";
import { BrokenInvariant } from "../common/errors.ts";
import { Timeline, type TimelineState } from "../common/timeline.ts";
import type { VmDevices } from "./devices.ts";
import type { ExitReason } from "./exit-reasons.ts";
import type { CoreHardware, Exit, GuestCore, Turn } from "./guest-core.ts";
import { answerHypercall, PSCI_RESULT } from "./psci.ts";
import type { SpeAttributes } from "./spe/attributes.ts";
import { GroundTruth } from "./spe/ground-truth.ts";
import { VcpuSpe } from "./spe/vcpu-spe.ts";
import { VcpuGic } from "./vgic.ts";
import type { Vm } from "./vm.ts";

/** Why KVM_RUN returned to user space. */
export type KvmExit =
  /** This vCPU reached the end of its quantum; not an exit that a real KVM would make. */
  | { readonly kind: "quantum" }
  /** Neither is this: the host may look at something else before the same turn goes on. */
  | { readonly kind: "again" }
  /** Idle until an instant, or (Infinity) until another vCPU kicks it. */
  | { readonly kind: "idle"; readonly untilNs: number }
  /** KVM_EXIT_RLIMIT: raise RLIMIT_MEMLOCK by this much and run again. */
  | { readonly kind: "rlimit"; readonly byBytes: number }
  | { readonly kind: "shutdown" }
  /** KVM_EXIT_MMIO: a device of user space, reached at this instant; then `answered` is called. */
  | {
      readonly kind: "mmio";
      readonly ipa: number;
      readonly bytes: number;
      readonly write: boolean;
      readonly data: bigint;
    }
  /** KVM_EXIT_SYSTEM_EVENT: PSCI SYSTEM_OFF or SYSTEM_RESET. */
  | { readonly kind: "system-event"; readonly event: "off" | "reset" };

/** Makes the core of a vCPU from the hardware that the VM gives it. */
export type CoreFactory = (hardware: CoreHardware) => GuestCore;

export interface VcpuOptions {
  readonly core: CoreFactory;
  /** Its place among the other vCPUs. */
  readonly turn: Turn;
  readonly attributes: SpeAttributes;
  readonly irqLatencyNs: number;
  readonly seed: number;
  readonly kick: (vcpu: number, atNs: number) => void;
  /** GIC and timers, for cores that execute code. */
  readonly devices?: VmDevices;
  /** Off until another vCPU's CPU_ON. */
  readonly startsOff?: boolean;
  readonly onRecordPage?: ((ipn: Ipn, frame: number) => void) | undefined;
}

interface Timer {
  readonly atNs: number;
  readonly tag: string;
}

/** Names of exits by register, made once: there are millions of exits. */
const READS = Object.fromEntries(REGISTERS.map(({ name }) => [name, `MRS ${name}` as const]));
const WRITES = Object.fromEntries(REGISTERS.map(({ name }) => [name, `MSR ${name}` as const]));

const QUANTUM: KvmExit = { kind: "quantum" };
const AGAIN: KvmExit = { kind: "again" };
/** Ends of a core's run that leave the guest no trace. */
const NO_EXITS: ReadonlySet<Exit["kind"]> = new Set(["deadline", "yield", "busy"]);
/** A vCPU that is off sleeps until it is switched on. */
const OFF: KvmExit = { kind: "idle", untilNs: Number.POSITIVE_INFINITY };
/** After so many exits the host may look at something else: with a profile in which they are free, nothing ends a turn. */
const MOST_EXITS = 256;

/** What a vCPU is beside its registers. */
export interface VcpuState {
  readonly off: boolean;
  readonly loaded: boolean;
  readonly stoppedAtNs: number;
  readonly idleInStopNs: number;
  readonly timeline: TimelineState;
}

export class Vcpu {
  readonly vm: Vm;
  readonly index: number;
  readonly timeline: Timeline;
  readonly gic = new VcpuGic();
  readonly truth: GroundTruth;
  readonly core: GuestCore;
  readonly spe: VcpuSpe;
  /** INTID of the virtual PMBIRQ. */
  readonly pmbirq: number;
  readonly #kick: (vcpu: number, atNs: number) => void;
  readonly #turn: Turn;
  #timers: Timer[] = [];
  #loaded = false;
  readonly #devices: VmDevices | undefined;
  #off: boolean;
  /** When the vCPU last stopped executing the guest. */
  #stoppedAtNs = 0;
  #idleInStopNs = 0;

  constructor(vm: Vm, options: VcpuOptions) {
    this.vm = vm;
    this.index = vm.vcpus.length;
    this.timeline = new Timeline(`vcpu ${this.index}`);
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
    this.#devices = options.devices;
    this.#kick = options.kick;
    this.#turn = options.turn;
    this.#off = options.startsOff ?? false;
    const { frames } = vm.mm;
    const onRecordPage = options.onRecordPage;
    this.core = options.core({
      vcpu: this.index,
      timeline: this.timeline,
      turn: options.turn,
      costs: vm.costs,
      frames,
      stage2: vm.stage2.config,
      physical: {
        page: (page, access) => (access.write ? frames.writable(page) : frames.read(page)),
        wrote: () => frames.wrote(),
      },
      ownBuffer: (page) => this.spe.ownFrame(page),
      traps: () => this.spe.traps,
      bareMetal: false,
      irqLatencyNs: options.irqLatencyNs,
      truth: this.truth,
      guestView: () => this.spe.guestView(),
      untrappedEnable: (on) => this.spe.untrappedEnable(on),
      onRecordPage: onRecordPage === undefined ? undefined : (ipn, frame) => onRecordPage(ipn, frame),
      kick: options.kick,
    });
    this.core.spu.pe.el2 = true;
    this.spe = new VcpuSpe(this, {
      maxBufferBytes: options.attributes.maxBufferBytes,
      traps: vm.policy.trapsBuffer,
    });
    vm.vcpus.push(this);
  }

  /** A tag has one timer: armed again it moves (mod_timer). */
  armTimer(atNs: number, tag: string): void {
    this.#timers = this.#timers.filter((timer) => timer.tag !== tag);
    this.#timers.push({ atNs, tag });
    this.#timers.sort((a, b) => a.atNs - b.atNs);
  }

  /** The instant that it has reached, within a run of its core as well. */
  get nowNs(): number {
    return this.core.nowNs ?? this.timeline.nowNs;
  }

  /** The next instant at which this vCPU has a timer to serve. */
  get nextTimerNs(): number {
    return this.#timers[0]?.atNs ?? Number.POSITIVE_INFINITY;
  }

  /** KVM_RUN until something needs user space, or its turn is over. */
  run(): KvmExit {
    const { timeline, core, spe, vm } = this;
    const turn = this.#turn;
    if (this.#off) return OFF;
    if (!this.#loaded) {
      this.#loaded = true;
      vm.events.enter();
      vm.handlers.onVcpuLoad?.(spe.context);
      vm.events.leave();
    }
    for (let exits = 0; exits < MOST_EXITS; exits++) {
      this.serveTimers();
      if (timeline.nowNs >= turn.untilNs) return QUANTUM;
      core.setVirq(this.gic.lines);
      this.#resumed();
      spe.enter();
      const exit = core.run(Math.min(turn.untilNs, this.nextTimerNs));
      spe.leave();
      this.#stoppedAtNs = timeline.nowNs;
      this.#idleInStopNs = 0;
      vm.events.enter();
      // The end of a turn is not a real exit.
      if (!NO_EXITS.has(exit.kind) || this.nextTimerNs <= timeline.nowNs) spe.copyOut(timeline);
      const result = this.#handle(exit);
      vm.events.leave();
      if (result !== undefined) return result;
    }
    return AGAIN;
  }

  /** What `restore` takes. A policy with timers under way cannot be saved: undefined. */
  save(): VcpuState | undefined {
    if (this.#timers.length > 0) return undefined;
    return {
      off: this.#off,
      loaded: this.#loaded,
      stoppedAtNs: this.#stoppedAtNs,
      idleInStopNs: this.#idleInStopNs,
      timeline: this.timeline.save(),
    };
  }

  restore(state: VcpuState): void {
    if (state.loaded && !this.#loaded) this.vm.handlers.onVcpuLoad?.(this.spe.context);
    this.#loaded = state.loaded;
    this.#off = state.off;
    this.#stoppedAtNs = state.stoppedAtNs;
    this.#idleInStopNs = state.idleInStopNs;
    this.timeline.restore(state.timeline);
  }

  /** Lets time pass without the guest, until `atNs`. */
  idleUntil(atNs: number): void {
    const before = this.timeline.nowNs;
    this.timeline.skipTo("idle", atNs);
    this.#idleInStopNs += this.timeline.nowNs - before;
  }

  #handle(exit: Exit): KvmExit | undefined {
    const { timeline, vm, spe } = this;
    const { costs } = vm;
    switch (exit.kind) {
      case "deadline":
        // A host timer takes the vCPU out of the guest.
        if (this.nextTimerNs <= timeline.nowNs) {
          this.#exit("host timer");
          timeline.charge("exit", costs.exit);
        }
        return this.#maintenance();
      case "yield":
        return this.#maintenance() ?? QUANTUM;
      case "busy":
        return AGAIN;
      case "wfe":
        return this.#maintenance() ?? { kind: "idle", untilNs: exit.untilNs };
      case "wfi":
        return (
          this.#maintenance() ??
          (this.#virqPending() || (this.#devices?.lines(this.index) ?? 0) !== 0
            ? undefined
            : { kind: "idle", untilNs: exit.untilNs })
        );
      case "shutdown":
        this.#put();
        return { kind: "shutdown" };
      case "pmbirq":
        this.#exit("PMBIRQ");
        timeline.charge("exit", costs.exit);
        timeline.charge("irq", costs.maintenanceIrq);
        return this.#maintenance();
      case "hvc":
        this.#exit("HVC");
        timeline.charge("exit", costs.exit);
        if (this.#devices !== undefined) return this.#maintenance() ?? this.#hypercall();
        this.core.regs.skipInstruction();
        return this.#maintenance();
      case "smc":
        // KVM does not pass it on: it is the unknown function.
        this.#exit("SMC");
        timeline.charge("exit", costs.exit);
        this.core.regs.write(0, PSCI_RESULT.notSupported);
        return this.#maintenance();
      case "pmu":
        this.#exit(exit.isRead ? "MRS PMU" : "MSR PMU");
        timeline.charge("exit", costs.exit);
        return this.#maintenance() ?? this.#devices?.accessPmu(this.index, this.core, exit);
      case "mmio":
        this.#exit("MMIO");
        return this.#maintenance() ?? this.#mmio(exit);
      case "stage2-fault": {
        this.#exit("DABT");
        timeline.charge("exit", costs.exit);
        const rlimit = this.#maintenance();
        if (rlimit !== undefined) return rlimit;
        vm.journal?.faulted(exit.ipn, exit.write, timeline.nowNs);
        const outcome = vm.stage2.fault(exit.ipn, exit.write, timeline);
        if (outcome.kind !== "done")
          throw new BrokenInvariant(`a CPU access to page ${exit.ipn} with no memory behind it`);
        return undefined;
      }
      case "sysreg": {
        this.#exit((exit.isRead ? READS : WRITES)[exit.register] as ExitReason);
        timeline.charge("exit", costs.exit);
        const rlimit = this.#maintenance();
        if (rlimit !== undefined) return rlimit;
        const { regs } = this.core;
        if (exit.isRead) {
          const value = spe.read(exit.register);
          if (value === undefined) throw new BrokenInvariant(`a trapped read of ${exit.register}`);
          regs.write(exit.rt, value);
        } else {
          const outcome = spe.write(exit.register, regs.read(exit.rt));
          if (outcome.kind === "undefined") throw new BrokenInvariant(`a trapped write of ${exit.register}`);
          if (outcome.kind === "rlimit") return this.#rlimit(outcome.byBytes);
        }
        regs.skipInstruction();
        return undefined;
      }
    }
  }

  /** PSCI and SMCCC (kvm_smccc_call_handler). The core has moved past the HVC. */
  #hypercall(): KvmExit | undefined {
    switch (answerHypercall(this.core.regs, this.vm.vcpus, this.timeline.nowNs)) {
      case "returns":
        return undefined;
      case "cpu-off":
        this.#off = true;
        return OFF;
      case "cpu-suspend":
        return { kind: "idle", untilNs: this.#nextEventNs() };
      case "system-off":
        return { kind: "system-event", event: "off" };
      case "system-reset":
        return { kind: "system-event", event: "reset" };
    }
  }

  get isOff(): boolean {
    return this.#off;
  }

  /** PSCI CPU_ON. */
  switchOn(entry: bigint, contextId: bigint, atNs: number): void {
    this.#off = false;
    this.core.powerOn?.(entry, contextId);
    this.#kick(this.index, atNs);
  }

  #nextEventNs(): number {
    return this.#devices?.nextEventNs(this.index, this.timeline.nowNs) ?? Number.POSITIVE_INFINITY;
  }

  /**
   * The GIC's frames are KVM's own; other devices are user space's. The device is reached at the instant of the instruction,
   * which is within the vCPU's horizon; what the exit costs comes after.
   */
  #mmio(exit: Extract<Exit, { kind: "mmio" }>): KvmExit | undefined {
    const devices = this.#devices;
    const value = devices?.access(exit);
    if (value === undefined) return exit;
    if (!exit.write) this.core.completeRead?.(value);
    this.timeline.charge("exit", this.vm.costs.exit);
    return undefined;
  }

  /** User space has carried an `mmio` exit out; `value` is what a load got. */
  answered({ write }: Extract<KvmExit, { kind: "mmio" }>, value: bigint): void {
    this.timeline.charge("exit", this.vm.costs.exit + this.vm.costs.userExit);
    if (!write) this.core.completeRead?.(value);
  }

  #maintenance(): KvmExit | undefined {
    const outcome = this.spe.handleMaintenance();
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
    this.vm.handlers.onVcpuPut?.(this.spe.context);
  }

  #exit(reason: ExitReason): void {
    const { vm } = this;
    vm.statistics.exit(reason);
    vm.trace?.({ atNs: this.timeline.nowNs, vcpu: this.index, what: "exit", name: reason });
    vm.handlers.onGuestExit?.(reason, this.spe.context);
  }

  #virqPending(): boolean {
    return this.gic.level(this.pmbirq);
  }

  /** Calls the policy for each timer that is due. */
  serveTimers(): void {
    while (this.nextTimerNs <= this.timeline.nowNs) {
      const timer = this.#timers.shift() as Timer;
      const { vm, timeline, spe } = this;
      timeline.charge("irq", vm.costs.timerIrq);
      vm.trace?.({
        atNs: timeline.nowNs,
        vcpu: this.index,
        what: "event",
        name: "onTimer",
        detail: { tag: timer.tag },
      });
      vm.events.enter();
      vm.handlers.onTimer?.(timer.tag, spe.context);
      vm.events.leave();
    }
  }

  /** The guest goes on: how long was it stopped by host work? */
  #resumed(): void {
    const stopNs = this.timeline.nowNs - this.#stoppedAtNs - this.#idleInStopNs;
    const { statistics } = this.vm;
    if (this.spe.accounts.coldStop)
      statistics.longestStopColdNs = Math.max(statistics.longestStopColdNs, stopNs);
    else statistics.longestStopWarmNs = Math.max(statistics.longestStopWarmNs, stopNs);
    this.spe.accounts.coldStop = false;
    this.#stoppedAtNs = this.timeline.nowNs;
    this.#idleInStopNs = 0;
  }
}
