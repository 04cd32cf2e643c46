/**
 * An instruction trace: the instructions that cores execute, of those that somebody wants to see. Nothing of a run changes by
 * it but how long it takes. One that takes an exception, or that the hypervisor is asked about, is there each time that it is
 * executed (as for the profiling unit, SPEPreExecution); one that could not be fetched is not.
 */

/** Addresses [start, end) of code. */
export interface CodeRange {
  readonly start: bigint;
  readonly end: bigint;
}

/** Which instructions a trace has. */
export interface TraceFilter {
  /** Exception levels. */
  readonly levels: readonly (0 | 1)[];
  /** None: wherever they are. */
  readonly ranges: readonly CodeRange[];
  /** How many of those it passes over. */
  readonly skip: number;
  /** How many it has then, of all vCPUs together; Infinity: all. */
  readonly count: number;
}

export interface TracedInstruction {
  readonly vcpu: number;
  /** How many instructions its vCPU had retired since the trace began. */
  readonly number: number;
  /** The machine's time when it was executed. */
  readonly atNs: number;
  readonly el: 0 | 1;
  /** The VA. */
  readonly pc: bigint;
  readonly word: number;
}

/** A trace of all of a machine's vCPUs. */
export class InstructionTrace {
  readonly #filter: TraceFilter;
  readonly #onInstruction: (instruction: TracedInstruction) => void;
  #toSkip: number;
  #left: number;

  constructor(filter: TraceFilter, onInstruction: (instruction: TracedInstruction) => void) {
    this.#filter = filter;
    this.#onInstruction = onInstruction;
    this.#toSkip = filter.skip;
    this.#left = filter.count;
  }

  /**
   * The part of a vCPU.
   * @param retired how many instructions it has retired so far
   */
  of(vcpu: number, retired: number): VcpuTrace {
    return {
      wants: (el) => this.#left > 0 && this.#filter.levels.includes(el),
      executes: (pc, el, retiredBefore, atNs, word) => {
        if (this.#takes(pc))
          this.#onInstruction({ vcpu, number: retiredBefore - retired, atNs: atNs(), el, pc, word: word() });
      },
    };
  }

  #takes(pc: bigint): boolean {
    const { ranges } = this.#filter;
    if (this.#left === 0) return false;
    if (ranges.length > 0 && !ranges.some(({ start, end }) => pc >= start && pc < end)) return false;
    if (this.#toSkip > 0) {
      this.#toSkip -= 1;
      return false;
    }
    this.#left -= 1;
    return true;
  }
}

export interface VcpuTrace {
  /** Whether it has any use for what is executed at an exception level: else nobody need look. */
  wants(el: 0 | 1): boolean;
  /**
   * An instruction was executed.
   * @param retiredBefore how many the core had retired before
   * @param atNs gives the instant at which it was executed
   * @param word gives the instruction
   */
  executes(pc: bigint, el: 0 | 1, retiredBefore: number, atNs: () => number, word: () => number): void;
}
