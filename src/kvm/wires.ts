/**
 * The wires by which private peripheral interrupts (PPIs) reach a vCPU: timers, PMU and SPE set levels on them, whichever
 * interrupt controller the VM has. The model's is `vgic.ts`, the one that code sees is in `gic/`.
 */

/** INTIDs of PPIs: GICv3, 16 to 31. */
export const FIRST_PPI = 16;
export const LAST_PPI = 31;

/** The conventional PPI of SPE's PMBIRQ (Linux Documentation/devicetree/bindings/perf/spe-pmu.yaml). */
export const PMBIRQ_INTID = 21;

export interface PpiWires {
  /**
   * Sets the level of a PPI.
   * @returns whether it rose
   */
  setLevel(intid: number, high: boolean): boolean;
  /** The level of a PPI, as its device has set it. */
  level(intid: number): boolean;
  /** Whether the vCPU has an interrupt to take, masked or not: it does not wait in WFI. */
  readonly isSignalled: boolean;
}
