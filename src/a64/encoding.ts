/**
 * How an encoding is written down: one row that reads like the Arm ARM's picture of it, bits 31 to 0 from the left. A
 * token is a run of 0 and 1, a field `name` of one bit or `name:width`, or a run of x (bits that are ignored).
 */
import { BrokenInvariant, invariant } from "../common/errors.ts";

/** The fields of an encoding by name, as they stand in a word. */
export type Fields = Readonly<Record<FieldName, number>>;

/** The fields that decode-time operands are made of. */
export type FieldName =
  | "Rd"
  | "Rn"
  | "Rm"
  | "Ra"
  | "Rt"
  | "Rt2"
  | "Rs"
  | "sf"
  | "sh"
  | "N"
  | "immr"
  | "imms"
  | "imm12"
  | "imm6"
  | "imm3"
  | "imm16"
  | "imm26"
  | "imm19"
  | "imm14"
  | "imm9"
  | "imm7"
  | "imm5"
  | "imm4"
  | "imm8"
  | "immhi"
  | "immlo"
  | "hw"
  | "b5"
  | "b40"
  | "shift"
  | "option"
  | "S"
  | "nzcv"
  | "cond"
  | "size"
  | "opc"
  | "scale"
  | "Q"
  | "M"
  | "H"
  | "U"
  | "immh"
  | "immb"
  | "a"
  | "b"
  | "c"
  | "d"
  | "e"
  | "f"
  | "g"
  | "h"
  | "cmode"
  | "op"
  | "o0"
  | "op1"
  | "op2"
  | "CRn"
  | "CRm"
  | "R"
  | "A"
  | "L"
  | "sz"
  | "prfop"
  | "opcode"
  | "len"
  | "ftype"
  | "rmode"
  | "rmode3"
  | "z"
  | "o1"
  | "ft";

/** What an instruction needs beyond Armv8.0-A. */
export type Feature =
  | "CRC32"
  | "LSE"
  | "LOR"
  | "RDM"
  | "PAN"
  | "PAN2"
  | "UAO"
  | "DPB"
  | "AES"
  | "PMULL"
  | "SHA1"
  | "SHA256";

export interface RowOptions {
  /** Register fields in which 31 is SP; elsewhere it is ZR. */
  readonly sp?: readonly string[];
  /** Fields that semantics read at run time, beside registers and immediates. */
  readonly dynamic?: readonly string[];
  readonly feature?: Feature;
  /** Field values that are unallocated or reserved. */
  readonly undefined?: (fields: Fields) => boolean;
}

export interface BitField {
  readonly low: number;
  readonly width: number;
}

export interface Row {
  readonly name: string;
  /** The class of encodings that it belongs to. */
  readonly group: string;
  readonly pattern: string;
  /** The fixed bits, and what they are; unsigned. */
  readonly mask: number;
  readonly value: number;
  readonly fields: Readonly<Record<string, BitField>>;
  /** The same in a list, for code that is in a hurry. */
  readonly fieldList: readonly (readonly [name: string, low: number, mask: number])[];
  readonly sp: readonly string[];
  readonly dynamic: readonly string[];
  readonly feature: Feature | undefined;
  readonly isUndefined: ((fields: Fields) => boolean) | undefined;
}

type Source = string | readonly [pattern: string, options: RowOptions];

/** The rows of a class. A pattern that does not have 32 bits, or names a field twice, refuses to load. */
export function rows<const N extends string>(
  group: string,
  sources: { readonly [K in N]: Source },
): { readonly [K in N]: Row } {
  const made = {} as { [K in N]: Row };
  for (const name of Object.keys(sources) as N[]) {
    const source: Source = sources[name];
    const [pattern, options] = typeof source === "string" ? [source, {}] : source;
    made[name] = { name, group, pattern, ...parse(name, pattern), ...optionsOf(options) };
  }
  return made;
}

const optionsOf = ({ sp = [], dynamic = [], feature, undefined: isUndefined }: RowOptions) => ({
  sp,
  dynamic,
  feature,
  isUndefined,
});

function parse(name: string, pattern: string): Pick<Row, "mask" | "value" | "fields" | "fieldList"> {
  let bit = 32;
  let mask = 0;
  let value = 0;
  const fields: Record<string, BitField> = {};
  for (const token of pattern.split(/\s+/)) {
    if (/^[01x]+$/.test(token)) {
      for (const digit of token) {
        bit -= 1;
        if (digit === "x") continue;
        mask += 2 ** bit;
        if (digit === "1") value += 2 ** bit;
      }
      continue;
    }
    const match = /^([A-Za-z][A-Za-z0-9]*)(?::(\d+))?$/.exec(token);
    if (match === null) throw new BrokenInvariant(`${name}: "${token}" is no bits and no field`);
    const field = match[1]!;
    const width = Number(match[2] ?? 1);
    bit -= width;
    invariant(fields[field] === undefined, `${name} names ${field} twice`);
    fields[field] = { low: bit, width };
  }
  invariant(bit === 0, `${name} has ${32 - bit} bits`);
  const fieldList = Object.entries(fields).map(
    ([field, { low, width }]) => [field, low, 2 ** width - 1] as const,
  );
  return { mask, value, fields, fieldList };
}

/** The fields of a word, by name. */
export function fieldsOf(row: Row, word: number): Fields {
  const fields: Record<string, number> = {};
  const { fieldList } = row;
  for (let i = 0; i < fieldList.length; i++) {
    const [name, low, mask] = fieldList[i]!;
    fields[name] = (word >>> low) & mask;
  }
  return fields as Fields;
}
