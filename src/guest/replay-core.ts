/** The core of a vCPU in a replay: it runs its segments of the schedule one after the other, with the driver between them. */
import { type Ipn, ipn } from "../common/address.ts";
import type { CoreCounters, CoreHardware, CoreRegisters, Exit, GuestCore } from "../kvm/guest-core.ts";
import { INSPECT } from "../mmu/access.ts";
import type { Stage1Regime } from "../mmu/config.ts";
import { isFault } from "../mmu/fault.ts";
import { translate } from "../mmu/translate.ts";
import type { Spu } from "../spe/spu.ts";
import type { SpeDriver, SpeDriverState } from "./driver.ts";
import type { ModelPe, ModelPeState, Workload } from "./pe.ts";
import type { Replay } from "./replay.ts";
import { NO_PAGE, NO_SEGMENT, SEGMENT } from "./schedule.ts";

export interface ReplayCoreOptions {
  readonly pe: ModelPe;
  /** One for each buffer that this vCPU has, in the order of Segments.buffer. */
  readonly drivers: readonly SpeDriver[];
  /** The guest is about to enable this one of its buffers: it is mapped, if it was not. @returns whether it was not */
  readonly mapBuffer: (buffer: number) => boolean;
  readonly replay: Replay;
  /** What a task's instructions are like. */
  readonly workloadOf: (task: number) => Workload;
  readonly clockGHz: number;
  /** INTID of PMBIRQ. */
  readonly pmbirq: number;
  /** Tasks whose cycles and time `perf stat` would print; undefined: all target tasks. */
  readonly measured: ((task: number) => boolean) | undefined;
}

type Phase = "between" | "running" | "leaving" | "over";

export interface ReplayCoreState {
  readonly pe: ModelPeState;
  readonly drivers: readonly SpeDriverState[];
  /** Which of them is the one that was enabled last. */
  readonly buffer: number;
  readonly cursor: number;
  readonly phase: Phase;
  readonly segment: number;
  readonly ranNs: number;
  readonly lengthNs: number;
  readonly opsDone: number;
  readonly hasFaulted: boolean;
  readonly startedPerCpu: boolean;
  readonly startedAtNs: number;
  readonly guestNsAtStart: number;
  readonly taskCycles: number;
  readonly taskNs: number;
  readonly switches: number;
}

export class ReplayCore implements GuestCore {
  readonly spu: Spu;
  readonly #pe: ModelPe;
  #driver: SpeDriver;
  #buffer = 0;
  readonly #replay: Replay;
  readonly #options: ReplayCoreOptions;
  readonly #hardware: CoreHardware;
  readonly #mine: Int32Array;
  readonly #perCpu: boolean;
  #cursor = 0;
  #phase: Phase = "between";
  #segment = NO_SEGMENT;
  #ranNs = 0;
  #lengthNs = 0;
  #opsDone = 0;
  /** The access at its start has been tried. */
  #hasFaulted = false;
  #workload: Workload | undefined;
  /** Instructions each task has retired: the positions of its ops. */
  readonly #positions: Float64Array;
  #startedPerCpu = false;
  #startedAtNs = 0;
  #guestNsAtStart = 0;
  #taskCycles = 0;
  #taskNs = 0;
  #switches = 0;

  constructor(options: ReplayCoreOptions, positions: Float64Array) {
    this.#options = options;
    this.#pe = options.pe;
    this.#driver = options.drivers[0]!;
    this.#replay = options.replay;
    this.#hardware = options.pe.hardware;
    this.spu = options.pe.spu;
    this.#mine = options.replay.perVcpu[this.#hardware.vcpu] ?? new Int32Array(0);
    this.#perCpu = options.replay.schedule.perCpu === true;
    this.#positions = positions;
  }

  get regs(): CoreRegisters {
    return this.#driver.regs;
  }

  stage1(): Stage1Regime {
    return this.#pe.regime;
  }

  invalidateTlb(first: Ipn, pages: number): void {
    this.#pe.invalidateByIpa(first, pages);
  }

  counters(): CoreCounters {
    return {
      instructions: this.#pe.instructions,
      cycles: this.#pe.guestNs * this.#options.clockGHz,
      taskCycles: this.#taskCycles,
      taskNs: this.#taskNs,
      contextSwitches: this.#switches,
    };
  }

  /** What `restore` takes, but for what all cores share. */
  save(): ReplayCoreState {
    return {
      pe: this.#pe.save(),
      drivers: this.#options.drivers.map((driver) => driver.save()),
      buffer: this.#buffer,
      cursor: this.#cursor,
      phase: this.#phase,
      segment: this.#segment,
      ranNs: this.#ranNs,
      lengthNs: this.#lengthNs,
      opsDone: this.#opsDone,
      hasFaulted: this.#hasFaulted,
      startedPerCpu: this.#startedPerCpu,
      startedAtNs: this.#startedAtNs,
      guestNsAtStart: this.#guestNsAtStart,
      taskCycles: this.#taskCycles,
      taskNs: this.#taskNs,
      switches: this.#switches,
    };
  }

  restore(state: ReplayCoreState): void {
    this.#pe.restore(state.pe);
    state.drivers.forEach((driver, i) => {
      this.#options.drivers[i]!.restore(driver);
    });
    this.#buffer = state.buffer;
    this.#driver = this.#options.drivers[state.buffer]!;
    this.#cursor = state.cursor;
    this.#phase = state.phase;
    this.#segment = state.segment;
    this.#ranNs = state.ranNs;
    this.#lengthNs = state.lengthNs;
    this.#opsDone = state.opsDone;
    this.#hasFaulted = state.hasFaulted;
    this.#startedPerCpu = state.startedPerCpu;
    this.#startedAtNs = state.startedAtNs;
    this.#guestNsAtStart = state.guestNsAtStart;
    this.#taskCycles = state.taskCycles;
    this.#taskNs = state.taskNs;
    this.#switches = state.switches;
    this.#workload = state.segment === NO_SEGMENT ? undefined : this.#workloadOf(state.segment);
  }

  /** Whether stage 2 lets an access through. */
  #allows(page: Ipn, write: boolean): boolean {
    const { bareMetal, stage2, physical } = this.#hardware;
    if (bareMetal) return true;
    const found = translate(stage2, page, INSPECT, physical);
    return !isFault(found) && (!write || found.attributes.writable);
  }

  /** How long the machine was out of the guest at its start. */
  #otherNs(segment: number): number {
    return this.#hardware.bareMetal ? 0 : (this.#replay.schedule.segments.otherNs?.[segment] ?? 0);
  }

  /** Its task's instructions; as many of them as were counted, where they were. */
  #workloadOf(segment: number): Workload {
    const { task, ops, startNs, endNs } = this.#replay.schedule.segments;
    const workload = this.#options.workloadOf(task[segment]!);
    if (ops === undefined) return workload;
    const ns = Math.max(1, Math.round(endNs[segment]! - startNs[segment]!) - this.#otherNs(segment));
    // Only its rate is another. Half an op more, so that none is lost in rounding down.
    return { bounds: workload.bounds, opAt: workload.opAt, opsPerNs: (ops[segment]! + 0.5) / ns };
  }

  /** Why this core's events turned their buffers on and off, and how often, by buffer. */
  get reasons(): readonly Pick<SpeDriver, "enables" | "disables">[] {
    return this.#options.drivers.map(({ enables, disables }) => ({ enables, disables }));
  }

  run(untilNs: number): Exit {
    const { timeline, turn } = this.#hardware;
    for (;;) {
      const exit = this.#driver.pump();
      if (exit !== undefined) return exit;
      if (this.#takeInterrupt()) return { kind: "pmbirq" };
      if (this.#driver.busy) continue;
      if (this.#driver.readerAtNs <= timeline.nowNs) {
        this.#driver.readerCaughtUp();
        continue;
      }
      if (this.#phase === "leaving") this.#left();
      if (this.#phase === "over") return { kind: "shutdown" };
      const endNs = Math.min(untilNs, turn.untilNs);
      if (timeline.nowNs >= endNs) return { kind: "deadline" };
      const stop = this.#phase === "between" ? this.#enter() : this.#execute(endNs);
      if (stop !== undefined) return stop;
    }
  }

  /** Serves the virtual PMBIRQ, or on bare metal the real one. Returns whether the hypervisor has to take it. */
  #takeInterrupt(): boolean {
    const pe = this.#pe;
    pe.raiseIfAsserted();
    if (pe.pmbirqAtNs <= this.#hardware.timeline.nowNs) {
      pe.takePmbirq();
      if (!this.#hardware.bareMetal) return true;
      this.#driver.interrupt();
      return false;
    }
    // Where the guest owns PMBSR_EL1 the virtual line is resampled from the hardware: a mapped interrupt.
    const high =
      this.#hardware.wires.level(this.#options.pmbirq) && (pe.traps("PMBSR_EL1", false) || this.spu.pmbirq);
    if (high) this.#driver.interrupt();
    return false;
  }

  /** Finds out whether the next segment may start, and starts it. */
  #enter(): Exit | undefined {
    const { timeline, vcpu } = this.#hardware;
    const segment = this.#mine[this.#cursor];
    if (this.#perCpu && !this.#startedPerCpu) {
      this.#startedPerCpu = true;
      this.#driver.start();
      return undefined;
    }
    if (segment === undefined) {
      this.#phase = "over";
      if (this.#perCpu) this.#driver.stop();
      return undefined;
    }
    const readyNs = this.#replay.readyAt(segment, vcpu) ?? Number.POSITIVE_INFINITY;
    if (readyNs > timeline.nowNs)
      return { kind: "wfi", untilNs: Math.min(readyNs, this.#pe.pmbirqAtNs, this.#driver.readerAtNs) };
    const { segments, tasks } = this.#replay.schedule;
    const task = segments.task[segment] as number;
    this.#segment = segment;
    this.#phase = "running";
    this.#ranNs = 0;
    this.#opsDone = 0;
    this.#hasFaulted = false;
    this.#lengthNs = Math.round((segments.endNs[segment] as number) - (segments.startNs[segment] as number));
    this.#workload = this.#workloadOf(segment);
    this.#startedAtNs = timeline.nowNs;
    this.#guestNsAtStart = this.#pe.guestNs;
    this.spu.pe.contextIdrEl1 = (tasks[task]?.tid ?? 0) >>> 0;
    this.spu.pe.el = 0;
    const flags = segments.flags[segment] as number;
    if ((flags & SEGMENT.enables) !== 0 && !this.#perCpu) {
      this.#buffer = segments.buffer?.[segment] ?? 0;
      this.#driver = this.#options.drivers[this.#buffer]!;
      if (this.#options.mapBuffer(this.#buffer)) this.#pe.invalidateAll();
      this.#driver.start();
    }
    if ((flags & SEGMENT.writesLimit) !== 0) this.#driver.writeLimitAgain();
    return undefined;
  }

  #execute(untilNs: number): Exit | undefined {
    const { timeline, kick } = this.#hardware;
    const workload = this.#workload as Workload;
    const segment = this.#segment;
    const { segments } = this.#replay.schedule;
    if (this.#ranNs >= this.#lengthNs) {
      this.#phase = "leaving";
      const stops = ((segments.flags[segment] as number) & SEGMENT.disables) !== 0;
      if (stops && !this.#perCpu) this.#driver.stop();
      return undefined;
    }
    const wakeNs = this.#replay.nextWake(segment, this.#ranNs);
    const otherNs = this.#otherNs(segment);
    const faultPage = segments.faultPage?.[segment] ?? NO_PAGE;
    if (faultPage !== NO_PAGE && !this.#hasFaulted) {
      this.#hasFaulted = true;
      this.#ranNs = otherNs;
      if (wakeNs <= otherNs) this.#replay.progress(segment, otherNs, timeline.nowNs, kick);
      const write = ((segments.flags[segment] as number) & SEGMENT.faultsByWrite) !== 0;
      return this.#allows(ipn(faultPage), write)
        ? undefined
        : { kind: "stage2-fault", ipn: ipn(faultPage), write };
    }
    if (this.#ranNs < otherNs) {
      const ns = Math.ceil(Math.min(otherNs - this.#ranNs, Math.max(1, wakeNs - this.#ranNs)));
      this.#ranNs += ns;
      if (wakeNs <= this.#ranNs) this.#replay.progress(segment, this.#ranNs, timeline.nowNs + ns, kick);
      return { kind: "other", ns };
    }
    const sliceNs = Math.ceil(
      Math.min(
        this.#lengthNs - this.#ranNs,
        untilNs - timeline.nowNs,
        Math.max(1, wakeNs - this.#ranNs),
        this.#driver.readerAtNs - timeline.nowNs,
      ),
    );
    const ops = Math.floor((this.#ranNs - otherNs + sliceNs) * workload.opsPerNs) - this.#opsDone;
    const task = segments.task[segment] as number;
    const position = this.#positions[task] as number;
    const beforeNs = timeline.nowNs;
    const done = this.#pe.execute(workload, ops, sliceNs, position);
    this.#ranNs += timeline.nowNs - beforeNs;
    this.#opsDone += done.ops;
    this.#positions[task] = position + done.ops;
    if (wakeNs <= this.#ranNs) this.#replay.progress(segment, this.#ranNs, timeline.nowNs, kick);
    return undefined;
  }

  /** The segment's task has been switched out, the driver's part included. */
  #left(): void {
    const { timeline, kick } = this.#hardware;
    const { segments, tasks } = this.#replay.schedule;
    const segment = this.#segment;
    const task = segments.task[segment] as number;
    this.#replay.ended(segment, this.#lengthNs, timeline.nowNs, kick);
    if (this.#options.measured?.(task) ?? tasks[task]?.target === true) {
      this.#taskNs += timeline.nowNs - this.#startedAtNs;
      this.#taskCycles += (this.#pe.guestNs - this.#guestNsAtStart) * this.#options.clockGHz;
    }
    if (((segments.flags[segment] as number) & SEGMENT.goesOn) === 0) this.#switches += 1;
    this.#cursor += 1;
    this.#phase = "between";
  }
}
