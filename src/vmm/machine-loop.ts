/** Turns of a machine's runners, one after the other, until it ends or whoever runs it looks at something else. */
import { aloneTurn } from "../kvm/guest-core.ts";
import { RUNS, Scheduler } from "./scheduler.ts";

/** How a run ended. */
export type Ending =
  /** Every vCPU has shut down. */
  | "shutdown"
  | "off"
  | "reset"
  /** Every vCPU sleeps, and nothing in the machine will wake it. */
  | "asleep"
  | "running";

/** A device that does something at an instant, without an access. */
export interface Alarm {
  /** When it is next; Infinity: not as things stand. */
  readonly atNs: () => number;
  readonly ring: () => void;
}

/** How far a vCPU may get ahead of the others: the model's, whose turns cost more than their instructions, and real code's. */
export const MODEL_QUANTUM_NS = 100_000;
export const CODE_QUANTUM_NS = 10_000;
/** How long a vCPU that executes code may run until user space looks at the outside again: a million instructions. */
const LONGEST_CODE_TURN_NS = 500_000;

export class MachineLoop {
  readonly scheduler: Scheduler;
  /** Turns so far, in this process. */
  turns = 0;
  ending: Ending = "running";
  #pausing = false;

  /** @param code whether the machine executes code, and no model */
  constructor(code: boolean) {
    this.scheduler = new Scheduler({
      longestTurnNs: code ? LONGEST_CODE_TURN_NS : Number.POSITIVE_INFINITY,
    });
  }

  addAlarm({ atNs, ring }: Alarm): void {
    this.scheduler.add(
      {
        get nowNs() {
          return atNs();
        },
        quantumNs: CODE_QUANTUM_NS,
        isGuest: false,
        waitUntil: () => undefined,
        run: () => {
          ring();
          return RUNS;
        },
      },
      aloneTurn(),
    );
  }

  /** Ends the current `runSteps` after the step that is being made. */
  pause(): void {
    this.#pausing = true;
  }

  /**
   * Runs for some steps, a turn of a vCPU each.
   * @param isEnough asked after each, and within long ones: whether the caller wants to look at something else
   * @param onStep told after each
   */
  runSteps(steps: number, isEnough?: () => boolean, onStep?: () => void): Ending {
    this.#pausing = false;
    const end = this.turns + steps;
    while (this.turns < end && this.ending === "running" && !this.#pausing) {
      const step = this.scheduler.step();
      if (step !== "again") this.turns += 1;
      if (step === "asleep") return "asleep";
      if (step === "over") this.ending = "shutdown";
      else {
        onStep?.();
        if (isEnough?.() === true) break;
      }
    }
    return this.ending;
  }

  /** Ends a turn that is under way. */
  settle(): void {
    while (this.scheduler.isMidTurn) this.scheduler.step();
  }
}
