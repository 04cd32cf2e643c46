/**
 * Sequences of two to six instructions that have to do with each other: few registers, one base address, and shapes in which
 * one instruction's result is what the next one goes by.
 */
import type { Decoder } from "../../src/a64/decoder.ts";
import { fieldsOf, type Row } from "../../src/a64/encoding.ts";
import type { RandomStream } from "../../src/common/random.ts";
import { exclusionOf, isUnpredictable } from "./exclusions.ts";
import { INPUT, PLACES } from "./format.ts";
import {
  isAccess,
  isBranch,
  type Subject,
  someVector,
  someWord,
  withFields,
  writeState,
  writeWords,
  writeX,
} from "./generate.ts";
import { chance, integer, pick, related } from "./values.ts";

const LONGEST = 6;
/** X0 to X5 and V0 to V5 are operands; X10 is the base of accesses, X11 a small offset. */
const OPERANDS = 6;
const BASE = 10;
const OFFSET = 11;
const SP = 31;
const ZR = 31;
const EXCLUSIVE = /^(LD|ST)A?L?X[RP]$/;
/** NZCV, as MRS and MSR have it: of other registers a program on QEMU sees more, or less. */
const NZCV = { o0: 1, op1: 3, CRn: 4, CRm: 2, op2: 0 };

/** Rows that stand anywhere in a sequence. */
const isFree = (row: Row): boolean =>
  exclusionOf(row) === undefined && !EXCLUSIVE.test(row.name) && !/^(BR|BLR|RET|BRK|MSR_imm)$/.test(row.name);

const isVectorRow = (row: Row): boolean =>
  row.group.startsWith("Advanced SIMD") || row.group.startsWith("Floating point");

export interface Sequences {
  readonly decoder: Decoder;
  readonly all: readonly Subject[];
  readonly setsFlags: readonly Subject[];
  readonly usesFlags: readonly Subject[];
  readonly stores: readonly Subject[];
  readonly loads: readonly Subject[];
  readonly computes: readonly Subject[];
  readonly exclusives: ReadonlyMap<string, Subject>;
}

export function sequencesOf(subjects: readonly Subject[], decoder: Decoder): Sequences {
  const all = subjects.filter(({ row }) => isFree(row));
  const named = (names: RegExp): readonly Subject[] => all.filter(({ row }) => names.test(row.name));
  return {
    decoder,
    all,
    setsFlags: named(/^(ADDS|SUBS|ANDS|BICS|ADCS|SBCS|CCM[NP]|FCMP|FCCMP|MSR_reg)/),
    usesFlags: named(/^(B_cond|CSEL|CSINC|CSINV|CSNEG|ADC|SBC|CCM[NP]|FCSEL|FCCMP|MRS)/),
    stores: named(/^(ST|CAS|SWP|LDADD|LDSET|LDST_)/),
    loads: named(/^(LD|CAS|SWP)/),
    computes: all.filter(({ row }) => !isAccess(row) && !isBranch(row)),
    exclusives: new Map(
      subjects.filter(({ row }) => EXCLUSIVE.test(row.name)).map((subject) => [subject.row.name, subject]),
    ),
  };
}

/** A word of a row over the registers of sequences. Undefined: none that is predictable was found. */
function wordOf(
  { row }: Subject,
  left: number,
  { decoder }: Sequences,
  random: RandomStream,
  fixed: Record<string, number> = {},
): number | undefined {
  for (let tries = 0; tries < 20; tries++) {
    const word = someWord(row, decoder, random);
    if (word === undefined) return undefined;
    const fields: Record<string, number> = {};
    for (const name of ["Rd", "Rn", "Rm", "Ra", "Rt", "Rt2", "Rs"])
      if (row.fields[name] !== undefined)
        fields[name] = chance(random, 20) && !row.sp.includes(name) ? ZR : random.integer(0, OPERANDS - 1);
    if (isAccess(row)) {
      // SP stays aligned: QEMU does not check that for Linux programs.
      const mayBeSp = !/_(pre|post)$/.test(row.name);
      if (row.fields["Rn"] !== undefined) fields["Rn"] = mayBeSp && chance(random, 10) ? SP : BASE;
      if (row.name === "SYS") fields["Rt"] = BASE;
      if (row.fields["Rm"] !== undefined) fields["Rm"] = row.name.includes("_reg") ? OFFSET : ZR;
      if (row.fields["imm12"] !== undefined) fields["imm12"] = random.integer(0, 40);
    }
    if (row.name === "CASP") for (const name of ["Rs", "Rt"]) fields[name] = 2 * random.integer(0, 2);
    if (row.name === "MSR_reg") Object.assign(fields, NZCV);
    // Branches go forward, to the end at most.
    for (const name of ["imm26", "imm19", "imm14"])
      if (isBranch(row) && row.fields[name] !== undefined) fields[name] = random.integer(1, left);
    const made = withFields(row, word, { ...fields, ...fixed });
    if (decoder.decode(made) === row && !isUnpredictable(row, fieldsOf(row, made))) return made;
  }
  return undefined;
}

/** Which subjects follow each other, and operands that must be as they are. */
type Plan = readonly { readonly subject: Subject; readonly fixed?: Record<string, number> }[];

function planOf(s: Sequences, random: RandomStream): Plan {
  const length = random.integer(2, LONGEST);
  const some = (from: readonly Subject[], count: number): Plan =>
    Array.from({ length: count }, () => ({ subject: pick(random, from) }));
  switch (random.integer(0, 4)) {
    case 0: {
      const uses = random.integer(1, length - 1);
      return [...some(s.computes, length - uses - 1), ...some(s.setsFlags, 1), ...some(s.usesFlags, uses)];
    }
    case 1: {
      const loads = random.integer(1, length - 1);
      return [...some(s.stores, length - loads), ...some(s.loads, loads)];
    }
    case 2:
      return exclusive(s, random, length);
    default:
      return some(s.all, length);
  }
}

/** A load-exclusive, what fits between, the store-exclusive of its size; and something that goes by the outcome. */
function exclusive(s: Sequences, random: RandomStream, length: number): Plan {
  const pair = chance(random, 3);
  const of = (names: readonly string[]): Subject => s.exclusives.get(pick(random, names))!;
  const load = of(pair ? ["LDXP", "LDAXP"] : ["LDXR", "LDAXR"]);
  const store = of(pair ? ["STXP", "STLXP"] : ["STXR", "STLXR"]);
  const size: Record<string, number> = pair ? { sz: random.integer(0, 1) } : { size: random.integer(0, 3) };
  // At YIELD QEMU lets others run, and the monitor is clear afterwards, as it may be.
  const between = Array.from({ length: random.integer(0, length - 2) }, () => ({
    subject: pick(random, s.computes),
  })).filter(({ subject }) => subject.row.name !== "HINT");
  const after = length - 2 - between.length;
  return [
    { subject: load, fixed: { ...size, Rn: BASE, Rt: 0, ...(pair ? { Rt2: 1 } : {}) } },
    ...between,
    { subject: store, fixed: { ...size, Rn: BASE, Rs: 5, Rt: 2, ...(pair ? { Rt2: 3 } : {}) } },
    ...Array.from({ length: after }, () => ({ subject: pick(random, s.all) })),
  ];
}

/**
 * Writes a sequence into `cases`.
 * @returns its instructions in order; undefined: none came of this draw
 */
export function writeSequence(
  sequences: Sequences,
  random: RandomStream,
  cases: Uint8Array,
  index: number,
): readonly Subject[] | undefined {
  const plan = planOf(sequences, random);
  const words: number[] = [];
  for (const [i, { subject, fixed }] of plan.entries()) {
    const word = wordOf(subject, plan.length - i, sequences, random, fixed);
    if (word === undefined) return undefined;
    words.push(word);
  }
  const view = new DataView(cases.buffer, cases.byteOffset + index * INPUT.BYTES, INPUT.BYTES);
  writeState(view, random, true);
  for (let n = 0; n < OPERANDS; n++) {
    const before = n > 0 && chance(random, 4) ? view.getBigUint64(INPUT.X + 8 * (n - 1), true) : undefined;
    writeX(
      view,
      n,
      before === undefined ? integer(random, chance(random, 3) ? 32 : 64) : related(random, before),
    );
  }
  const vectors = plan.filter(({ subject }) => isVectorRow(subject.row));
  if (vectors.length > 0)
    for (let n = 0; n < OPERANDS + 3; n++) {
      const { row } = pick(random, vectors).subject;
      someVector(view, row, fieldsOf(row, words[plan.findIndex((p) => p.subject.row === row)]!), n, random);
    }
  const offset = BigInt(random.integer(0, 3) * 8);
  writeX(view, OFFSET, chance(random, 4) ? -offset : offset);
  writeX(view, BASE, PLACES.data + BigInt(someOffset(random)));
  writeWords(view, words, false);
  return plan.map(({ subject }) => subject);
}

/** Where the accesses of a sequence lie: mostly aligned, often where the two pages meet, seldom at an end. */
function someOffset(random: RandomStream): number {
  const page = PLACES.dataBytes / 2;
  switch (random.integer(0, 7)) {
    case 0:
      return page - random.integer(0, 64);
    case 1:
    case 2:
      return page - 8 * random.integer(0, 8);
    case 3:
      return pick(random, [0, PLACES.dataBytes]) + random.integer(-40, 40);
    default:
      return 16 * random.integer(32, PLACES.dataBytes / 16 - 64);
  }
}
