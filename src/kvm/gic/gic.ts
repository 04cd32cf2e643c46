/**
 * A GICv3 as KVM gives it to a guest: one security state (GICD_CTLR.DS), affinity routing always on, no LPIs. Sources: Arm
 * IHI 0069; Linux arch/arm64/kvm/vgic/ for what KVM leaves out.
 */
import { type Encoding, encodingKey } from "../../arm/registers.ts";
import { Interrupts, type InterruptsState, PRIORITY_BITS, SPURIOUS } from "./interrupts.ts";

/** SGIs and PPIs. */
const PRIVATE = 32;
const IDLE_PRIORITY = 0xff;
const UNKNOWN = -1;

const GICD = {
  CTLR: 0x0000,
  TYPER: 0x0004,
  IIDR: 0x0008,
  IGROUPR: 0x0080,
  ISENABLER: 0x0100,
  ICENABLER: 0x0180,
  ISPENDR: 0x0200,
  ICPENDR: 0x0280,
  ISACTIVER: 0x0300,
  ICACTIVER: 0x0380,
  IPRIORITYR: 0x0400,
  ICFGR: 0x0c00,
  IROUTER: 0x6000,
  PIDR2: 0xffe8,
} as const;
const GICR = { CTLR: 0, IIDR: 4, TYPER: 8, WAKER: 0x14, PIDR2: 0xffe8, SGI_BASE: 0x1_0000 } as const;
/** ARE and DS read as one; the group enables are the guest's. */
const CTLR_FIXED = (1 << 6) | (1 << 4);
const CTLR_GROUPS = 3;
/** Implementer Arm, product "KVM". */
const IIDR = 0x4b00_043b;
const ARCH_GICV3 = 0x30;

const icc = (crn: number, crm: number, op2: number): number => encodingKey([3, 0, crn, crm, op2]);
const ICC = {
  PMR: icc(4, 6, 0),
  IAR0: icc(12, 8, 0),
  EOIR0: icc(12, 8, 1),
  HPPIR0: icc(12, 8, 2),
  BPR0: icc(12, 8, 3),
  AP0R0: icc(12, 8, 4),
  AP1R0: icc(12, 9, 0),
  DIR: icc(12, 11, 1),
  RPR: icc(12, 11, 3),
  SGI1R: icc(12, 11, 5),
  ASGI1R: icc(12, 11, 6),
  SGI0R: icc(12, 11, 7),
  IAR1: icc(12, 12, 0),
  EOIR1: icc(12, 12, 1),
  HPPIR1: icc(12, 12, 2),
  BPR1: icc(12, 12, 3),
  CTLR: icc(12, 12, 4),
  SRE: icc(12, 12, 5),
  IGRPEN0: icc(12, 12, 6),
  IGRPEN1: icc(12, 12, 7),
} as const;

/** The CPU interface and the private interrupts of a vCPU. */
class CpuInterface {
  readonly privates = new Interrupts(0, PRIVATE);
  pmr = 0;
  bpr0 = 7 - PRIORITY_BITS;
  bpr1 = 8 - PRIORITY_BITS;
  eoiMode = 0;
  groups = [false, false];
  /** Running priorities, the lowest number last, with their group. */
  readonly running: { readonly priority: number; readonly group: number }[] = [];
  waker = 6;

  get runningPriority(): number {
    return this.running[this.running.length - 1]?.priority ?? IDLE_PRIORITY;
  }
}

export interface GicState {
  readonly ctlr: number;
  readonly route: readonly number[];
  readonly spis: InterruptsState;
  readonly cpus: readonly {
    readonly privates: InterruptsState;
    /** PMR, BPR0, BPR1, EOImode, GICR_WAKER. */
    readonly registers: readonly number[];
    readonly groups: readonly boolean[];
    readonly running: readonly { readonly priority: number; readonly group: number }[];
  }[];
}

export interface GicOptions {
  readonly vcpus: number;
  /** Shared interrupts, a multiple of 32. */
  readonly spis: number;
  /** The vCPU's IRQ or FIQ may have changed: it must be asked again. */
  readonly onLineChange: (vcpu: number) => void;
}

export class Gic {
  readonly #options: GicOptions;
  readonly #spis: Interrupts;
  readonly #cpus: readonly CpuInterface[];
  /** GICD_IROUTER's Aff0; -1 for any (IRM). */
  readonly #route: Int16Array;
  #ctlr = 0;
  /** What `signals` has said since the last change, by vCPU and group. */
  readonly #signals: Int8Array;

  constructor(options: GicOptions) {
    this.#options = options;
    this.#spis = new Interrupts(PRIVATE, options.spis);
    this.#cpus = Array.from({ length: options.vcpus }, () => new CpuInterface());
    this.#route = new Int16Array(options.spis);
    this.#signals = new Int8Array(2 * options.vcpus).fill(UNKNOWN);
    for (const { privates } of this.#cpus) privates.edge.fill(1, 0, 16);
  }

  /** The level of a wire: an SPI's, or with `vcpu` a PPI's. */
  setLine(intid: number, high: boolean, vcpu = 0): void {
    const set = intid < PRIVATE ? this.#cpus[vcpu]!.privates : this.#spis;
    if (set.setLevel(intid - set.first, high)) this.#changed();
  }

  /** Whether the vCPU's IRQ (group 1) or FIQ (group 0) is asserted. */
  signals(vcpu: number, group: 0 | 1): boolean {
    const at = 2 * vcpu + group;
    if (this.#signals[at] === UNKNOWN) this.#signals[at] = this.#signalled(vcpu, group) === SPURIOUS ? 0 : 1;
    return this.#signals[at] === 1;
  }

  #changed(): void {
    this.#signals.fill(UNKNOWN);
    for (let i = 0; i < this.#cpus.length; i++) this.#options.onLineChange(i);
  }

  /** The interrupt of a group that would be acknowledged now. */
  #signalled(vcpu: number, group: number): number {
    const cpu = this.#cpus[vcpu]!;
    const { intid, priority } = this.#highest(vcpu, group);
    if (intid === SPURIOUS || !cpu.groups[group]) return SPURIOUS;
    if (priority >= cpu.pmr) return SPURIOUS;
    return this.#preempts(cpu, priority, group) ? intid : SPURIOUS;
  }

  /** Group priority against the running one: BPR says how many bits count (IHI 0069, 4.8.3). */
  #preempts(cpu: CpuInterface, priority: number, group: number): boolean {
    if (cpu.running.length === 0) return true;
    const point = group === 0 ? cpu.bpr0 + 1 : cpu.bpr1;
    const mask = (0xff << point) & 0xff;
    return (priority & mask) < (cpu.runningPriority & mask);
  }

  #highest(vcpu: number, group: number): { readonly intid: number; readonly priority: number } {
    const cpu = this.#cpus[vcpu]!;
    let intid: number = SPURIOUS;
    let priority = IDLE_PRIORITY;
    const look = (set: Interrupts, routed: (i: number) => boolean): void => {
      for (let i = 0; i < set.count; i++) {
        if (set.enabled[i] === 0 || set.active[i] === 1 || set.group[i] !== group) continue;
        if (set.priority[i]! >= priority || !set.pending(i) || !routed(i)) continue;
        intid = set.first + i;
        priority = set.priority[i]!;
      }
    };
    if ((this.#ctlr & (1 << group)) === 0) return { intid, priority };
    look(cpu.privates, () => true);
    look(this.#spis, (i) => this.#route[i] === vcpu || (this.#route[i] === -1 && vcpu === 0));
    return { intid, priority };
  }

  #setOf(vcpu: number, intid: number): { readonly set: Interrupts; readonly i: number } | undefined {
    if (intid < PRIVATE) return { set: this.#cpus[vcpu]!.privates, i: intid };
    const i = intid - PRIVATE;
    return i < this.#spis.count ? { set: this.#spis, i } : undefined;
  }

  save(): GicState {
    return {
      ctlr: this.#ctlr,
      route: [...this.#route],
      spis: this.#spis.save(),
      cpus: this.#cpus.map((cpu) => ({
        privates: cpu.privates.save(),
        registers: [cpu.pmr, cpu.bpr0, cpu.bpr1, cpu.eoiMode, cpu.waker],
        groups: [...cpu.groups],
        running: [...cpu.running],
      })),
    };
  }

  restore({ ctlr, route, spis, cpus }: GicState): void {
    this.#ctlr = ctlr;
    this.#route.set(route);
    this.#spis.restore(spis);
    cpus.forEach((state, i) => {
      const cpu = this.#cpus[i]!;
      cpu.privates.restore(state.privates);
      const [pmr, bpr0, bpr1, eoiMode, waker] = state.registers as [number, number, number, number, number];
      Object.assign(cpu, { pmr, bpr0, bpr1, eoiMode, waker, groups: [...state.groups] });
      cpu.running.splice(0, cpu.running.length, ...state.running);
    });
    this.#signals.fill(UNKNOWN);
  }

  // ---- The CPU interface ----

  /** The value of an ICC_*_EL1 register; undefined for other registers. */
  readIcc(vcpu: number, encoding: Encoding): bigint | undefined {
    const value = this.#read(vcpu, encodingKey(encoding));
    return value === undefined ? undefined : BigInt(value);
  }

  #read(vcpu: number, key: number): number | undefined {
    const cpu = this.#cpus[vcpu]!;
    switch (key) {
      case ICC.PMR:
        return cpu.pmr;
      case ICC.IAR0:
        return this.#acknowledge(vcpu, 0);
      case ICC.IAR1:
        return this.#acknowledge(vcpu, 1);
      case ICC.HPPIR0:
        return this.#highest(vcpu, 0).intid;
      case ICC.HPPIR1:
        return this.#highest(vcpu, 1).intid;
      case ICC.BPR0:
        return cpu.bpr0;
      case ICC.BPR1:
        return cpu.bpr1;
      case ICC.AP0R0:
        return this.#activePriorities(cpu, 0);
      case ICC.AP1R0:
        return this.#activePriorities(cpu, 1);
      case ICC.RPR:
        return cpu.runningPriority;
      case ICC.CTLR:
        // PRIbits, 16 bits of INTID, A3V.
        return ((PRIORITY_BITS - 1) << 8) | (1 << 15) | (cpu.eoiMode << 1);
      case ICC.SRE:
        return 7;
      case ICC.IGRPEN0:
        return cpu.groups[0] ? 1 : 0;
      case ICC.IGRPEN1:
        return cpu.groups[1] ? 1 : 0;
    }
    return undefined;
  }

  #activePriorities(cpu: CpuInterface, group: number): number {
    let value = 0;
    for (const entry of cpu.running)
      if (entry.group === group) value |= 1 << (entry.priority >> (8 - PRIORITY_BITS));
    return value >>> 0;
  }

  #acknowledge(vcpu: number, group: number): number {
    const intid = this.#signalled(vcpu, group);
    const found = intid === SPURIOUS ? undefined : this.#setOf(vcpu, intid);
    if (found === undefined) return SPURIOUS;
    const { set, i } = found;
    set.active[i] = 1;
    set.latched[i] = 0;
    this.#cpus[vcpu]!.running.push({ priority: set.priority[i]!, group });
    this.#changed();
    return intid;
  }

  /** @returns whether the register is the CPU interface's */
  writeIcc(vcpu: number, encoding: Encoding, value: bigint): boolean {
    const cpu = this.#cpus[vcpu]!;
    const low = Number(value & 0xffff_ffffn);
    switch (encodingKey(encoding)) {
      case ICC.PMR:
        cpu.pmr = low & 0xff & ~(0xff >> PRIORITY_BITS);
        break;
      case ICC.EOIR0:
      case ICC.EOIR1: {
        const group = encodingKey(encoding) === ICC.EOIR1 ? 1 : 0;
        if ((low & 0xff_ffff) >= 1020) break;
        if (cpu.running[cpu.running.length - 1]?.group === group) cpu.running.pop();
        if (cpu.eoiMode === 0) this.#deactivate(vcpu, low & 0xff_ffff);
        break;
      }
      case ICC.DIR:
        this.#deactivate(vcpu, low & 0xff_ffff);
        break;
      case ICC.BPR0:
        cpu.bpr0 = Math.max(low & 7, 7 - PRIORITY_BITS);
        break;
      case ICC.BPR1:
        cpu.bpr1 = Math.max(low & 7, 8 - PRIORITY_BITS);
        break;
      case ICC.AP0R0:
      case ICC.AP1R0: {
        const group = encodingKey(encoding) === ICC.AP1R0 ? 1 : 0;
        const others = cpu.running.filter((entry) => entry.group !== group);
        cpu.running.length = 0;
        cpu.running.push(...others);
        for (let bit = 31; bit >= 0; bit--)
          if ((low & (1 << bit)) !== 0) cpu.running.push({ priority: bit << (8 - PRIORITY_BITS), group });
        cpu.running.sort((a, b) => b.priority - a.priority);
        break;
      }
      case ICC.SGI1R:
      case ICC.ASGI1R:
      case ICC.SGI0R:
        this.#sendSgi(vcpu, value, encodingKey(encoding) === ICC.SGI1R ? 1 : 0);
        break;
      case ICC.CTLR:
        cpu.eoiMode = (low >> 1) & 1;
        break;
      case ICC.SRE:
        break;
      case ICC.IGRPEN0:
        cpu.groups[0] = (low & 1) === 1;
        break;
      case ICC.IGRPEN1:
        cpu.groups[1] = (low & 1) === 1;
        break;
      default:
        return false;
    }
    this.#changed();
    return true;
  }

  #deactivate(vcpu: number, intid: number): void {
    const found = this.#setOf(vcpu, intid);
    if (found !== undefined) found.set.active[found.i] = 0;
  }

  #sendSgi(from: number, value: bigint, group: number): void {
    const intid = Number((value >> 24n) & 0xfn);
    const all = ((value >> 40n) & 1n) === 1n;
    const targets = Number(value & 0xffffn);
    const first = 16 * Number((value >> 44n) & 0xfn);
    // Aff1 to Aff3 are zero for every vCPU.
    const elsewhere =
      value >> 48n !== 0n || ((value >> 16n) & 0xffn) !== 0n || ((value >> 32n) & 0xffn) !== 0n;
    for (let vcpu = 0; vcpu < this.#cpus.length; vcpu++) {
      const named = all
        ? vcpu !== from
        : !elsewhere && vcpu >= first && vcpu < first + 16 && (targets & (1 << (vcpu - first))) !== 0;
      const { privates } = this.#cpus[vcpu]!;
      if (named && privates.group[intid] === group) privates.latched[intid] = 1;
    }
  }

  // ---- Memory-mapped frames ----

  readDistributor(offset: number, sizeBytes: number): bigint {
    return this.#access(offset, sizeBytes, (at) => this.#readGicd(at));
  }

  writeDistributor(offset: number, sizeBytes: number, value: bigint): void {
    const { CTLR, IPRIORITYR, IROUTER } = GICD;
    if (offset >= IPRIORITYR && offset < IPRIORITYR + 0x400) {
      for (let i = 0; i < sizeBytes; i++)
        this.#spis.setPriority(offset - IPRIORITYR + i - PRIVATE, Number((value >> BigInt(8 * i)) & 0xffn));
    } else if (offset >= IROUTER + 8 * PRIVATE && offset < IROUTER + 8 * 1020) {
      const i = (offset >> 3) - (IROUTER >> 3) - PRIVATE;
      if ((offset & 7) === 0 && i < this.#spis.count)
        this.#route[i] = ((value >> 31n) & 1n) === 1n ? -1 : Number(value & 0xffn);
    } else if (offset === CTLR) this.#ctlr = Number(value) & CTLR_GROUPS;
    else if ((offset & 3) === 0 && sizeBytes === 4) this.#writeBank(this.#spis, offset, Number(value), 1);
    this.#changed();
  }

  #readGicd(offset: number): number {
    switch (offset) {
      case GICD.CTLR:
        return this.#ctlr | CTLR_FIXED;
      case GICD.TYPER:
        // ITLinesNumber, 16 bits of INTID, no LPIs.
        return ((PRIVATE + this.#spis.count) / 32 - 1) | (15 << 19);
      case GICD.IIDR:
        return IIDR;
      case GICD.PIDR2:
        return ARCH_GICV3;
    }
    if (offset >= GICD.IROUTER + 8 * PRIVATE && offset < GICD.IROUTER + 8 * 1020) {
      const i = (offset >> 3) - (GICD.IROUTER >> 3) - PRIVATE;
      if ((offset & 4) !== 0 || i >= this.#spis.count) return 0;
      const route = this.#route[i]!;
      return route === -1 ? 0x8000_0000 : route;
    }
    return this.#readBank(this.#spis, offset, 1);
  }

  readRedistributor(vcpu: number, offset: number, sizeBytes: number): bigint {
    return this.#access(offset, sizeBytes, (at) => this.#readGicr(vcpu, at));
  }

  writeRedistributor(vcpu: number, offset: number, sizeBytes: number, value: bigint): void {
    const cpu = this.#cpus[vcpu];
    if (cpu === undefined) return;
    if (offset === GICR.WAKER) {
      const sleeps = Number(value) & 2;
      cpu.waker = sleeps | (sleeps << 1);
    } else if (offset >= GICR.SGI_BASE) {
      const at = offset - GICR.SGI_BASE;
      if (at >= GICD.IPRIORITYR && at < GICD.IPRIORITYR + PRIVATE) {
        for (let i = 0; i < sizeBytes; i++)
          cpu.privates.setPriority(at - GICD.IPRIORITYR + i, Number((value >> BigInt(8 * i)) & 0xffn));
      } else if ((at & 3) === 0 && sizeBytes === 4) this.#writeBank(cpu.privates, at, Number(value), 0);
    }
    this.#changed();
  }

  #readGicr(vcpu: number, offset: number): number {
    const cpu = this.#cpus[vcpu];
    if (cpu === undefined) return 0;
    switch (offset) {
      case GICR.IIDR:
        return IIDR;
      case GICR.TYPER:
        return (vcpu << 8) | (vcpu === this.#cpus.length - 1 ? 1 << 4 : 0);
      case GICR.TYPER + 4:
        return vcpu;
      case GICR.WAKER:
        return cpu.waker;
      case GICR.PIDR2:
        return ARCH_GICV3;
    }
    return offset >= GICR.SGI_BASE ? this.#readBank(cpu.privates, offset - GICR.SGI_BASE, 0) : 0;
  }

  /** Any size of read, out of words. */
  #access(offset: number, sizeBytes: number, word: (at: number) => number): bigint {
    const at = offset & ~3;
    let value = BigInt(word(at) >>> 0);
    if (sizeBytes === 8) value |= BigInt(word(at + 4) >>> 0) << 32n;
    return BigInt.asUintN(8 * sizeBytes, value >> BigInt(8 * (offset & 3)));
  }

  /** Banks that distributor and redistributors have alike. `skip` is 1 where word 0 is the redistributors'. */
  #readBank(set: Interrupts, offset: number, skip: number): number {
    const word = (offset & 0x7f) / 4 - skip;
    const bank = offset & ~0x7f;
    if (offset >= GICD.IPRIORITYR && offset < GICD.IPRIORITYR + 0x400) {
      const first = offset - GICD.IPRIORITYR - 32 * skip;
      if (first < 0) return 0;
      let value = 0;
      for (let i = 0; i < 4; i++) value |= (set.priority[first + i] ?? 0) << (8 * i);
      return value >>> 0;
    }
    if (offset >= GICD.ICFGR && offset < GICD.ICFGR + 0x100) {
      const first = (offset - GICD.ICFGR) * 4 - 32 * skip;
      if (first < 0) return 0;
      let value = 0;
      for (let i = 0; i < 16; i++) if (set.edge[first + i] === 1) value |= 2 << (2 * i);
      return value >>> 0;
    }
    if (word < 0) return 0;
    switch (bank) {
      case GICD.IGROUPR:
        return set.bits(word, (i) => set.group[i] === 1);
      case GICD.ISENABLER:
      case GICD.ICENABLER:
        return set.bits(word, (i) => set.enabled[i] === 1);
      case GICD.ISPENDR:
      case GICD.ICPENDR:
        return set.bits(word, (i) => set.pending(i));
      case GICD.ISACTIVER:
      case GICD.ICACTIVER:
        return set.bits(word, (i) => set.active[i] === 1);
    }
    return 0;
  }

  #writeBank(set: Interrupts, offset: number, value: number, skip: number): void {
    const word = (offset & 0x7f) / 4 - skip;
    const bank = offset & ~0x7f;
    if (offset >= GICD.ICFGR && offset < GICD.ICFGR + 0x100) {
      const first = (offset - GICD.ICFGR) * 4 - 32 * skip;
      // SGIs are edge-triggered for good.
      for (let i = 0; i < 16; i++)
        if (first + i >= 0 && first + i < set.count && set.first + first + i >= 16)
          set.edge[first + i] = (value >> (2 * i + 1)) & 1;
      return;
    }
    if (word < 0) return;
    const each = (to: Uint8Array, bit: 0 | 1) => set.each(word, value, (i) => (to[i] = bit));
    switch (bank) {
      case GICD.IGROUPR:
        set.each(word, ~value, (i) => {
          set.group[i] = 0;
        });
        each(set.group, 1);
        return;
      case GICD.ISENABLER:
        each(set.enabled, 1);
        return;
      case GICD.ICENABLER:
        each(set.enabled, 0);
        return;
      case GICD.ISPENDR:
        each(set.latched, 1);
        return;
      case GICD.ICPENDR:
        each(set.latched, 0);
        return;
      case GICD.ISACTIVER:
        each(set.active, 1);
        return;
      case GICD.ICACTIVER:
        each(set.active, 0);
        return;
    }
  }
}
