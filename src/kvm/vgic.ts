/**
 * A minimal vGIC: level-sensitive private interrupts (PPIs) of each vCPU. A line's level is what its device says
 * now; nothing is latched, so a line that falls before the guest looks is simply gone.
 */
/** INTIDs of PPIs: GICv3, 16 to 31. */
export const FIRST_PPI = 16;
export const LAST_PPI = 31;

export class VcpuGic {
  #lines = 0;

  /**
   * Sets a PPI's level.
   * @returns whether the line rose
   */
  setLevel(intid: number, high: boolean): boolean {
    const mask = 1 << (intid - FIRST_PPI);
    const was = (this.#lines & mask) !== 0;
    this.#lines = high ? this.#lines | mask : this.#lines & ~mask;
    return high && !was;
  }

  level(intid: number): boolean {
    return (this.#lines & (1 << (intid - FIRST_PPI))) !== 0;
  }

  /** Bit n is PPI n (INTID 16 + n). */
  get lines(): number {
    return this.#lines;
  }
}
