/**
 * What an emitter is put together from: where operands are, and where control goes. An executor brings its own: an interpreter's
 * operands are read from what was decoded, a translator's are constants.
 */

export interface Operands {
  /** A fixed field of the encoding, or a special of its semantics. */
  field(name: string): number;
  /** Whether the encoding has this fixed field. */
  has(name: string): boolean;
  /** Pushes the 64-bit immediate. */
  imm(): void;
  /** Pushes the low half of the immediate as an i32. */
  imm32(): void;
  /** Pushes a small operand as an i32. */
  aux(index: 0 | 1): void;
  /** Pushes an i32 to which the returned offset is added for the address of X[field]. */
  xAddress(field: string): number;
  /** Whether X[field], or the one `plus` behind it, is XZR; undefined: it is not known. */
  isZero(field: string, plus: 0 | 1): boolean | undefined;
  /** As xAddress, for V[(field + plus) % 32]. */
  vAddress(field: string, plus: number): number;
  /** As xAddress, for lane aux 0 of V[aux 1]; `size` is log2 of a lane's bytes. */
  elementAddress(size: number): number;
  /** Pushes the number of a register field, an i32. */
  registerNumber(field: string): void;
}

export interface Control {
  /** Leaves WebAssembly for a reason of LEAVE; the instruction has not happened. */
  leave(reason: number): void;
  /** Abandons the instruction until the access in SLOW_* has a place. */
  lookFor(): void;
  /**
   * Has the core look for interrupts, and stores to carry out, once this instruction has retired. Nothing of the instruction comes
   * after this.
   */
  stopAfter(): void;
}

/** Control where an instruction knows its address and its time, and may go on elsewhere. */
export interface FlowControl extends Control {
  /** Pushes PC, the address of this instruction. */
  pc(): void;
  /** Ends the instruction: execution goes on at PC + the operands' immediate. */
  jumpImm(operands: Operands): void;
  /** Takes an address: execution goes on there. */
  jumpTo(): void;
  /** Pushes the vCPU's time at this instruction in cycles, an i64. */
  clock(): void;
}
