/** What the instructions that TypeScript carries out need of the core that they are executed on. */
import type { AccessProblem } from "./access-problem.ts";
import type { AddressSpace } from "./address-space.ts";
import type { CoreExit } from "./core-exit.ts";
import type { Debug } from "./debug.ts";
import type { Exceptions } from "./exceptions.ts";
import type { Implementation } from "./implementation.ts";
import type { VcpuState } from "./vcpu-state.ts";

export interface InstructionHost {
  readonly implementation: Implementation;
  readonly state: VcpuState;
  readonly space: AddressSpace;
  readonly exceptions: Exceptions;
  readonly debug: Debug;
  /**
   * Writes of CONTEXTIDR_EL1. Linux that is built with PID_IN_CONTEXTIDR, as Debian's is, makes one at each switch of tasks
   * (contextidr_thread_switch).
   */
  contextSwitches: number;
  /** The instruction has happened. */
  retire(): void;
  /** The instruction is UNDEFINED. */
  undefined(word: number): void;
  /** What came of an access of the instruction: `done` is called if it was granted. */
  problem(problem: AccessProblem | undefined, done: () => void): void;
  /** Ends the run after this instruction. */
  exitWith(exit: CoreExit): void;
  /** Ends the run before this instruction: it must wait for those who are behind. */
  letOthersGo(): void;
}
