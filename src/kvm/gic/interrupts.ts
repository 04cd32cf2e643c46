/**
 * The state of a set of interrupts with neighbouring INTIDs: what GICD_* and GICR_* registers hold of them, one array
 * element an interrupt.
 */

export const SPURIOUS = 1023;
/** Priority bits that are implemented, as KVM has them (VGIC_PRI_BITS is 5): 32 levels. */
export const PRIORITY_BITS = 5;
const PRIORITY_MASK = 0xff & ~(0xff >> PRIORITY_BITS);

const ARRAYS = ["group", "enabled", "latched", "level", "active", "priority", "edge"] as const;
/** The arrays in that order. */
export type InterruptsState = readonly (readonly number[])[];

export class Interrupts {
  /** INTID of element 0. */
  readonly first: number;
  readonly count: number;
  readonly group: Uint8Array;
  readonly enabled: Uint8Array;
  /** Pending beside the level: an edge, or a write of ISPENDR. */
  readonly latched: Uint8Array;
  readonly level: Uint8Array;
  readonly active: Uint8Array;
  readonly priority: Uint8Array;
  /** 1: edge-triggered. */
  readonly edge: Uint8Array;

  constructor(first: number, count: number) {
    this.first = first;
    this.count = count;
    const array = () => new Uint8Array(count);
    this.group = array();
    this.enabled = array();
    this.latched = array();
    this.level = array();
    this.active = array();
    this.priority = array();
    this.edge = array();
  }

  save(): InterruptsState {
    return ARRAYS.map((name) => [...this[name]]);
  }

  restore(state: InterruptsState): void {
    ARRAYS.forEach((name, i) => {
      this[name].set(state[i]!);
    });
  }

  pending(i: number): boolean {
    return this.latched[i] === 1 || (this.edge[i] === 0 && this.level[i] === 1);
  }

  /** @returns whether the level has changed */
  setLevel(i: number, high: boolean): boolean {
    const level = high ? 1 : 0;
    if (this.level[i] === level) return false;
    this.level[i] = level;
    if (high && this.edge[i] === 1) this.latched[i] = 1;
    return true;
  }

  /** What a read of the register at a byte offset within a bank of one bit an interrupt gives. */
  bits(word: number, of: (i: number) => boolean): number {
    let value = 0;
    for (let bit = 0; bit < 32; bit++) {
      const i = word * 32 + bit;
      if (i < this.count && of(i)) value |= 1 << bit;
    }
    return value >>> 0;
  }

  /** Calls `set` for each interrupt whose bit is set in a word of such a bank. */
  each(word: number, value: number, set: (i: number) => void): void {
    for (let bit = 0; bit < 32; bit++)
      if ((value & (1 << bit)) !== 0 && word * 32 + bit < this.count) set(word * 32 + bit);
  }

  setPriority(i: number, value: number): void {
    if (i < this.count) this.priority[i] = value & PRIORITY_MASK;
  }
}
