/**
 * Random guest programs that mean the profiling unit harm: whatever they write to its registers, wherever its buffer lies, while
 * they edit the tables that translate it, with its interrupt taken, left pending or masked. A program is laid out in the first
 * 2 MiB of memory and goes on for ever.
 */
import { ENCODINGS, type Encoding, REGISTERS } from "../../src/arm/registers.ts";
import type { RandomStream } from "../../src/common/random.ts";
import { assemble, randomProgram } from "../../src/cpu/spe/random-program.testing.ts";

/** Where memory begins, and how much there is. */
export const RAM = { base: 0x4000_0000, pages: 512 } as const;
const PAGE_BYTES = 4096;
/** From the start of memory: each vCPU's code, then the vectors, tables of three levels, and data. Buffers lie anywhere. */
const CODE_BYTES = 0x4000;
const MOST_VCPUS = 4;
const VECTORS = MOST_VCPUS * CODE_BYTES;
const TABLES = VECTORS + PAGE_BYTES;
const LEAVES = TABLES + 2 * PAGE_BYTES;
const DATA = TABLES + 3 * PAGE_BYTES;
const BUFFERS = DATA + 4 * PAGE_BYTES;

/** Where one vCPU's program begins. */
export const entryOf = (vcpu: number): number => RAM.base + vcpu * CODE_BYTES;

/** What a program is told of the machine that it runs on. */
export interface Surroundings {
  readonly vcpus: number;
}

/** Bytes of memory as the programs want them before they run. */
export interface Layout {
  readonly address: number;
  readonly words: readonly number[];
}

const SPE_REGISTERS = REGISTERS.filter(({ name }) => /^PM[BS].*_EL1$/.test(name)).map(
  ({ name }) => ENCODINGS[name as keyof typeof ENCODINGS],
);
/** The PMU's, of which some events have the core follow each instruction. */
const PMU_REGISTERS: readonly Encoding[] = [
  ENCODINGS.PMCR_EL0,
  ENCODINGS.PMCNTENSET_EL0,
  ENCODINGS.PMCNTENCLR_EL0,
  ENCODINGS.PMINTENSET_EL1,
  ENCODINGS.PMOVSCLR_EL0,
  [3, 3, 14, 8, 0],
  [3, 3, 14, 12, 0],
  [3, 3, 14, 12, 1],
];
const ICC = {
  PMR: [3, 0, 4, 6, 0],
  IAR1: [3, 0, 12, 12, 0],
  EOIR1: [3, 0, 12, 12, 1],
  SRE: [3, 0, 12, 12, 5],
  IGRPEN1: [3, 0, 12, 12, 7],
} as const satisfies Record<string, Encoding>;

/** X12 to X14 are scratch; the handlers have X9. */
const VALUE = 12;
const PLACE = 13;
const COUNT = 14;
const HANDLERS = 9;
/** Where a program begins, and PSTATE of EL1 as the handlers restore them. */
const START = 28;
const AT_EL1 = 29;
const ZERO = 31;
const EL1H = 5n;
const ALL_MASKED = 0x3c0n;
const PMBIRQ = 21;

const system = (name: "MSR_reg" | "MRS", [op0, op1, CRn, CRm, op2]: Encoding, Rt: number): number =>
  assemble(name, { o0: op0 - 2, op1, CRn, CRm, op2, Rt });
const write = (register: Encoding, rt: number): number => system("MSR_reg", register, rt);
const read = (register: Encoding, rt: number): number => system("MRS", register, rt);

/** A register takes a value: as many moves as its bits need. */
function move(rd: number, value: bigint): readonly number[] {
  const halves = [0, 1, 2, 3].map((hw) => ({ hw, imm16: Number((value >> BigInt(16 * hw)) & 0xffffn) }));
  const [first = { hw: 0, imm16: 0 }, ...rest] = halves.filter(({ imm16 }) => imm16 !== 0);
  return [
    assemble("MOVZ", { sf: 1, Rd: rd, ...first }),
    ...rest.map((half) => assemble("MOVK", { sf: 1, Rd: rd, ...half })),
  ];
}

const set = (register: Encoding, value: bigint): readonly number[] => [
  ...move(VALUE, value),
  write(register, VALUE),
];

const ISB = assemble("ISB", { CRm: 15 });
const DSB = assemble("DSB", { CRm: 15 });
const PSB_CSYNC = assemble("HINT", { CRm: 2, op2: 1 });
const ERET = assemble("ERET");
/** TLBI VMALLE1, VMALLE1IS, and VAE1 of X13. */
const TLBIS = [
  assemble("SYS", { op1: 0, CRn: 8, CRm: 7, op2: 0, Rt: ZERO }),
  assemble("SYS", { op1: 0, CRn: 8, CRm: 3, op2: 0, Rt: ZERO }),
  assemble("SYS", { op1: 0, CRn: 8, CRm: 7, op2: 1, Rt: PLACE }),
];
const HVC = assemble("HVC");
const DAIFSET = assemble("MSR_imm", { op1: 3, op2: 6, CRm: 2 });
const DAIFCLR = assemble("MSR_imm", { op1: 3, op2: 7, CRm: 2 });
const STR_X12_X13 = assemble("STR_imm_unsigned", { size: 3, imm12: 0, Rn: PLACE, Rt: VALUE });
const STR_W12_X13 = assemble("STR_imm_unsigned", { size: 2, imm12: 0, Rn: PLACE, Rt: VALUE });
const store32 = (address: number, value: number): readonly number[] => [
  ...move(PLACE, BigInt(address)),
  ...move(VALUE, BigInt(value)),
  STR_W12_X13,
];

const oneOf = <T>(random: RandomStream, all: readonly T[]): T => all[random.integer(0, all.length - 1)] as T;
const chance = (random: RandomStream, percent: number): boolean => random.integer(0, 99) < percent;
const anyBits = (random: RandomStream): bigint =>
  BigInt.asUintN(
    64,
    (BigInt(random.integer(0, 0x7fff_ffff)) << 33n) ^ BigInt(random.integer(0, 0x7fff_ffff)),
  );

/** An address that somebody should care about, of a page. */
const place = (random: RandomStream): bigint =>
  oneOf<() => bigint>(random, [
    () => BigInt(RAM.base + BUFFERS + PAGE_BYTES * random.integer(0, RAM.pages - BUFFERS / PAGE_BYTES - 1)),
    () => BigInt(RAM.base + BUFFERS + PAGE_BYTES * random.integer(0, 15)),
    () => BigInt(RAM.base + BUFFERS + PAGE_BYTES * random.integer(0, 15)),
    () => BigInt(RAM.base + BUFFERS + PAGE_BYTES * random.integer(0, 60)),
    () => BigInt(RAM.base + TABLES + PAGE_BYTES * random.integer(0, 2)),
    () => BigInt(RAM.base + VECTORS),
    () => BigInt(RAM.base + PAGE_BYTES * random.integer(0, (MOST_VCPUS * CODE_BYTES) / PAGE_BYTES - 1)),
    // The end of memory, and what is behind it.
    () => BigInt(RAM.base + PAGE_BYTES * (RAM.pages - random.integer(0, 2))),
    // The same memory at another address; nothing at all.
    () => BigInt(0xc000_0000 + BUFFERS + PAGE_BYTES * random.integer(0, 31)),
    () => BigInt(0x8000_0000 + PAGE_BYTES * random.integer(0, 0xffff)),
    // GIC, UART, a virtio transport.
    () => BigInt(oneOf(random, [0x800_0000, 0x80a_0000, 0x900_0000, 0xa00_0000])),
    () => 2n ** 64n - BigInt(PAGE_BYTES * random.integer(1, 3)),
    () => 0n,
    () => anyBits(random) & ~0xfffn,
  ])();

/** Values that mean something: small, of a page, an address, or any bits. */
const value = (random: RandomStream): bigint =>
  oneOf<() => bigint>(random, [
    () => BigInt(random.integer(0, 0xff)),
    () => BigInt(random.integer(1, 40)) << 8n,
    () => place(random),
    () => place(random) | BigInt(random.integer(0, 0xfff)),
    () => place(random) | 1n,
    () => 1n << BigInt(random.integer(0, 63)),
    () => anyBits(random),
    () => 2n ** 64n - 1n,
  ])();

/** A buffer somewhere, aligned or not, and profiling as a driver would have it. */
function enable(random: RandomStream): readonly number[] {
  const base = place(random);
  const pages = oneOf(random, [0, 1, 1, 2, 2, 3, 8, 40, 0x1_0000]);
  const pointer = base + BigInt(chance(random, 70) ? 0 : random.integer(0, 0xfff));
  const limit = BigInt.asUintN(64, base + BigInt(pages) * 4096n);
  const mode = chance(random, 10) ? 4n : 0n;
  const words = [
    ...set(ENCODINGS.PMBPTR_EL1, pointer),
    ...set(ENCODINGS.PMSIRR_EL1, BigInt(random.integer(1, 3)) << 8n),
    ...(chance(random, 50) ? set(ENCODINGS.PMSFCR_EL1, 0n) : []),
    ...set(ENCODINGS.PMSCR_EL1, BigInt(random.integer(1, 3)) | (BigInt(random.integer(0, 15)) << 3n)),
    ...(chance(random, 80) ? [write(ENCODINGS.PMBSR_EL1, ZERO)] : []),
    ...set(ENCODINGS.PMBLIMITR_EL1, limit | mode | 1n),
  ];
  return chance(random, 50) ? [...words, ISB] : words;
}

const VALID = 1n;
const PAGE = 2n;
const AF = 1n << 10n;
const NORMAL = (1n << 2n) | (3n << 8n);
const AP = { rwEl1: 0n, rwAll: 1n << 6n, roEl1: 2n << 6n, roAll: 3n << 6n } as const;
const DBM = 1n << 51n;

/** A leaf of the last level: mostly one that works. */
function leaf(random: RandomStream, output: bigint): bigint {
  const whole = output | VALID | PAGE | NORMAL | AF;
  return oneOf<() => bigint>(random, [
    () => whole | AP.rwAll,
    () => whole | AP.rwAll,
    () => whole | AP.rwEl1,
    () => whole | AP.roEl1,
    () => whole | AP.roAll | DBM,
    () => (whole | AP.rwAll) & ~AF,
    () => whole & ~VALID,
    () => whole & ~NORMAL,
    () => anyBits(random),
    () => 0n,
  ])();
}

/** An entry of the tables changes, and what was known of it is forgotten, or not. */
function edit(random: RandomStream): readonly number[] {
  const page = random.integer(BUFFERS / PAGE_BYTES, RAM.pages - 1);
  // Mostly of a page that buffers lie in; now and then of what the program itself needs, which is soon its end.
  const entry = chance(random, 2)
    ? oneOf(random, [TABLES + 8 * random.integer(0, 3), LEAVES + 8 * random.integer(0, RAM.pages - 1)])
    : LEAVES + 8 * (chance(random, 70) ? BUFFERS / PAGE_BYTES + random.integer(0, 15) : page);
  const output = chance(random, 70) ? BigInt(RAM.base + PAGE_BYTES * page) : place(random);
  const words = [
    ...move(PLACE, BigInt(RAM.base + entry)),
    ...move(VALUE, leaf(random, BigInt.asUintN(48, output))),
    STR_X12_X13,
  ];
  return chance(random, 50) ? words : [...words, DSB, oneOf(random, TLBIS), DSB, ISB];
}

/** An exception return to what follows, at EL0 or EL1; or to anything. */
function returns(random: RandomStream): readonly number[] {
  const state = oneOf(random, [0n, 0n, EL1H, EL1H | ALL_MASKED, 4n, anyBits(random) & 0xffff_ffffn]);
  const words = [...move(VALUE, state), write(ENCODINGS.SPSR_EL1, VALUE)];
  return [
    ...words,
    // ADR to behind the ERET.
    assemble("ADR", { immhi: 3, Rd: VALUE }),
    write(ENCODINGS.ELR_EL1, VALUE),
    ERET,
  ];
}

/** X1 and X2 as random programs need them. */
const pointers = (): readonly number[] => [
  ...move(1, BigInt(RAM.base + DATA)),
  ...move(2, BigInt(RAM.base + DATA + 3)),
];

/** Loads, stores and branches, enough for samples to come. */
function loop(random: RandomStream): readonly number[] {
  const body = [
    assemble("LDR_imm_unsigned", { size: 3, imm12: random.integer(0, 63), Rn: 1, Rt: 4 }),
    assemble("STR_imm_unsigned", { size: 3, imm12: random.integer(0, 63), Rn: 1, Rt: 4 }),
    assemble("SUBS_imm", { sf: 1, imm12: 1, Rn: COUNT, Rd: COUNT }),
  ];
  return [
    ...move(COUNT, BigInt(random.integer(1, 600))),
    ...body,
    assemble("B_cond", { cond: 1, imm19: -body.length & 0x7_ffff }),
  ];
}

/** PSCI: another vCPU is switched on, or this one off. */
function power(random: RandomStream, { vcpus }: Surroundings): readonly number[] {
  const target = random.integer(0, vcpus - 1);
  if (vcpus > 1 && chance(random, 10)) return [...move(0, 0x8400_0002n), HVC];
  return [
    ...move(0, 0xc400_0003n),
    ...move(1, BigInt(target)),
    ...move(2, BigInt(entryOf(target))),
    HVC,
    ...pointers(),
  ];
}

function snippet(random: RandomStream, around: Surroundings): readonly number[] {
  return oneOf<() => readonly number[]>(random, [
    () => [...enable(random), ...loop(random)],
    () => [...enable(random), ...loop(random)],
    () => enable(random),
    () => loop(random),
    () => set(oneOf(random, SPE_REGISTERS), value(random)),
    () => set(oneOf(random, SPE_REGISTERS), value(random)),
    () => [read(oneOf(random, SPE_REGISTERS), VALUE)],
    () => set(ENCODINGS.PMBLIMITR_EL1, 0n),
    () => [write(ENCODINGS.PMBSR_EL1, ZERO)],
    () => edit(random),
    () => edit(random),
    () => [PSB_CSYNC],
    () => [PSB_CSYNC, DSB, ISB],
    () => [ISB],
    () => [DAIFSET],
    () => [DAIFCLR],
    () => [DAIFCLR],
    () => returns(random),
    () => set(oneOf(random, PMU_REGISTERS), value(random)),
    () => power(random, around),
    // ASIDs, and the MMU off and on.
    () => set(ENCODINGS.TTBR0_EL1, BigInt(RAM.base + TABLES) | (BigInt(random.integer(0, 3)) << 48n)),
    () => (chance(random, 20) ? set(ENCODINGS.SCTLR_EL1, 0x30d0_0800n) : [ISB]),
  ])();
}

/** What a vCPU does first: stage 1 on or not, vectors, its interrupt controller. */
function prologue(vcpu: number, translates: boolean): readonly number[] {
  const redistributor = 0x80a_0000 + vcpu * 0x2_0000;
  const tcr =
    25n | (25n << 16n) | (1n << 8n) | (1n << 10n) | (3n << 12n) | (2n << 30n) | (1n << 23n) | (1n << 32n);
  return [
    ...set(ENCODINGS.VBAR_EL1, BigInt(RAM.base + VECTORS)),
    ...set(ENCODINGS.CPACR_EL1, 3n << 20n),
    ...store32(redistributor + 0x14, 0),
    ...store32(0x800_0000, 2),
    ...set(ICC.SRE, 7n),
    ...set(ICC.PMR, 0xf0n),
    ...set(ICC.IGRPEN1, 1n),
    ...store32(redistributor + 0x1_0080, 0xffff_ffff),
    ...store32(redistributor + 0x1_0100, 1 << PMBIRQ),
    ...set(ENCODINGS.MAIR_EL1, 0xff00n),
    ...set(ENCODINGS.TCR_EL1, tcr),
    ...set(ENCODINGS.TTBR0_EL1, BigInt(RAM.base + TABLES)),
    ISB,
    ...(translates ? set(ENCODINGS.SCTLR_EL1, 0x30d0_0800n | 1n | 4n | (1n << 12n)) : []),
    ISB,
    ...pointers(),
    ...move(AT_EL1, EL1H),
  ];
}

/** A program of a vCPU: a bit of everything, with snippets in between. */
function program(
  random: RandomStream,
  vcpu: number,
  around: Surroundings,
  translates: boolean,
): readonly number[] {
  const words = randomProgram(random, random.integer(30, 200)).words.slice(0, -1);
  const first = prologue(vcpu, translates);
  const made: number[] = [];
  // The others begin when somebody switches them on.
  if (vcpu === 0)
    for (let other = 1; other < around.vcpus; other++)
      made.push(
        ...move(0, 0xc400_0003n),
        ...move(1, BigInt(other)),
        ...move(2, BigInt(entryOf(other))),
        HVC,
        ...pointers(),
      );
  for (const word of words) {
    made.push(word);
    if (chance(random, 25)) made.push(...snippet(random, around));
  }
  const loop = entryOf(vcpu) + 4 * (first.length + 5);
  const start = move(START, BigInt(loop));
  // As long as any other: `loop` is behind it.
  const padded = [...start, ...Array<number>(5 - start.length).fill(ISB)];
  return [...first, ...padded, ...made, assemble("B", { imm26: -made.length & 0x3ff_ffff })];
}

/** B.EQ to so many words ahead. */
const ifEqual = (ahead: number): number => assemble("B_cond", { cond: 0, imm19: ahead });
const isClass = (ec: number): number => assemble("SUBS_imm", { sf: 1, imm12: ec, Rn: HANDLERS, Rd: ZERO });

/** SVC goes on at EL1, what cannot be fetched starts the program again, and anything else is stepped over. */
const SYNCHRONOUS: readonly number[] = [
  read(ENCODINGS.ESR_EL1, HANDLERS),
  // LSR X9, X9, #26
  assemble("UBFM", { sf: 1, N: 1, immr: 26, imms: 63, Rn: HANDLERS, Rd: HANDLERS }),
  isClass(0x15),
  ifEqual(11),
  isClass(0x20),
  ifEqual(11),
  isClass(0x21),
  ifEqual(9),
  // PSTATE.IL would come back with the state that was saved.
  isClass(0x0e),
  ifEqual(7),
  read(ENCODINGS.ELR_EL1, HANDLERS),
  assemble("ADD_imm", { sf: 1, imm12: 4, Rn: HANDLERS, Rd: HANDLERS }),
  write(ENCODINGS.ELR_EL1, HANDLERS),
  ERET,
  write(ENCODINGS.SPSR_EL1, AT_EL1),
  ERET,
  write(ENCODINGS.ELR_EL1, START),
  write(ENCODINGS.SPSR_EL1, AT_EL1),
  ERET,
];

/** It takes the interrupt, and lets the unit go on, or not: then it comes again at once. */
const interrupt = (random: RandomStream): readonly number[] => [
  read(ICC.IAR1, HANDLERS),
  ...(chance(random, 30) ? [PSB_CSYNC, DSB] : []),
  ...(chance(random, 80) ? [write(ENCODINGS.PMBSR_EL1, ZERO)] : []),
  ...(chance(random, 30) ? [write(ENCODINGS.PMBLIMITR_EL1, ZERO)] : []),
  write(ICC.EOIR1, HANDLERS),
  ERET,
];

function vectors(random: RandomStream): readonly number[] {
  const words = Array<number>(PAGE_BYTES / 4).fill(ERET);
  const put = (at: number, code: readonly number[]): void => {
    words.splice(at / 4, code.length, ...code);
  };
  const irq = interrupt(random);
  for (const from of [0, 0x200, 0x400]) {
    put(from, SYNCHRONOUS);
    put(from + 0x80, irq);
  }
  return words;
}

const halves = (entry: bigint): readonly number[] => [Number(entry & 0xffff_ffffn), Number(entry >> 32n)];

/** Devices as they lie, memory by pages, nothing behind it, and memory once more in a block. */
function tables(random: RandomStream): readonly number[] {
  const block = (output: number): bigint => BigInt(output) | VALID | AF | NORMAL;
  const table = (offset: number): bigint => BigInt(RAM.base + offset) | VALID | PAGE;
  const device = VALID | AF;
  const level1 = [device, table(TABLES + PAGE_BYTES), block(0x8000_0000), block(RAM.base)];
  const level2 = [table(LEAVES), block(RAM.base + RAM.pages * PAGE_BYTES)];
  const level3 = Array.from({ length: RAM.pages }, (_, page) => {
    const output = BigInt(RAM.base + PAGE_BYTES * page);
    const whole = output | VALID | PAGE | NORMAL | AF;
    // What EL0 may write to EL1 does not execute.
    if (page < VECTORS / PAGE_BYTES) return whole | AP.roAll;
    if (page < DATA / PAGE_BYTES) return whole | AP.rwEl1;
    if (page < BUFFERS / PAGE_BYTES || chance(random, 85)) return whole | AP.rwAll;
    return leaf(random, output);
  });
  const filled = (entries: readonly bigint[]): readonly bigint[] => [
    ...entries,
    ...Array<bigint>(512 - entries.length).fill(0n),
  ];
  return [level1, level2, level3].flatMap((entries) => filled(entries).flatMap(halves));
}

/** What lies in memory before vCPU 0 begins at `entryOf(0)`. */
export function hostileGuest(random: RandomStream, around: Surroundings): readonly Layout[] {
  const translates = chance(random, 75);
  return [
    ...Array.from({ length: around.vcpus }, (_, vcpu) => ({
      address: entryOf(vcpu),
      words: program(random, vcpu, around, translates),
    })),
    { address: RAM.base + VECTORS, words: vectors(random) },
    { address: RAM.base + TABLES, words: tables(random) },
  ];
}
