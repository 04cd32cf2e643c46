/**
 * arm_spe_pmu as a state machine: the order of its register accesses at start, stop and overflow, and what it does
 * with perf's AUX buffer in between (drivers/perf/arm_spe_pmu.c of Linux 6.12 and 7.2; where 6.12 loses an event
 * that ran out of AUX space, this does as 7.2).
 */
import { PMBLIMITR_EL1, PMBSR_EL1 } from "../arm/registers.ts";
import { PMBSR_BSC, PMBSR_EC } from "../arm/syndromes.ts";
import type { CoreRegisters, Exit } from "../kvm/guest-core.ts";
import type { AuxBuffer, AuxBufferState, AuxReading, AuxWindow } from "./aux-buffer.ts";
import type { ModelPe } from "./pe.ts";
import { NOTHING, RegisterSequence, type SequenceState, type Step } from "./register-sequence.ts";
import { type EventRegisters, registersOf, type SpeEvent } from "./spe-event.ts";

/** How soon perf's reader has copied what a wake-up told it of: assumed. */
export const READER = {
  wakeUpNs: 1_000_000,
  bytesPerNs: 1,
} as const;

const ENABLE = PMBLIMITR_EL1.with(0n, { E: 1 });

/** Two windows whose heads are not further apart than some records are the same one. */
const SAME_PLACE_BYTES = 1024;

export interface SpeDriverState {
  readonly sequence: SequenceState;
  readonly window: AuxWindow | undefined;
  readonly standsAtBytes: number | undefined;
  readonly periodLeft: bigint;
  readonly pmbsr: bigint;
  readonly readerAtNs: number;
  readonly started: boolean;
  readonly enables: SpeDriver["enables"];
  readonly disables: SpeDriver["disables"];
  readonly why: keyof SpeDriver["enables"];
  readonly on: boolean;
  readonly fatalInterrupts: number;
  readonly aux: AuxBufferState;
  readonly nextReading: number;
  readonly nextInterrupt: number;
  readonly nextStart: number;
}

/** What is known of a driver's use of its buffer: see PlacedBuffer. */
export interface DriverHistory {
  readonly readings?: readonly AuxReading[] | undefined;
  readonly interruptNs?: readonly number[] | undefined;
  readonly startCounts?: readonly (bigint | undefined)[] | undefined;
  readonly haltsTwice?: boolean | undefined;
}

export class SpeDriver {
  readonly #pe: ModelPe;
  readonly #aux: AuxBuffer;
  readonly #base: bigint;
  readonly #registers: EventRegisters;
  readonly #sequence: RegisterSequence;
  readonly #start: readonly Step[];
  readonly #stop: readonly Step[];
  readonly #irq: readonly Step[];
  readonly #restart: readonly Step[];
  readonly #halt: readonly Step[];
  readonly #haltWithoutSpace: readonly Step[];
  readonly #noLimit: readonly Step[];
  readonly #limitAgain: readonly Step[];
  /** Each sequence that there is: a snapshot names one by its place. */
  readonly #sequences: readonly (readonly Step[])[];
  /** How far perf's reader has read at each window, where that is known, and the next of them. */
  readonly #readings: readonly AuxReading[] | undefined;
  #nextReading = 0;
  readonly #interruptNs: readonly number[];
  #nextInterrupt = 0;
  readonly #startCounts: readonly (bigint | undefined)[];
  #nextStart = 0;
  #window: AuxWindow | undefined;
  /** Where its handle stands that has no window. */
  #standsAtBytes: number | undefined;
  #periodLeft: bigint;
  #pmbsr = 0n;
  /** When perf's reader will have caught up. */
  readerAtNs = Number.POSITIVE_INFINITY;
  /** The event is started: the hardware is, too, unless there was no space or a fault stopped it. */
  #started = false;
  /** Why E rose and fell, and how often. */
  readonly enables = { "switch-in": 0, "reader caught up": 0 };
  readonly disables = { "switch-out": 0, "no AUX space": 0, "buffer fault": 0 };
  #why: "switch-in" | "reader caught up" = "switch-in";
  #on = false;
  /** Interrupts that ended a session (a fault that Linux takes for fatal). */
  fatalInterrupts = 0;

  /** @param history without readings perf's reader reads when READER says */
  constructor(pe: ModelPe, aux: AuxBuffer, base: bigint, event: SpeEvent, history: DriverHistory = {}) {
    this.#pe = pe;
    this.#readings = history.readings;
    this.#interruptNs = history.interruptNs ?? [];
    this.#startCounts = history.startCounts ?? [];
    this.#aux = aux;
    this.#base = base;
    this.#periodLeft = BigInt(event.period);
    this.#registers = registersOf(event);
    this.#sequence = new RegisterSequence(pe);
    this.#start = this.#startSteps();
    this.#stop = this.#stopSteps();
    this.#irq = this.#irqSteps();
    this.#restart = this.#restartSteps();
    this.#halt = this.#haltSteps();
    this.#noLimit = this.#noLimitSteps();
    // Linux 6.1 leaves it at that: drivers/perf/arm_spe_pmu.c, arm_spe_pmu_irq_handler.
    this.#haltWithoutSpace = [
      ...this.#noLimit,
      ...(history.haltsTwice === false ? this.#halted() : this.#halt),
    ];
    this.#limitAgain = [{ op: "write", register: "PMBLIMITR_EL1", value: () => 0n }];
    this.#sequences = [
      NOTHING,
      this.#start,
      this.#stop,
      this.#irq,
      this.#restart,
      this.#halt,
      this.#haltWithoutSpace,
      this.#noLimit,
      this.#limitAgain,
    ];
  }

  /** A sequence is under way: interrupts are masked. */
  get busy(): boolean {
    return this.#sequence.busy;
  }

  /** General registers, for the hypervisor's emulation of a trapped access. */
  get regs(): CoreRegisters {
    return this.#sequence.regs;
  }

  /** Goes on with the sequence until it is through (undefined) or an access traps. */
  pump(): Exit | undefined {
    return this.#sequence.pump();
  }

  /** arm_spe_pmu_start: the event is scheduled in. */
  start(): void {
    this.#started = true;
    this.#periodLeft = this.#startCounts[this.#nextStart] ?? this.#periodLeft;
    this.#nextStart += 1;
    this.#why = "switch-in";
    this.#sequence.begin(this.#start);
  }

  /** arm_spe_pmu_stop: the event is scheduled out. */
  stop(): void {
    this.#started = false;
    // Without AUX space nothing was started, so there is nothing to stop.
    if (this.#pe.noSpace) this.#pe.noSpace = false;
    else this.#sequence.begin(this.#stop);
  }

  /** It starts an event that has no space, or stops one: known from a machine, since the model's has none while it does not run. */
  writeLimitAgain(): void {
    if (!this.#on) this.#sequence.begin(this.#limitAgain);
  }

  /** arm_spe_pmu_irq_handler. */
  interrupt(): void {
    this.#sequence.begin(this.#irq);
  }

  /** perf's reader has caught up: an event that had no space starts again, if its task is running. */
  readerCaughtUp(): void {
    this.readerAtNs = Number.POSITIVE_INFINITY;
    this.#aux.consume();
    if (this.#pe.noSpace && this.#started) {
      this.#pe.noSpace = false;
      this.#why = "reader caught up";
      this.#sequence.begin(this.#start);
    }
  }

  /** What `restore` takes. */
  save(): SpeDriverState {
    return {
      sequence: this.#sequence.save(this.#sequences),
      window: this.#window,
      standsAtBytes: this.#standsAtBytes,
      periodLeft: this.#periodLeft,
      pmbsr: this.#pmbsr,
      readerAtNs: this.readerAtNs,
      started: this.#started,
      enables: { ...this.enables },
      disables: { ...this.disables },
      why: this.#why,
      on: this.#on,
      fatalInterrupts: this.fatalInterrupts,
      aux: this.#aux.save(),
      nextReading: this.#nextReading,
      nextInterrupt: this.#nextInterrupt,
      nextStart: this.#nextStart,
    };
  }

  /** Into the driver of the same event, on a PE that is restored by itself. */
  restore(state: SpeDriverState): void {
    this.#sequence.restore(this.#sequences, state.sequence);
    this.#window = state.window;
    this.#standsAtBytes = state.standsAtBytes;
    this.#periodLeft = state.periodLeft;
    this.#pmbsr = state.pmbsr;
    this.readerAtNs = state.readerAtNs;
    this.#started = state.started;
    Object.assign(this.enables, state.enables);
    Object.assign(this.disables, state.disables);
    this.#why = state.why;
    this.#on = state.on;
    this.fatalInterrupts = state.fatalInterrupts;
    this.#aux.restore(state.aux);
    this.#nextReading = state.nextReading;
    this.#nextInterrupt = state.nextInterrupt;
    this.#nextStart = state.nextStart;
  }

  /** perf_aux_output_begin; without space the event stays stopped until the reader has caught up. */
  #openWindow(): void {
    this.#nextWindow();
    if (this.#window === undefined) this.#sequence.begin(this.#noLimit);
  }

  #nextWindow(): void {
    if (this.#readings !== undefined) this.#readAsKnown(this.#readings);
    const window = this.#aux.begin();
    const hasLimit = window !== undefined && window.limitBytes > 0;
    this.#window = hasLimit ? window : undefined;
    this.#standsAtBytes = hasLimit ? undefined : window?.headBytes;
    this.#pe.noSpace = !hasLimit;
    if (!hasLimit) this.#wakeReader();
  }

  /** One window after the other, as long as they are where they were; else that is next which so many bytes were written before. */
  #readAsKnown(readings: readonly AuxReading[]): void {
    const { head } = this.#aux;
    const isPast = (reading: AuxReading | undefined): boolean =>
      reading !== undefined && reading.head < head - SAME_PLACE_BYTES;
    while (isPast(readings[this.#nextReading])) this.#nextReading += 1;
    const reading = readings[this.#nextReading];
    // Behind the last one nobody knows.
    if (reading === undefined) this.#aux.consume();
    else if (reading.head <= head + SAME_PLACE_BYTES) {
      this.#aux.consumeTo(reading.tail);
      this.#nextReading += 1;
    }
  }

  /** perf_aux_output_end with PMBPTR_EL1 as it is now. */
  #commit(pmbptr: bigint): void {
    if (this.#window === undefined) return;
    this.#window = undefined;
    if (this.#aux.end(Number(pmbptr - this.#base))) this.#wakeReader();
  }

  #wakeReader(): void {
    if (this.#readings !== undefined) return;
    const waiting = this.#aux.head - this.#aux.tail;
    this.readerAtNs = Math.min(
      this.readerAtNs,
      this.#pe.hardware.timeline.nowNs + READER.wakeUpNs + Math.ceil(waiting / READER.bytesPerNs),
    );
  }

  #pointer(): bigint {
    return this.#base + BigInt(this.#window?.headBytes ?? 0);
  }

  #limit(): bigint {
    return ENABLE | (this.#base + BigInt(this.#window?.limitBytes ?? 0));
  }

  #startSteps(): Step[] {
    const { pmsfcr, pmsevfr, pmslatfr, pmsirr, pmscr } = this.#registers;
    return [
      {
        op: "run",
        run: () => {
          this.#pe.spend(this.#pe.hardware.costs.driverStart);
          this.#openWindow();
          this.#turned(this.#window !== undefined, () => {
            this.enables[this.#why] += 1;
          });
        },
      },
      { op: "write", register: "PMBPTR_EL1", value: () => this.#pointer() },
      { op: "write", register: "PMBLIMITR_EL1", value: () => this.#limit() },
      { op: "write", register: "PMSFCR_EL1", value: () => pmsfcr },
      { op: "write", register: "PMSEVFR_EL1", value: () => pmsevfr },
      { op: "write", register: "PMSNEVFR_EL1", value: () => 0n },
      { op: "write", register: "PMSLATFR_EL1", value: () => pmslatfr },
      { op: "write", register: "PMSIRR_EL1", value: () => pmsirr },
      { op: "write", register: "PMSICR_EL1", value: () => this.#periodLeft },
      { op: "write", register: "PMSCR_EL1", value: () => pmscr },
    ];
  }

  /** arm_spe_perf_aux_output_begin without AUX space: PMBPTR_EL1 is written where perf has given a handle. */
  #noLimitSteps(): Step[] {
    return [
      {
        op: "write",
        register: "PMBPTR_EL1",
        value: () => this.#base + BigInt(this.#standsAtBytes ?? 0),
        when: () => this.#standsAtBytes !== undefined,
      },
      {
        op: "write",
        register: "PMBLIMITR_EL1",
        value: () => (this.#standsAtBytes === undefined ? 0n : this.#base),
      },
    ];
  }

  /** arm_spe_pmu_disable_and_drain_local. */
  #disableSteps(): Step[] {
    return [
      { op: "write", register: "PMSCR_EL1", value: () => 0n },
      { op: "run", run: () => this.#pe.drain() },
      { op: "write", register: "PMBLIMITR_EL1", value: () => 0n },
    ];
  }

  #stopSteps(): Step[] {
    return [
      {
        op: "run",
        run: () => {
          this.#pe.spend(this.#pe.hardware.costs.driverStop);
          this.#turned(false, () => {
            this.disables["switch-out"] += 1;
          });
        },
      },
      ...this.#disableSteps(),
      { op: "run", run: () => this.#pe.drain() },
      { op: "read", register: "PMBSR_EL1", into: (value) => this.#sawStatus(value) },
      { op: "read", register: "PMBPTR_EL1", into: (value) => this.#commit(value) },
      { op: "write", register: "PMBSR_EL1", value: () => 0n, when: () => isSet(this.#pmbsr) },
      {
        op: "read",
        register: "PMSICR_EL1",
        into: (value) => {
          this.#periodLeft = value;
        },
      },
    ];
  }

  #irqSteps(): Step[] {
    return [
      {
        op: "run",
        run: () => {
          this.#pe.spend(this.#interruptNs[this.#nextInterrupt] ?? this.#pe.hardware.costs.driverIrq);
          this.#nextInterrupt += 1;
          this.#pe.drain();
        },
      },
      { op: "read", register: "PMBSR_EL1", into: (value) => this.#sawStatus(value) },
      {
        op: "run",
        run: () => {
          // A line that fell meanwhile: IRQ_NONE.
          if (!isSet(this.#pmbsr)) this.#sequence.begin(NOTHING);
        },
      },
      { op: "read", register: "PMBPTR_EL1", into: (value) => this.#commit(value) },
      {
        op: "run",
        run: () => {
          const full =
            PMBSR_EL1.num(this.#pmbsr, "EC") === PMBSR_EC.buffer &&
            (PMBSR_EL1.num(this.#pmbsr, "MSS") & 0x3f) === PMBSR_BSC.filled;
          if (!full) this.fatalInterrupts += 1;
          this.#sequence.begin(full ? this.#restart : this.#halt);
        },
      },
    ];
  }

  /** The buffer was full: a new window, and S = 0 lets the hardware go on; E was 1 all the time. */
  #restartSteps(): Step[] {
    return [
      {
        op: "run",
        run: () => {
          this.#nextWindow();
          if (this.#window === undefined) this.#sequence.begin(this.#haltWithoutSpace);
        },
      },
      { op: "write", register: "PMBPTR_EL1", value: () => this.#pointer() },
      { op: "write", register: "PMBLIMITR_EL1", value: () => this.#limit() },
      { op: "write", register: "PMBSR_EL1", value: () => 0n },
    ];
  }

  /** No space, or a fault: the hardware is turned off, and then S = 0. */
  #haltSteps(): Step[] {
    const [halted, cleared] = this.#halted();
    return [halted, ...this.#disableSteps(), cleared];
  }

  #halted(): [halted: Step, cleared: Step] {
    const halted: Step = {
      op: "run",
      run: () =>
        this.#turned(false, () => {
          this.disables[this.#pe.noSpace ? "no AUX space" : "buffer fault"] += 1;
        }),
    };
    return [halted, { op: "write", register: "PMBSR_EL1", value: () => 0n }];
  }

  /** E changes to `on`: counted by `count` unless it has that value already. */
  #turned(on: boolean, count: () => void): void {
    if (on === this.#on) return;
    this.#on = on;
    count();
  }

  #sawStatus(pmbsr: bigint): void {
    this.#pmbsr = pmbsr;
  }
}

const isSet = (pmbsr: bigint): boolean => PMBSR_EL1.is(pmbsr, "S");
