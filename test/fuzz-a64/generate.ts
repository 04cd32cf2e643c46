/** Random cases: a word of an encoding, in a state in which it has something to do. */
import type { Decoder } from "../../src/a64/decoder.ts";
import type { Semantics } from "../../src/a64/emit.ts";
import { type Fields, fieldsOf, type Row } from "../../src/a64/encoding.ts";
import type { RandomStream } from "../../src/common/random.ts";
import { exclusionOf, isUnpredictable } from "./exclusions.ts";
import { fillData, INPUT, MOST_WORDS, PLACES } from "./format.ts";
import { bits32, bits64, chance, float, integer, pick, related } from "./values.ts";

export interface Subject {
  readonly row: Row;
  readonly semantics: Semantics;
}

const MEMORY_GROUPS = [
  "Loads and stores",
  "Exclusive, ordered and atomic accesses",
  "Advanced SIMD loads and stores",
];
const BRANCHES = ["B", "BL", "B_cond", "CBZ", "CBNZ", "TBZ", "TBNZ", "BR", "BLR", "RET"];
/** Whether a row has operands in memory, by a base register. */
export const isAccess = (row: Row): boolean => MEMORY_GROUPS.includes(row.group) || row.name === "SYS";
export const isBranch = (row: Row): boolean => BRANCHES.includes(row.name);
const isFloat = (row: Row): boolean =>
  row.group.startsWith("Floating point") || row.group.startsWith("Advanced SIMD floating");

/** FPCR: AHP, DN, FZ and the rounding mode. */
const someFpcr = (random: RandomStream): number =>
  chance(random, 3) ? 0 : chance(random, 3) ? 1 << 24 : (random.integer(0, 31) << 22) >>> 0;

/** System registers that EL0 reaches, or is refused, alike in Linux programs and here. */
const REGISTERS: readonly (readonly [number, number, number, number, number])[] = [
  [3, 3, 4, 2, 0],
  [3, 3, 4, 4, 0],
  [3, 3, 4, 4, 1],
  [3, 0, 1, 0, 0],
  [3, 0, 2, 0, 0],
  [3, 0, 4, 0, 0],
  [3, 0, 4, 2, 2],
  [3, 0, 12, 0, 0],
];

/** DC CVAC, CVAU, CIVAC, ZVA and IC IVAU: op1, CRn, CRm, op2. */
const MAINTENANCE = [
  [3, 7, 10, 1],
  [3, 7, 11, 1],
  [3, 7, 14, 1],
  [3, 7, 4, 1],
  [3, 7, 5, 1],
] as const;

/** A word with other values in some of its row's fields. */
export function withFields(row: Row, word: number, values: Record<string, number>): number {
  let out = word;
  for (const [name, value] of Object.entries(values)) {
    const { low, width } = row.fields[name]!;
    const mask = (2 ** width - 1) << low;
    out = (out & ~mask) | ((value << low) & mask);
  }
  return out >>> 0;
}

/** A word that decodes to the row. Undefined: none was found, or what was found is excluded. */
export function someWord(row: Row, decoder: Decoder, random: RandomStream): number | undefined {
  for (let tries = 0; tries < 400; tries++) {
    // Bits that are ignored should be ones or zeros: as the pattern's x, ones.
    let free = ~row.mask;
    let word = row.value;
    for (const { low, width } of Object.values(row.fields)) {
      const mask = (2 ** width - 1) << low;
      free &= ~mask;
      word |= bits32(random) & mask;
    }
    word |= free;
    if (row.name === "MRS" || row.name === "MSR_reg") {
      const [op0, op1, CRn, CRm, op2] = pick(random, REGISTERS);
      word = withFields(row, word, { o0: op0 - 2, op1, CRn, CRm, op2 });
    }
    if (row.name === "SYS") {
      const [op1, CRn, CRm, op2] = pick(random, MAINTENANCE);
      word = withFields(row, word, { op1, CRn, CRm, op2 });
    }
    // Short branches land where something is.
    if (row.fields["imm26"] !== undefined && chance(random, 2))
      word = withFields(row, word, { imm26: random.integer(-0x3_0000, 0x3_0000) });
    word >>>= 0;
    if (decoder.decode(word) !== row) continue;
    if (isUnpredictable(row, fieldsOf(row, word))) continue;
    return word;
  }
  return undefined;
}

/** Writes a case into `cases`; says whether there is one for this row. */
export function writeCase(
  subject: Subject,
  decoder: Decoder,
  random: RandomStream,
  cases: Uint8Array,
  index: number,
): boolean {
  const { row } = subject;
  if (exclusionOf(row) !== undefined) return false;
  const word = someWord(row, decoder, random);
  if (word === undefined) return false;
  const f = fieldsOf(row, word);
  const view = new DataView(cases.buffer, cases.byteOffset + index * INPUT.BYTES, INPUT.BYTES);
  const branches = isBranch(row);
  const memory = isAccess(row);
  const setX = (n: number, value: bigint): void => writeX(view, n, value);
  writeState(view, random, memory);
  for (const name of ["Rn", "Rm", "Ra", "Rd", "Rt", "Rt2", "Rs"] as const) {
    if (row.fields[name] === undefined) continue;
    const wide = row.fields["sf"] === undefined || f.sf === 1;
    if (f[name] !== 31) setX(f[name], integer(random, wide || chance(random, 4) ? 64 : 32));
    someVector(view, row, f, f[name], random);
  }
  // Two operands that have something to do with each other: equal ones, say.
  if (row.fields["Rn"] !== undefined && row.fields["Rm"] !== undefined && chance(random, 6)) {
    if (f.Rm !== 31 && f.Rn !== 31) setX(f.Rm, related(random, view.getBigUint64(INPUT.X + 8 * f.Rn, true)));
    if (chance(random, 2))
      for (let i = 0; i < 16; i += 8)
        view.setBigUint64(
          INPUT.V + 16 * f.Rm + i,
          related(random, view.getBigUint64(INPUT.V + 16 * f.Rn + i, true)),
          true,
        );
  }
  // The registers after Rn and Rt, which tables and structures take.
  for (const name of ["Rn", "Rt"] as const)
    if (row.fields[name] !== undefined)
      for (let i = 1; i < 4; i++) someVector(view, row, f, (f[name] + i) % 32, random);
  if (row.name === "MSR_reg") {
    // FPCR's bits that this machine has, FPSR's bits that there are.
    const bits = f.op2 === 0 && f.CRm === 4 ? random.integer(0, 31) << 22 : bits32(random) & 0x0800_009f;
    if (f.CRn === 4 && f.CRm === 4) setX(f.Rt, BigInt(bits >>> 0));
  }
  if (branches && row.fields["Rn"] !== undefined)
    setX(
      f.Rn,
      PLACES.branches +
        BigInt(4 * random.integer(0, PLACES.branchesBytes / 4 - 1)) +
        (chance(random, 10) ? BigInt(random.integer(1, 3)) : 0n),
    );
  const words = [word];
  if (memory) prepareAccess(subject, word, f, random, setX, words);
  if (/^CASP?$/.test(row.name) && !chance(random, 4)) expectMemory(view, row, f);
  writeWords(view, words, branches);
  return true;
}

export function writeX(view: DataView, n: number, value: bigint): void {
  view.setBigUint64(n === 31 ? INPUT.SP : INPUT.X + 8 * n, BigInt.asUintN(64, value), true);
}

/** A state like any other: random registers, flags and controls, SP in the data. */
export function writeState(view: DataView, random: RandomStream, memory: boolean): void {
  let bits = bits32(random) | 1;
  const fill = (from: number, to: number): void => {
    for (let at = from; at < to; at += 4) {
      bits ^= bits << 13;
      bits ^= bits >>> 17;
      bits ^= bits << 5;
      view.setInt32(at, bits, true);
    }
  };
  fill(0, INPUT.NZCV);
  fill(INPUT.V, INPUT.WORDS);
  view.setUint32(INPUT.NZCV, (random.integer(0, 15) << 28) >>> 0, true);
  view.setUint32(INPUT.FPCR, someFpcr(random), true);
  // With IXC set already, arithmetic may take its short way.
  const flags = chance(random, 3) ? bits32(random) & 0x0800_009f : 0;
  view.setUint32(INPUT.FPSR, chance(random, 2) ? flags | 0x10 : flags, true);
  view.setUint32(INPUT.MEMORY_SEED, memory ? bits32(random) | 1 : 0, true);
  view.setBigUint64(INPUT.SP, PLACES.data + BigInt(16 * random.integer(0, PLACES.dataBytes / 16)), true);
}

/** @param branches whether they jump about, and lie where there is room for that */
export function writeWords(view: DataView, words: readonly number[], branches: boolean): void {
  view.setUint32(INPUT.COUNT, words.length, true);
  view.setUint32(INPUT.BRANCHES, branches ? 1 : 0, true);
  for (let i = 0; i <= MOST_WORDS; i++) view.setUint32(INPUT.WORDS + 4 * i, words[i] ?? 0, true);
}

/** CAS and CASP find what they compare with. */
function expectMemory(view: DataView, row: Row, f: Fields): void {
  const data = new Uint32Array(PLACES.dataBytes / 4);
  fillData(data, 0, data.length, view.getUint32(INPUT.MEMORY_SEED, true) | 0);
  const base = view.getBigUint64(f.Rn === 31 ? INPUT.SP : INPUT.X + 8 * f.Rn, true) & ((1n << 56n) - 1n);
  const offset = base - PLACES.data;
  if (offset < 0n || offset > BigInt(PLACES.dataBytes - 16)) return;
  const bytes = new DataView(data.buffer, Number(offset), 16);
  const size = row.name === "CAS" ? f.size : 2 + f.sz;
  // What lies above the operand's size does not count.
  if (f.Rs !== 31) writeX(view, f.Rs, bytes.getBigUint64(0, true));
  if (row.name === "CASP" && f.Rs !== 30) writeX(view, f.Rs + 1, bytes.getBigUint64(1 << size, true));
}

/** Elements of one size, the row's if it has one. */
export function someVector(view: DataView, row: Row, f: Fields, n: number, random: RandomStream): void {
  const at = INPUT.V + 16 * n;
  const floats = isFloat(row) ? !chance(random, 4) : chance(random, 8);
  let size = random.integer(0, 3);
  if (row.fields["ftype"] !== undefined && floats) size = [2, 3, 3, 1][f.ftype]!;
  else if (row.fields["sz"] !== undefined && floats) size = 2 + (f.sz & 1);
  else if (row.fields["size"] !== undefined && !chance(random, 3)) size = f.size;
  if (floats && size === 0) size = 2;
  if (chance(random, 6)) return;
  const bits = 8 << size;
  const one = (): bigint => (floats ? float(random, bits) : integer(random, bits));
  const same = chance(random, 8) ? one() : undefined;
  for (let i = 0; i < 16; i += bits / 8) {
    const value = same ?? one();
    if (bits === 8) view.setUint8(at + i, Number(value));
    else if (bits === 16) view.setUint16(at + i, Number(value), true);
    else if (bits === 32) view.setUint32(at + i, Number(value), true);
    else view.setBigUint64(at + i, value, true);
  }
}

/** Points the base register at data, its ends, and the crossing of its two pages. */
function prepareAccess(
  { row, semantics }: Subject,
  word: number,
  f: Fields,
  random: RandomStream,
  setX: (n: number, value: bigint) => void,
  words: number[],
): void {
  const base = row.name === "SYS" ? f.Rt : f.Rn;
  if (base === undefined) return;
  const page = PLACES.dataBytes / 2;
  let offset: number;
  switch (random.integer(0, 5)) {
    case 0:
      offset = page - random.integer(-2, 70);
      break;
    case 1:
      offset = pick(random, [0, PLACES.dataBytes]) + random.integer(-70, 70);
      break;
    case 2:
      offset = random.integer(0, PLACES.dataBytes - 64);
      break;
    default:
      offset = 16 * random.integer(0, PLACES.dataBytes / 16 - 5);
  }
  let target = PLACES.data + BigInt(offset);
  // Linux lets programs tag addresses.
  if (base !== 31 && chance(random, 8)) target |= BigInt(random.integer(0, 255)) << 56n;
  if (/_reg$/.test(row.name) && f.Rm !== undefined) {
    let index = BigInt(random.integer(-64, 64));
    if (chance(random, 4)) index = BigInt(bits32(random) | 0);
    const shift =
      f.S === 1 ? (f.opc >= 2 && f.size === 0 && row.name.includes("_fp_") ? 4 : (f.size ?? 3)) : 0;
    const extended =
      f.option === 2 ? BigInt.asUintN(32, index) : f.option === 6 ? BigInt.asIntN(32, index) : index;
    if (f.Rm !== 31) {
      setX(f.Rm, (f.option & 1) === 0 ? index ^ (bits64(random) << 32n) : index);
      target -= extended << BigInt(shift);
    }
  } else if (/_(unsigned|unscaled|pre|offset)$|^(LD|ST)TR|^(LD|ST)NP|^PRF/.test(row.name))
    target -= BigInt(semantics.imm?.(f) ?? 0);
  if (base === 31) target = BigInt.asUintN(64, target) & ~15n;
  setX(base, target);
  // A store-exclusive that succeeds.
  if (/^STL?X[RP]$/.test(row.name) && !chance(random, 4)) {
    const load = (word | (1 << 22) | (31 << 16)) >>> 0;
    // What it loads goes to ZR.
    words.unshift(((load & ~0x1f) | 31 | (row.fields["Rt2"] === undefined ? 0 : 30 << 10)) >>> 0);
  }
}
