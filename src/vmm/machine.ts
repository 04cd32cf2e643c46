/**
 * User space of a VM: builds it from options, runs its vCPUs against each other and the host, and answers
 * KVM_EXIT_RLIMIT by raising RLIMIT_MEMLOCK as far as it may.
 */
import type { Ipn } from "../common/address.ts";
import { BrokenInvariant, UserError } from "../common/errors.ts";
import { formatBytes } from "../common/sizes.ts";
import { Timeline, type TimelineState } from "../common/timeline.ts";
import type { CostTable } from "../host/costs.ts";
import { HUGE_PAGES, type PageStore } from "../host/frames.ts";
import { Memlock } from "../host/memlock.ts";
import { type Backing, HostMm } from "../host/mm.ts";
import type { PressureEvent } from "../host/pressure.ts";
import type { VmDevices } from "../kvm/devices.ts";
import { aloneTurn, type Turn } from "../kvm/guest-core.ts";
import type { KvmExit } from "../kvm/kvm-exit.ts";
import type { PinPolicy } from "../kvm/spe/policy.ts";
import { VmSpe, type VmSpeState } from "../kvm/spe/vm-spe.ts";
import { decodeState, type EncodedState, encodeState } from "../kvm/state-codec.ts";
import type { Statistics } from "../kvm/statistics.ts";
import type { Tracer } from "../kvm/trace.ts";
import { type CodeCoreFactory, type CoreFactory, type SavedVcpu, Vcpu, type VcpuGuest } from "../kvm/vcpu.ts";
import { Vm, type VmState } from "../kvm/vm.ts";
import type { TableMemory } from "../mmu/table-memory.ts";
import { HostPressure } from "./host-pressure.ts";
import { type Alarm, CODE_QUANTUM_NS, type Ending, MachineLoop, MODEL_QUANTUM_NS } from "./machine-loop.ts";
import { AGAIN, OVER, type PlaceState, RUNS, type Scheduler, type TurnEnd } from "./scheduler.ts";
import { configureSpe } from "./spe-device.ts";

export interface MachineOptions {
  readonly memoryPages: number;
  /** The first guest page of RAM. */
  readonly firstIpn: Ipn;
  readonly backing: Backing;
  readonly costs: CostTable;
  readonly policy: PinPolicy;
  /** RLIMIT_MEMLOCK at the start, and how far user space may raise it. */
  readonly memlockBytes: number;
  readonly memlockMaxBytes: number;
  /** KVM_ARM_VCPU_SPE_MAX_BUFFER_SIZE; undefined: no limit. */
  readonly maxBufferBytes: number | undefined;
  readonly irqLatencyNs: number;
  /** Whether records may have physical addresses, the host's (PMSCR_EL2.PA). Default: no. */
  readonly physicalAddresses?: boolean;
  /** How many CPUs the host has beside the vCPUs' own. Default: enough. */
  readonly spareCpus?: number;
  readonly seed: number;
  /** Whether walks, pins and mappings may be kept as extents. False gives the same reports, slowly. */
  readonly extents?: boolean;
  /** What the host does to guest memory, in order of time; pages count from the first. */
  readonly pressure?: Iterator<PressureEvent>;
  readonly trace?: Tracer;
  /** Where the content of physical pages lies; by default each page is an array of its own. */
  readonly store?: PageStore;
  /** GIC and timers, for cores that execute code: made with a way to wake a vCPU. */
  readonly devices?: (onLineChange: (vcpu: number) => void) => VmDevices;
  /** The board: what lies where no memory is. */
  readonly bus?: Bus;
  /** What happens on the board by itself. */
  readonly alarm?: Alarm;
  readonly onRecordPage?: (ipn: Ipn, frame: number) => void;
  /** Called after every step of the machine: where tests look at invariants. */
  readonly onStep?: (machine: Machine) => void;
}

/** Devices of user space, by IPA. */
export interface Bus {
  /** The value of a load, or 0 for a store. Unknown addresses read as zero. */
  access(ipa: number, bytes: number, write: boolean, data: bigint, nowNs: number): bigint;
}

/** What a machine is but for the content of memory, its cores and its devices. As JSON: `encodeState`. */
export type MachineState = EncodedState;

/** The same, decoded. */
export interface MachineContent {
  readonly vm: VmState;
  readonly spe: VmSpeState;
  readonly vcpus: readonly SavedVcpu[];
  readonly setupNs: number;
  readonly rlimitExits: number;
  readonly nowNs: number;
  readonly host: TimelineState;
  readonly places: readonly PlaceState[];
}

export const contentOf = (state: MachineState): MachineContent => decodeState(state) as MachineContent;

export class Machine {
  readonly vm: Vm;
  readonly spe: VmSpe;
  readonly vcpus: Vcpu[] = [];
  readonly mm: HostMm;
  readonly memlock: Memlock;
  readonly host = new Timeline("host");
  /** Time before the first guest run: prefault and pinning. */
  setupNs = 0;
  rlimitExits = 0;
  readonly devices: VmDevices | undefined;
  readonly #loop: MachineLoop;
  readonly #options: MachineOptions;
  /** What the scheduler calls vCPU 0; the others follow. */
  readonly #firstVcpu: number;
  readonly #pressure: HostPressure | undefined;

  constructor(options: MachineOptions) {
    this.#options = options;
    this.mm = new HostMm(options.costs, { extents: options.extents ?? true, store: options.store });
    this.devices = options.devices?.((vcpu) => this.#lineChanged(vcpu));
    this.memlock = new Memlock(options.memlockBytes);
    this.vm = new Vm({ mm: this.mm, trace: options.trace });
    this.spe = new VmSpe(this.vm, {
      memlock: this.memlock,
      policy: options.policy,
      physicalAddresses: options.physicalAddresses,
      spareCpus: options.spareCpus,
    });
    // Equal offsets in 2 MiB of guest and host, so that blocks can map it, as QEMU and kvmtool arrange it.
    if (options.firstIpn % HUGE_PAGES !== 0) throw new BrokenInvariant("guest RAM must be 2 MiB aligned");
    const hostPage = this.mm.mmap(options.memoryPages, options.policy.backing ?? options.backing);
    this.vm.addMemslot({ firstIpn: options.firstIpn, pages: options.memoryPages, hostPage });
    this.#loop = new MachineLoop(options.devices !== undefined);
    if (options.pressure !== undefined) {
      this.#pressure = new HostPressure(this.spe, this.host, hostPage, options.pressure);
      // Before any vCPU goes on from the instant of an event.
      this.#scheduler.add(this.#pressure, aloneTurn());
    }
    if (options.alarm !== undefined) this.#loop.addAlarm(options.alarm);
    this.#firstVcpu = this.#scheduler.count;
  }

  /** Creates the vCPUs of a guest that is a model, each with SPE configured and initialised. */
  addVcpus(count: number, core: CoreFactory): void {
    this.#addEach(count, () => ({ core }));
  }

  /** The same of a guest that executes code: all but the first wait for PSCI's CPU_ON. */
  addCodeVcpus(count: number, core: CodeCoreFactory, devices: VmDevices): void {
    this.#addEach(count, (index) => ({ core, devices, startsOff: index > 0 }));
  }

  #addEach(count: number, guest: (index: number) => VcpuGuest): void {
    const options = this.#options;
    for (let index = 0; index < count; index++) {
      const turn = aloneTurn();
      const vcpu = new Vcpu(this.spe, {
        ...guest(index),
        index,
        all: this.vcpus,
        turn,
        attributes: configureSpe(this.memlock, {
          vcpus: count,
          trapsBuffer: options.policy.trapsBuffer,
          maxBufferBytes: options.maxBufferBytes,
          memlockMaxBytes: options.memlockMaxBytes,
        }),
        irqLatencyNs: options.irqLatencyNs,
        seed: options.seed,
        kick: (to, atNs) => this.#wake(to, atNs),
        onRecordPage: options.onRecordPage,
      });
      this.vcpus.push(vcpu);
      this.#addVcpu(vcpu, turn);
    }
  }

  #addVcpu(vcpu: Vcpu, turn: Turn): void {
    this.#scheduler.add(
      {
        get nowNs() {
          return vcpu.nowNs;
        },
        quantumNs: this.devices === undefined ? MODEL_QUANTUM_NS : CODE_QUANTUM_NS,
        isGuest: true,
        waitUntil: (atNs) => vcpu.idleUntil(atNs),
        run: () => this.#answer(vcpu, vcpu.run()),
      },
      turn,
    );
  }

  /** Guest memory before time begins: what the guest wrote then is present in the host and costs nothing now. */
  get pristineMemory(): TableMemory<Ipn> {
    return this.vm.guestMemory(new Timeline("before"));
  }

  /**
   * The guest has written to these pages before time begins (it zeroed its buffer, say): present in the host.
   * @param mapped whether stage 2 still has them, too
   */
  touch(pages: Int32Array | readonly number[], mapped: boolean): void {
    const before = new Timeline("before");
    for (const page of pages) {
      const host = this.vm.memslots.hostPageOf(page as Ipn);
      this.mm.faultIn(host, true, before);
      if (mapped && !this.vm.stage2.allows(page as Ipn, true))
        this.vm.stage2.fault(page as Ipn, true, before);
    }
  }

  /**
   * What `restore` takes, but for the content of memory, cores and devices.
   * @returns why it cannot be saved, as a string
   */
  save(): MachineState | string {
    if (this.#loop.ending !== "running") return `it has ended (${this.#loop.ending})`;
    if (this.#pressure?.isOver === false) return "the host takes memory from it";
    this.#loop.settle();
    const content: MachineContent = {
      vm: this.vm.save(),
      spe: this.spe.save(),
      vcpus: this.vcpus.map((vcpu) => vcpu.save()),
      setupNs: this.setupNs,
      rlimitExits: this.rlimitExits,
      nowNs: this.nowNs,
      host: this.host.save(),
      places: this.#scheduler.save(),
    };
    return encodeState(content);
  }

  /**
   * Into a machine that was made with the same options and has not run, or started. Memory has no content then: it is for the
   * caller to bring, with the cores and devices.
   */
  restore(state: MachineState): void {
    const { vm, spe, vcpus, setupNs, rlimitExits, nowNs, host, places } = contentOf(state);
    this.vm.restore(vm);
    this.spe.restore(spe);
    vcpus.forEach((vcpu, i) => {
      this.vcpus[i]!.restore(vcpu);
    });
    this.setupNs = setupNs;
    this.rlimitExits = rlimitExits;
    // Saved machines have no pressure under way: this one's begins now.
    const isNew = this.#pressure !== undefined && places.length < this.#scheduler.count;
    this.#scheduler.restore(isNew ? [{ wakeAtNs: null, over: false }, ...places] : places, nowNs);
    if (isNew) this.#pressure?.skipTo(nowNs);
    this.host.restore(host);
  }

  /**
   * What a policy does before the guest runs under it: on vCPU 0, its time apart. A restored machine starts again where no policy
   * had acted before it was saved: once memory has its content.
   */
  start(): void {
    const first = this.vcpus[0];
    if (first === undefined) throw new BrokenInvariant("a VM without vCPUs");
    const { spe } = this;
    const before = this.vcpus.map(({ timeline }) => timeline.save());
    const startNs = first.timeline.nowNs;
    for (const vcpu of this.vcpus) vcpu.spe.trapBuffer(spe.policy.trapsBuffer, vcpu.timeline);
    for (;;) {
      const outcome = spe.start(first.spe.policy.context);
      if (outcome?.kind !== "over-memlock") break;
      this.#raiseMemlock(first, outcome.byBytes);
    }
    this.setupNs = first.timeline.nowNs - startNs;
    this.vcpus.forEach((vcpu, i) => {
      vcpu.timeline.restore(before[i] as TimelineState);
      vcpu.spe.accounts.restart();
    });
    spe.pinnedChangedAtNs = startNs;
    spe.started = true;
  }

  /** Runs until every vCPU has shut down. */
  run(): void {
    if (this.runSteps(Number.POSITIVE_INFINITY) === "asleep")
      throw new BrokenInvariant("every vCPU waits for another: the schedule cannot go on");
  }

  /** Ends the current `runSteps` after the step that is being made. */
  pause(): void {
    this.#loop.pause();
  }

  /**
   * Runs for some steps, a turn of a vCPU each.
   * @param isEnough asked after each, and within long ones: whether the caller wants to look at something else
   */
  runSteps(steps: number, isEnough?: () => boolean): Ending {
    const { onStep } = this.#options;
    const ending = this.#loop.runSteps(
      steps,
      isEnough,
      onStep === undefined ? undefined : () => onStep(this),
    );
    if (ending !== "asleep" && this.#loop.ending !== "running")
      for (const vcpu of this.vcpus) vcpu.spe.accounts.settle(vcpu.timeline.nowNs);
    return ending;
  }

  /** The instant that the machine has reached: within a turn the vCPU's, else the last one that anybody may have seen. */
  get nowNs(): number {
    return this.#scheduler.nowNs;
  }

  /** The instant at which somebody goes on; Infinity: all are asleep. */
  get nextNs(): number {
    return this.#scheduler.nextNs;
  }

  /** While all wait the time of what comes from outside may go on, up to when the first does. */
  idleTo(atNs: number): void {
    this.#scheduler.idleTo(atNs);
  }

  #wake(vcpu: number, atNs: number): void {
    this.vcpus[vcpu]?.wake(atNs);
    this.#scheduler.kick(this.#firstVcpu + vcpu, atNs);
  }

  #lineChanged(vcpu: number): void {
    if (this.#scheduler.isWaiting(this.#firstVcpu + vcpu) && (this.devices?.lines(vcpu) ?? 0) !== 0)
      this.#wake(vcpu, this.nowNs);
  }

  /**
   * Lets the guest sleep on after its last instruction, for a policy to give back what it holds.
   * @param forNs how long
   * @returns the instant at which nothing was pinned any more, undefined if something still is
   */
  linger(forNs: number): number | undefined {
    const untilNs = Math.max(...this.vcpus.map(({ timeline }) => timeline.nowNs)) + forNs;
    for (;;) {
      const next = this.vcpus.reduce((a, b) => (b.nextServedNs < a.nextServedNs ? b : a));
      if (this.spe.pinnedPages === 0 || next.nextServedNs > untilNs) break;
      next.idleUntil(next.nextServedNs);
      next.serveHost();
    }
    return this.spe.pinnedPages === 0 ? this.spe.pinnedChangedAtNs : undefined;
  }

  /** Ends the VM. What its teardown costs is the host's time, not the guest's. */
  destroy(): void {
    for (const { spe } of this.vcpus) spe.teardown(this.host);
    this.vm.destroy();
    this.spe.destroy(this.host);
  }

  /** Turns of its vCPUs so far, in this process. */
  get turns(): number {
    return this.#loop.turns;
  }

  get #scheduler(): Scheduler {
    return this.#loop.scheduler;
  }

  /** See CodeMachine. */
  set onBuffer(listener: ((vcpu: number, on: boolean) => void) | undefined) {
    this.spe.onBuffer = listener;
  }

  /** See CodeMachine. */
  set onLimitWhileOff(listener: ((vcpu: number) => void) | undefined) {
    this.spe.onLimitWhileOff = listener;
  }

  /** See CodeMachine. */
  set onFault(listener: ((vcpu: number, page: Ipn, write: boolean) => void) | undefined) {
    this.spe.onFault = listener;
  }

  /** See CodeMachine. */
  set onPressure(listener: ((event: PressureEvent) => void) | undefined) {
    if (this.#pressure !== undefined) this.#pressure.onEvent = listener;
  }

  /** What backs guest memory in the host. */
  get backing(): Backing {
    return this.spe.policy.backing ?? this.#options.backing;
  }

  get statistics(): Statistics {
    return this.spe.statistics;
  }

  get workers(): readonly Timeline[] {
    return this.spe.workers.timelines;
  }

  get pinnedPeakBytes(): number {
    return this.spe.pinnedPeakBytes;
  }

  get unreclaimablePeakBytes(): number {
    return this.spe.unreclaimablePeakBytes;
  }

  get memlockPeakBytes(): number {
    return this.memlock.markBytes;
  }

  get prefaultedPages(): number {
    return this.spe.prefaultedPages;
  }

  get warnings(): readonly string[] {
    return this.spe.warnings;
  }

  #answer(vcpu: Vcpu, exit: KvmExit): TurnEnd {
    switch (exit.kind) {
      case "quantum":
        return RUNS;
      case "again":
        return AGAIN;
      case "idle":
        // A policy's timer goes off on the host while its vCPU sleeps, and its worker works.
        return { kind: "waits", untilNs: Math.min(exit.untilNs, vcpu.nextServedNs) };
      case "shutdown":
        return OVER;
      case "system-event":
        this.#loop.ending = exit.event;
        return RUNS;
      case "mmio": {
        const { ipa, bytes, write, data } = exit;
        vcpu.answered(exit, this.#options.bus?.access(ipa, bytes, write, data, this.nowNs) ?? 0n);
        return RUNS;
      }
      case "rlimit":
        this.#raiseMemlock(vcpu, exit.byBytes);
        return RUNS;
    }
  }

  /** KVM_EXIT_RLIMIT: raises the limit and lets the vCPU try again, or gives up where it may not. */
  #raiseMemlock(vcpu: Vcpu, byBytes: number): void {
    this.rlimitExits += 1;
    const wanted = this.memlock.limitBytes + byBytes;
    if (wanted > this.#options.memlockMaxBytes)
      throw new UserError(
        `policy ${this.spe.policy.name} must lock ${formatBytes(wanted)}, but --memlock allows ${formatBytes(this.#options.memlockMaxBytes)}`,
        "Raise --memlock, take a smaller --buffer, or choose a policy that does not pin (fault)",
      );
    this.memlock.limitBytes = wanted;
    vcpu.timeline.charge("exit", this.vm.costs.setrlimit);
  }
}
