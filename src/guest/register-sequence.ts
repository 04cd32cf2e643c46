/**
 * A driver's code as a sequence of register accesses: it stops at one that traps, and goes on when the hypervisor has
 * emulated it.
 */
import { ENCODINGS, type SpeRegisterName } from "../arm/registers.ts";
import type { CoreRegisters, Exit } from "../kvm/guest-core.ts";
import type { ModelPe } from "./pe.ts";

export type Step =
  | {
      readonly op: "write";
      readonly register: SpeRegisterName;
      readonly value: () => bigint;
      readonly when?: () => boolean;
    }
  | { readonly op: "read"; readonly register: SpeRegisterName; readonly into: (value: bigint) => void }
  | { readonly op: "run"; readonly run: () => void };

export const NOTHING: readonly Step[] = [];

/** The general register that the model's accesses go through. */
const RT = 0;

export interface SequenceState {
  readonly sequence: number;
  readonly next: number;
  readonly x0: bigint;
}

export class RegisterSequence {
  readonly #pe: ModelPe;
  #steps: readonly Step[] = NOTHING;
  #next = 0;
  #x0 = 0n;

  constructor(pe: ModelPe) {
    this.#pe = pe;
  }

  /** General registers, for the hypervisor's emulation of a trapped access. */
  readonly regs: CoreRegisters = {
    read: () => this.#x0,
    write: (_rt, value) => {
      this.#x0 = value;
    },
    skipInstruction: () => {
      const step = this.#steps[this.#next];
      if (step?.op === "read") step.into(this.#x0);
      this.#next += 1;
    },
  };

  /** It is not through. */
  get busy(): boolean {
    return this.#next < this.#steps.length;
  }

  /** Starts another sequence in the place of the one that is under way, of which nothing more is done. */
  begin(steps: readonly Step[]): void {
    this.#steps = steps;
    this.#next = 0;
  }

  /** Goes on with the sequence until it is through (undefined) or an access traps. */
  pump(): Exit | undefined {
    while (this.#next < this.#steps.length) {
      const step = this.#steps[this.#next] as Step;
      if (step.op === "run") {
        this.#next += 1;
        step.run();
        continue;
      }
      if (step.op === "write") {
        if (step.when?.() === false) {
          this.#next += 1;
          continue;
        }
        const value = step.value();
        if (this.#pe.traps(step.register, true)) {
          this.#x0 = value;
          return { kind: "sysreg", encoding: ENCODINGS[step.register], isRead: false, rt: RT };
        }
        this.#pe.write(step.register, value);
        this.#next += 1;
        continue;
      }
      if (this.#pe.traps(step.register, false))
        return { kind: "sysreg", encoding: ENCODINGS[step.register], isRead: true, rt: RT };
      step.into(this.#pe.read(step.register));
      this.#next += 1;
    }
    return undefined;
  }

  /** @param all each sequence that there is: a snapshot names one by its place */
  save(all: readonly (readonly Step[])[]): SequenceState {
    return { sequence: all.indexOf(this.#steps), next: this.#next, x0: this.#x0 };
  }

  restore(all: readonly (readonly Step[])[], state: SequenceState): void {
    this.#steps = all[state.sequence] as readonly Step[];
    this.#next = state.next;
    this.#x0 = state.x0;
  }
}
