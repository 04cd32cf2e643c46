/**
 * The interrupt controller of a guest that is a model: level-sensitive PPIs. A line's level is what its device says now;
 * nothing is latched, so a line that falls before the guest looks is simply gone.
 */
import { FIRST_PPI, type PpiWires } from "./wires.ts";

export class VcpuGic implements PpiWires {
  /** Bit n is PPI n (INTID 16 + n). */
  #lines = 0;

  setLevel(intid: number, high: boolean): boolean {
    const mask = 1 << (intid - FIRST_PPI);
    const was = (this.#lines & mask) !== 0;
    this.#lines = high ? this.#lines | mask : this.#lines & ~mask;
    return high && !was;
  }

  level(intid: number): boolean {
    return (this.#lines & (1 << (intid - FIRST_PPI))) !== 0;
  }

  get isSignalled(): boolean {
    return this.#lines !== 0;
  }
}
