/**
 * Random translation regimes, tables and addresses for the oracle test: mostly sound, and wrong in every way that
 * the architecture defines. One seed gives one case, on any machine.
 */
import { addressHi, addressLo } from "../../src/arm/descriptors.ts";
import { HCR_EL2, SCTLR_EL1, TCR_EL1, VTCR_EL2 } from "../../src/arm/registers-system.ts";
import type { Ipn, Vpn } from "../../src/common/address.ts";
import { type RandomStream, randomBitsAt, randomStream } from "../../src/common/random.ts";
import { INSPECT } from "../../src/mmu/access.ts";
import {
  halfOf,
  type Stage1Config,
  type Stage1Regime,
  type Stage2Config,
  type StageConfig,
  stage1Regime,
  stage2Config,
} from "../../src/mmu/config.ts";
import { isFault } from "../../src/mmu/fault.ts";
import type { MmuFeatures } from "../../src/mmu/implementation.ts";
import type { TableMemory } from "../../src/mmu/table-memory.ts";
import { isTable, nextTable, throughStage2, translate } from "../../src/mmu/translate.ts";
import { Machine, Unknowable } from "./machine.ts";

/** The AT instructions, in the payload's numbering. */
export const OPERATIONS = [
  "S1E1R",
  "S1E1W",
  "S12E1R",
  "S12E1W",
  "S1E0R",
  "S1E0W",
  "S12E0R",
  "S12E0W",
  "S1E1RP",
  "S1E1WP",
] as const;
export type Operation = (typeof OPERATIONS)[number];

export interface Query {
  readonly operation: Operation;
  readonly address: bigint;
}

export interface Case {
  readonly seed: number;
  readonly registers: {
    readonly TCR_EL1: bigint;
    readonly TTBR0_EL1: bigint;
    readonly TTBR1_EL1: bigint;
    readonly SCTLR_EL1: bigint;
    readonly MAIR_EL1: bigint;
    readonly VTCR_EL2: bigint;
    readonly VTTBR_EL2: bigint;
    readonly HCR_EL2: bigint;
  };
  readonly regime: Stage1Regime;
  readonly stage2: Stage2Config;
  readonly machine: Machine;
  readonly queries: readonly Query[];
}

/** What the CPU under test implements, beyond what the walker models. */
export interface CpuUnderTest {
  readonly name: string;
  readonly features: MmuFeatures;
  /** FEAT_LPA, LPA2 or LVA: leave alone what means something else with them. */
  readonly has52Bits: boolean;
  /** Leans towards hardware updates of access flag and dirty state. */
  readonly updatesAlways?: boolean;
}

/** Memory types that need neither FEAT_XS nor FEAT_MTE2. */
const MAIR_BYTES = [
  0x00, 0x04, 0x08, 0x0c, 0x44, 0xff, 0xbb, 0xee, 0xaa, 0x4f, 0xf4, 0x77, 0x33, 0x5e, 0xcb, 0x88,
];

class Chance {
  private readonly stream: RandomStream;
  constructor(seed: number) {
    // Neighbouring seeds give streams that begin alike.
    this.stream = randomStream(randomBitsAt(seed, 0) | 0);
  }
  /** True once in `n`. */
  oneIn(n: number): boolean {
    return this.stream.integer(1, n) === 1;
  }
  below(n: number): number {
    return Math.floor(this.stream.fraction() * n);
  }
  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)] as T;
  }
}

/** Makes the case of a seed. */
export function generateCase(seed: number, cpu: CpuUnderTest, queries: number): Case {
  const chance = new Chance(seed);
  const machine = new Machine();
  const vtcr = generateVtcr(chance, cpu);
  const hcr = generateHcr(chance, VTCR_EL2.is(vtcr, "HA"));
  const shape2 = stage2Config({ VTCR_EL2: vtcr, VTTBR_EL2: 0n, HCR_EL2: hcr }, cpu.features);
  const rootPages = Math.max(1, Math.ceil((shape2.rootEntries * 8) / 4096));
  const vttbr = BigInt(machine.allocate(rootPages, rootPages) * 4096) + badBase(chance, cpu) + idBits(chance);
  const stage2 = stage2Config({ VTCR_EL2: vtcr, VTTBR_EL2: vttbr, HCR_EL2: hcr }, cpu.features);
  const tcr = generateTcr(chance, cpu);
  const fixed = {
    TCR_EL1: tcr,
    SCTLR_EL1: SCTLR_EL1.with(0n, {
      M: !chance.oneIn(40),
      C: true,
      I: true,
      WXN: chance.oneIn(4),
      EPAN: cpu.features.epan && chance.oneIn(3),
    }),
    MAIR_EL1: Array.from({ length: 8 }, () => BigInt(chance.pick(MAIR_BYTES))).reduce(
      (all, b) => (all << 8n) | b,
      0n,
    ),
    HCR_EL2: hcr,
  };
  const shape1 = stage1Regime({ ...fixed, TTBR0_EL1: 0n, TTBR1_EL1: 0n }, cpu.features);
  const planter = new Planter(chance, machine, stage2, shape1.lower.outputPages, cpu);
  const ttbr = (shape: Stage1Config): bigint => {
    const pages = Math.max(1, Math.ceil((shape.rootEntries * 8) / 4096));
    return BigInt(planter.stage1Table(pages) * 4096) + badBase(chance, cpu) + idBits(chance);
  };
  const registers = {
    ...fixed,
    TTBR0_EL1: ttbr(shape1.lower),
    TTBR1_EL1: ttbr(shape1.upper),
    VTCR_EL2: vtcr,
    VTTBR_EL2: vttbr,
  };
  const regime = stage1Regime(registers, cpu.features);
  const addresses = Array.from({ length: Math.ceil(queries / 3) }, () => planter.address(regime));
  return {
    seed,
    registers,
    regime,
    stage2,
    machine,
    queries: Array.from({ length: queries }, () => ({
      operation: chance.pick(OPERATIONS),
      address: chance.pick(addresses) + BigInt(chance.below(4096)),
    })),
  };
}

/** ASID or VMID, and CnP: the walk does not look at them. */
const idBits = (chance: Chance): bigint => (BigInt(chance.below(256)) << 48n) | (chance.oneIn(2) ? 1n : 0n);

/** Sometimes, a table base beyond the output size, or not aligned to the table. */
function badBase(chance: Chance, cpu: CpuUnderTest): bigint {
  if (chance.oneIn(30)) return 1n << BigInt(chance.pick([32, 36, 40, 44, 47]));
  if (chance.oneIn(30) && !cpu.has52Bits) return BigInt(chance.pick([2, 8, 16, 32]));
  return 0n;
}

function generateHcr(chance: Chance, stage2AccessFlag: boolean): bigint {
  // Without stage 2, QEMU 7.2 still applies PTW, to attributes that nothing set (S1_ptw_translate). With it, QEMU sets
  // the access flag before it finds that the memory is Device; both are allowed (Unpredictable_AFUPDATE).
  const on = !chance.oneIn(12);
  return HCR_EL2.with(0n, {
    RW: true,
    VM: on,
    DC: chance.oneIn(30),
    PTW: on && !stage2AccessFlag && chance.oneIn(3),
    CD: chance.oneIn(12),
  });
}

/** TxSZ: mostly in range for the granule, sometimes just outside. */
function generateTxsz(chance: Chance, cpu: CpuUnderTest, shift: number, lowest: number): number {
  const highest = cpu.features.smallTables ? (shift === 16 ? 47 : 48) : 39;
  if (chance.oneIn(40)) return highest + 1 + chance.below(4);
  if (chance.oneIn(40) && !(cpu.has52Bits && shift === 16)) return lowest - 1 - chance.below(4);
  return chance.oneIn(3)
    ? chance.pick([lowest, 24, 25, 28, 32, highest].filter((t) => t >= lowest))
    : lowest + chance.below(highest - lowest + 1);
}

const GRANULES = [12, 14, 16] as const;
const TG0 = { 12: 0, 16: 1, 14: 2 } as const;
const TG1 = { 12: 2, 16: 3, 14: 1 } as const;

function generateTcr(chance: Chance, cpu: CpuUnderTest): bigint {
  const lower = chance.pick(GRANULES);
  const upper = chance.pick(GRANULES);
  const ha = cpu.updatesAlways === true || chance.oneIn(3);
  return TCR_EL1.with(0n, {
    TG0: TG0[lower],
    TG1: TG1[upper],
    T0SZ: generateTxsz(chance, cpu, lower, 16),
    T1SZ: generateTxsz(chance, cpu, upper, 16),
    IPS: chance.pick(cpu.has52Bits ? [0, 1, 2, 3, 4, 5, 5, 5] : [0, 1, 2, 3, 4, 5, 5, 5, 6, 7]),
    SH0: 3,
    SH1: 3,
    EPD0: chance.oneIn(20),
    EPD1: chance.oneIn(20),
    TBI0: chance.oneIn(3),
    TBI1: chance.oneIn(3),
    HA: ha,
    HD: ha && (cpu.updatesAlways === true || chance.oneIn(2)),
    HPD0: chance.oneIn(4),
    HPD1: chance.oneIn(4),
    E0PD0: cpu.features.e0pd && chance.oneIn(6),
    E0PD1: cpu.features.e0pd && chance.oneIn(6),
  });
}

/** A start level and an input size that go together, concatenation included; sometimes ones that do not. */
function generateVtcr(chance: Chance, cpu: CpuUnderTest): bigint {
  const shift = chance.pick(GRANULES);
  const ha = cpu.updatesAlways === true || chance.oneIn(3);
  let sl0 = chance.below(shift === 12 && cpu.features.smallTables ? 4 : 3);
  const stride = shift - 3;
  const startLevel = shift === 12 ? ([2, 1, 0, 3] as const)[sl0] : 3 - sl0;
  const smallest = (3 - (startLevel as number)) * stride + shift + 1;
  const largest = Math.min(48, smallest + stride - 1 + 4);
  const lowestTxsz = Math.max(16, 64 - largest);
  const highestTxsz = Math.min(64 - smallest, cpu.features.smallTables ? (shift === 16 ? 47 : 48) : 39);
  let txsz = lowestTxsz + chance.below(highestTxsz - lowestTxsz + 1);
  // Concatenated tables: the largest inputs of a level.
  if (chance.oneIn(3)) txsz = Math.min(highestTxsz, lowestTxsz + chance.below(4));
  if (chance.oneIn(25)) txsz = generateTxsz(chance, cpu, shift, 16);
  if (chance.oneIn(40)) sl0 = 3;
  // QEMU 7.2 bounds start level and input size by VTCR_EL2.PS (check_s2_mmu_setup); the pseudocode's
  // AArch64_S2InvalidSL and AArch64_S2MinTxSZ take the implemented size, and QEMU does since 8.0.
  const level = Math.max(0, startLevel as number);
  const bits = Math.max(
    64 - txsz,
    level === 0 ? 44 : level === 1 && shift === 14 ? 42 : level === 1 && shift === 16 ? 44 : 32,
  );
  const sizes = [0, 1, 2, 3, 4, 5, 5, 5].filter((ps) => ([32, 36, 40, 42, 44, 48][ps] as number) >= bits);
  return VTCR_EL2.with(1n << 31n, {
    TG0: TG0[shift],
    T0SZ: txsz,
    SL0: sl0,
    SH0: 3,
    PS: chance.pick(sizes.length === 0 ? [5] : cpu.has52Bits ? sizes : [...sizes, 6, 7]),
    HA: ha,
    HD: ha && (cpu.updatesAlways === true || chance.oneIn(2)),
  });
}

/** Where a path through the tables shall lead. */
interface Goal {
  /** A sound leaf at this level (or later, where it allows no block) that maps to this page. */
  readonly level: number;
  readonly output: number;
}

class Planter {
  private readonly chance: Chance;
  private readonly machine: Machine;
  private readonly stage2: Stage2Config;
  /** The IPAs that stage 1 can put out: TCR_EL1.IPS. */
  private readonly ipaPages: number;
  private readonly cpu: CpuUnderTest;

  constructor(chance: Chance, machine: Machine, stage2: Stage2Config, ipaPages: number, cpu: CpuUnderTest) {
    this.chance = chance;
    this.machine = machine;
    this.stage2 = stage2;
    this.ipaPages = ipaPages;
    this.cpu = cpu;
  }

  /** An IPA for a stage 1 table, mapped soundly by stage 2 where stage 2 can map at all. */
  stage1Table(pages: number): number {
    const { machine, stage2 } = this;
    if (!stage2.enabled || stage2.refuses) return machine.allocate(pages, pages);
    for (let attempt = 0; attempt < 20; attempt++) {
      const real = machine.allocate(pages, pages);
      const at = this.mapTable(real, pages);
      // Older paths may lead elsewhere, to another table perhaps.
      const found = translate(stage2, at as Ipn, INSPECT, machine);
      if (isFault(found) || found.outputPage === real) return at;
    }
    throw new Unknowable();
  }

  private mapTable(real: number, pages: number): number {
    const { chance, machine, stage2 } = this;
    const level = Math.max(chance.pick([1, 2, 2, 3, 3, 3]), stage2.firstBlockLevel);
    const covered = stage2.entryPages[level] as number;
    if (covered >= stage2.pages || pages > covered) {
      // The input range is smaller than a leaf of that level, or the table larger.
      const at = real % stage2.pages;
      for (let page = 0; page < pages; page++)
        this.plant(stage2, machine, at + page, { level: 3, output: real + page });
      return at;
    }
    const limit = chance.oneIn(40) ? stage2.pages : Math.min(stage2.pages, this.ipaPages);
    const at = Math.floor(chance.below(limit / covered)) * covered + (real % covered);
    this.plant(stage2, machine, at, { level, output: real - (real % covered) });
    return at;
  }

  /** A VA whose way through the tables is laid at random, and that of its IPA as well. */
  address(regime: Stage1Regime): bigint {
    const { chance, machine, stage2 } = this;
    const half = chance.oneIn(2) ? regime.upper : regime.lower;
    const at = chance.oneIn(4) ? chance.below(Math.min(64, half.pages)) : chance.below(half.pages);
    const page = ((half.firstPage as number) + at) as Vpn;
    const guest = throughStage2(stage2, machine);
    if (half.enabled && !half.refuses) this.plant(half, guest, at, undefined);
    const output = translate(half, page, INSPECT, guest);
    if (!isFault(output) && stage2.enabled && !stage2.refuses && output.outputPage < stage2.pages)
      this.plant(stage2, machine, output.outputPage, undefined);
    return this.withTag(page, halfOf(regime, page));
  }

  private withTag(page: number, half: StageConfig): bigint {
    const { chance } = this;
    const address = BigInt(page) << 12n;
    if (half.topByteIgnored ? chance.oneIn(2) : chance.oneIn(20))
      return (address & 0x00ff_ffff_ffff_ffffn) | (BigInt(chance.below(256)) << 56n);
    // With stage 1 off, an implementation with 52-bit addresses lets bits 51:48 through.
    const bits = [36, 40, 46, 47, 54, 55, ...(half.enabled || !this.cpu.has52Bits ? [48, 49] : [])];
    if (chance.oneIn(20)) return address ^ (1n << BigInt(chance.pick(bits)));
    return address;
  }

  /** Lays a path for one page, along what other paths have laid before. */
  private plant<Out extends number>(
    config: StageConfig<number, Out>,
    memory: TableMemory<Out>,
    at: number,
    goal: Goal | undefined,
  ): void {
    let level = config.startLevel as number;
    let word = config.rootWord + 2 * Math.floor(at / (config.entryPages[level] as number));
    let table = (config.rootPage + (word >>> 10)) as Out;
    for (;;) {
      const words = memory.page(table, INSPECT);
      if (words === undefined || isFault(words)) return;
      const index = word & 1023;
      if (words[index] === 0 && words[index + 1] === 0) {
        const [lo, hi] = this.descriptor(config, level, goal);
        words[index] = lo;
        words[index + 1] = hi;
      }
      const lo = words[index] as number;
      if (!isTable(lo, level)) return;
      const next = nextTable(config, lo, words[index + 1] as number);
      if (next >= config.outputPages) return;
      level++;
      word = 2 * ((at / (config.entryPages[level] as number)) & config.indexMask);
      table = (next + (word >>> 10)) as Out;
    }
  }

  private descriptor(config: StageConfig, level: number, goal: Goal | undefined): [number, number] {
    const { chance } = this;
    if (goal !== undefined) {
      if (level < goal.level) return this.table(config, true);
      const [lo, hi] = this.leaf(config, level, goal.output);
      // Sound, but for the access flag and the attributes now and then.
      return chance.oneIn(30) ? [lo, hi] : [(lo | 0x4c0 | (level === 3 ? 3 : 1)) >>> 0, hi];
    }
    const kind = chance.below(100);
    if (kind < 4) return [(chance.below(0x3fffffff) << 2) | (level === 3 ? 1 : 0), chance.below(0x10000)];
    // QEMU 7.2 takes a block at any level; the pseudocode's AArch64_BlockDescSupported does not, nor does QEMU since 8.1.
    if (kind < 6 && level >= config.firstBlockLevel) return [(chance.below(0xfffff) << 12) | 0x400 | 1, 0];
    if (level < 3 && (kind < 65 || level < config.firstBlockLevel)) return this.table(config, false);
    return this.leaf(config, level, this.output(config));
  }

  private table(config: StageConfig, sound: boolean): [number, number] {
    const { chance } = this;
    let page: number =
      config.stage === 2
        ? this.machine.allocate(config.granulePages, config.granulePages)
        : this.stage1Table(config.granulePages);
    if (!sound && chance.oneIn(config.stage === 2 ? 12 : 25))
      page += 2 ** chance.pick([20, 24, 28, 30, 32, 35]);
    // Ignored bits, and at stage 1 the table's permissions.
    const high = sound || chance.oneIn(2) ? 0 : (chance.below(0x20) << 27) | (chance.below(0x80) << 20);
    const lowIgnored = this.lowIgnored(config) | (chance.below(0x400) << 2);
    return [(addressLo(page) | lowIgnored | 3) >>> 0, (addressHi(page) | high) >>> 0];
  }

  /** Address bits below the granule: ignored, or OA[51:48] with FEAT_LPA and 64 KiB. */
  private lowIgnored(config: StageConfig): number {
    const { chance, cpu } = this;
    if (!chance.oneIn(8)) return 0;
    const bits = (config.granulePages - 1) << 12;
    return chance.below(0x10000) & bits & (cpu.has52Bits && config.granuleShift === 16 ? 0 : -1);
  }

  private leaf(config: StageConfig, level: number, output: number): [number, number] {
    const { chance } = this;
    // Shareability 0b01 is reserved; so are some of stage 2's memory types.
    let low = chance.below(0x1000) & ~0b11;
    if (((low >> 8) & 3) === 1) low |= 0x200;
    if (config.stage === 2 && (low & 0x30) !== 0 && (low & 0x0c) === 0) low |= 0x04;
    if (!chance.oneIn(this.cpu.updatesAlways === true ? 2 : 6)) low |= 0x400;
    if (config.stage === 2 && !chance.oneIn(6)) low |= 0x40;
    const high = chance.below(0x2000) << 19;
    return [
      (addressLo(output) | this.lowIgnored(config) | low | (level === 3 ? 3 : 1)) >>> 0,
      (addressHi(output) | high) >>> 0,
    ];
  }

  /** A leaf's output: for stage 1 an IPA inside of stage 2's range as a rule, for stage 2 any address. */
  private output(config: StageConfig): number {
    const { chance, stage2 } = this;
    const limit =
      config.stage === 1 && stage2.enabled && !chance.oneIn(20) ? stage2.pages : config.outputPages;
    const inRange = Math.min(limit, config.outputPages);
    if (chance.oneIn(config.stage === 2 ? 8 : 25)) return 2 ** 35 + chance.below(2 ** 35);
    return chance.below(inRange);
  }
}

/** The input of a case as the payload reads it. */
export function encodeCase({ registers, queries }: Case, memory: readonly bigint[]): bigint[] {
  const r = registers;
  return [
    ...[r.TCR_EL1, r.TTBR0_EL1, r.TTBR1_EL1, r.SCTLR_EL1, r.MAIR_EL1, r.VTCR_EL2, r.VTTBR_EL2, r.HCR_EL2],
    BigInt(memory.length / 2),
    ...memory,
    BigInt(queries.length),
    ...queries.flatMap((query) => [BigInt(OPERATIONS.indexOf(query.operation)), query.address]),
  ];
}
