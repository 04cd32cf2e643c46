/**
 * Bare metal: the baseline of every comparison. The same cores, devices and physical addresses with the guest owning the
 * buffer: no EL2, no stage 2, no traps and no charges but the guest's own. For the model's guest and for real code.
 */
import type { Ipn, Pfn } from "../common/address.ts";
import { BrokenInvariant } from "../common/errors.ts";
import { Timeline } from "../common/timeline.ts";
import type { CostTable } from "../host/costs.ts";
import { Frames, type PageStore } from "../host/frames.ts";
import type { VmDevices } from "../kvm/devices.ts";
import type { GuestCore } from "../kvm/guest-core.ts";
import type { GroundTruth } from "../kvm/spe/ground-truth.ts";
import { Statistics } from "../kvm/statistics.ts";
import type { CodeCoreFactory, CoreFactory, VcpuGuest } from "../kvm/vcpu.ts";
import type { TableMemory } from "../mmu/table-memory.ts";
import { type Bus, contentOf, type MachineState } from "./machine.ts";
import { type Alarm, CODE_QUANTUM_NS, type Ending, MachineLoop, MODEL_QUANTUM_NS } from "./machine-loop.ts";
import { NativeCpu } from "./native-cpu.ts";

export interface BareMetalOptions {
  /** Where memory is. Default: everywhere. */
  readonly isMemory?: (page: Ipn) => boolean;
  /** Where the content of physical pages lies; by default each page is an array of its own. */
  readonly store?: PageStore;
  /** GIC and timers, for cores that execute code: made with a way to wake a CPU. */
  readonly devices?: (onLineChange: (cpu: number) => void) => VmDevices;
  /** What lies where no memory is. */
  readonly bus?: Bus;
  readonly alarm?: Alarm;
}

export interface CpuOptions {
  readonly costs: CostTable;
  readonly irqLatencyNs: number;
  readonly seed: number;
}

export class BareMetal {
  /** Physical pages by their number: without stage 2 an IPA is a PA. */
  readonly frames: Frames;
  readonly memory: TableMemory<Pfn>;
  readonly devices: VmDevices | undefined;
  readonly vcpus: NativeCpu[] = [];
  /** There is no hypervisor: none of this ever counts anything. */
  readonly statistics = new Statistics();
  readonly workers: readonly Timeline[] = [];
  readonly host = new Timeline("no host");
  readonly setupNs = 0;
  readonly pinnedPeakBytes = 0;
  readonly unreclaimablePeakBytes = 0;
  readonly memlockPeakBytes = 0;
  readonly prefaultedPages = 0;
  readonly warnings: readonly string[] = [];
  readonly backing = "none";
  /** See CodeMachine. */
  onBuffer: ((cpu: number, on: boolean) => void) | undefined;
  /** Nobody sees such a write. */
  onLimitWhileOff: undefined;
  /** There is no stage 2. */
  onFault: undefined;
  /** Nobody takes memory away here. */
  onPressure: undefined;
  /** CPUs whose buffer is enabled. */
  readonly #enabled = new Set<number>();
  readonly #bus: Bus | undefined;
  readonly #loop: MachineLoop;
  /** What the scheduler calls CPU 0; the others follow. */
  readonly #firstCpu: number;

  constructor(options: BareMetalOptions = {}) {
    this.frames = new Frames(options.store);
    const { isMemory } = options;
    this.memory = {
      page: (page, access) => {
        // What the profiling unit writes to where no memory is, is lost.
        if (isMemory?.(page as unknown as Ipn) === false) return undefined;
        return access.write ? this.frames.writable(page) : this.frames.read(page);
      },
      wrote: (page) => this.frames.wrote(page),
    };
    this.devices = options.devices?.((cpu) => this.#lineChanged(cpu));
    this.#bus = options.bus;
    this.#loop = new MachineLoop(options.devices !== undefined);
    if (options.alarm !== undefined) this.#loop.addAlarm(options.alarm);
    this.#firstCpu = this.#loop.scheduler.count;
  }

  /** CPUs whose guest is a model. */
  addCpus(count: number, core: CoreFactory, options: CpuOptions): void {
    this.#addEach(count, () => ({ core }), options);
  }

  /** CPUs that execute code: all but the first wait for PSCI's CPU_ON. */
  addCodeCpus(count: number, core: CodeCoreFactory, devices: VmDevices, options: CpuOptions): void {
    this.#addEach(count, (index) => ({ core, devices, startsOff: index > 0 }), options);
  }

  #addEach(count: number, guest: (index: number) => VcpuGuest, options: CpuOptions): void {
    const { frames, memory, vcpus: cpus, devices } = this;
    const board = {
      frames,
      memory,
      cpus,
      bus: this.#bus,
      kick: (cpu: number, atNs: number) => this.#loop.scheduler.kick(this.#firstCpu + cpu, atNs),
      end: (how: "off" | "reset") => {
        this.#loop.ending = how;
      },
      nowNs: () => this.nowNs,
      wroteEnable: (cpu: number, on: boolean) => {
        if (on === this.#enabled.has(cpu)) return;
        if (on) this.#enabled.add(cpu);
        else this.#enabled.delete(cpu);
        this.onBuffer?.(cpu, on);
      },
    };
    for (let i = 0; i < count; i++) {
      const cpu = new NativeCpu(i, board, { ...options, guest: guest(i) });
      cpus.push(cpu);
      this.#loop.scheduler.add(
        {
          get nowNs() {
            return cpu.nowNs;
          },
          quantumNs: devices === undefined ? MODEL_QUANTUM_NS : CODE_QUANTUM_NS,
          isGuest: true,
          waitUntil: (atNs) => cpu.timeline.skipTo("idle", atNs),
          run: () => cpu.run(),
        },
        cpu.turn,
      );
    }
  }

  get cores(): readonly GuestCore[] {
    return this.vcpus.map(({ core }) => core);
  }

  get truths(): readonly GroundTruth[] {
    return this.vcpus.map(({ truth }) => truth);
  }

  /** Memory as whoever has no CPU's time reaches it. */
  get guestMemory(): TableMemory<Ipn> {
    return this.memory as unknown as TableMemory<Ipn>;
  }

  /** Runs until every CPU has shut down. */
  run(): void {
    if (this.runSteps(Number.POSITIVE_INFINITY) === "asleep")
      throw new BrokenInvariant("every CPU waits for another: the schedule cannot go on");
  }

  /** See MachineLoop. */
  runSteps(steps: number, isEnough?: () => boolean): Ending {
    return this.#loop.runSteps(steps, isEnough);
  }

  pause(): void {
    this.#loop.pause();
  }

  get turns(): number {
    return this.#loop.turns;
  }

  get nowNs(): number {
    return this.#loop.scheduler.nowNs;
  }

  get nextNs(): number {
    return this.#loop.scheduler.nextNs;
  }

  idleTo(atNs: number): void {
    this.#loop.scheduler.idleTo(atNs);
  }

  /** Goes on where a VM was saved, but for its memory, cores and devices: what its hypervisor held is not there. */
  restore(saved: MachineState): void {
    const { vcpus, places, nowNs } = contentOf(saved);
    vcpus.forEach((state, i) => {
      this.vcpus[i]!.restore(state);
    });
    this.#loop.scheduler.restore(places, nowNs);
  }

  #lineChanged(cpu: number): void {
    const place = this.#firstCpu + cpu;
    if (this.#loop.scheduler.isWaiting(place) && (this.devices?.lines(cpu) ?? 0) !== 0)
      this.#loop.scheduler.kick(place, this.nowNs);
  }
}
