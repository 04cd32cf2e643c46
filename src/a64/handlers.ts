/**
 * Which variants of each encoding exist: an interpreter has one handler for each, a translator one piece of code. A
 * variant is an encoding with its small fields (sf, size, cond, ...) and the specials of its semantics fixed.
 */
import { BrokenInvariant } from "../common/errors.ts";
import type { Semantics, Special } from "./emit.ts";
import { type Fields, fieldsOf, type Row } from "./encoding.ts";
import { DECODED, SLOT } from "./state.ts";

/** Register fields, in the order of their slots in a decoded instruction. */
const REGISTER_FIELDS = ["Rd", "Rt", "Rn", "Rm", "Ra", "Rt2", "Rs"] as const;

/** The handlers of whoever executes decoded instructions, and not of an encoding: they come first. */
export const HANDLER = { DECODE: 0, PAGE_END: 1, UNDEFINED: 2 } as const;
export const FIRST_HANDLER = Object.keys(HANDLER).length;

export interface Handler {
  readonly id: number;
  readonly row: Row;
  readonly semantics: Semantics;
  /** Fixed fields and specials by name. */
  readonly fixed: ReadonlyMap<string, number>;
  /** The register fields, by slot. */
  readonly registers: readonly string[];
}

interface Fixed {
  readonly name: string;
  readonly values: number;
  readonly of: (fields: Fields, word: number) => number;
}

export interface Encoded {
  readonly row: Row;
  readonly semantics: Semantics;
  readonly registers: readonly string[];
  readonly fixed: readonly Fixed[];
  /** The handler of its first variant. The others follow in the mixed-radix order of their fixed values. */
  readonly first: number;
  readonly variants: number;
}

/** immh is not one: it names the size of elements. */
const isImmediate = (name: string): boolean => /^imm(\d+|r|s|hi|lo|b)$/.test(name);
const isRegister = (name: string): boolean => (REGISTER_FIELDS as readonly string[]).includes(name);

const registersOf = (row: Row): readonly string[] =>
  REGISTER_FIELDS.filter((name) => row.fields[name] !== undefined);

/** The fields that a handler has fixed. */
const fixedFieldsOf = (row: Row): readonly string[] =>
  Object.keys(row.fields).filter(
    (name) => !isImmediate(name) && !isRegister(name) && !row.dynamic.includes(name),
  );

const isInline = ({ semantics }: Pick<Encoded, "semantics">): boolean => semantics.inline === true;

/** Numbers for all variants of all encodings, those of the interpreter's own loop first. */
export class Handlers {
  readonly encodings: readonly Encoded[];
  /** One past the last handler of the loop, and of all. */
  readonly inlineEnd: number;
  readonly end: number;
  readonly #byRow = new Map<Row, Encoded>();

  constructor(rows: readonly Row[], semanticsOf: (row: Row) => Semantics | undefined) {
    const known = rows.flatMap((row) => {
      const semantics = semanticsOf(row);
      return semantics === undefined ? [] : [{ row, semantics }];
    });
    let next = FIRST_HANDLER;
    const numbered = ({ row, semantics }: { row: Row; semantics: Semantics }): Encoded => {
      const encoded = encodedOf(row, semantics, next);
      next += encoded.variants;
      return encoded;
    };
    const inline = known.filter(isInline).map(numbered);
    this.inlineEnd = next;
    this.encodings = [...inline, ...known.filter((each) => !isInline(each)).map(numbered)];
    this.end = next;
    for (const encoded of this.encodings) this.#byRow.set(encoded.row, encoded);
  }

  encoded(row: Row): Encoded | undefined {
    return this.#byRow.get(row);
  }

  /** The handler of a number; undefined: it is of no encoding. */
  handlerOf(id: number): Handler | undefined {
    const encoded = this.encodings.find(({ first, variants }) => id >= first && id < first + variants);
    return encoded === undefined ? undefined : this.variantsOf(encoded, id, id + 1)[0];
  }

  /**
   * The handlers of an encoding, but for those that no word has.
   * @param from,end of which numbers; all by default
   */
  variantsOf(encoded: Encoded, from = 0, end = this.end): Handler[] {
    const { row, semantics, registers, fixed, first, variants } = encoded;
    const found: Handler[] = [];
    for (let id = Math.max(from, first); id < Math.min(end, first + variants); id++) {
      const values = new Map<string, number>();
      let rest = id - first;
      for (const { name, values: count } of fixed) {
        values.set(name, rest % count);
        rest = Math.floor(rest / count);
      }
      if (!neverAllocated(row, values)) found.push({ id, row, semantics, fixed: values, registers });
    }
    return found;
  }
}

function encodedOf(row: Row, semantics: Semantics, first: number): Encoded {
  const fixed: Fixed[] = [
    ...(semantics.unfixed === true ? [] : fixedFieldsOf(row)).map((name) => {
      const { low, width } = row.fields[name]!;
      const mask = 2 ** width - 1;
      return { name, values: 2 ** width, of: (_: Fields, word: number) => (word >>> low) & mask };
    }),
    ...(semantics.special ?? []).map(({ name, values, of }: Special) => ({ name, values, of })),
  ];
  const variants = fixed.reduce((product, { values }) => product * values, 1);
  if (variants > 4096) throw new BrokenInvariant(`${row.name} has ${variants} variants`);
  const registers = registersOf(row);
  if (registers.length > 4) throw new BrokenInvariant(`${row.name} names ${registers.length} registers`);
  return { row, semantics, registers, fixed, first, variants };
}

/**
 * Whether no word with these fixed values is allocated. Fields that are not fixed are tried at all zeros, all ones and one
 * bit each: enough for constraints that look at a few bits of them.
 */
function neverAllocated({ fields, isUndefined }: Row, values: ReadonlyMap<string, number>): boolean {
  if (isUndefined === undefined) return false;
  const free = Object.keys(fields).filter((name) => !values.has(name));
  const word: Record<string, number> = Object.fromEntries(values);
  const fill = (value: (width: number) => number): void => {
    for (const name of free) word[name] = value(fields[name]!.width);
  };
  const allocated = (): boolean => !isUndefined(word as Fields);
  fill((width) => 2 ** width - 1);
  if (allocated()) return false;
  fill(() => 0);
  for (const name of free) {
    // Where registers are constrained, register 0 is allocated.
    if (isRegister(name)) continue;
    for (let value = 0; value < Math.min(2 ** fields[name]!.width, 128); value++) {
      word[name] = value;
      if (allocated()) return false;
    }
    word[name] = 0;
  }
  return !allocated();
}

/**
 * Decodes an instruction.
 * @param view the memory that holds what is decoded
 * @param at where it goes
 * @returns its handler
 */
export function writeDecoded(view: DataView, at: number, encoded: Encoded, word: number): number {
  const { row, semantics, registers, fixed, first } = encoded;
  const fields = fieldsOf(row, word);
  let id = first;
  let radix = 1;
  for (const { values, of } of fixed) {
    id += of(fields, word) * radix;
    radix *= values;
  }
  for (let i = 0; i < registers.length; i++) {
    const name = registers[i]!;
    const number = fields[name as keyof Fields];
    view.setUint8(at + DECODED.SLOTS + i, number === 31 && row.sp.includes(name) ? SLOT.SP : number);
  }
  const aux = semantics.aux ?? [];
  for (let i = 0; i < aux.length; i++) view.setUint8(at + DECODED.AUX + i, aux[i]!(fields));
  const imm = semantics.imm?.(fields) ?? 0;
  view.setBigInt64(at + DECODED.IMM, BigInt.asIntN(64, BigInt(imm)), true);
  view.setUint16(at + DECODED.HANDLER, id, true);
  return id;
}
