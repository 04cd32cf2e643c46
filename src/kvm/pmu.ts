/**
 * The PMU of a vCPU: PMUv3 for Armv8.1 with six event counters of 32 bits and the cycle counter (Arm ARM D11; Linux
 * arch/arm64/kvm/pmu-emul.c for what a guest of KVM's sees). Counters follow what the core has executed at each exception
 * level, so that they are exact at every instruction. What only a part of some cores can count is that part's.
 */
import { PMU_EVENT } from "../arm/pmu-events.ts";
import { type Encoding, encodingKey, SYSREG } from "../arm/registers.ts";

/** What a core has done since it was made, by exception level. */
export interface PmuCounts {
  /** Instructions retired, and cycles, at EL0 and EL1. */
  readonly instructions: EventsByLevel;
  readonly cycles: EventsByLevel;
  readonly exceptionsTaken: number;
  readonly exceptionReturns: number;
}

/** How often an event has happened at each exception level. */
export type EventsByLevel = readonly [el0: number, el1: number];

/** A part of a core that counts more events than every core does. */
export interface PmuEventSource {
  /** Their numbers: the guest finds them in PMCEID<n>_EL0. */
  readonly events: readonly number[];
  /** How often one has happened since the core was made; of others: never. */
  countsOf(event: number): EventsByLevel;
  /** Instructions after which an event has happened so often at the earliest, or a few more than those; at least 1. */
  instructionsUntil(event: number, times: number): number;
  /** From now on these events are counted, and no others. */
  count(events: ReadonlySet<number>): void;
}

/** PPI 7 of QEMU's virt machine and of most others. */
export const PMU_INTID = 23;

const EVENT_COUNTERS = 6;
const CYCLES = 31;
const NO_COUNTER = -1;
const IMPLEMENTED = [...Array(EVENT_COUNTERS).keys(), CYCLES];
const COMMON_EVENTS = 0x4000;
const EVENTS_OF_PMCEID = 32;

/** Events of which a cycle makes one at most. */
const OF_EXECUTION: ReadonlySet<number> = new Set([
  PMU_EVENT.INST_RETIRED,
  PMU_EVENT.EXC_TAKEN,
  PMU_EVENT.EXC_RETURN,
  PMU_EVENT.CPU_CYCLES,
  PMU_EVENT.INST_SPEC,
  PMU_EVENT.STALL_FRONTEND,
]);

/** The events that every core has. Nothing waits for the backend here: STALL_BACKEND, which FEAT_PMUv3p1 asks for, counts 0. */
const OF_EACH_CORE: readonly number[] = [
  PMU_EVENT.SW_INCR,
  ...OF_EXECUTION,
  PMU_EVENT.CHAIN,
  PMU_EVENT.STALL_BACKEND,
];

const PMCR = { E: 1, P: 2, C: 4, DP: 32, LC: 64 } as const;
/** The number of counters; KVM names no implementer (kvm_vcpu_read_pmcr). LC is RES1 where there is no AArch32. */
const PMCR_FIXED = (EVENT_COUNTERS << 11) | PMCR.LC;
/** D is RES0 with LC RES1: the cycle counter counts each cycle. Nothing takes exported events: X is RAZ/WI. */
const PMCR_KEPT = PMCR.E | PMCR.DP;
const TYPE_P = 0x8000_0000;
const TYPE_U = 0x4000_0000;
const TYPE_EVENT = 0xffff;
const USER = { EN: 1, SW: 2, CR: 4, ER: 8 } as const;
const ALL_COUNTERS = (0x8000_0000 | ((1 << EVENT_COUNTERS) - 1)) >>> 0;

/** Whether event CHAIN of a counter counts overflows of the one before: in pairs, an even one and the next. */
const isChained = (n: number): boolean => n < EVENT_COUNTERS && n % 2 === 1;

class Counter {
  /** Below 2^64 for cycles, below 2^32 for events. */
  value = 0n;
  /** PMEVTYPERn_EL0 or PMCCFILTR_EL0. */
  type = 0;
  /** What the source said when the counter was last brought up to date. */
  seen = 0;
}

/** Whether a counter's filter lets events at an exception level count (PMEVTYPER<n>_EL0.P and U). */
const countsAt = ({ type }: Counter, el: 0 | 1): boolean => (type & (el === 0 ? TYPE_U : TYPE_P)) === 0;

/** What must survive in a snapshot. */
export interface PmuState {
  readonly counters: readonly { readonly value: string; readonly type: number; readonly seen: number }[];
  readonly registers: readonly number[];
}

export class Pmu {
  #counts: () => PmuCounts = () => ({
    instructions: [0, 0],
    cycles: [0, 0],
    exceptionsTaken: 0,
    exceptionReturns: 0,
  });
  #source: PmuEventSource | undefined;
  /** Event counters, and at 31 the cycle counter. */
  readonly #counters = Array.from({ length: 32 }, () => new Counter());
  #pmcr = 0;
  #enabled = 0;
  #interrupts = 0;
  #overflows = 0;
  #selected = 0;
  #userEnable = 0;

  /** Where the counts come from, and who has more of them. */
  attach(counts: () => PmuCounts, source?: PmuEventSource): void {
    this.#counts = counts;
    this.#source = source;
  }

  /** The level of the overflow interrupt (AArch64.CheckForPMUOverflow): an overflow outlasts the counter's enable. */
  get line(): boolean {
    // What does not count gets no overflow.
    if (((this.#overflows | this.#enabled) & this.#interrupts) === 0) return false;
    this.#sync();
    return (this.#pmcr & PMCR.E) !== 0 && (this.#overflows & this.#interrupts) !== 0;
  }

  /** Whether anything counts that could interrupt. */
  get active(): boolean {
    return (this.#pmcr & PMCR.E) !== 0 && (this.#enabled & this.#interrupts) !== 0;
  }

  /** Instructions that can be executed for certain before a counter overflows that interrupts; at least 1. */
  instructionsToOverflow(): number {
    if (!this.active) return Number.POSITIVE_INFINITY;
    this.#sync();
    let least = Number.POSITIVE_INFINITY;
    for (const [n] of this.#running())
      if (((this.#interrupts >>> n) & 1) === 1) least = Math.min(least, this.#leftOf(n));
    return Math.max(1, least);
  }

  /** As `instructionsToOverflow`, of one counter. The low counter of a chain overflows 2^32 instructions apart. */
  #leftOf(n: number): number {
    const bits = this.#bits(n);
    const own = (1n << bits) - BigInt.asUintN(Number(bits), this.#counters[n]!.value);
    const event = this.#eventOf(n);
    if (this.#source?.events.includes(event) === true)
      return this.#source.instructionsUntil(event, Number(own));
    // Nothing that is executed counts there.
    if (!OF_EXECUTION.has(event) && event !== PMU_EVENT.CHAIN) return Number.POSITIVE_INFINITY;
    if (event !== PMU_EVENT.CHAIN) return own > 0xffff_ffffn ? 0xffff_ffff : Number(own);
    if (!isChained(n) || !this.#isEnabled(n - 1)) return Number.POSITIVE_INFINITY;
    return own === 1n ? this.#leftOf(n - 1) : Math.max(0xffff_ffff, this.#leftOf(n - 1));
  }

  /**
   * The value of a register. Undefined: UNDEFINED to the guest, as an access from EL0 that PMUSERENR_EL0 does not allow is
   * (access_pmu_* of arch/arm64/kvm/sys_regs.c).
   */
  read(encoding: Encoding, el: 0 | 1): bigint | undefined {
    if (el === 0 && !this.#mayRead(encoding)) return undefined;
    this.#sync();
    const byNumber = this.#byNumber(encoding);
    if (byNumber !== undefined) {
      const counter = this.#counterOf(byNumber.n);
      if (counter === undefined) return undefined;
      return byNumber.type ? BigInt(counter.type >>> 0) : counter.value;
    }
    switch (encodingKey(encoding)) {
      case SYSREG.PMCR_EL0:
        return BigInt((PMCR_FIXED | this.#pmcr) >>> 0);
      case SYSREG.PMCNTENSET_EL0:
      case SYSREG.PMCNTENCLR_EL0:
        return BigInt(this.#enabled >>> 0);
      case SYSREG.PMOVSCLR_EL0:
      case SYSREG.PMOVSSET_EL0:
        return BigInt(this.#overflows >>> 0);
      case SYSREG.PMINTENSET_EL1:
      case SYSREG.PMINTENCLR_EL1:
        return BigInt(this.#interrupts >>> 0);
      case SYSREG.PMSELR_EL0:
        return BigInt(this.#selected);
      case SYSREG.PMCEID0_EL0:
        return this.#presented(0);
      case SYSREG.PMCEID1_EL0:
        return this.#presented(EVENTS_OF_PMCEID);
      case SYSREG.PMMIR_EL1:
        return 0n;
      case SYSREG.PMCCNTR_EL0:
        return this.#counters[CYCLES]!.value;
      case SYSREG.PMUSERENR_EL0:
        return BigInt(this.#userEnable);
    }
    return undefined;
  }

  /** @returns whether the register can be written; if not it is UNDEFINED */
  write(encoding: Encoding, value: bigint, el: 0 | 1): boolean {
    if (el === 0 && !this.#mayWrite(encoding)) return false;
    this.#sync();
    const bits = Number(value & 0xffff_ffffn);
    const byNumber = this.#byNumber(encoding);
    if (byNumber !== undefined) {
      const counter = this.#counterOf(byNumber.n);
      if (counter === undefined) return false;
      if (byNumber.type) this.#setType(byNumber.n, counter, bits);
      else counter.value = BigInt.asUintN(byNumber.n === CYCLES ? 64 : 32, value);
      return true;
    }
    switch (encodingKey(encoding)) {
      case SYSREG.PMCR_EL0:
        this.#pmcr = bits & PMCR_KEPT;
        if ((bits & PMCR.P) !== 0) for (let n = 0; n < EVENT_COUNTERS; n++) this.#counters[n]!.value = 0n;
        if ((bits & PMCR.C) !== 0) this.#counters[CYCLES]!.value = 0n;
        break;
      case SYSREG.PMCNTENSET_EL0:
        this.#enabled |= bits & ALL_COUNTERS;
        break;
      case SYSREG.PMCNTENCLR_EL0:
        this.#enabled &= ~bits;
        break;
      case SYSREG.PMOVSCLR_EL0:
        this.#overflows &= ~bits;
        break;
      case SYSREG.PMOVSSET_EL0:
        this.#overflows |= bits & ALL_COUNTERS;
        break;
      case SYSREG.PMINTENSET_EL1:
        this.#interrupts |= bits & ALL_COUNTERS;
        break;
      case SYSREG.PMINTENCLR_EL1:
        this.#interrupts &= ~bits;
        break;
      case SYSREG.PMSWINC_EL0:
        for (const [n, counter] of this.#running())
          if (((bits >>> n) & 1) === 1 && this.#eventOf(n) === PMU_EVENT.SW_INCR && countsAt(counter, el))
            this.#add(n, counter, 1n);
        break;
      case SYSREG.PMSELR_EL0:
        this.#selected = bits & 31;
        break;
      case SYSREG.PMCCNTR_EL0:
        this.#counters[CYCLES]!.value = BigInt.asUintN(64, value);
        break;
      case SYSREG.PMUSERENR_EL0:
        if (el === 0) return false;
        this.#userEnable = bits & 15;
        break;
      default:
        return false;
    }
    // Counters that begin to count now begin from here.
    this.#sync();
    this.#tellSource();
    return true;
  }

  reset(): void {
    for (const n of IMPLEMENTED) {
      const counter = this.#counters[n]!;
      counter.value = 0n;
      counter.type = 0;
      counter.seen = this.#now(n, counter);
    }
    this.#pmcr = this.#enabled = this.#interrupts = this.#overflows = this.#selected = this.#userEnable = 0;
    this.#tellSource();
  }

  save(): PmuState {
    this.#sync();
    return {
      counters: this.#counters.map(({ value, type, seen }) => ({ value: String(value), type, seen })),
      registers: [
        this.#pmcr,
        this.#enabled,
        this.#interrupts,
        this.#overflows,
        this.#selected,
        this.#userEnable,
      ],
    };
  }

  restore({ counters, registers }: PmuState): void {
    counters.forEach(({ value, type, seen }, n) => {
      Object.assign(this.#counters[n]!, { value: BigInt(value), type, seen });
    });
    [this.#pmcr, this.#enabled, this.#interrupts, this.#overflows, this.#selected, this.#userEnable] =
      registers as [number, number, number, number, number, number];
    this.#tellSource();
  }

  /** PMCEID<n>_EL0: 32 of the common events, and 32 of the further ones from 0x4000 on. */
  #presented(first: number): bigint {
    const bitOf = (event: number): number =>
      event < COMMON_EVENTS ? event - first : event - COMMON_EVENTS - first + EVENTS_OF_PMCEID;
    const isIn = (event: number): boolean => {
      const place = event & ~COMMON_EVENTS;
      return place >= first && place < first + EVENTS_OF_PMCEID;
    };
    return [...OF_EACH_CORE, ...(this.#source?.events ?? [])]
      .filter(isIn)
      .reduce((bits, event) => bits | (1n << BigInt(bitOf(event))), 0n);
  }

  /** Which events count now, for who must do more for that than it does anyway. */
  #tellSource(): void {
    this.#source?.count(new Set([...this.#running()].map(([n]) => this.#eventOf(n))));
  }

  /**
   * The counter of an access by number, or through PMSELR_EL0. Counters that are not there are UNDEFINED
   * (pmu_counter_idx_valid); 31 is the cycle counter, but has no PMEVCNTR31_EL0.
   */
  #byNumber(encoding: Encoding): { readonly n: number; readonly type: boolean } | undefined {
    const [, , crn, crm, op2] = encoding;
    if (crn === 14) {
      const n = ((crm & 3) << 3) | op2;
      return { n: n === CYCLES && crm < 12 ? NO_COUNTER : n, type: crm >= 12 };
    }
    const register = encodingKey(encoding);
    if (register === SYSREG.PMXEVTYPER_EL0) return { n: this.#selected, type: true };
    return register === SYSREG.PMXEVCNTR_EL0 ? { n: this.#selected, type: false } : undefined;
  }

  #counterOf(n: number): Counter | undefined {
    return n < EVENT_COUNTERS || n === CYCLES ? this.#counters[n] : undefined;
  }

  #setType(n: number, counter: Counter, bits: number): void {
    // The low bits of PMCCFILTR_EL0 are reserved: it counts cycles.
    counter.type = n === CYCLES ? bits & (TYPE_P | TYPE_U) : bits & (TYPE_P | TYPE_U | TYPE_EVENT);
    counter.seen = this.#now(n, counter);
  }

  #mayRead(encoding: Encoding): boolean {
    const register = encodingKey(encoding);
    const [, op1, crn] = encoding;
    if (op1 !== 3) return false;
    if (register === SYSREG.PMUSERENR_EL0 || (this.#userEnable & USER.EN) !== 0) return true;
    if (register === SYSREG.PMCCNTR_EL0) return (this.#userEnable & USER.CR) !== 0;
    if (
      register === SYSREG.PMXEVCNTR_EL0 ||
      register === SYSREG.PMSELR_EL0 ||
      (crn === 14 && encoding[3] < 12)
    )
      return (this.#userEnable & USER.ER) !== 0;
    return false;
  }

  #mayWrite(encoding: Encoding): boolean {
    const register = encodingKey(encoding);
    if (encoding[1] !== 3) return false;
    if ((this.#userEnable & USER.EN) !== 0) return true;
    if (register === SYSREG.PMSWINC_EL0) return (this.#userEnable & USER.SW) !== 0;
    return register === SYSREG.PMSELR_EL0 && (this.#userEnable & USER.ER) !== 0;
  }

  *#running(): Generator<readonly [number, Counter]> {
    if ((this.#pmcr & PMCR.E) === 0) return;
    for (const n of IMPLEMENTED)
      if (((this.#enabled >>> n) & 1) === 1) yield [n, this.#counters[n]!] as const;
  }

  /** Whether a counter counts, PMCR_EL0.E aside. */
  #isEnabled(n: number): boolean {
    return ((this.#enabled >>> n) & 1) === 1;
  }

  #eventOf(n: number): number {
    return n === CYCLES ? PMU_EVENT.CPU_CYCLES : this.#counters[n]!.type & TYPE_EVENT;
  }

  /** At how many bits a counter overflows: the cycle counter as PMCR_EL0.LC has it. */
  #bits(n: number): bigint {
    return n === CYCLES ? 64n : 32n;
  }

  #now(n: number, counter: Counter): number {
    const { instructions, cycles, exceptionsTaken, exceptionReturns } = this.#counts();
    const chosen = ([el0, el1]: EventsByLevel): number =>
      (countsAt(counter, 0) ? el0 : 0) + (countsAt(counter, 1) ? el1 : 0);
    const event = this.#eventOf(n);
    switch (event) {
      case PMU_EVENT.INST_RETIRED:
      case PMU_EVENT.INST_SPEC:
        return chosen(instructions);
      case PMU_EVENT.CPU_CYCLES:
        return chosen(cycles);
      case PMU_EVENT.EXC_TAKEN:
        return countsAt(counter, 1) ? exceptionsTaken : 0;
      case PMU_EVENT.EXC_RETURN:
        return countsAt(counter, 1) ? exceptionReturns : 0;
      case PMU_EVENT.STALL_FRONTEND:
        // An exception empties the pipeline: the cycles in which no instruction is executed.
        return chosen([cycles[0] - instructions[0], cycles[1] - instructions[1]]);
      default:
        return this.#source === undefined ? 0 : chosen(this.#source.countsOf(event));
    }
  }

  #sync(): void {
    for (const n of IMPLEMENTED) {
      const counter = this.#counters[n]!;
      const now = this.#now(n, counter);
      const delta = now - counter.seen;
      counter.seen = now;
      if (delta !== 0 && (this.#pmcr & PMCR.E) !== 0 && ((this.#enabled >>> n) & 1) === 1)
        this.#add(n, counter, BigInt(delta));
    }
  }

  #add(n: number, counter: Counter, delta: bigint): void {
    const sum = counter.value + delta;
    const bits = this.#bits(n);
    const overflows = (sum >> bits) - (counter.value >> bits);
    counter.value = BigInt.asUintN(n === CYCLES ? 64 : 32, sum);
    if (overflows === 0n) return;
    this.#overflows |= 1 << n;
    // As KVM does it the filter of the counter that counts overflows does not matter (kvm_pmu_counter_increment).
    const next = n + 1;
    if (isChained(next) && this.#isEnabled(next) && this.#eventOf(next) === PMU_EVENT.CHAIN)
      this.#add(next, this.#counters[next]!, overflows);
  }
}
