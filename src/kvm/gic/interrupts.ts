/**
 * The state of a set of interrupts with neighbouring INTIDs: what GICD_* and GICR_* registers hold of them, one array
 * element an interrupt.
 */

export const SPURIOUS = 1023;
/** Priority bits that are implemented, as KVM has them (VGIC_PRI_BITS is 5): 32 levels. */
export const PRIORITY_BITS = 5;
export const PRIORITY_MASK = 0xff & ~(0xff >> PRIORITY_BITS);
/** SGIs are the INTIDs below. */
const SGIS = 16;
/** SGIs and PPIs: each vCPU has its own. */
export const PRIVATE = 32;

const ARRAYS = ["group", "enabled", "latched", "level", "active", "priority", "edge"] as const;
/** The arrays in that order. */
export type InterruptsState = readonly (readonly number[])[];
/** What software changes of an interrupt, a bit each. */
export type Flag = "group" | "enabled" | "latched" | "active" | "edge";

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
  /** One bit an interrupt: enabled, pending and not active. Few are, so that `highest` need not look at all. */
  readonly #ready: Uint32Array;

  /** As KVM has them at reset: in group 1, and SGIs enabled and edge-triggered (arch/arm64/kvm/vgic/vgic-init.c). */
  constructor(first: number, count: number) {
    this.first = first;
    this.count = count;
    const array = () => new Uint8Array(count);
    this.group = array().fill(1);
    this.enabled = array();
    this.latched = array();
    this.level = array();
    this.active = array();
    this.priority = array();
    this.edge = array();
    this.#ready = new Uint32Array(Math.ceil(count / 32));
    const sgis = Math.max(0, SGIS - first);
    this.enabled.fill(1, 0, sgis);
    this.edge.fill(1, 0, sgis);
  }

  save(): InterruptsState {
    return ARRAYS.map((name) => [...this[name]]);
  }

  restore(state: InterruptsState): void {
    ARRAYS.forEach((name, i) => {
      this[name].set(state[i]!);
    });
    for (let i = 0; i < this.count; i++) this.#update(i);
  }

  pending(i: number): boolean {
    return this.latched[i] === 1 || (this.edge[i] === 0 && this.level[i] === 1);
  }

  /** Sets the level of the wire. @returns whether that matters to anybody */
  setLevel(i: number, high: boolean): boolean {
    const level = high ? 1 : 0;
    if (i >= this.count || this.level[i] === level) return false;
    this.level[i] = level;
    if (high && this.edge[i] === 1) this.latched[i] = 1;
    return this.#update(i);
  }

  put(flag: Flag, i: number, value: 0 | 1): void {
    this[flag][i] = value;
    this.#update(i);
  }

  setPriority(i: number, value: number): void {
    if (i < this.count) this.priority[i] = value & PRIORITY_MASK;
  }

  /** The highest priority (the lowest number) among those that are ready, and there the lowest INTID; -1: none is. */
  highest(eligible: (i: number) => boolean): number {
    let found = -1;
    for (let word = 0; word < this.#ready.length; word++)
      for (let bits = this.#ready[word]!; bits !== 0; bits &= bits - 1) {
        const i = 32 * word + 31 - Math.clz32(bits & -bits);
        if ((found < 0 || this.priority[i]! < this.priority[found]!) && eligible(i)) found = i;
      }
    return found;
  }

  /** A word of a register with one bit an interrupt. */
  bits(word: number, of: (i: number) => boolean): number {
    let value = 0;
    for (let bit = 0; bit < 32; bit++) {
      const i = word * 32 + bit;
      if (i < this.count && of(i)) value |= 1 << bit;
    }
    return value >>> 0;
  }

  /** Calls `visit` for each interrupt whose bit is set in a word of such a register. */
  each(word: number, value: number, visit: (i: number) => void): void {
    for (let bit = 0; bit < 32; bit++)
      if ((value & (1 << bit)) !== 0 && word * 32 + bit < this.count) visit(word * 32 + bit);
  }

  #update(i: number): boolean {
    const bit = 1 << (i & 31);
    const before = this.#ready[i >> 5]!;
    const ready = this.enabled[i] === 1 && this.active[i] === 0 && this.pending(i);
    this.#ready[i >> 5] = ready ? before | bit : before & ~bit;
    return this.#ready[i >> 5] !== before;
  }
}
