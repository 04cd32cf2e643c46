/** Who watches what a core executes: the profiling unit. While nobody does, a core asks once for each run of WebAssembly. */
export interface OpWatcher {
  /** Whether what is executed at the current exception level is watched. */
  readonly isWatching: boolean;
  /** The exception level is about to change. */
  levelChanges(): void;
  /** Executes as `Interpreter.run` does, from PC and for at most LEFT instructions. */
  enter(): number;
  /** TypeScript is about to carry out the instruction at PC. */
  begins(): void;
  /**
   * It has done so, or the instruction has not been executed at all and comes again.
   * @param isExecuted the first; a fault of the instruction, or an exit to the hypervisor for it, is one
   * @param hasException it has taken an exception to EL1
   */
  ends(isExecuted: boolean, hasException: boolean): void;
  /** The hypervisor has carried out an instruction for which it was asked. */
  skips(): void;
}
