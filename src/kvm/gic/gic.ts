/**
 * A GICv3 as KVM gives it to a guest: one security state (GICD_CTLR.DS), affinity routing always on, no LPIs. Sources: Arm
 * IHI 0069; Linux arch/arm64/kvm/vgic/ for what KVM leaves out.
 */
import { type Encoding, encodingKey, SYSREG } from "../../arm/registers.ts";
import { isPriority, readBank, writeBank } from "./banks.ts";
import { CpuInterface, type CpuInterfaceState, type Group } from "./cpu-interface.ts";
import { Interrupts, type InterruptsState, PRIVATE, SPURIOUS } from "./interrupts.ts";

/** What `#signalled` holds of a vCPU: nothing, or the group whose signal is asserted. */
const NOTHING = -1;
const UNKNOWN = -2;

const GICD = {
  CTLR: 0x0000,
  TYPER: 0x0004,
  IIDR: 0x0008,
  IROUTER: 0x6000,
  PIDR2: 0xffe8,
} as const;
const GICR = { CTLR: 0, IIDR: 4, TYPER: 8, PIDR2: 0xffe8, SGI_BASE: 0x1_0000 } as const;
/** ARE and DS read as one. One enable is for both groups: KVM has bit 0 read as zero (vgic_mmio_write_v3_misc). */
const CTLR_FIXED = (1 << 6) | (1 << 4);
const CTLR_ENABLE = 1 << 1;
/** IDbits: INTIDs of 10 bits where there are no LPIs. */
const TYPER_ID_BITS = 9 << 19;
/** Implementer Arm, product "KVM"; the distributor's has KVM's revision 3. */
const GICR_IIDR = 0x4b00_043b;
const GICD_IIDR = GICR_IIDR | (3 << 12);
/** GICv3, by Arm. */
const PIDR2 = 0x3b;
/** IR and CES, which KVM's revision 3 has set, LPIs or not. */
const GICR_CTLR = 6;
const ALL_AFFINITIES = 0xff_ffff;
/** INTIDs from here on name no interrupt. */
const SPECIAL = 1020;

/** Whether a write of an ICC_*_EL1 register sends software-generated interrupts. */
export const isSgiRegister = (encoding: Encoding): boolean => {
  const key = encodingKey(encoding);
  return key === SYSREG.ICC_SGI1R_EL1 || key === SYSREG.ICC_ASGI1R_EL1 || key === SYSREG.ICC_SGI0R_EL1;
};

/** SRE, DFB and DIB: there are system registers and nothing else. */
const SRE = 7n;

/** Affinities 2 to 0 of a vCPU: 16 vCPUs a cluster, so that ICC_SGI1R_EL1's list reaches each. */
export const affinityOf = (vcpu: number): number => ((vcpu >> 4) << 8) | (vcpu & 15);

export interface GicState {
  readonly enabled: boolean;
  readonly route: readonly number[];
  readonly spis: InterruptsState;
  readonly cpus: readonly { readonly privates: InterruptsState; readonly registers: CpuInterfaceState }[];
}

export interface GicOptions {
  readonly vcpus: number;
  /** Shared interrupts, a multiple of 32. */
  readonly spis: number;
  /** The vCPU's IRQ or FIQ may have changed: it must be asked again. */
  readonly onLineChange: (vcpu: number) => void;
}

/** An interrupt by its set and place there. */
interface Found {
  readonly set: Interrupts;
  readonly i: number;
}

export class Gic {
  readonly #options: GicOptions;
  readonly #spis: Interrupts;
  readonly #cpus: readonly CpuInterface[];
  /** GICD_IROUTER: an affinity for each SPI. */
  readonly #route: Uint32Array;
  #enabled = false;
  /** The group that is signalled to each vCPU, or NOTHING, or UNKNOWN since a change. */
  readonly #signalled: Int8Array;

  constructor(options: GicOptions) {
    this.#options = options;
    this.#spis = new Interrupts(PRIVATE, options.spis);
    this.#cpus = Array.from({ length: options.vcpus }, () => new CpuInterface());
    this.#route = new Uint32Array(options.spis);
    this.#signalled = new Int8Array(options.vcpus).fill(UNKNOWN);
  }

  /**
   * Sets the level of a wire: an SPI's, or with `vcpu` a PPI's.
   * @returns whether it rose
   */
  setLine(intid: number, high: boolean, vcpu = 0): boolean {
    const set = this.#setOf(intid, vcpu);
    const i = intid - set.first;
    const rises = high && set.level[i] === 0;
    if (set.setLevel(i, high)) this.#changed();
    return rises;
  }

  /** The level of a wire, as it was last set. */
  levelOf(intid: number, vcpu = 0): boolean {
    const set = this.#setOf(intid, vcpu);
    return set.level[intid - set.first] === 1;
  }

  #setOf(intid: number, vcpu: number): Interrupts {
    return intid < PRIVATE ? this.#cpus[vcpu]!.privates : this.#spis;
  }

  /** Whether the vCPU's IRQ (group 1) or FIQ (group 0) is asserted. Never both: there is one highest priority. */
  signals(vcpu: number, group: Group): boolean {
    if (this.#signalled[vcpu] === UNKNOWN) {
      const cpu = this.#cpus[vcpu]!;
      const found = this.#pending(vcpu);
      const of = found === undefined ? NOTHING : groupOf(found);
      this.#signalled[vcpu] =
        found !== undefined && cpu.takes(priorityOf(found), groupOf(found)) ? of : NOTHING;
    }
    return this.#signalled[vcpu] === group;
  }

  #changed(): void {
    this.#signalled.fill(UNKNOWN);
    for (let i = 0; i < this.#cpus.length; i++) this.#options.onLineChange(i);
  }

  /** The pending interrupt of the highest priority whose group the CPU interface lets through. */
  #pending(vcpu: number): Found | undefined {
    if (!this.#enabled) return undefined;
    const { privates, enabled } = this.#cpus[vcpu]!;
    const affinity = affinityOf(vcpu);
    const own = privates.highest((i) => enabled[privates.group[i] as Group]);
    const shared = this.#spis.highest(
      (i) => this.#route[i] === affinity && enabled[this.#spis.group[i] as Group],
    );
    if (own >= 0 && (shared < 0 || privates.priority[own]! <= this.#spis.priority[shared]!))
      return { set: privates, i: own };
    return shared < 0 ? undefined : { set: this.#spis, i: shared };
  }

  #byIntid(vcpu: number, intid: number): Found | undefined {
    if (intid < PRIVATE) return { set: this.#cpus[vcpu]!.privates, i: intid };
    const i = intid - PRIVATE;
    return i < this.#spis.count ? { set: this.#spis, i } : undefined;
  }

  save(): GicState {
    return {
      enabled: this.#enabled,
      route: [...this.#route],
      spis: this.#spis.save(),
      cpus: this.#cpus.map((cpu) => ({ privates: cpu.privates.save(), registers: cpu.save() })),
    };
  }

  restore({ enabled, route, spis, cpus }: GicState): void {
    this.#enabled = enabled;
    this.#route.set(route);
    this.#spis.restore(spis);
    cpus.forEach(({ privates, registers }, i) => {
      this.#cpus[i]!.privates.restore(privates);
      this.#cpus[i]!.restore(registers);
    });
    this.#signalled.fill(UNKNOWN);
  }

  // ---- The CPU interface ----

  /** The value of an ICC_*_EL1 register; undefined for other registers, and those that can only be written. */
  readIcc(vcpu: number, encoding: Encoding): bigint | undefined {
    const cpu = this.#cpus[vcpu]!;
    switch (encodingKey(encoding)) {
      case SYSREG.ICC_PMR_EL1:
        return BigInt(cpu.pmr);
      case SYSREG.ICC_IAR0_EL1:
        return this.#acknowledge(vcpu, 0);
      case SYSREG.ICC_IAR1_EL1:
        return this.#acknowledge(vcpu, 1);
      case SYSREG.ICC_HPPIR0_EL1:
        return this.#highestPending(vcpu, 0);
      case SYSREG.ICC_HPPIR1_EL1:
        return this.#highestPending(vcpu, 1);
      case SYSREG.ICC_BPR0_EL1:
        return BigInt(cpu.bpr0);
      case SYSREG.ICC_BPR1_EL1:
        return BigInt(cpu.bpr1);
      case SYSREG.ICC_AP0R0_EL1:
        return BigInt(cpu.activePriorities(0));
      case SYSREG.ICC_AP1R0_EL1:
        return BigInt(cpu.activePriorities(1));
      case SYSREG.ICC_RPR_EL1:
        return BigInt(cpu.runningPriority);
      case SYSREG.ICC_CTLR_EL1:
        return BigInt(cpu.ctlr);
      case SYSREG.ICC_SRE_EL1:
        return SRE;
      case SYSREG.ICC_IGRPEN0_EL1:
        return cpu.enabled[0] ? 1n : 0n;
      case SYSREG.ICC_IGRPEN1_EL1:
        return cpu.enabled[1] ? 1n : 0n;
    }
    return undefined;
  }

  #highestPending(vcpu: number, group: Group): bigint {
    const found = this.#pending(vcpu);
    return BigInt(found === undefined || groupOf(found) !== group ? SPURIOUS : found.set.first + found.i);
  }

  #acknowledge(vcpu: number, group: Group): bigint {
    const found = this.signals(vcpu, group) ? this.#pending(vcpu) : undefined;
    if (found === undefined) return BigInt(SPURIOUS);
    const { set, i } = found;
    set.put("active", i, 1);
    set.put("latched", i, 0);
    this.#cpus[vcpu]!.raise(priorityOf(found), group);
    this.#changed();
    return BigInt(set.first + i);
  }

  /** @returns whether the register is the CPU interface's, and can be written */
  writeIcc(vcpu: number, encoding: Encoding, value: bigint): boolean {
    const cpu = this.#cpus[vcpu]!;
    const low = Number(value & 0xffff_ffffn);
    switch (encodingKey(encoding)) {
      case SYSREG.ICC_PMR_EL1:
        cpu.pmr = low;
        break;
      case SYSREG.ICC_EOIR0_EL1:
        this.#end(vcpu, 0, low & 0xff_ffff);
        break;
      case SYSREG.ICC_EOIR1_EL1:
        this.#end(vcpu, 1, low & 0xff_ffff);
        break;
      case SYSREG.ICC_DIR_EL1:
        if (cpu.splitsEnd) this.#deactivate(vcpu, low & 0xff_ffff);
        break;
      case SYSREG.ICC_BPR0_EL1:
        cpu.bpr0 = low;
        break;
      case SYSREG.ICC_BPR1_EL1:
        cpu.bpr1 = low;
        break;
      case SYSREG.ICC_AP0R0_EL1:
        cpu.setActivePriorities(0, low);
        break;
      case SYSREG.ICC_AP1R0_EL1:
        cpu.setActivePriorities(1, low);
        break;
      case SYSREG.ICC_SGI1R_EL1:
        // The one that may make SGIs of both groups (vgic_v3_dispatch_sgi).
        this.#sendSgi(vcpu, value, true);
        break;
      case SYSREG.ICC_ASGI1R_EL1:
      case SYSREG.ICC_SGI0R_EL1:
        this.#sendSgi(vcpu, value, false);
        break;
      case SYSREG.ICC_CTLR_EL1:
        cpu.ctlr = low;
        break;
      case SYSREG.ICC_SRE_EL1:
        break;
      case SYSREG.ICC_IGRPEN0_EL1:
        cpu.enabled[0] = (low & 1) === 1;
        break;
      case SYSREG.ICC_IGRPEN1_EL1:
        cpu.enabled[1] = (low & 1) === 1;
        break;
      default:
        return false;
    }
    this.#changed();
    return true;
  }

  /** Out of turn, or for the wrong group, an end is none: the architecture leaves it open. */
  #end(vcpu: number, group: Group, intid: number): void {
    const cpu = this.#cpus[vcpu]!;
    if (intid >= SPECIAL || !cpu.drop(group)) return;
    if (!cpu.splitsEnd) this.#deactivate(vcpu, intid);
  }

  #deactivate(vcpu: number, intid: number): void {
    const found = this.#byIntid(vcpu, intid);
    found?.set.put("active", found.i, 0);
  }

  #sendSgi(from: number, value: bigint, bothGroups: boolean): void {
    const field = (at: bigint, bits: bigint): number => Number((value >> at) & ((1n << bits) - 1n));
    const intid = field(24n, 4n);
    const toOthers = field(40n, 1n) === 1;
    const targets = field(0n, 16n);
    // Aff3 is zero for every vCPU. The range selector is reserved: ICC_CTLR_EL1.RSS is 0.
    const cluster = field(48n, 8n) === 0 ? (field(32n, 8n) << 8) | field(16n, 8n) : -1;
    for (const [vcpu, { privates }] of this.#cpus.entries()) {
      const affinity = affinityOf(vcpu);
      const named = toOthers
        ? vcpu !== from
        : affinity >> 8 === cluster && (targets & (1 << (affinity & 15))) !== 0;
      if (named && (bothGroups || privates.group[intid] === 0)) privates.put("latched", intid, 1);
    }
  }

  // ---- Memory-mapped frames: as KVM has them, an access of another size than a register's reads as zero ----

  readDistributor(offset: number, sizeBytes: number): bigint {
    if (isPart(offset, sizeBytes, isRouter(offset)))
      return extract(BigInt(this.#route[routed(offset)] ?? 0), offset, sizeBytes);
    return isWord(offset, sizeBytes, isPriority(offset)) ? BigInt(this.#readGicd(offset, sizeBytes)) : 0n;
  }

  writeDistributor(offset: number, sizeBytes: number, value: bigint): void {
    if (isPart(offset, sizeBytes, isRouter(offset))) {
      // Aff3, in the upper word, and IRM are RES0, as KVM has them (vgic_mmio_write_irouter).
      if ((offset & 4) === 0 && routed(offset) < this.#spis.count)
        this.#route[routed(offset)] = Number(value & BigInt(ALL_AFFINITIES));
    } else if (!isWord(offset, sizeBytes, isPriority(offset))) return;
    else if (offset === GICD.CTLR) this.#enabled = (Number(value) & CTLR_ENABLE) !== 0;
    else writeBank(this.#spis, offset, sizeBytes, Number(value));
    this.#changed();
  }

  #readGicd(offset: number, sizeBytes: number): number {
    switch (offset) {
      case GICD.CTLR:
        return CTLR_FIXED | (this.#enabled ? CTLR_ENABLE : 0);
      case GICD.TYPER:
        return ((PRIVATE + this.#spis.count) / 32 - 1) | TYPER_ID_BITS;
      case GICD.IIDR:
        return GICD_IIDR;
      case GICD.PIDR2:
        return PIDR2;
    }
    return readBank(this.#spis, offset, sizeBytes);
  }

  readRedistributor(vcpu: number, offset: number, sizeBytes: number): bigint {
    const cpu = this.#cpus[vcpu];
    if (cpu === undefined) return 0n;
    if (isPart(offset, sizeBytes, (offset & ~7) === GICR.TYPER)) {
      const last = vcpu === this.#cpus.length - 1 ? 1n << 4n : 0n;
      return extract((BigInt(affinityOf(vcpu)) << 32n) | BigInt(vcpu << 8) | last, offset, sizeBytes);
    }
    const at = offset - GICR.SGI_BASE;
    if (!isWord(offset, sizeBytes, isPriority(at))) return 0n;
    switch (offset) {
      case GICR.CTLR:
        return BigInt(GICR_CTLR);
      case GICR.IIDR:
        return BigInt(GICR_IIDR);
      case GICR.PIDR2:
        return BigInt(PIDR2);
    }
    // GICR_WAKER reads as zero: it never sleeps.
    return at < 0 ? 0n : BigInt(readBank(cpu.privates, at, sizeBytes));
  }

  writeRedistributor(vcpu: number, offset: number, sizeBytes: number, value: bigint): void {
    const cpu = this.#cpus[vcpu];
    const at = offset - GICR.SGI_BASE;
    if (cpu === undefined || at < 0 || !isWord(offset, sizeBytes, isPriority(at))) return;
    writeBank(cpu.privates, at, sizeBytes, Number(value));
    this.#changed();
  }
}

const groupOf = ({ set, i }: Found): Group => set.group[i] as Group;
const priorityOf = ({ set, i }: Found): number => set.priority[i]!;

/** The registers of SPIs among GICD_IROUTER<n>, and the place of theirs in the set of SPIs. */
const isRouter = (offset: number): boolean =>
  offset >= GICD.IROUTER + 8 * PRIVATE && offset < GICD.IROUTER + 8 * SPECIAL;
const routed = (offset: number): number => ((offset - GICD.IROUTER) >> 3) - PRIVATE;

/** Whether an access is to a register of 64 bits, or to one of its halves. */
const isPart = (offset: number, sizeBytes: number, is64: boolean): boolean =>
  is64 && (sizeBytes === 8 || sizeBytes === 4) && offset % sizeBytes === 0;

/** Whether an access is to a register of 32 bits, or to a byte of one that has a byte an interrupt. */
const isWord = (offset: number, sizeBytes: number, bytewise: boolean): boolean =>
  sizeBytes === 4 ? offset % 4 === 0 : sizeBytes === 1 && bytewise;

const extract = (value: bigint, offset: number, sizeBytes: number): bigint =>
  BigInt.asUintN(8 * sizeBytes, value >> BigInt(8 * (offset & 7)));
