/**
 * The CPU interface of a vCPU: which interrupt may interrupt which (Arm IHI 0069, 4.8), and the registers that say so.
 * Source for what is left open there: Linux arch/arm64/kvm/hyp/vgic-v3-sr.c.
 */
import { Interrupts, PRIORITY_BITS, PRIORITY_MASK, PRIVATE } from "./interrupts.ts";

const IDLE_PRIORITY = 0xff;
export type Group = 0 | 1;

/** The least binary points: those with all of the priority bits in the group priority. */
const LEAST_BPR0 = 7 - PRIORITY_BITS;
const LEAST_BPR1 = 8 - PRIORITY_BITS;
const CTLR = { CBPR: 1, EOI_MODE: 2, A3V: 1 << 15 } as const;

/** PMR, BPR0, BPR1, CTLR, the enables of both groups, AP0R0, AP1R0. */
export type CpuInterfaceState = readonly number[];

export class CpuInterface {
  /** SGIs and PPIs. */
  readonly privates = new Interrupts(0, PRIVATE);
  /** ICC_IGRPEN0_EL1 and ICC_IGRPEN1_EL1. */
  readonly enabled: [boolean, boolean] = [false, false];
  #pmr = 0;
  #bpr0 = LEAST_BPR0;
  #bpr1 = LEAST_BPR1;
  #ctlr = 0;
  /** ICC_AP0R0_EL1 and ICC_AP1R0_EL1: a bit for each group priority that is active, bit 0 the highest. */
  readonly #active: [number, number] = [0, 0];

  get pmr(): number {
    return this.#pmr;
  }

  set pmr(value: number) {
    this.#pmr = value & PRIORITY_MASK;
  }

  get bpr0(): number {
    return this.#bpr0;
  }

  set bpr0(value: number) {
    this.#bpr0 = Math.max(value & 7, LEAST_BPR0);
  }

  /** With ICC_CTLR_EL1.CBPR group 1 follows BPR0, and this one only says so. */
  get bpr1(): number {
    return (this.#ctlr & CTLR.CBPR) !== 0 ? Math.min(this.#bpr0 + 1, 7) : this.#bpr1;
  }

  set bpr1(value: number) {
    if ((this.#ctlr & CTLR.CBPR) === 0) this.#bpr1 = Math.max(value & 7, LEAST_BPR1);
  }

  /** ICC_CTLR_EL1; IDbits 0 is 16 bits of INTID. */
  get ctlr(): number {
    return ((PRIORITY_BITS - 1) << 8) | CTLR.A3V | this.#ctlr;
  }

  set ctlr(value: number) {
    this.#ctlr = value & (CTLR.CBPR | CTLR.EOI_MODE);
  }

  /** Whether the end of an interrupt drops its priority only, and ICC_DIR_EL1 deactivates it. */
  get splitsEnd(): boolean {
    return (this.#ctlr & CTLR.EOI_MODE) !== 0;
  }

  activePriorities(group: Group): number {
    return this.#active[group] >>> 0;
  }

  setActivePriorities(group: Group, value: number): void {
    this.#active[group] = value | 0;
  }

  /** ICC_RPR_EL1. */
  get runningPriority(): number {
    const active = this.#active[0] | this.#active[1];
    return active === 0 ? IDLE_PRIORITY : lowestBit(active) << (8 - PRIORITY_BITS);
  }

  /** The group of the running priority. */
  get runningGroup(): Group | undefined {
    const [active0, active1] = this.#active;
    if ((active0 | active1) === 0) return undefined;
    return ((active0 >> lowestBit(active0 | active1)) & 1) === 1 ? 0 : 1;
  }

  /** The part of a priority that preempts (IHI 0069, 4.8.3): the binary point says how many bits that are. */
  #groupPriority(priority: number, group: Group): number {
    return priority & (0xff << (group === 0 ? this.#bpr0 + 1 : this.bpr1));
  }

  /** Whether a pending interrupt of an enabled group interrupts what runs. */
  takes(priority: number, group: Group): boolean {
    return priority < this.#pmr && this.#groupPriority(priority, group) < this.runningPriority;
  }

  /** What an acknowledge does to the running priority. */
  raise(priority: number, group: Group): void {
    this.#active[group] |= 1 << (this.#groupPriority(priority, group) >> (8 - PRIORITY_BITS));
  }

  /** Ends the running priority, if it is the group's. @returns whether it was */
  drop(group: Group): boolean {
    if (this.runningGroup !== group) return false;
    this.#active[group] &= this.#active[group] - 1;
    return true;
  }

  save(): CpuInterfaceState {
    const enables = (this.enabled[0] ? 1 : 0) | (this.enabled[1] ? 2 : 0);
    return [this.#pmr, this.#bpr0, this.#bpr1, this.#ctlr, enables, ...this.#active];
  }

  restore(state: CpuInterfaceState): void {
    const [pmr, bpr0, bpr1, ctlr, enables, active0, active1] = state as [
      number,
      number,
      number,
      number,
      number,
      number,
      number,
    ];
    this.#pmr = pmr;
    this.#bpr0 = bpr0;
    this.#bpr1 = bpr1;
    this.#ctlr = ctlr;
    this.enabled[0] = (enables & 1) !== 0;
    this.enabled[1] = (enables & 2) !== 0;
    this.#active[0] = active0;
    this.#active[1] = active1;
  }
}

const lowestBit = (value: number): number => 31 - Math.clz32(value & -value);
